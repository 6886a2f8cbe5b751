"""Pushes among runs: the embedded store holds what the reference holds, row by row, after each write (semantics 4)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import hypothesis.strategies as st
import pyarrow as pa

from hitherto.encoding.key_codec import encode_key
from hitherto.encoding.row_codec import encode_value, order_of
from hitherto.online.store import OnlineStore, Place
from hitherto.online.stores import open_store
from hitherto.testing import ReferenceStore, Row
from hitherto.timeline import Interval
from properties.histories import CASES, LAST_TICK, SCENARIOS, History, Scenario, chosen_seed, collect, histories, rows
from properties.repos import feature_view, source_columns

SCENARIO: Scenario = SCENARIOS[1]
PLACE = Place("properties", "history", 1, 1)
TOKEN = 1
Act = Literal["push", "begin", "publish"]


@st.composite
def orders(draw: st.DrawFn) -> tuple[Act, ...]:
    """Runs one after another, with pushes before, during and after each."""
    acts: list[Act] = ["begin", "publish"]
    for _ in range(draw(st.integers(1, 4))):
        acts += ["push"] * draw(st.integers(0, 2)) + ["begin"] + ["push"] * draw(st.integers(0, 2)) + ["publish"]
    return (*acts, "push")


class Sender:
    """Writes rows of the reference into a store, as a run or as a push."""

    def __init__(self, store: OnlineStore, references: dict[tuple[object, ...], ReferenceStore]) -> None:
        self.store, self.references = store, references
        self.kinds = list(SCENARIO.join_keys.values())

    def batch(self, wanted: Iterable[tuple[tuple[object, ...], Row | None]], sequence: int) -> pa.RecordBatch:
        pairs = sorted(
            (encode_key(self.kinds, key), None if row is None else value(row, sequence)) for key, row in wanted
        )
        return pa.record_batch(
            {
                "key": pa.array([key for key, _ in pairs], pa.binary()),
                "value": pa.array([one for _, one in pairs], pa.binary()),
            }
        )

    def check(self, told: object) -> None:
        """Each key's row, or none, as in the reference."""
        keys = list(self.references)
        found = self.store.read(PLACE, [encode_key(self.kinds, key) for key in keys])
        for key, stored in zip(keys, found, strict=True):
            held = self.references[key].online.get(key)
            wanted = None if held is None else order_of(value(held.row, 0))
            assert (None if stored is None else order_of(stored)) == wanted, (told, key, held)


def value(row: Row, sequence: int) -> bytes:
    return encode_value(row.row_bytes, event=row.event, created=row.created, available=row.available, sequence=sequence)


def test_the_online_store_equals_the_reference_after_every_run_and_push(tmp_path: Path) -> None:
    number = chosen_seed()
    rng = random.Random(number)
    found = collect(
        st.tuples(histories(SCENARIO), st.lists(rows(SCENARIO, steps=1), min_size=1)), CASES // 8, number=number
    )
    for turn, acts in enumerate(collect(orders(), 3, number=number)):
        store = open_store(f"lmdb:///online{turn}", root=tmp_path)
        play(store, acts, found, rng, told=(f"PROPERTY_SEED={number}", acts))
        store.close()


def play(
    store: OnlineStore, acts: tuple[Act, ...], found: list[tuple[History, History]], rng: random.Random, *, told: object
) -> None:
    view = feature_view(SCENARIO, "source")
    keys = [SCENARIO.key(n) for n in range(len(found))]
    references = {key: ReferenceStore(view) for key in keys}
    sender = Sender(store, references)
    store.raise_token(PLACE, TOKEN)
    sequence, begun, first = 0, dict.fromkeys(keys, 0), True
    for act in acts:
        if act == "begin":
            sequence = store.next_sequence(PLACE)
            begun = {key: reference.begin_run() for key, reference in references.items()}
        elif act == "publish":
            publish(sender, dict(zip(keys, found, strict=True)), begun, sequence, rng=rng, first=first)
            first = False
        else:
            push(sender, dict(zip(keys, found, strict=True)), rng)
        sender.check((told, act))


def publish(
    sender: Sender,
    listed: dict[tuple[object, ...], tuple[History, History]],
    begun: dict[tuple[object, ...], int],
    sequence: int,
    *,
    rng: random.Random,
    first: bool,
) -> None:
    """A run over some interval; some rows are gone since the one before."""
    start = -1 if first else rng.randrange(LAST_TICK)
    interval = Interval(SCENARIO.at(start), SCENARIO.at(rng.randint(start + 1, LAST_TICK)))
    writes: dict[tuple[object, ...], Row | None] = {}
    for key, reference in sender.references.items():
        before = reference.visible_rows()
        now_there = [source_columns(SCENARIO, key, row) for row in listed[key][0] if rng.random() < 0.7]
        reference.publish(now_there, interval, published_at=interval.end, sequence=begun[key])
        writes |= reference.online_writes(before, interval)
    batch = sender.batch(writes.items(), sequence)
    if first:
        sender.store.load(PLACE, [batch], token=TOKEN)
    else:
        sender.store.write(PLACE, [batch], token=TOKEN, sequence=sequence)


def push(sender: Sender, listed: dict[tuple[object, ...], tuple[History, History]], rng: random.Random) -> None:
    """One row of each second key, then some of them again."""
    pushed: dict[tuple[object, ...], Row] = {}
    for key in rng.sample(sorted(sender.references), len(sender.references) // 2):
        columns = source_columns(SCENARIO, key, rng.choice(listed[key][1]))
        reference = sender.references[key]
        probe = ReferenceStore(reference.view)
        if probe.push(columns):
            pushed[key] = probe.online[key].row
        reference.push(columns)
    sequence = sender.store.next_sequence(PLACE)
    sender.store.push(PLACE, [sender.batch(pushed.items(), sequence)], token=TOKEN)
    again = dict(rng.sample(sorted(pushed.items(), key=str), len(pushed) // 3))
    assert sender.store.push(PLACE, [sender.batch(again.items(), sender.store.next_sequence(PLACE))], token=TOKEN) == 0
