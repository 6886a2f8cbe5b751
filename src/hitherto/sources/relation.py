"""A source as a relation in DuckDB: its columns by name, every timestamp normalised, whatever wrote the files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from hitherto.definitions.source import ParquetSource
from hitherto.errors import DataError, StorageError, did_you_mean
from hitherto.registry.records import SourceFile
from hitherto.sources.file_systems import Home, blame, find_home, first_line
from hitherto.sources.files import file_schema, read_schema
from hitherto.sources.instants import normal
from hitherto.sources.partitions import partitions_of, values_of
from hitherto.sql import quote, text
from hitherto.timeline import MAX_INSTANT, MIN_INSTANT, micros

_FILE = "__file"
_GLOB = re.compile(r"([*?\[])")


@dataclass(frozen=True)
class _Scan:
    """Some files with the same columns: what to select them from, and DuckDB's type of each column."""

    sql: str
    types: Mapping[str, Any]
    paths: tuple[str, ...]


def open_relation(
    con: duckdb.DuckDBPyConnection,
    source: ParquetSource,
    files: Sequence[SourceFile],
    *,
    root: Path,
    name: str,
    columns: Collection[str] | None = None,
    schema_files: Sequence[SourceFile] | None = None,
) -> None:
    """Create the TEMP VIEW `name` over the files, with all columns or those asked.

    Timestamps of any unit and zone become TIMESTAMP in microseconds UTC, floored (semantics 1); time columns that are
    dates become midnight UTC. Hive partition columns come as an ENUM of their texts, so that a view's declared type
    decides what they are. `schema_files` are all files of the source when `files` is only a part of them: a column that
    only the others have is null then, not missing.

    Raises:
        SourceError: Files that disagree on a type, a column that is not there, a time column that is no time.
    """
    schema = read_schema(source, schema_files or files, root=root)
    wanted = [*dict.fromkeys((*(schema.names if columns is None else columns), *source.time_columns))]
    _require(source, wanted, schema.names)
    with reading(source):
        texts = _partition_types(schema, schema_files or files)
        bodies = [_select(source, scan, wanted, texts) for scan in _scans(con, source, files, root=root, name=name)]
        # Files of one kind need no union, and then keep their order.
        con.execute(f"CREATE OR REPLACE TEMP VIEW {quote(name)} AS {' UNION ALL BY NAME '.join(bodies)}")
        _check_times(con, source, name)


