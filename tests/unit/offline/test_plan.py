from __future__ import annotations

from pathlib import Path

import pytest

from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.errors import KeyTypeError
from hitherto.offline.plan import AgeLimit, RetrievalPlan, ViewRead, has_key_id, in_force, served_states, visible_state
from hitherto.registry import ledger
from hitherto.registry.records import Publication, Segment
from hitherto.timeline import Interval
from hitherto.types import Bool, Bytes, DataType, Date, Float64, Int8, Int16, Int64, String, Timestamp

HERE = Path("/offline")


def segment(name: str, start: int, end: int) -> Segment:
    return Segment(
        name, "v", 1, f"run-{name}", Interval(start, end), f"v/{name}.duckdb", 1, 1, "c", "f", indexed=name == "a"
    )


def publication(number: int, name: str | None, start: int, end: int, at: int) -> Publication:
    return Publication(number, "v", 1, f"run-{name}", number, Interval(start, end), name, at)


SEGMENTS = {"a": segment("a", 0, 10), "b": segment("b", 4, 6)}
LEDGER = [publication(1, "a", 0, 10, 100), publication(2, "b", 4, 6, 200), publication(3, None, 8, 10, 300)]


def test_a_segment_that_nothing_masks_is_whole() -> None:
    (one,) = visible_state(ledger.pieces(LEDGER[:1]), SEGMENTS, HERE)
    assert (one.path, one.run_id, one.whole, one.indexed) == (HERE / "v/a.duckdb", "run-a", True, True)
    assert one.served is None


def test_a_masked_segment_counts_with_what_is_left_of_it_and_an_empty_range_masks_too() -> None:
    first, second = sorted(visible_state(ledger.pieces(LEDGER), SEGMENTS, HERE), key=lambda one: one.run_id)
    assert (first.intervals, first.whole) == ((Interval(0, 4), Interval(6, 8)), False)
    assert (second.intervals, second.whole) == ((Interval(4, 6),), True)


def test_each_served_part_has_the_span_in_which_lookups_saw_it() -> None:
    parts = served_states(ledger.history(LEDGER), SEGMENTS, HERE)
    found = {(one.run_id, one.served): one.intervals for one in parts}
    assert found == {
        ("run-a", (100, None)): (Interval(0, 4), Interval(6, 8)),
        ("run-a", (100, 200)): (Interval(4, 6),),
        ("run-a", (100, 300)): (Interval(8, 10),),
        ("run-b", (200, None)): (Interval(4, 6),),
    }


def test_served_parts_are_cut_to_the_time_in_which_the_version_served() -> None:
    parts = served_states(ledger.history(LEDGER), SEGMENTS, HERE, since=150, until=250)
    assert {one.served for one in parts} == {(150, 200), (150, 250), (200, 250)}
    assert served_states(ledger.history(LEDGER), SEGMENTS, HERE, since=10, until=100) == ()


def test_only_one_integer_like_key_or_none_needs_no_dictionary() -> None:
    def view(*kinds: DataType) -> FeatureView:
        keys = {f"k{n}": kind for n, kind in enumerate(kinds)}
        entities = [Entity("e", join_keys=keys)] if keys else []
        return FeatureView(
            "v", entities=entities, source=ParquetSource("x", timestamp_field="at"), schema=[Field("x", Float64)]
        )

    assert [has_key_id(view(kind)) for kind in (Bool, Int8, Int64, Date, Timestamp)] == [True] * 5
    assert [has_key_id(view(kind)) for kind in (String, Bytes)] == [False] * 2
    assert has_key_id(view())
    assert not has_key_id(view(Int64, Int64))


def test_the_limit_in_force_is_the_last_that_began() -> None:
    limits = [AgeLimit(30, None), AgeLimit(None, 1), AgeLimit(10, 2)]
    assert [in_force(limits, time) for time in (-5, 9, 10, 29, 30)] == [1, 1, 2, 2, None]
    assert in_force([], 0) is None


def test_a_plan_knows_its_views_and_the_types_of_the_entity_columns() -> None:
    view = FeatureView(
        "v",
        entities=[Entity("e", join_keys={"a": Int64, "b": String})],
        source=ParquetSource("x", timestamp_field="at"),
        schema=[Field("x", Float64)],
    )

    def read(name: str, version: int, **columns: str) -> ViewRead:
        return ViewRead(name, view, version, columns, ("x",), ("x",), ())

    plan = RetrievalPlan((read("v", 1, a="A", b="b"), read("w", 1, a="b2"), read("v", 2, a="A", b="b")), "t", ("x",))
    assert plan.key_types == {"A": Int64, "b": String, "b2": Int64}
    assert {name: [one.version for one in reads] for name, reads in plan.views.items()} == {"v": [1, 2], "w": [1]}
    assert plan.reads[0].key_types == {"a": Int64, "b": String}


def plan_of(*kinds: DataType) -> RetrievalPlan:
    """Views that all take the entity column `asked` as their key, each as a type."""
    reads = []
    for number, kind in enumerate(kinds):
        view = FeatureView(
            f"v{number}",
            entities=[Entity("e", join_keys={"k": kind})],
            source=ParquetSource("x", timestamp_field="at"),
            schema=[Field("x", Float64)],
        )
        reads.append(ViewRead(view.name, view, 1, {"k": "asked"}, ("x",), ("x",), ()))
    return RetrievalPlan(tuple(reads), "event_timestamp", ())


def test_an_entity_column_has_the_widest_integer_of_its_views() -> None:
    for kinds in [(Int8, Int64, Int16), (Int64, Int8), (Int16, Int64)]:
        assert plan_of(*kinds).key_types == {"asked": Int64}
    assert plan_of(Date, Date).key_types == {"asked": Date}


@pytest.mark.parametrize("kinds", [(Date, Timestamp), (Timestamp, Date), (String, Bytes), (Bool, Int8), (Int8, String)])
def test_an_entity_column_that_two_views_take_as_different_types_is_refused(kinds: tuple[DataType, DataType]) -> None:
    with pytest.raises(
        KeyTypeError, match=rf"'asked' .* 'v0' \(version 1\) as {kinds[0]!r} and of 'v1' \(version 1\) as {kinds[1]!r}"
    ):
        _ = plan_of(*kinds).key_types
