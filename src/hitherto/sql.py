"""The one place where names and constants become SQL text (DuckDB's dialect)."""

from __future__ import annotations

from collections.abc import Iterable


def quote(name: str) -> str:
    """A name as a quoted identifier; any text is safe.

    >>> quote('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


def quote_all(names: Iterable[str], *, prefix: str = "") -> str:
    """Names as a list of quoted identifiers, each with a table prefix if one is given.

    >>> quote_all(["a", "b"], prefix="t.")
    't."a", t."b"'
    """
    return ", ".join(prefix + quote(name) for name in names)


def text(value: str) -> str:
    """A text constant; any text is safe (NUL, which SQL text cannot hold, is spelled chr(0)).

    >>> text("it's")
    "'it''s'"
    """
    escaped = value.replace("'", "''")
    if "\0" not in escaped:
        return f"'{escaped}'"
    return "(" + " || chr(0) || ".join(f"'{part}'" for part in escaped.split("\0")) + ")"


def timestamp(micros: int) -> str:
    """An instant as a TIMESTAMP constant (UTC)."""
    return f"make_timestamp({int(micros)})"