def describe(con: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """Column name -> DuckDB type of a relation, in order."""
    rows = con.execute(f"DESCRIBE {quote(name)}").fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


def available_sql(source: ParquetSource, *, prefix: str = "") -> str:
    """The available time of a row (semantics 1) over the source's own column names; null if it cannot be told.

    `prefix` is a table prefix such as `r.`. Null: an event or declared known time that is null, or outside the years 1 to 9999.

    >>> available_sql(ParquetSource("a.parquet", timestamp_field="at", known_after="1s"))
    'CASE WHEN "at" BETWEEN make_timestamp(-62135596800000000) AND make_timestamp(253402300799999999) THEN "at" + to_microseconds(1000000) END'
    """
    event = prefix + quote(source.timestamp_field)
    inside = f"BETWEEN make_timestamp({MIN_INSTANT}) AND make_timestamp({MAX_INSTANT})"
    if source.known_timestamp_field:
        known = prefix + quote(source.known_timestamp_field)
        return f"CASE WHEN {event} {inside} AND {known} {inside} THEN greatest({event}, {known}) END"
    delay = micros(source.delay)
    later = f"{event} + to_microseconds({delay})" if delay else event
    return f"CASE WHEN {event} {inside} THEN {later} END"


def placed_sql(source: ParquetSource) -> str:
    """The time that says which run takes a row: its available time, or the one it has if event or known time is null."""
    bounds = f"BETWEEN make_timestamp({MIN_INSTANT}) AND make_timestamp({MAX_INSTANT})"
    names = [quote(name) for name in (source.timestamp_field, source.known_timestamp_field) if name]
    others = [f"CASE WHEN {name} {bounds} THEN {name} END" for name in names]
    return f"coalesce({', '.join([available_sql(source), *others])})"


def time_ranges(
    con: duckdb.DuckDBPyConnection, source: ParquetSource, files: Sequence[SourceFile], *, root: Path
) -> tuple[SourceFile, ...]:
    """The same files with the first and last time of each (see `placed_sql`), from one scan over the time columns only."""
    schema = read_schema(source, files, root=root)
    _require(source, source.time_columns, schema.names)
    texts = _partition_types(schema, files)
    ranges: dict[str, tuple[int, int]] = {}
    with reading(source):
        for scan in _scans(con, source, files, root=root, name="__times", with_file=True):
            body = _select(source, scan, [*source.time_columns, _FILE], texts)
            _check_columns(source, _types(con, body))
            rows = con.execute(
                f"SELECT {_FILE}, epoch_us(min(a)), epoch_us(max(a)) FROM "
                f"(SELECT {_FILE}, {placed_sql(source)} AS a FROM ({body})) WHERE a IS NOT NULL GROUP BY 1"
            ).fetchall()
            ranges.update({str(path): (int(first), int(last)) for path, first, last in rows})
    home = find_home(source, root=root)
    found = {file.path: ranges.get(home.inner(file.path), (None, None)) for file in files}
    return tuple(replace(file, start=found[file.path][0], end=found[file.path][1]) for file in files)


@contextmanager
def reading(source: ParquetSource) -> Iterator[None]:
    """Turn DuckDB's and Arrow's errors, while rows of the source are read, into ones that name the source."""
    try:
        yield
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise StorageError(
            f"Memory ran out while source {source.name!r} was read ({first_line(error)}). Raise offline.memory_limit."
        ) from error
    except duckdb.Error as error:
        if "No space left" in str(error):
            raise StorageError(f"The disk is full: {first_line(error)}") from error
        raise blame(source, f"reading it failed: {first_line(error)}") from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise blame(source, f"reading it failed: {first_line(error)}") from error


def _scans(
    con: duckdb.DuckDBPyConnection,
    source: ParquetSource,
    files: Sequence[SourceFile],
    *,
    root: Path,
    name: str,
    with_file: bool = False,
) -> list[_Scan]:
    """One scan for each group of files that have the same columns, types and partition keys."""
    if not files:
        raise blame(source, "there is no file to read.")
    home = find_home(source, root=root)
    shapes = {file.path: _shape(source, file, root=root) for file in files}
    order: dict[Any, int] = {}
    for file in files:
        order.setdefault(shapes[file.path], len(order))
    together = sorted(files, key=lambda file: order[shapes[file.path]])
    scans = []
    for number, (_, group) in enumerate(groupby(together, key=lambda file: order[shapes[file.path]])):
        members = list(group)
        if home.is_local:
            scans.append(_local_scan(con, home, source, members, root=root, with_file=with_file))
        elif with_file:  # a file of an object store is asked by itself: Arrow's datasets do not tell files apart
            scans += [
                _remote_scan(con, home, source, [one], root=root, name=f"{name}__{number}_{part}", with_file=True)
                for part, one in enumerate(members)
            ]
        else:
            scans.append(_remote_scan(con, home, source, members, root=root, name=f"{name}__{number}"))
    return scans


def _shape(source: ParquetSource, file: SourceFile, *, root: Path) -> tuple[Any, ...]:
    schema = file_schema(source, file, root=root)
    return tuple((field.name, str(field.type)) for field in schema), tuple(partitions_of(file.path))


def _local_scan(
    con: duckdb.DuckDBPyConnection,
    home: Home,
    source: ParquetSource,
    files: Sequence[SourceFile],
    *,
    root: Path,
    with_file: bool,
) -> _Scan:
    inner = [home.inner(file.path) for file in files]
    keys = set(partitions_of(files[0].path))
    outside = set(partitions_of(inner[0])) - keys
    clash = outside & set(file_schema(source, files[0], root=root).names)
    if keys and clash:
        raise blame(
            source,
            f"the folder {min(clash)}=... above it would replace its column {min(clash)!r}. Rename the folder or the column.",
        )
    paths = ", ".join(text(_GLOB.sub(r"[\1]", path)) for path in inner)
    hive = "true, hive_types_autocast=false" if keys else "false"
    sql = f"read_parquet([{paths}], hive_partitioning={hive}" + (f", filename='{_FILE}')" if with_file else ")")
    types = _types(con, f"SELECT * FROM {sql}")
    return _Scan(sql, {name: kind for name, kind in types.items() if name not in outside or not keys}, tuple(inner))


def _remote_scan(
    con: duckdb.DuckDBPyConnection,
    home: Home,
    source: ParquetSource,
    files: Sequence[SourceFile],
    *,
    root: Path,
    name: str,
    with_file: bool = False,
) -> _Scan:
    kind = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
    fragments = []
    for file in files:
        parts = partitions_of(file.path)
        expression = None
        for key, value in parts.items():
            one = ds.field(key).is_null() if value is None else ds.field(key) == value
            expression = one if expression is None else expression & one
        fragments.append(kind.make_fragment(home.inner(file.path), home.filesystem, expression))
    keys = partitions_of(files[0].path)
    fields = [_undictionary(field) for field in file_schema(source, files[0], root=root) if field.name not in keys]
    schema = pa.schema([*fields, *(pa.field(key, pa.string()) for key in keys)])
    con.register(name, ds.FileSystemDataset(fragments, schema, kind, home.filesystem))
    sql = quote(name)
    if with_file:
        sql = f"(SELECT *, {text(home.inner(files[0].path))} AS {_FILE} FROM {sql})"
    return _Scan(sql, _types(con, f"SELECT * FROM {sql}"), tuple(home.inner(file.path) for file in files))


def _undictionary(field: pa.Field) -> pa.Field:
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


def _types(con: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    relation = con.sql(query)
    return dict(zip(relation.columns, relation.types, strict=True))


def _partition_types(schema: pa.Schema, files: Sequence[SourceFile]) -> dict[str, str]:
    """Partition column -> the ENUM of its texts.

    DuckDB forgets the names of user types; an ENUM is kept, and no column of a Parquet file comes as one, so that
    validation can tell a partition's text from a column of text.
    """
    paths = [file.path for file in files]
    texts = {field.name: values_of(paths, field.name) for field in schema if pa.types.is_dictionary(field.type)}
    return {key: f"ENUM({', '.join(map(text, values))})" if values else "VARCHAR" for key, values in texts.items()}


def _select(source: ParquetSource, scan: _Scan, columns: Sequence[str], partitions: Mapping[str, str]) -> str:
    parts = []
    for column in columns:
        name = quote(column)
        if column not in scan.types:
            parts.append(f"NULL AS {name}")
        elif column in partitions:
            kind = "TIMESTAMP" if column in source.time_columns else partitions[column]
            parts.append(f"CAST({name} AS {kind}) AS {name}")
        elif column in source.time_columns and scan.types[column].id in ("date", "null"):
            parts.append(f"TRY_CAST({name} AS TIMESTAMP) AS {name}")
        else:
            parts.append(f"{normal(name, scan.types[column])} AS {name}")
    return f"SELECT {', '.join(parts)} FROM {scan.sql}"


def _require(source: ParquetSource, wanted: Collection[str], known: Collection[str]) -> None:
    """Refuse columns that are not there: all of them at once."""
    missing = [f"there is no column {name!r}.{did_you_mean(name, known)}" for name in wanted if name not in known]
    if missing:
        raise blame(source, " ".join([missing[0], *(f"T{one[1:]}" for one in missing[1:])]))


def _check_times(con: duckdb.DuckDBPyConnection, source: ParquetSource, name: str) -> None:
    _check_columns(source, _types(con, f"SELECT * FROM {quote(name)}"))


def _check_columns(source: ParquetSource, types: Mapping[str, Any]) -> None:
    for column in source.time_columns:
        kind = types[column]
        if kind.id not in ("timestamp", "null"):
            raise blame(source, f"its time column {column!r} is {kind}, not a time.{_hint(column, kind)}")


def _hint(column: str, kind: Any) -> str:
    name = quote(column)
    if kind.id == "varchar":
        return f" Write the file with real timestamps, for example by DuckDB: SELECT * REPLACE ({name}::TIMESTAMPTZ AS {name})."
    if kind.id in ("bigint", "integer", "double", "ubigint", "uinteger", "hugeint"):
        return (
            " Write the file with real timestamps, for example by DuckDB: "
            f"SELECT * REPLACE (make_timestamp({name} * 1000000) AS {name}), if these are seconds since 1970."
        )
    return " Write the file with real timestamps."
