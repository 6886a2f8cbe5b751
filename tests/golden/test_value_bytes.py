"""What lies in an online store, byte for byte: stores that are in use hold these bytes, so a change of them is a change of format.

To take a changed one: `UPDATE_GOLDEN=1 pytest tests/golden/test_value_bytes.py`, then read the difference and raise the format.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hitherto.encoding.key_codec import encode_key
from hitherto.encoding.row_codec import encode_payload, encode_value
from hitherto.timeline import instant
from hitherto.types import Int64, String
from vectors import VECTORS

GOLDEN = Path(__file__).with_name("value_bytes.txt")


def lines() -> Iterator[str]:
    """Each vector's fragment, then keys and whole values, as Python writes bytes."""
    for kind, values in VECTORS.items():
        yield f"# {kind!r}"
        yield from (repr(encode_payload([kind], [value])) for value in values)
    yield "# keys"
    yield from (repr(encode_key([Int64, Int64], key)) for key in ((1, 11), (11, 1)))
    yield from (repr(encode_key([String], [text])) for text in ("JFK", "", "é", "1"))
    yield "# values"
    payload = encode_payload([Int64, String], [7, None])
    times = {"event": instant("2013-01-01T12:00:00Z"), "available": instant("2013-01-01T12:30:00.000001Z")}
    yield repr(encode_value(payload, **times, sequence=3))
    yield repr(encode_value(payload, **times, sequence=2**40, created=instant("1969-12-31T23:59:59.999999Z")))


def test_keys_and_values_are_written_as_ever() -> None:
    written = "\n".join(lines()) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(written, encoding="utf-8")
    assert written == GOLDEN.read_text(encoding="utf-8")
