"""Compare and set in every store equals `decide`, row by row, whatever way the rows take (semantics 4)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from hitherto.encoding.row_codec import encode_value
from hitherto.errors import FencedError
from hitherto.online.embedded import store as embedded
from hitherto.online.redis import changes
from hitherto.online.redis import store as redis_store
from hitherto.online.store import OnlineStore, Place, decide

KEYS = [b"i%d;" % number for number in range(12)] + [b"s600:" + b"x" * 600]
GENERATIONS = itertools.count(1)
Row = tuple[bytes, bytes | None]
Act = tuple[int | None, list[Row]]
"""A write (with its sequence) or a push."""


@pytest.fixture(params=["in bulk", "by script"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Few rows in the way of many, in small pieces, so that every step is taken; or all of them by the script."""
    way: str = request.param
    monkeypatch.setattr(changes, "_FEW", 0 if way == "in bulk" else 1_000_000)
    monkeypatch.setattr(changes, "_READ_ROWS", 3)
    monkeypatch.setattr(changes, "_SCRIPT_ROWS", 3)
    monkeypatch.setattr(redis_store, "_PIECE_ROWS", 7)
    monkeypatch.setattr(embedded, "_WRITE_ROWS", 7)
    return way


PAYLOADS = st.one_of(
    # Prefixes of each other; bytes that are negative where they are signed; digits that a locale misorders.
    st.integers(0, 9).map(lambda size: b"abcdefgh\x80"[:size]),
    st.text("aAzZ\x1f~ÿéa", max_size=5).map(str.encode),
    st.binary(max_size=5),
)
# A few instants whose digits differ in each of the four-byte steps of a comparison, and by a letter's case at most.
INSTANTS = st.sampled_from([0, 1, 0xA, 0xAA, 0xB, -1, 0xAAAA, 0xB << 16, 0xFFFF << 16, 10 << 32, -(9 << 48), 9 << 48])


@st.composite
def values(draw: st.DrawFn) -> bytes:
    return encode_value(
        draw(PAYLOADS),
        event=draw(INSTANTS),
        created=draw(st.one_of(st.none(), INSTANTS)),
        available=draw(INSTANTS),
        sequence=draw(st.integers(0, 5)),
    )


PUSHES = st.tuples(st.none(), st.lists(st.tuples(st.sampled_from(KEYS), values()), max_size=20))
WRITES = st.tuples(
    st.integers(0, 5), st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(st.none(), values())), max_size=20)
)
DISTINCT_WRITES = st.tuples(
    st.integers(0, 5),
    st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), values())).map(lambda rows: list(rows.items())),
)
NEIGHBOURS = st.tuples(
    st.none(),
    # Rows of one event: what decides stands further behind.
    st.dictionaries(
        st.sampled_from(KEYS[:4]),
        st.builds(
            encode_value,
            PAYLOADS,
            event=st.just(5),
            created=st.sampled_from([None, 5]),
            available=st.just(5),
            sequence=st.integers(0, 5),
        ),
    ).map(lambda rows: list(rows.items())),
)


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    keys, new = ([row[at] for row in rows] for at in (0, 1))
    return pa.record_batch({"key": pa.array(keys, pa.binary()), "value": pa.array(new, pa.binary())})


def apply(model: dict[bytes, bytes], act: Act) -> int:
    """What the store must do."""
    sequence, rows = act
    changed = 0
    for key, value in rows:
        if decide(model.get(key), value, sequence=None if sequence is None else b"%016x" % sequence):
            changed += 1
            if value is None:
                del model[key]
            else:
                model[key] = value
    return changed


def send(store: OnlineStore, place: Place, act: Act, *, token: int = 1) -> int:
    sequence, rows = act
    if sequence is None:
        return store.push(place, [batch(rows)], token=token)
    return store.write(place, [batch(rows)], token=token, sequence=sequence)


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(st.one_of(PUSHES, WRITES, DISTINCT_WRITES, NEIGHBOURS), min_size=1, max_size=8))
def test_every_store_decides_as_the_reference(store: OnlineStore, way: str, acts: list[Act]) -> None:
    place = Place("demo", "weather", 1, next(GENERATIONS))
    model: dict[bytes, bytes] = {}
    for act in acts:
        assert send(store, place, act) == apply(model, act)
        assert store.read(place, KEYS) == [model.get(key) for key in KEYS]


def rows_of(numbers: range, *, event: int) -> list[tuple[bytes, bytes]]:
    return [(b"i%d;" % number, encode_value(b"1", event=event, available=event, sequence=1)) for number in numbers]


@pytest.mark.parametrize("lag", range(6))
def test_two_writers_at_once_leave_the_greatest_of_each_key(
    new_store: Callable[[], OnlineStore], way: str, place: Place, lag: int
) -> None:
    one, other = new_store(), new_store()
    mine, theirs = rows_of(range(70), event=5), rows_of(range(70), event=6)

    def interrupted() -> Iterator[pa.RecordBatch]:
        for start in range(0, 70, 7):
            # Newer rows of one piece: of one to be sent, of one whose rows have been asked for, of one just written.
            if start >= 7 * lag:
                assert other.push(place, [batch(theirs[start - 7 * lag :][:7])], token=1) == 7
            yield batch(mine[start : start + 7])

    one.push(place, interrupted(), token=1)
    overtaken = 70 - 7 * lag
    assert one.read(place, [key for key, _ in mine]) == [value for _, value in theirs[:overtaken] + mine[overtaken:]]


def test_a_writer_that_is_fenced_on_its_way_writes_nothing_more(
    new_store: Callable[[], OnlineStore], way: str, place: Place
) -> None:
    one, other = new_store(), new_store()
    rows = rows_of(range(60), event=5)

    def interrupted() -> Iterator[pa.RecordBatch]:
        yield batch(rows[:7])
        yield batch(rows[7:14])
        yield batch(rows[14:21])
        yield batch(rows[21:28])
        other.raise_token(place, 9)
        yield batch(rows[28:])

    with pytest.raises(FencedError, match="token is 9"):
        one.push(place, interrupted(), token=1)
    held = one.read(place, [key for key, _ in rows])
    assert held[28:] == [None] * 32
    assert set(held[:28]) <= {None, rows[0][1]}
    assert other.push(place, [batch(rows)], token=9) == sum(value is None for value in held)


@pytest.mark.parametrize("lag", range(1, 6))
def test_a_load_among_the_pieces_of_a_push_keeps_its_newer_rows(
    new_store: Callable[[], OnlineStore], way: str, place: Place, lag: int
) -> None:
    one, other = new_store(), new_store()
    old, new = rows_of(range(70), event=5), rows_of(range(70), event=6)

    def interrupted() -> Iterator[pa.RecordBatch]:
        for start in range(0, 70, 7):
            yield batch(old[start : start + 7])
            if start == 7 * lag:
                other.load(place, [batch(new)], token=1)

    one.push(place, interrupted(), token=1)
    assert one.read(place, [key for key, _ in new]) == [value for _, value in new]
