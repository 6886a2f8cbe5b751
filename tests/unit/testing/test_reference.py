"""Each sentence of semantics 1-4 that a single view can show, computed by hand. Instants are small microseconds."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.errors import ClockError
from hitherto.testing import Answer, ReferenceStore, RunCounts, read_row
from hitherto.timeline import Interval
from hitherto.types import Float64, Int64, String

K = ("k",)


def view_of(
    *, known: bool = False, created: bool = False, after: int = 0, ttl: int | None = None, retention: int | None = None
) -> FeatureView:
    return FeatureView(
        "history",
        entities=[Entity("subject", join_keys={"key": String})],
        source=ParquetSource(
            "rows.parquet",
            timestamp_field="event",
            created_timestamp_field="created" if created else None,
            known_timestamp_field="known" if known else None,
            known_after=timedelta(microseconds=after) if after else None,
        ),
        schema=[Field("x", Float64)],
        ttl=None if ttl is None else timedelta(microseconds=ttl),
        online_retention=None if retention is None else timedelta(microseconds=retention),
    )


def row(event: Any, x: Any = 1.0, *, key: Any = "k", **times: Any) -> dict[str, Any]:
    return {"key": key, "event": event, "x": x, "created": None, "known": None, **times}


def published(view: FeatureView, *rows: dict[str, Any], end: int = 100) -> ReferenceStore:
    store = ReferenceStore(view)
    store.publish(rows, Interval(0, end), published_at=end)
    return store


def value(answer: Answer) -> Any:
    return answer.values[0]


def status(answer: Answer) -> str:
    return answer.statuses[0]


# 1. Time


def test_naive_times_are_utc_and_aware_ones_are_converted() -> None:
    naive = datetime(1970, 1, 1, 1)
    aware = datetime(1970, 1, 1, 3, tzinfo=timezone(timedelta(hours=2)))
    for event in (naive, aware):
        found = read_row(view_of(), row(event))
        assert found is not None
        assert found.event == 3_600_000_000


@pytest.mark.parametrize(("event", "known", "available"), [(5, 9, 9), (5, 5, 5), (9, 5, 9)])
def test_available_time_is_the_later_of_event_time_and_known_time(event: int, known: int, available: int) -> None:
    found = read_row(view_of(known=True), row(event, known=known))
    assert found is not None
    assert found.available == available


def test_known_after_is_added_to_the_event_time() -> None:
    found = read_row(view_of(after=30), row(5))
    assert found is not None
    assert (found.event, found.available) == (5, 35)


def test_without_a_known_time_a_row_is_available_at_its_event_time() -> None:
    found = read_row(view_of(), row(5, known=99))
    assert found is not None
    assert found.available == 5


def test_a_row_exists_from_its_available_time_on_and_not_before() -> None:
    store = published(view_of(known=True), row(5, known=9))
    assert status(store.retrieve(K, 8)) == "NOT_FOUND"
    assert value(store.retrieve(K, 9)) == 1.0


def test_a_run_takes_its_start_and_not_its_end() -> None:
    store = ReferenceStore(view_of())
    counts = store.publish([row(9), row(10), row(19), row(20)], Interval(10, 20), published_at=20)
    assert counts == RunCounts(2, 2, 0, 0)
    assert [one.event for one in store.visible_rows()] == [10, 19]


def test_a_run_takes_rows_by_available_time_not_by_event_time() -> None:
    store = ReferenceStore(view_of(after=5))
    store.publish([row(8), row(16)], Interval(10, 20), published_at=20)
    assert [one.event for one in store.visible_rows()] == [8]


@pytest.mark.parametrize("broken", [row(5, key=None, known=5), row(None, known=5), row(5, known=None)])
def test_null_keys_and_null_event_and_known_times_are_set_aside(broken: dict[str, Any]) -> None:
    store = ReferenceStore(view_of(known=True))
    assert store.publish([broken, row(5, known=5)], Interval(0, 10), published_at=10) == RunCounts(2, 1, 0, 1)


def test_a_row_with_a_null_key_is_set_aside_by_the_run_over_its_time_only() -> None:
    store = ReferenceStore(view_of())
    assert store.publish([row(5, key=None)], Interval(6, 10), published_at=10) == RunCounts(0, 0, 0, 0)


def test_a_null_created_time_is_no_fault() -> None:
    assert published(view_of(created=True), row(5)).retrieve(K, 5).statuses == ("PRESENT",)


# 2. The order of rows, and the winner


def winner(view: FeatureView, *rows: dict[str, Any]) -> Any:
    forwards, backwards = published(view, *rows), published(view, *reversed(rows))
    assert forwards.retrieve(K, 50).row == backwards.retrieve(K, 50).row
    return value(forwards.retrieve(K, 50))


def test_the_later_event_time_wins_even_if_it_was_created_and_known_earlier() -> None:
    view = view_of(known=True, created=True)
    assert winner(view, row(5, 1.0, created=9, known=9), row(6, 2.0, created=1, known=6)) == 2.0


def test_at_one_event_time_the_later_created_time_wins_even_if_it_was_known_earlier() -> None:
    view = view_of(known=True, created=True)
    assert winner(view, row(5, 1.0, created=1, known=9), row(5, 2.0, created=2, known=6)) == 2.0


def test_a_null_created_time_comes_first() -> None:
    assert winner(view_of(created=True), row(5, 2.0, created=None), row(5, 1.0, created=-99)) == 1.0


def test_at_one_event_and_created_time_the_later_available_time_wins() -> None:
    assert winner(view_of(known=True), row(5, 1.0, known=9), row(5, 2.0, known=8)) == 1.0


def test_a_known_time_before_the_event_orders_nothing() -> None:
    # Both are available at 5, so the bytes decide, not that 4 is after 1.
    assert winner(view_of(known=True), row(5, 2.0, known=1), row(5, 1.0, known=4)) == 2.0


def test_at_equal_times_the_greater_bytes_win() -> None:
    assert winner(view_of(), row(5, 10.0), row(5, 9.0)) == 9.0  # as bytes "9.0" is above "10.0"
    assert winner(view_of(), row(5, 10.0), row(5, None)) is None  # "null" is above every digit


def test_of_rows_equal_in_all_times_one_stays_and_the_others_are_superseded() -> None:
    store = ReferenceStore(view_of(created=True))
    rows = [row(5, 1.0, created=1), row(5, 2.0, created=1), row(5, 2.0, created=1), row(5, 3.0, created=2)]
    assert store.publish(rows, Interval(0, 10), published_at=10) == RunCounts(4, 2, 2, 0)
    assert [one.values for one in store.visible_rows()] == [(2.0,), (3.0,)]


def test_rows_that_differ_in_key_or_available_time_are_both_kept() -> None:
    store = ReferenceStore(view_of(known=True))
    rows = [row(5, known=6), row(5, known=7), row(5, key="other", known=6)]
    assert store.publish(rows, Interval(0, 10), published_at=10) == RunCounts(3, 3, 0, 0)


def test_older_versions_are_kept_because_earlier_instants_need_them() -> None:
    store = published(view_of(known=True), row(5, 1.0, known=6), row(5, 2.0, known=8))
    assert [value(store.retrieve(K, at)) for at in (5, 6, 7, 8)] == [None, 1.0, 1.0, 2.0]


# 3. Point-in-time retrieval


def test_a_row_known_late_does_not_replace_a_newer_event() -> None:
    store = published(view_of(known=True), row(6, 2.0, known=6), row(5, 1.0, known=9))
    assert [value(store.retrieve(K, at)) for at in (6, 8, 9)] == [2.0, 2.0, 2.0]


def test_the_boundary_of_the_ttl_is_inside() -> None:
    store = published(view_of(ttl=10), row(5))
    assert store.retrieve(K, 15).statuses == ("PRESENT",)
    assert store.retrieve(K, 16) == Answer((None,), ("OUTSIDE_MAX_AGE",), store.visible_rows()[0])


def test_a_ttl_of_zero_leaves_the_instant_itself() -> None:
    store = published(view_of(ttl=0), row(5))
    assert [status(store.retrieve(K, at)) for at in (4, 5, 6)] == ["NOT_FOUND", "PRESENT", "OUTSIDE_MAX_AGE"]


def test_the_ttl_counts_from_the_event_time_not_from_the_available_time() -> None:
    store = published(view_of(known=True, ttl=3), row(5, known=9))
    assert [status(store.retrieve(K, at)) for at in (8, 9)] == ["NOT_FOUND", "OUTSIDE_MAX_AGE"]


def test_a_winner_beyond_the_ttl_is_not_replaced_by_a_row_below_it() -> None:
    # The greatest row is the latest event, so whatever is below it is older still.
    store = published(view_of(known=True, ttl=3), row(5, 1.0, known=5), row(6, 2.0, known=6))
    assert value(store.retrieve(K, 9)) == 2.0
    assert status(store.retrieve(K, 10)) == "OUTSIDE_MAX_AGE"


def test_without_a_ttl_a_row_is_valid_for_ever() -> None:
    assert value(published(view_of(), row(5)).retrieve(K, 10**15)) == 1.0


def test_no_row_a_null_key_and_a_null_timestamp_give_null() -> None:
    store = published(view_of(), row(5))
    for answer in (store.retrieve(("other",), 9), store.retrieve((None,), 9), store.retrieve(K, None)):
        assert answer == Answer((None,), ("NOT_FOUND",), None)


def test_a_null_value_is_there_and_differs_from_no_row_and_from_nan() -> None:
    store = published(view_of(), row(5, None), row(6, math.nan))
    assert store.retrieve(K, 5).statuses == ("NULL_VALUE",)
    assert store.retrieve(K, 6).statuses == ("PRESENT",)


def pair_view(*entities: Entity) -> FeatureView:
    return FeatureView(
        "history",
        entities=entities,
        source=ParquetSource("rows.parquet", timestamp_field="event"),
        schema=[Field("x", Float64)],
    )


def test_views_join_on_all_their_keys() -> None:
    view = pair_view(Entity("a", join_keys={"a": Int64}), Entity("b", join_keys={"b": Int64}))
    store = ReferenceStore(view)
    rows = [{"a": 1, "b": 11, "event": 5, "x": 1.0}, {"a": 11, "b": 1, "event": 5, "x": 2.0}]
    store.publish([*rows, {"a": 1, "b": None, "event": 5, "x": 3.0}], Interval(0, 10), published_at=10)
    assert value(store.retrieve((1, 11), 5)) == 1.0
    assert value(store.retrieve((11, 1), 5)) == 2.0
    assert status(store.retrieve((1, None), 5)) == "NOT_FOUND"
    assert status(store.retrieve((1, 1), 5)) == "NOT_FOUND"


def test_a_view_without_entities_has_one_row_for_everybody() -> None:
    store = ReferenceStore(pair_view())
    store.publish([{"event": 5, "x": 1.0}, {"event": 6, "x": 2.0}], Interval(0, 10), published_at=10)
    assert [value(store.retrieve((), at)) for at in (5, 6)] == [1.0, 2.0]
    assert value(store.lookup((), 10)) == 2.0


def corrected() -> ReferenceStore:
    """[0, 10) published at 12; published again at 20 with another value, [10, 20) at 21."""
    store = ReferenceStore(view_of())
    store.publish([row(5, 1.0), row(8, 1.5)], Interval(0, 10), published_at=12)
    store.publish([row(5, 2.0)], Interval(0, 10), published_at=20)
    store.publish([row(5, 2.0), row(15, 3.0)], Interval(10, 20), published_at=21)
    return store


def test_a_range_published_again_masks_every_older_row_in_it() -> None:
    store = corrected()
    assert [value(store.retrieve(K, at)) for at in (5, 9, 15, 30)] == [2.0, 2.0, 3.0, 3.0]


def test_a_mask_ends_where_its_interval_ends() -> None:
    store = published(view_of(), row(5, 1.0), row(6, 2.0), row(7, 3.0))
    store.publish([], Interval(6, 7), published_at=200)
    assert [one.event for one in store.visible_rows()] == [5, 7]


def test_as_of_is_the_state_as_it_was_published_then_the_instant_itself_included() -> None:
    store = corrected()
    assert [status(store.retrieve(K, 9, as_of=as_of)) for as_of in (11, 12)] == ["NOT_FOUND", "PRESENT"]
    assert [value(store.retrieve(K, 9, as_of=as_of)) for as_of in (12, 19, 20, 21)] == [1.5, 1.5, 2.0, 2.0]
    assert [value(store.retrieve(K, 30, as_of=as_of)) for as_of in (20, 21)] == [2.0, 3.0]


def test_as_served_is_what_a_run_had_published_by_each_rows_own_time() -> None:
    store = corrected()
    found = [value(store.retrieve(K, at, as_served=True)) for at in (9, 11, 12, 19, 20, 21)]
    assert found == [None, None, 1.5, 1.5, 2.0, 3.0]


def test_as_served_equals_a_lookup_at_that_instant() -> None:
    store = ReferenceStore(view_of(ttl=9))
    given = {}
    for number, end in enumerate((10, 20, 30)):
        store.publish([row(end - 5, float(number))], Interval(end - 10, end), published_at=end + 2)
        for now in range(end + 2, end + 12):
            given[now] = store.lookup(K, now)
    assert {now: store.retrieve(K, now, as_served=True) for now in given} == given


def test_rows_available_after_every_instant_change_no_answer() -> None:
    rows = [row(5, 1.0, known=6), row(7, 2.0, known=9)]
    few, more = published(view_of(known=True), *rows), published(view_of(known=True), *rows, row(4, 9.0, known=50))
    assert [few.retrieve(K, at) for at in range(50)] == [more.retrieve(K, at) for at in range(50)]


# 3. Coverage


def test_a_range_where_files_have_rows_and_no_run_has_published_is_missing() -> None:
    store = ReferenceStore(view_of())
    store.publish([], Interval(10, 20), published_at=40)
    store.publish([], Interval(30, 40), published_at=40)
    assert store.missing([(5, 34)]) == (Interval(5, 10), Interval(20, 30))
    assert store.missing([(12, 15), (25, 25)]) == (Interval(25, 26),)
    assert store.missing([(10, 19)]) == ()


def test_what_comes_after_the_watermark_is_not_missing() -> None:
    store = published(view_of(), row(5), end=10)
    assert store.missing([(0, 50)]) == ()
    assert value(store.retrieve(K, 60)) == 1.0


def test_without_a_run_all_that_the_files_have_is_missing() -> None:
    assert ReferenceStore(view_of()).missing([(5, 9)]) == (Interval(5, 10),)


def test_what_was_missing_is_told_by_the_publish_instants() -> None:
    store = corrected()
    assert store.missing([(0, 19)], by=11) == (Interval(0, 20),)
    assert store.missing([(-3, 19)], by=12) == (Interval(-3, 0),)


def test_a_row_needs_a_missing_range_that_began_by_its_time() -> None:
    store, missing = ReferenceStore(view_of()), [Interval(10, 20)]
    assert [store.needs(K, at, missing) for at in (9, 10, 10**9)] == [False, True, True]


def test_a_row_does_not_need_a_missing_range_that_its_ttl_has_passed() -> None:
    store, missing = ReferenceStore(view_of(ttl=5)), [Interval(10, 20)]
    # The last row that may be missing has event time 19: valid up to 24.
    assert [store.needs(K, at, missing) for at in (9, 10, 24, 25)] == [False, True, True, False]


def test_a_null_key_or_timestamp_needs_nothing() -> None:
    store, missing = ReferenceStore(view_of()), [Interval(10, 20)]
    assert not store.needs((None,), 15, missing)
    assert not store.needs(K, None, missing)


# 4. Lookup


def test_the_online_row_is_the_greatest_of_the_published_state() -> None:
    store = published(view_of(known=True), row(6, 2.0, known=6), row(5, 1.0, known=9), end=10)
    assert value(store.lookup(K, 10)) == 2.0


def test_a_pushed_row_that_is_greater_replaces_and_an_older_one_never_does() -> None:
    store = published(view_of(), row(5, 1.0), end=10)
    assert store.push(row(7, 2.0))
    assert not store.push(row(6, 3.0))
    assert value(store.lookup(K, 10)) == 2.0


def test_a_pushed_correction_wins_and_a_replay_is_a_no_op() -> None:
    store = published(view_of(created=True), row(5, 1.0, created=1), end=10)
    assert store.push(row(5, 2.0, created=2))
    before = store.online[K]
    assert not store.push(row(5, 2.0, created=2))
    assert not store.push(row(5, 9.0, created=1))
    assert store.online[K] == before


def test_the_first_push_of_a_key_is_stored_and_one_without_a_key_is_not() -> None:
    store = ReferenceStore(view_of())
    assert store.push(row(5))
    assert not store.push(row(5, key=None))
    assert value(store.lookup(K, 5)) == 1.0


def test_pushes_end_in_the_same_state_in_whatever_order_they_arrive() -> None:
    rows = [row(5, 1.0), row(7, 2.0), row(7, 3.0), row(6, 4.0)]
    states = []
    for turn in range(len(rows)):
        store = ReferenceStore(view_of())
        for one in (*rows[turn:], *rows[:turn]):
            store.push(one)
        states.append(store.online[K].row)
    assert {one.values for one in states} == {(3.0,)}


def test_a_run_takes_back_the_newest_row_that_a_correction_removes() -> None:
    store = published(view_of(), row(3, 1.0), row(8, 2.0), end=10)
    store.publish([row(3, 1.0)], Interval(5, 10), published_at=12)
    assert value(store.lookup(K, 12)) == 1.0


def test_a_run_removes_a_key_whose_rows_are_all_gone() -> None:
    store = published(view_of(), row(8), end=10)
    store.publish([], Interval(0, 10), published_at=12)
    assert status(store.lookup(K, 12)) == "NOT_FOUND"
    assert K not in store.online


def test_a_run_over_older_rows_leaves_the_newest_row_online() -> None:
    store = published(view_of(), row(3, 1.0), row(8, 2.0), end=10)
    store.publish([row(3, 9.0)], Interval(0, 5), published_at=12)
    assert value(store.lookup(K, 12)) == 2.0


def test_a_run_does_not_undo_a_push_that_came_after_it_began() -> None:
    store = published(view_of(), row(5, 1.0), end=10)
    began = store.begin_run()
    store.push(row(12, 2.0))
    store.publish([row(11, 3.0)], Interval(10, 12), published_at=13, sequence=began)
    assert value(store.lookup(K, 13)) == 2.0


def test_a_run_does_not_undo_such_a_push_by_removing_the_key_either() -> None:
    store = published(view_of(), row(5, 1.0), end=10)
    began = store.begin_run()
    store.push(row(9, 2.0))
    store.publish([], Interval(0, 10), published_at=13, sequence=began)
    assert value(store.lookup(K, 13)) == 2.0


def test_a_run_replaces_a_push_that_came_after_it_began_by_a_greater_row() -> None:
    store = published(view_of(), row(5, 1.0), end=10)
    began = store.begin_run()
    store.push(row(8, 2.0))
    store.publish([row(11, 3.0)], Interval(10, 12), published_at=13, sequence=began)
    assert value(store.lookup(K, 13)) == 3.0


def test_a_run_writes_the_published_winner_over_a_push_from_before_it_began() -> None:
    store = published(view_of(), row(5, 1.0), end=10)
    store.push(row(9, 2.0))
    store.publish([row(5, 3.0)], Interval(0, 10), published_at=13)
    assert value(store.lookup(K, 13)) == 3.0


def test_a_run_leaves_the_pushes_of_keys_that_it_does_not_touch() -> None:
    store = published(view_of(), row(5, 1.0), end=10)
    store.push(row(9, 2.0))
    store.publish([row(11, 3.0, key="other")], Interval(10, 12), published_at=13)
    assert value(store.lookup(K, 13)) == 2.0


def test_each_status() -> None:
    rows = [row(5, 1.0), row(5, None, key="null"), row(1, 1.0, key="old")]
    store = published(view_of(ttl=5), *rows, end=10)
    found = {key: status(store.lookup((key,), 10)) for key in ("k", "null", "old", "nobody", None)}
    assert found == {
        "k": "PRESENT",
        "null": "NULL_VALUE",
        "old": "OUTSIDE_MAX_AGE",
        "nobody": "NOT_FOUND",
        None: "NOT_FOUND",
    }
    assert store.lookup(("old",), 10).values == (None,)


def test_ttl_is_validity_and_stored_rows_expire_by_online_retention_only() -> None:
    store = published(view_of(ttl=5, retention=8), row(5), end=10)
    found = [status(store.lookup(K, now)) for now in (10, 11, 13, 14)]
    assert found == ["PRESENT", "OUTSIDE_MAX_AGE", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert [status(store.retrieve(K, now)) for now in (10, 11, 13, 14)] == found


def test_a_lookup_equals_retrieval_at_its_instant_from_the_watermark_on() -> None:
    store = published(view_of(known=True, ttl=5), row(5, 1.0, known=6), row(9, 2.0, known=12), end=10)
    for now in range(10, 30):
        assert store.lookup(K, now) == store.retrieve(K, now)


def test_a_clock_before_the_watermark_is_an_error() -> None:
    store = published(view_of(), row(5), end=10)
    assert store.watermark() == 10
    with pytest.raises(ClockError, match="'history' is materialized up to"):
        store.lookup(K, 9)
