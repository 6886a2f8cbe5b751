"""The identity of a table: SHA-256 over its values, whatever the batches, dictionaries or files they came in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as at

BATCH_ROWS = 65_536


class ContentHash:
    """Hashes rows in their order, column by column, as they stream by.

    Each column keeps hashers of its own (validity, lengths, bytes), so that the digest does not depend on how rows are
    cut into batches, and columns are hashed in parallel: hashlib releases the interpreter lock.

    >>> import pyarrow as pa
    >>> whole, parts = ContentHash(), ContentHash()
    >>> whole.update(pa.table({"x": [1, 2]})); parts.update(pa.table({"x": [1]})); parts.update(pa.table({"x": [2]}))
    >>> whole.hexdigest() == parts.hexdigest()
    True
    """

    def __init__(self) -> None:
        self._columns: dict[str, _ColumnHash] = {}
        self._rows = 0

    def update(self, table: pa.Table | pa.RecordBatch) -> None:
        """Add rows. Every call must bring the same columns in the same order."""
        if not self._columns:
            self._columns = {field.name: _ColumnHash(field.type) for field in table.schema}
        self._rows += table.num_rows
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda name: self._columns[name].update(table.column(name)), self._columns))

    def hexdigest(self) -> str:
        """The digest of all rows so far, names and types of the columns included."""
        total = hashlib.sha256(f"rows={self._rows}".encode())
        for name, column in self._columns.items():
            total.update(f"\n{name!r} {column.digest()}".encode())
        return total.hexdigest()


class _ColumnHash:
    """The hashers of one column, and of its children if it is nested."""

    def __init__(self, kind: pa.DataType) -> None:
        kind = _plain_type(kind)
        self.kind = _kind_text(kind)
        self.validity, self.lengths, self.bytes = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self.children: list[_ColumnHash] = []
        if _is_list(kind):
            self.children = [_ColumnHash(kind.value_type)]
        elif at.is_struct(kind):
            self.children = [_ColumnHash(kind.field(i).type) for i in range(kind.num_fields)]

    def update(self, column: pa.Array | pa.ChunkedArray) -> None:
        for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            self._update_chunk(_plain_array(chunk))

    def _update_chunk(self, chunk: pa.Array) -> None:
        kind = chunk.type
        # Most columns have no null and no NaN: not making masks for them takes a sixth off the whole.
        self.validity.update(
            _fixed_bytes(chunk.is_valid().cast(pa.uint8())) if chunk.null_count else b"\x01" * len(chunk)
        )
        if _is_list(kind):
            self.lengths.update(_fixed_bytes(pc.fill_null(pc.list_value_length(chunk), 0).cast(pa.int64())))
            self.children[0].update(chunk.flatten())
        elif at.is_struct(kind):
            for child, column in zip(self.children, chunk.flatten(), strict=True):
                child.update(column)
        elif at.is_string(kind) or at.is_binary(kind) or at.is_large_string(kind) or at.is_large_binary(kind):
            filled = pc.fill_null(chunk, "" if at.is_string(kind) or at.is_large_string(kind) else b"")
            self.lengths.update(_fixed_bytes(pc.binary_length(filled).cast(pa.int64())))
            self.bytes.update(_value_bytes(filled))
        elif at.is_boolean(kind):
            self.bytes.update(_fixed_bytes(pc.fill_null(chunk, False).cast(pa.uint8())))
        elif at.is_floating(kind):
            # NaN is one value, whatever its bits: the codecs know only one, and so does the order of rows.
            odd = pc.is_nan(chunk)
            if pc.any(odd).as_py():
                chunk = pc.if_else(odd, pa.scalar(float("nan"), kind), chunk)
            self.bytes.update(_fixed_bytes(pc.fill_null(chunk, _zero(kind)) if chunk.null_count else chunk))
        elif not at.is_null(kind):
            self.bytes.update(_fixed_bytes(pc.fill_null(chunk, _zero(kind)) if chunk.null_count else chunk))

    def digest(self) -> str:
        parts = [self.kind, self.validity.hexdigest(), self.lengths.hexdigest(), self.bytes.hexdigest()]
        return hashlib.sha256(" ".join(parts + [child.digest() for child in self.children]).encode()).hexdigest()


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The type that a column is hashed as: how its values are laid out in memory is no part of them."""
    if at.is_dictionary(kind) or at.is_run_end_encoded(kind):
        return _plain_type(kind.value_type)
    if at.is_string_view(kind):
        return pa.large_string()
    if at.is_binary_view(kind):
        return pa.large_binary()
    if at.is_map(kind):
        return pa.list_(pa.struct([kind.key_field, kind.item_field]))
    return kind


def _plain_array(array: pa.Array) -> pa.Array:
    """The values as their plain type has them."""
    kind = array.type
    if at.is_dictionary(kind):
        # Values in views cannot be taken from a dictionary as they are.
        return pa.DictionaryArray.from_arrays(array.indices, _plain_array(array.dictionary)).dictionary_decode()
    if at.is_run_end_encoded(kind):
        return _plain_array(pc.run_end_decode(array))
    return array if kind == _plain_type(kind) else array.cast(_plain_type(kind))


def _is_list(kind: pa.DataType) -> bool:
    # Views of lists are read as they are: pyarrow's cast to a list gives empty ones a length of -1.
    tests = (at.is_list, at.is_large_list, at.is_fixed_size_list, at.is_list_view, at.is_large_list_view)
    return any(test(kind) for test in tests)


def _kind_text(kind: pa.DataType) -> str:
    """The type by name; children have names of their own, and what a list calls its elements depends on who wrote it."""
    if _is_list(kind):
        return "list"
    if at.is_struct(kind):
        return f"struct {[kind.field(i).name for i in range(kind.num_fields)]!r}"
    return str(kind).removeprefix("large_")


def _zero(kind: pa.DataType) -> pa.Scalar:
    """The value of a fixed-width type whose bytes are all zero: what every null is hashed as."""
    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(bytes(kind.bit_width // 8))])[0]


def _fixed_bytes(array: pa.Array) -> memoryview:
    """The value buffer of a fixed-width array without nulls, its offset taken into account."""
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return memoryview(b"")
    width = array.type.bit_width // 8
    return memoryview(buffer)[array.offset * width : (array.offset + len(array)) * width]


def _value_bytes(array: pa.Array) -> memoryview:
    """The bytes of all values of a text or binary array without nulls, one after the other."""
    if len(array) == 0 or array.buffers()[2] is None:
        return memoryview(b"")
    wide = at.is_large_string(array.type) or at.is_large_binary(array.type)
    offsets = memoryview(array.buffers()[1]).cast("q" if wide else "i")
    return memoryview(array.buffers()[2])[offsets[array.offset] : offsets[array.offset + len(array)]]


def hash_batches(batches: Iterable[pa.RecordBatch | pa.Table]) -> tuple[str, int]:
    """Digest and row count of a stream."""
    content, rows = ContentHash(), 0
    for batch in batches:
        content.update(batch)
        rows += batch.num_rows
    return content.hexdigest(), rows


def hash_table(table: pa.Table) -> str:
    """Digest of a table."""
    return hash_batches([table])[0]
