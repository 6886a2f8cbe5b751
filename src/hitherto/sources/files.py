"""Which Parquet files a source has, what tells each from its earlier self, and what columns they share."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.source import ParquetSource
from hitherto.registry.records import SourceFile
from hitherto.sources.arrow_types import plain, widen
from hitherto.sources.file_systems import Home, blame, find_home, first_line
from hitherto.sources.partitions import partitions_of

MAGIC, ENCRYPTED = b"PAR1", b"PARE"
# Most footers fit: one request to an object store then reads a whole one.
TAIL_BYTES = 64 * 1024
READERS = 8
SUFFIXES = (".parquet", ".parq", ".pq")
WILDCARDS = frozenset("*?[")
_KEPT_SCHEMAS = 10_000
# By the footer's hash, which is all that a schema depends on.
_schemas: dict[str, pa.Schema] = {}
_T = TypeVar("_T")
_R = TypeVar("_R")


def list_files(source: ParquetSource, *, root: Path) -> tuple[SourceFile, ...]:
    """The files of a source, sorted by path, each with its identity (semantics 5) and number of rows.

    Local paths are relative to `root` when the source's path is. Names that begin with `_` or `.` are skipped
    (`_SUCCESS`, checksums); in a folder, so is whatever does not look like Parquet by its name.

    Raises:
        SourceError: Missing, without any file or any row, truncated, corrupt or not Parquet; names the source and its line.
    """
    home = find_home(source, root=root)
    try:
        found = _find(home, source)
        read = _in_parallel(lambda info: _observe(home, source, info), found)
    except (OSError, pa.ArrowException) as error:
        raise blame(source, f"{source.path!r} cannot be read: {first_line(error)}") from error
    files = tuple(sorted(read, key=lambda one: one.path))
    if not files:
        raise blame(source, f"there is no Parquet file at {source.path!r}.")
    if not any(one.rows for one in files):
        raise blame(source, f"its {len(files)} file(s) at {source.path!r} have no row at all.")
    return files


def files_of(view: FeatureView, *, root: Path) -> tuple[SourceFile, ...]:
    """The files of all of a view's sources, as `list_files` has them, each with what the view calls its source."""
    return tuple(
        replace(file, source=name)
        for name, source in view.all_sources.items()
        for file in list_files(source, root=root)
    )


def read_schema(source: ParquetSource, files: Sequence[SourceFile], *, root: Path) -> pa.Schema:
    """The columns of all files together, in order of first appearance, then the Hive partition columns (as dictionaries).

    Timestamps of every unit and zone are one type, dictionaries are their values, and a type may be wider in one file
    than in another (int32 and int64, float and double). Files must agree otherwise.

    Raises:
        SourceError: A column whose types differ beyond that (names both files); columns that differ only in case.
    """
    columns: dict[str, tuple[pa.DataType, str]] = {}
    for file in files:
        for column in file_schema(source, file, root=root):
            _take_column(source, columns, column.name, plain(column.type), file.path)
    _refuse_same_letters(source, columns)
    keys = dict.fromkeys(key for file in files for key in partitions_of(file.path))
    fields = [pa.field(name, kind) for name, (kind, _) in columns.items() if name not in keys]
    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([*fields, *(pa.field(key, text) for key in keys)])


def file_schema(source: ParquetSource, file: SourceFile, *, root: Path) -> pa.Schema:
    """The columns of one file. Raises SourceError when it is gone or changed."""
    known = _schemas.get(file.footer)
    if known is not None:
        return known
    home = find_home(source, root=root)
    try:
        footer = _read_footer(home.filesystem, home.inner(file.path), file.size)
    except _NotParquetError as error:
        raise blame(source, f"{file.path!r} {error}") from None
    except (OSError, pa.ArrowException) as error:
        raise blame(source, f"{file.path!r} cannot be read: {first_line(error)}") from error
    return _parse(footer)[1]


def _take_column(
    source: ParquetSource, columns: dict[str, tuple[pa.DataType, str]], name: str, kind: pa.DataType, path: str
) -> None:
    if name not in columns:
        columns[name] = (kind, path)
        return
    before, first = columns[name]
    wider = widen(before, kind)
    if wider is None:
        raise blame(
            source,
            f"column {name!r} is {before} in {first!r} but {kind} in {path!r}, and neither holds the other without loss. "
            "Write the files with one type.",
        )
    columns[name] = (wider, first if wider == before else path)


def _refuse_same_letters(source: ParquetSource, columns: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in columns:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise blame(
                source, f"columns {other!r} and {name!r} differ only in case, which SQL cannot tell apart. Rename one."
            )


def _find(home: Home, source: ParquetSource) -> list[pafs.FileInfo]:
    """The file itself, a folder's files, or whatever the pattern matches."""
    info = home.filesystem.get_file_info(home.path)
    if info.type == pafs.FileType.File:
        return [info]
    if info.type == pafs.FileType.Directory:
        return list(_folder(home, source, home.path))
    if not WILDCARDS & set(home.path):
        looked = home.path if home.is_local else source.path
        raise blame(
            source, f"there is nothing at {source.path!r}" + ("." if looked == source.path else f" ({looked}).")
        )
    matched: dict[str, pafs.FileInfo] = {}
    for match in _expand(home):
        inside = [match] if match.type == pafs.FileType.File else _folder(home, source, match.path)
        matched.update((one.path, one) for one in inside)
    return list(matched.values())


def _expand(home: Home) -> list[pafs.FileInfo]:
    """The files and folders that a pattern matches, one path segment after the other."""
    segments = home.path.split("/")
    first = next(number for number, segment in enumerate(segments) if WILDCARDS & set(segment))
    folders, matches = ["/".join(segments[:first]) or "/"], list[pafs.FileInfo]()
    for number, segment in enumerate(segments[first:], start=first):
        last = number == len(segments) - 1
        matches = [match for folder in folders for match in _match_segment(home, folder, segment, last=last)]
        inside = [match.path for match in matches if match.type == pafs.FileType.Directory]
        # ** stands for no folder at all, too.
        folders = list(dict.fromkeys([*folders, *inside] if segment == "**" else inside))
    return matches


def _match_segment(home: Home, folder: str, segment: str, *, last: bool) -> list[pafs.FileInfo]:
    if not WILDCARDS & set(segment):
        info = home.filesystem.get_file_info(f"{folder.rstrip('/')}/{segment}")
        return [info] if info.type != pafs.FileType.NotFound else []
    deep = segment == "**"
    inside = home.filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True, recursive=deep))
    pattern = "*" if deep else segment
    matches = [one for one in inside if not _hidden(one, folder) and fnmatch.fnmatchcase(one.base_name, pattern)]
    return [one for one in matches if last or one.type == pafs.FileType.Directory]


