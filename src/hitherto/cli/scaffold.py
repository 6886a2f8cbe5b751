"""A new feature repo: hitherto.toml and typed definitions, from the columns of the user's Parquet or of a small sample."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hitherto.types
from hitherto.definitions.source import ParquetSource, name_of
from hitherto.errors import SourceError, StorageError, UnknownNameError, UsageError
from hitherto.types import KEY_TYPES, DataType, from_arrow, is_name

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS, DEFINITIONS, IGNORED = "hitherto.toml", "definitions.py", ".gitignore"
SAMPLE = "data/readings.parquet"
LONGEST_NAME = 63


@dataclass(frozen=True)
class Column:
    """A column of the file: its name there, its name and type here."""

    source: str
    name: str
    dtype: DataType


@dataclass(frozen=True)
class Repo:
    """What was written."""

    written: tuple[Path, ...]
    view: str
    keys: tuple[str, ...]
    features: tuple[str, ...]
    entity_options: str
    """`--entity` options with the keys of the file's first row, for a first lookup."""
    notes: tuple[str, ...]
    """What a person should know: columns that were left out, other Python files in the folder."""


def write(repo: Path, *, data: str | None, keys: Sequence[str], time: str | None) -> Repo:
    """Write the settings and definitions of a repo.

    Args:
        repo: The folder; made if it is missing.
        data: The user's Parquet, relative to the working directory; None writes a sample and uses it.
        keys, time: Columns of the file.

    Raises:
        UsageError: A file would be overwritten, a column is not named, or cannot be a key or a time.
        SourceError: The file is missing or not Parquet.
        StorageError: The folder cannot be written.
    """
    for name in (SETTINGS, DEFINITIONS):
        if (repo / name).exists():
            raise UsageError(
                f"{repo / name} is there already, and init overwrites nothing. Choose another folder with --repo."
            )
    if data is None and (keys or time):
        raise UsageError("--key and --time name columns of a file: give it with --from FILE.parquet.")
    notes = _strangers(repo)
    if data is None:
        _write_files({repo / SAMPLE: _sample()})
        path, keys, time = SAMPLE, ["sensor"], "measured_at"
    else:
        path = _path_for(repo, data)
    schema, first = _read(repo, path, data or path)
    key_columns = _keys(schema, keys)
    event_time = _time(schema, time)
    columns, left_out = _features(schema, key_columns, event_time)
    view = _unused(name_of(path).removeprefix("source_"), ())
    files = {
        repo / SETTINGS: settings_text(repo),
        repo / DEFINITIONS: definitions_text(path, view, key_columns, event_time, columns),
    }
    if not (repo / IGNORED).exists():
        files[repo / IGNORED] = ".hitherto/\n__pycache__/\n"
    _write_files(files)
    return Repo(
        written=(*([repo / SAMPLE] if data is None else []), *files),
        view=view,
        keys=tuple(column.name for column in key_columns),
        features=tuple(column.name for column in columns),
        entity_options="".join(f" --entity {_entity(column, first)}" for column in key_columns),
        notes=(*notes, *left_out),
    )


# -- what is read ----------------------------------------------------------------------------------------------------


def _path_for(repo: Path, data: str) -> str:
    """The path as the definitions will say it: relative to the repo where the file is inside it, else absolute."""
    if "://" in data:
        return data
    absolute, folder = Path(os.path.abspath(data)), Path(os.path.abspath(repo))
    return absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else absolute.as_posix()


def _read(repo: Path, path: str, shown: str) -> tuple[pa.Schema, dict[str, Any]]:
    """The columns of the file, and its first row."""
    from hitherto.sources.files import list_files, read_schema

    # The time column is not known yet, and neither call looks at it.
    source = ParquetSource(path, timestamp_field="unknown", location=None)
    try:
        files = list_files(source, root=Path(os.path.abspath(repo)))
        schema = read_schema(source, files, root=Path(os.path.abspath(repo)))
    except SourceError as error:
        raise SourceError(f"{shown} cannot be used: {error}") from error
    return schema, _first_row(Path(os.path.abspath(repo)) / files[0].path)


def _first_row(path: Path) -> dict[str, Any]:
    """The first row of a local file; nothing for others: it only makes an example more lively."""
    import pyarrow.parquet as pq

    if not path.is_file():
        return {}
    with pq.ParquetFile(path) as file:
        batch = next(file.iter_batches(batch_size=1), None)
        rows = batch.to_pylist() if batch is not None else []
    return rows[0] if rows else {}


