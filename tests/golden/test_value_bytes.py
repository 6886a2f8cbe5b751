"""What lies in an online store, byte for byte: stores that are in use hold these bytes, so a change of them is a change of format.

To take a changed one: `UPDATE_GOLDEN=1 pytest tests/golden/test_value_bytes.py`, then read the difference and raise the format.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from hitherto import Aggregation
from hitherto.encoding.key_codec import encode_key
from hitherto.encoding.row_codec import encode_fragment, encode_payload, encode_value
from hitherto.timeline import instant
from hitherto.types import Float64, Int64, String
from hitherto.windows.staircase import KeyRows, values
from vectors import VECTORS

GOLDEN = Path(__file__).with_name("value_bytes.txt")


def lines() -> Iterator[str]:
    """Each vector's fragment, then keys and whole values, as Python writes bytes."""
    for kind, vectors in VECTORS.items():
        yield f"# {kind!r}"
        yield from (repr(encode_payload([kind], [value])) for value in vectors)
    yield "# keys"
    yield from (repr(encode_key([Int64, Int64], key)) for key in ((1, 11), (11, 1)))
    yield from (repr(encode_key([String], [text])) for text in ("JFK", "", "é", "1"))
    yield "# values"
    payload = encode_payload([Int64, String], [7, None])
    times = {"event": instant("2013-01-01T12:00:00Z"), "available": instant("2013-01-01T12:30:00.000001Z")}
    yield repr(encode_value(payload, **times, sequence=3))
    yield repr(encode_value(payload, **times, sequence=2**40, created=instant("1969-12-31T23:59:59.999999Z")))
    yield "# windows: a count, the last value, a sum of all rows"
    aggregations = [
        Aggregation("x", "count", windows=["1h", "2h"]),
        Aggregation("x", "last", windows=["2h"]),
        Aggregation("x", "sum"),
    ]
    yield repr(_steps([(9, 0.5), (10, 1.0), (11, None), (11.5, -0.0)], aggregations))


def _steps(rows: list[tuple[float, float | None]], aggregations: list[Aggregation]) -> bytes:
    """The value of a key with rows at some hours, at noon."""
    features = [feature for one in aggregations for feature in one.features(Float64)]
    events = np.array([instant("2013-01-01") + int(hour * 3_600_000_000) for hour, _ in rows])
    held = KeyRows(
        np.array([0, len(rows)]),
        events,
        {"x": pa.array([value for _, value in rows], pa.float64())},
        end=instant("2013-01-01T12:00:00Z"),
        longest=7_200_000_000,
    )
    head = encode_value(b"", event=int(events[-1]), available=int(events[-1]), sequence=1)
    (value,) = values(
        held,
        pa.array([head], pa.large_binary()),
        features,
        encode=lambda columns: [
            pa.array([encode_fragment(kind, one) for one in column.to_pylist()], pa.large_binary())
            for column, kind in columns
        ],
    ).to_pylist()
    return bytes(value)


def test_keys_and_values_are_written_as_ever() -> None:
    written = "\n".join(lines()) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(written, encoding="utf-8")
    assert written == GOLDEN.read_text(encoding="utf-8")
