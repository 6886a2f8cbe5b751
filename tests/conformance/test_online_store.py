"""What every online store promises (semantics 4), the same tests for each of them."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest

from hitherto.encoding.key_codec import bucket, encode_key
from hitherto.encoding.row_codec import encode_payload, encode_value, order_of
from hitherto.errors import FencedError, OnlineStoreError
from hitherto.online.store import OnlineStore, Place
from hitherto.types import Int64
from vectors import KEY_VECTORS, VECTORS

KEY = b"s3:JFK"
LONG_KEYS = [b"s%d:%b" % (size, b"x" * size) for size in (505, 506, 507, 508, 2000)]


def row(
    payload: bytes = b"1",
    *,
    event: int = 10,
    created: int | None = None,
    available: int | None = None,
    sequence: int = 1,
) -> bytes:
    return encode_value(payload, event=event, created=created, available=event if available is None else available, sequence=sequence)  # fmt: skip


def batch(rows: Sequence[tuple[bytes, bytes | None]], kind: pa.DataType | None = None) -> pa.RecordBatch:
    kind = kind or pa.binary()
    keys, values = [key for key, _ in rows], [value for _, value in rows]
    return pa.record_batch({"key": pa.array(keys, kind), "value": pa.array(values, kind)})


def push(store: OnlineStore, place: Place, *rows: tuple[bytes, bytes], token: int = 1) -> int:
    return store.push(place, [batch(rows)], token=token)


def test_what_is_loaded_is_read_in_the_order_asked_duplicates_kept(store: OnlineStore, place: Place) -> None:
    rows = [(b"i%d;" % number, row(b"%d" % number)) for number in sorted(range(3000), key=str)]
    assert store.load(place, [batch(rows[:1000]), batch(rows[1000:])], token=1) == 3000
    asked = [b"i7;", b"i2999;", b"i7;", b"i3000;", b"i0;"]
    assert store.read(place, asked) == [row(b"7"), row(b"2999"), row(b"7"), None, row(b"0")]
    assert store.read(place, []) == []


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view()], ids=str
)
def test_batches_may_be_text_or_binary(store: OnlineStore, place: Place, kind: pa.DataType) -> None:
    store.load(place, [batch([(KEY, row())], kind).slice(0, 1)], token=1)
    assert store.read(place, [KEY]) == [row()]


def test_a_bucket_column_changes_nothing(store: OnlineStore, place: Place) -> None:
    keys = sorted(b"i%d;" % number for number in range(50))
    rows = batch([(key, row(key)) for key in keys]).append_column("bucket", pa.array(map(bucket, keys), pa.int32()))
    store.load(place, [rows.slice(10, 30)], token=1)
    assert store.read(place, keys) == [*([None] * 10), *(row(key) for key in keys[10:40]), *([None] * 10)]


def test_any_key_and_any_value_comes_back_bit_for_bit(store: OnlineStore, place: Place) -> None:
    keys = sorted({encode_key([kind], [value]) for kind, values in KEY_VECTORS.items() for value in values} | {b"-"})
    payloads = [encode_payload([kind], [value]) for kind, values in VECTORS.items() for value in values]
    rows = [(key, row(payload)) for key, payload in zip(keys, itertools.cycle(payloads))]
    assert store.load(place, [batch(rows)], token=1) == len(rows)
    assert store.read(place, keys) == [value for _, value in rows]
    spread = [(b"z%d;" % number, row(payload)) for number, payload in enumerate(payloads)]
    assert push(store, place, *spread) == len(spread)
    assert store.read(place, [key for key, _ in spread]) == [value for _, value in spread]


def test_long_keys_are_kept_apart(store: OnlineStore, place: Place) -> None:
    store.load(place, [batch([(key, row(b"%d" % len(key))) for key in sorted(LONG_KEYS)])], token=1)
    assert store.read(place, LONG_KEYS) == [row(b"%d" % len(key)) for key in LONG_KEYS]
    assert store.read(place, [b"s2001:" + b"x" * 2001]) == [None]
    store.write(place, [batch([(LONG_KEYS[-1], None), (LONG_KEYS[0], row(b"new"))])], token=1, sequence=5)
    assert store.read(place, [LONG_KEYS[-1], LONG_KEYS[0]]) == [None, row(b"new")]


def test_a_long_key_may_come_before_others(store: OnlineStore, place: Place) -> None:
    rows = [(LONG_KEYS[-1], row(b"long")), (b"s3:zzz", row(b"z")), (b"x00;", row(b"x"))]
    store.load(place, [batch([one]) for one in rows], token=1)
    assert store.read(place, [key for key, _ in rows]) == [value for _, value in rows]


def test_reads_of_several_places_keep_their_order(store: OnlineStore, place: Place) -> None:
    other = Place("demo", "aircraft", 2, 9)
    store.load(place, [batch([(KEY, row(b"1"))])], token=1)
    store.load(other, [batch([(KEY, row(b"2")), (b"s3:LGA", row(b"3"))])], token=1)
    reads = [(other, [b"s3:LGA", KEY]), (place, [KEY, KEY]), (place, []), (Place("demo", "none", 1, 0), [KEY])]
    expected = [[row(b"3"), row(b"2")], [row(b"1"), row(b"1")], [], [None]]
    assert store.read_many(reads) == expected
    assert store.read_many(reads[:1]) == expected[:1]
    assert asyncio.run(store.read_many_async(reads)) == expected
    assert asyncio.run(store.read_async(*reads[0])) == expected[0]


def test_one_store_serves_one_event_loop_after_another(store: OnlineStore, place: Place) -> None:
    store.load(place, [batch([(KEY, row())])], token=1)
    for _ in range(3):
        assert asyncio.run(store.read_async(place, [KEY])) == [row()]


def test_a_cancelled_read_leaves_nothing_for_the_next_caller(store: OnlineStore, place: Place) -> None:
    keys = sorted(b"i%d;" % number for number in range(200))
    store.load(place, [batch([(key, row(key)) for key in keys])], token=1)

    async def ask(key: bytes) -> bool:
        return await store.read_async(place, [key]) == [row(key)]

    async def storm() -> list[bool]:
        generator = random.Random(4)
        answers: list[bool] = []
        for _ in range(20):
            tasks = [asyncio.create_task(ask(key)) for key in generator.sample(keys, 10)]
            for _ in range(generator.randrange(6)):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            answers += [one for one in done if not isinstance(one, asyncio.CancelledError)]
        return answers

    answers = asyncio.run(storm())
    assert len(answers) >= 100
    assert set(answers) == {True}


def test_threads_read_while_one_writes(store: OnlineStore, place: Place) -> None:
    keys = [b"i%d;" % number for number in range(20)]
    push(store, place, *((key, row(b"0", event=0)) for key in keys))
    torn: list[object] = []
    stop = threading.Event()

    def read_on() -> None:
        while not stop.is_set():
            torn.extend(value for value in store.read(place, keys) if value is None or not value.startswith(b"1"))

    readers = [threading.Thread(target=read_on) for _ in range(2)]
    for reader in readers:
        reader.start()
    for event in range(1, 30):
        assert push(store, place, *((key, row(b"x" * 1000, event=event)) for key in keys)) == len(keys)
    stop.set()
    for reader in readers:
        reader.join()
    assert torn == []


ROWS = [
    row(payload, event=event, created=created, available=available, sequence=sequence)
    for sequence, (event, created, available, payload) in enumerate(
        itertools.product(
            (-(10**15), 0xAA, 0xB, 10**17),
            (None, 0xAA, 0xFF),
            (10**17, 10**17 + 0xAAA),
            (b"1", b"10", b"-", b'"a\x1fB"', b'"aa"', b'"z"', '"é"'.encode(), b"null"),
        )
    )
]


def test_an_older_row_never_replaces_a_newer_one_whatever_the_order_of_arrival(
    store: OnlineStore, place: Place
) -> None:
    greatest = max(ROWS, key=order_of)
    generator = random.Random(5)
    keys = [b"i%d;" % number for number in range(10)]
    for key in keys:
        push(store, place, *((key, value) for value in generator.sample(ROWS, len(ROWS))))
    assert store.read(place, keys) == [greatest] * len(keys)


def test_a_push_stores_exactly_what_is_greater(store: OnlineStore, place: Place) -> None:
    generator = random.Random(6)
    pairs = [generator.sample(ROWS, 2) for _ in range(400)]
    keys = [b"i%d;" % number for number in range(len(pairs))]
    push(store, place, *((key, first) for key, (first, _) in zip(keys, pairs, strict=True)))
    stored = push(store, place, *((key, second) for key, (_, second) in zip(keys, pairs, strict=True)))
    assert stored == sum(order_of(second) > order_of(first) for first, second in pairs)
    assert store.read(place, keys) == [max(pair, key=order_of) for pair in pairs]


def test_a_replay_changes_nothing_and_a_correction_wins(store: OnlineStore, place: Place) -> None:
    first, correction = row(b"1", created=1, sequence=7), row(b"0", created=2, sequence=8)
    assert push(store, place, (KEY, first)) == 1
    assert push(store, place, (KEY, row(b"1", created=1, sequence=9))) == 0
    assert store.read(place, [KEY]) == [first]
    assert push(store, place, (KEY, correction)) == 1
    assert push(store, place, (KEY, first)) == 0
    assert store.read(place, [KEY]) == [correction]


def test_rows_of_one_push_see_each_other(store: OnlineStore, place: Place) -> None:
    values = [row(event=event) for event in (3, 9, 5)]
    assert push(store, place, *((KEY, value) for value in values)) == 2
    assert store.read(place, [KEY]) == [values[1]]


def test_a_run_writes_its_winner_even_if_it_is_older(store: OnlineStore, place: Place) -> None:
    push(store, place, (KEY, row(event=20, sequence=1)))
    assert store.write(place, [batch([(KEY, row(event=10, sequence=2))])], token=1, sequence=2) == 1
    assert store.read(place, [KEY]) == [row(event=10, sequence=2)]


def test_a_run_removes_a_key(store: OnlineStore, place: Place) -> None:
    push(store, place, (KEY, row(sequence=1)), (b"s3:LGA", row(sequence=1)))
    assert store.write(place, [batch([(KEY, None), (b"s3:XXX", None)])], token=1, sequence=2) == 1
    assert store.read(place, [KEY, b"s3:LGA"]) == [None, row(sequence=1)]


def test_a_run_does_not_undo_a_push_that_came_after_it_began(store: OnlineStore, place: Place) -> None:
    pushed = row(event=20, sequence=6)
    keys = [b"i0;", b"i1;", b"i2;", b"i3;"]
    push(store, place, *((key, pushed) for key in keys))
    winners: list[bytes | None] = [
        None,
        row(event=10, sequence=5),
        row(event=30, sequence=5),
        row(event=20, sequence=5),
    ]
    changed = store.write(place, [batch(list(zip(keys, winners, strict=True)))], token=1, sequence=5)
    assert changed == 1
    assert store.read(place, keys) == [pushed, pushed, winners[2], pushed]


def test_a_key_removed_and_written_in_one_run_holds_what_came_last(store: OnlineStore, place: Place) -> None:
    rows = [(KEY, row(b"1")), (KEY, None), (KEY, row(b"2")), (b"i1;", row(b"1")), (b"i1;", None)]
    store.write(place, [batch(rows)], token=1, sequence=9)
    assert store.read(place, [KEY, b"i1;"]) == [row(b"2"), None]


def test_a_write_of_many_rows_is_complete(store: OnlineStore, place: Place) -> None:
    rows = [(b"i%d;" % number, row(b'"%b"' % (b"x" * 200), sequence=1)) for number in range(12_000)]
    assert store.write(place, [batch(rows)], token=1, sequence=1) == len(rows)
    assert store.write(place, [batch(rows)], token=1, sequence=1) == len(rows)
    assert store.read(place, [key for key, _ in rows]) == [value for _, value in rows]


def test_a_lower_token_is_refused_by_every_write(store: OnlineStore, place: Place) -> None:
    store.raise_token(place, 5)
    store.raise_token(place, 5)
    late = [batch([(KEY, row())])]
    for write in (
        lambda: store.load(place, late, token=4),
        lambda: store.write(place, late, token=4, sequence=1),
        lambda: store.push(place, late, token=4),
        lambda: store.raise_token(place, 4),
    ):
        with pytest.raises(FencedError, match="token is 5"):
            write()
    assert store.read(place, [KEY]) == [None]
    assert store.push(place, late, token=5) == 1


def test_a_load_that_is_fenced_on_its_way_stops(new_store: Callable[[], OnlineStore], place: Place) -> None:
    store, newer = new_store(), new_store()

    def batches() -> object:
        yield batch([(b"i%d;" % number, row()) for number in sorted(range(100), key=str)])
        newer.raise_token(place, 9)
        yield batch([(b"j%d;" % number, row()) for number in sorted(range(5000), key=str)])

    with pytest.raises(FencedError):
        store.load(place, batches(), token=1)
    assert store.read(place, [b"j1;"]) == [None]


def test_tokens_belong_to_one_view(store: OnlineStore, place: Place) -> None:
    assert store.token(place) == 0
    store.raise_token(place, 5)
    other = Place("demo", "other", 1, 1)
    assert (store.token(place), store.token(other)) == (5, 0)
    assert push(store, other, (KEY, row()), token=1) == 1


def test_a_sequence_rises_by_one_for_all_generations_of_a_view(
    new_store: Callable[[], OnlineStore], place: Place
) -> None:
    numbers = [new_store().next_sequence(Place("demo", "weather", 1, generation)) for generation in range(4)]
    assert numbers == [1, 2, 3, 4]
    assert new_store().next_sequence(Place("demo", "other", 1, 1)) == 1


def test_another_reader_sees_new_rows_and_new_generations(new_store: Callable[[], OnlineStore], place: Place) -> None:
    writer, reader = new_store(), new_store()
    assert reader.read(place, [KEY]) == [None]
    writer.load(place, [batch([(KEY, row(b"1"))])], token=1)
    assert reader.read(place, [KEY]) == [row(b"1")]
    push(writer, place, (KEY, row(b"2")))
    assert reader.read(place, [KEY]) == [row(b"2")]
    following = Place("demo", "weather", 1, 4)
    writer.load(following, [batch([(KEY, row(b"3"))])], token=1)
    assert reader.read_many([(following, [KEY]), (place, [KEY])]) == [[row(b"3")], [row(b"2")]]


def test_a_load_takes_the_place_of_what_was_there(store: OnlineStore, place: Place) -> None:
    store.load(place, [batch([(b"i1;", row()), (b"i2;", row())])], token=1)
    assert store.read(place, [b"i1;"]) == [row()]
    store.load(place, [batch([(b"i2;", row(b"2"))])], token=1)
    assert store.read(place, [b"i1;", b"i2;"]) == [None, row(b"2")]


def test_an_empty_load_makes_an_empty_generation(store: OnlineStore, place: Place) -> None:
    assert store.load(place, [], token=1) == 0
    assert store.load(place, [batch([])], token=1) == 0
    assert store.read(place, [KEY]) == [None]
    assert store.places("demo", "weather") == (place,)


def test_a_dropped_generation_is_gone_and_others_stay(new_store: Callable[[], OnlineStore], place: Place) -> None:
    store, reader = new_store(), new_store()
    tenth, version = Place("demo", "weather", 1, 30), Place("demo", "weather", 2, 3)
    for one in (place, tenth, version, Place("demo", "weather_b", 1, 3)):
        store.load(one, [batch([(KEY, row(b"%d" % one.generation))])], token=1)
        assert reader.read(one, [KEY]) == [row(b"%d" % one.generation)]
    assert store.places("demo", "weather") == (place, tenth, version)
    store.drop(place)
    store.drop(Place("demo", "weather", 7, 7))
    assert store.places("demo", "weather") == (tenth, version)
    assert [reader.read(one, [KEY]) for one in (place, tenth, version)] == [[None], [row(b"30")], [row(b"3")]]
    store.load(place, [batch([(KEY, row(b"again"))])], token=1)
    assert reader.read(place, [KEY]) == [row(b"again")]


def test_only_a_run_may_remove(store: OnlineStore, place: Place) -> None:
    for send in (store.load, store.push):
        with pytest.raises(OnlineStoreError, match="only a run's write may remove"):
            send(place, [batch([(KEY, None)])], token=1)


def test_a_store_answers_again_after_close(store: OnlineStore, place: Place) -> None:
    push(store, place, (KEY, row()))
    store.ping()
    store.close()
    assert store.read(place, [KEY]) == [row()]
    assert store.warnings() == ()


def test_keys_of_two_parts_do_not_meet(store: OnlineStore, place: Place) -> None:
    one, other = encode_key([Int64, Int64], [1, 11]), encode_key([Int64, Int64], [11, 1])
    push(store, place, (one, row(b"1")), (other, row(b"2")))
    assert store.read(place, [other, one]) == [row(b"2"), row(b"1")]