def _folder(home: Home, source: ParquetSource, folder: str) -> Iterator[pafs.FileInfo]:
    """The data files in a folder, at any depth."""
    inside = home.filesystem.get_file_info(pafs.FileSelector(folder, recursive=True))
    if any(one.base_name == "_delta_log" and one.type == pafs.FileType.Directory for one in inside):
        raise blame(
            source,
            f"{source.path!r} is a Delta table: its folder also holds rows that are deleted. Export it to Parquet first.",
        )
    for one in inside:
        if one.type != pafs.FileType.File or _hidden(one, folder):
            continue
        # Hive writes data files without a suffix.
        if one.base_name.lower().endswith(SUFFIXES) or "." not in one.base_name:
            yield one


def _hidden(info: pafs.FileInfo, folder: str) -> bool:
    inner = info.path[len(folder) :].strip("/")
    # `_year=2013` is a partition; `_SUCCESS`, `_temporary` and `.part.crc` are not data.
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in inner.split("/"))


class _NotParquetError(Exception):
    """What is wrong with one file, as the end of a sentence that begins with its path."""


@dataclass(frozen=True)
class _Footer:
    content: bytes
    modified: str | None

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def _observe(home: Home, source: ParquetSource, info: pafs.FileInfo) -> SourceFile:
    path = home.recorded(info.path)
    try:
        footer = _read_footer(home.filesystem, info.path, info.size)
        rows, schema = _parse(footer)
    except _NotParquetError as error:
        raise blame(source, f"{path!r} {error}") from None
    if len(_schemas) >= _KEPT_SCHEMAS:
        _schemas.pop(next(iter(_schemas)), None)
    _schemas[footer.hash] = schema
    modified = footer.modified or str(info.mtime_ns or 0)
    return SourceFile(path=path, size=info.size, modified=modified, footer=footer.hash, rows=rows)


def _read_footer(filesystem: pafs.FileSystem, path: str, size: int) -> _Footer:
    if not size:
        raise _NotParquetError("is empty: 0 bytes. Was it written to the end?")
    with filesystem.open_input_file(path) as file:
        modified = _etag(file)
        tail = file.read_at(min(size, TAIL_BYTES), max(0, size - TAIL_BYTES))
        if len(tail) < min(size, TAIL_BYTES):
            raise _NotParquetError("became shorter while it was read. Is it being written?")
        if size < 12 or tail[-4:] != MAGIC:
            raise _NotParquetError(_what_else(file.read_at(4, 0), tail[-4:]))
        length = int.from_bytes(tail[-8:-4], "little")
        if length + 12 > size:
            raise _NotParquetError("is corrupt: its footer claims to be longer than the file.")
        if length + 8 > len(tail):
            tail = file.read_at(length + 8, size - length - 8)
    return _Footer(tail[-8 - length : -8], modified)


def _what_else(head: bytes, end: bytes) -> str:
    if ENCRYPTED in (head, end):
        return "is encrypted Parquet, which cannot be read."
    if head == MAGIC:
        return "is truncated: it begins as Parquet and ends without a footer. Copy it again."
    return "is not a Parquet file."


def _etag(file: pa.NativeFile) -> str | None:
    """The object store's own mark of content; local files have none."""
    try:
        found = file.metadata() or {}
    except (OSError, ValueError, pa.ArrowException):
        return None
    value = found.get(b"ETag") or found.get("ETag")
    return (value.decode() if isinstance(value, bytes) else str(value)).strip('"') if value else None


def _parse(footer: _Footer) -> tuple[int, pa.Schema]:
    """Rows and columns of a footer. The data is not needed for that, so it need not be there."""
    size = len(footer.content).to_bytes(4, "little")
    try:
        metadata = pq.read_metadata(pa.BufferReader(MAGIC + footer.content + size + MAGIC))
        schema = metadata.schema.to_arrow_schema()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _NotParquetError(f"is corrupt: its footer cannot be read ({first_line(error)}).") from error
    # INT96 reaches further than the nanoseconds that Arrow makes of it, so it is read in microseconds.
    old = {
        metadata.schema.column(number).name
        for number in range(metadata.num_columns)
        if metadata.schema.column(number).physical_type == "INT96"
    }
    for number, column in enumerate(schema):
        if column.name in old and pa.types.is_timestamp(column.type):
            schema = schema.set(number, column.with_type(pa.timestamp("us")))
    return metadata.num_rows, schema.remove_metadata()


def _in_parallel(work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    if len(items) < READERS:
        return [work(item) for item in items]
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(work, items))