def _keys(schema: pa.Schema, keys: Sequence[str]) -> list[Column]:
    if not keys:
        raise UsageError(
            f"Say which column identifies what the rows are about: --key COLUMN. Columns: {_listed(schema.names)}."
        )
    found: list[Column] = []
    for key in dict.fromkeys(keys):
        dtype = from_arrow(_column(schema, key))
        if dtype not in KEY_TYPES or dtype is None:
            kinds = ", ".join(kind.name for kind in KEY_TYPES)
            raise UsageError(
                f"The column {key!r} has type {schema.field(key).type}, which cannot be a key. Keys are {kinds}."
            )
        found.append(Column(key, _unused(key, [column.name for column in found]), dtype))
    return found


def _time(schema: pa.Schema, time: str | None) -> str:
    import pyarrow.types as at

    fitting = [field.name for field in schema if at.is_timestamp(field.type) or at.is_date(field.type)]
    if time is None:
        known = f"Columns of times: {_listed(fitting)}." if fitting else "It has no column of timestamps or dates."
        raise UsageError(
            f"Say which column holds the event time, when the fact of a row happened: --time COLUMN. {known}"
        )
    kind = _column(schema, time)
    if time not in fitting:
        raise UsageError(
            f"The column {time!r} has type {kind}, not timestamps or dates. Convert it first, for example in DuckDB: "
            f"copy (select * replace (cast({_quoted(time)} as timestamp) as {_quoted(time)}) from 'old.parquet') to 'new.parquet'."
        )
    return time


def _column(schema: pa.Schema, name: str) -> pa.DataType:
    if name not in schema.names:
        raise UnknownNameError("column", name, schema.names, where="the file")
    return schema.field(name).type


def _features(schema: pa.Schema, keys: Sequence[Column], time: str) -> tuple[list[Column], list[str]]:
    """All other columns, and a note for each that has no type here."""
    taken = {time, *(column.source for column in keys)}
    kept = [field for field in schema if field.name not in taken]
    used = {column.name for column in keys}
    # A column that has a valid name keeps it, whatever the names of others become.
    own = {field.name for field in kept if is_name(field.name)} - used
    used |= own
    found: list[Column] = []
    notes: list[str] = []
    for field in kept:
        dtype = from_arrow(field.type)
        if dtype is None:
            notes.append(f"Left out: column {field.name!r}, because features have no type for {field.type}.")
            continue
        found.append(Column(field.name, field.name if field.name in own else _unused(field.name, used), dtype))
        used.add(found[-1].name)
    if not found:
        raise UsageError(f"The file has no column that could be a feature beside {_listed(sorted(taken))}.")
    return found, notes


def _strangers(repo: Path) -> list[str]:
    """Other Python files of the folder will be imported as definitions: say so while it is easy to move."""
    found = sorted(path.name for path in repo.glob("*.py")) if repo.is_dir() else []
    if not found:
        return []
    return [
        f"Python files of the folder are imported as definitions: {_listed(found)}. If they are something else, use --repo DIR."
    ]


# -- names -----------------------------------------------------------------------------------------------------------


def _unused(text: str, used: Iterable[str]) -> str:
    """A valid name from any text (semantics 7) that is not used yet.

    >>> _unused("FareAmount", ()), _unused("fare__amount", ["fare_amount"]), _unused("2nd", ()), _unused("Größe", ())
    ('fare_amount', 'fare_amount_2', 'column_2nd', 'grosse')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    # Letters without their accents, so that they stay readable.
    letters = "".join(one for one in unicodedata.normalize("NFKD", words.casefold()) if not unicodedata.combining(one))
    name = re.sub(r"[^a-z0-9]+", "_", letters).strip("_")
    if not name[:1].isalpha():
        name = f"column_{name}".strip("_")
    name = name[:LONGEST_NAME].strip("_")
    taken, number, chosen = set(used), 1, name
    while chosen in taken:
        number += 1
        chosen = f"{name[: LONGEST_NAME - len(str(number)) - 1]}_{number}"
    return chosen


def _entity(column: Column, first: dict[str, Any]) -> str:
    from hitherto.cli.output import plain

    value = first.get(column.source)
    return shlex.quote(f"{column.name}={'VALUE' if value is None else plain(value)}")


def _listed(names: Iterable[str], most: int = 12) -> str:
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


# -- what is written -------------------------------------------------------------------------------------------------


def settings_text(repo: Path) -> str:
    """hitherto.toml: the project's name; the rest are the defaults, said aloud."""
    project = _unused(Path(os.path.abspath(repo)).name, ())
    return f'''project = "{project}"

[registry]
url = "sqlite:///.hitherto/registry.db"

[offline]
path = ".hitherto/offline"

[online]
url = "lmdb:///.hitherto/online"  # or redis://host:6379/0
'''


