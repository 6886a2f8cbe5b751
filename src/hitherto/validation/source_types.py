"""The types of source columns, read from DuckDB's names for them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import duckdb

SIGNED = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64, "hugeint": 128}
UNSIGNED = {"utinyint": 8, "usmallint": 16, "uinteger": 32, "ubigint": 64, "uhugeint": 128}
_lock = threading.Lock()


@dataclass(frozen=True)
class SourceType:
    """A DuckDB type as a tree. `kind` is DuckDB's own word: bigint, decimal, list, struct ..."""

    kind: str
    text: str
    children: tuple[tuple[str, SourceType], ...] = ()
    precision: int = 0
    scale: int = 0

    @property
    def is_integer(self) -> bool:
        """Whether this is an integer of any width, signed or not."""
        return self.kind in SIGNED or self.kind in UNSIGNED

    @property
    def is_real(self) -> bool:
        """Whether this is FLOAT or DOUBLE."""
        return self.kind in ("float", "double")

    @property
    def range(self) -> tuple[int, int]:
        """Least and greatest value of an integer type."""
        if self.kind in SIGNED:
            return -(2 ** (SIGNED[self.kind] - 1)), 2 ** (SIGNED[self.kind] - 1) - 1
        return 0, 2 ** UNSIGNED[self.kind] - 1

    @property
    def shown(self) -> str:
        """The text for messages; the values of an ENUM, which may be many, are left out."""
        return "the text of a folder's name" if self.kind == "enum" else self.text


@lru_cache(maxsize=1024)
def parse(text: str) -> SourceType:
    """The tree of a type's name as DESCRIBE gives it.

    >>> parse("STRUCT(a INTEGER[])").children[0][1].kind
    'list'
    """
    with _lock:
        return _from_duckdb(duckdb.sqltype(text, connection=_database()))


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Where types are read. It stays: making one takes 25 to 45 ms, and a source has half a dozen types."""
    return duckdb.connect(":memory:", config={"threads": 1})


def _from_duckdb(kind: Any) -> SourceType:
    identity = str(kind.id)
    if identity == "decimal":
        sizes = dict(kind.children)
        return SourceType(identity, str(kind), precision=int(sizes["precision"]), scale=int(sizes["scale"]))
    if identity in ("list", "array"):
        return SourceType("list", str(kind), (("element", _from_duckdb(kind.children[0][1])),))
    if identity == "struct":
        return SourceType(identity, str(kind), tuple((str(name), _from_duckdb(inner)) for name, inner in kind.children))
    return SourceType(identity, str(kind))