def definitions_text(path: str, view: str, keys: Sequence[Column], time: str, columns: Sequence[Column]) -> str:
    """definitions.py: entity, source and feature view, typed."""
    fields = "\n".join(f"        {_field(column)}," for column in columns)
    join_keys = ", ".join(f"{_text(column.name)}: {column.dtype!r}" for column in keys)
    return f'''"""Features of {_plain_words(path)}, as `hitherto init` wrote them. They are yours to change."""

from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.types import {", ".join(_types([*keys, *columns]))}

entity = Entity({_text(_entity_name(keys))}, join_keys={{{join_keys}}})

source = ParquetSource(
    {_text(path)},
    timestamp_field={_text(time)},
    # When could a value be known? If later than its event time, say so, or training sees the future:
    # known_after="30m", or known_timestamp_field="column"
)

view = FeatureView(
    {_text(view)},
    entities=[entity],
    source=source,
{_transform(keys)}    schema=[
{fields}
    ],
    # ttl="7d",  # how long a value is valid; without it, for ever
)
'''


def _field(column: Column) -> str:
    mapped = f", source_column={_text(column.source)}" if column.source != column.name else ""
    return f"Field({_text(column.name)}, {column.dtype!r}{mapped})"


def _transform(keys: Sequence[Column]) -> str:
    """Keys are read by their own names, so a key column that is no name is renamed in SQL, row by row (lookback 0)."""
    renamed = [column for column in keys if column.source != column.name]
    if not renamed:
        return ""
    names = ", ".join(f"{_quoted(column.source)} as {_quoted(column.name)}" for column in renamed)
    dropped = ", ".join(_quoted(column.source) for column in renamed)
    return f'    transform={_text(f"select * exclude ({dropped}), {names} from source")},\n    lookback="0s",\n'


def _entity_name(keys: Sequence[Column]) -> str:
    name = (
        keys[0].name.removesuffix("_id")
        if len(keys) == 1
        else "_".join(column.name for column in keys)[:LONGEST_NAME].strip("_")
    )
    return name if is_name(name) else "entity"


def _types(columns: Iterable[Column]) -> list[str]:
    """The names of the types that the definitions need."""
    words = {
        word for column in columns for word in re.findall(r"[A-Za-z]\w*", re.sub(r"'[^']*'", "", repr(column.dtype)))
    }
    return sorted(words & set(hitherto.types.__all__))


def _text(value: str) -> str:
    """A Python string, in double quotes unless it holds some."""
    import json

    return json.dumps(value, ensure_ascii=False) if value.isprintable() and '"' not in value else repr(value)


def _quoted(name: str) -> str:
    from hitherto.sql import quote

    return quote(name)


def _plain_words(path: str) -> str:
    """A path inside a docstring: without what would end it."""
    return path.replace("\\", "/").replace('"', "'")


def _sample() -> pa.Table:
    """Three days of three sensors, always the same."""
    import pyarrow as pa

    start = datetime(2025, 1, 1, tzinfo=UTC)
    rows = [(hour, number, sensor) for hour in range(72) for number, sensor in enumerate(("attic", "cellar", "garden"))]
    return pa.table(
        {
            "sensor": pa.array([sensor for _, _, sensor in rows]),
            "measured_at": pa.array(
                [start + timedelta(hours=hour) for hour, _, _ in rows], pa.timestamp("us", tz="UTC")
            ),
            "temperature": pa.array([round(15 + 4 * number - abs(hour % 24 - 14) / 2, 1) for hour, number, _ in rows]),
            "humidity": pa.array([40 + 10 * number + hour % 24 for hour, number, _ in rows], pa.int16()),
            "battery_low": pa.array([hour > 60 and number == 2 for hour, number, _ in rows]),
        }
    )


def _write_files(files: dict[Path, Any]) -> None:
    """Write text and tables. Raises StorageError."""
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            else:
                import pyarrow.parquet as pq

                pq.write_table(content, path)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error
