"""Push: rows into the online store ahead of the next run (semantics 4)."""

from __future__ import annotations

import pyarrow as pa
import pytest

from hitherto import Field, expect
from hitherto.errors import DataError, NotMaterializedError, SourceError, UnknownNameError, UsageError
from hitherto.types import Float64, String
from journeys.projects import Project, hour, source, table, view

ROWS = [("a", 1, 1.0), ("b", 3, 3.0)]


@pytest.fixture
def served(project: Project) -> Project:
    """Materialized to hour 24."""
    project.deliver(ROWS)
    checks = [expect.between(0, 100, severity="quarantine")]
    guarded = view(
        source=source(created_timestamp_field="created"),
        schema=[Field("value", Float64, expect=checks), Field("note", String, expect=[expect.length(0, 5)])],
    )
    project.deliver(table(ROWS, created=[None, hour(3)]))
    project.store.apply([guarded])
    project.store.materialize()
    return project


def rows(*listed: tuple, created: float | None = None) -> pa.Table:
    instants = pa.array([None if created is None else hour(created)] * len(listed), pa.timestamp("us", "UTC"))
    return table(listed).append_column("created", instants)


def test_a_newer_row_wins_an_older_one_does_not_and_a_replay_is_a_no_op(served: Project) -> None:
    assert served.store.push("readings", rows(("a", 5, 5.0), ("new", 6, 6.0))) == 2
    assert served.lookup("a", "b", "new") == [5.0, 3.0, 6.0]
    assert served.store.push("readings", rows(("a", 4, 4.0))) == 0
    assert served.store.push("readings", rows(("a", 5, 5.0))) == 0
    assert served.lookup("a") == [5.0]


def test_a_correction_of_the_same_event_wins_by_its_created_time(served: Project) -> None:
    assert served.store.push("readings", rows(("b", 3, 30.0), created=4)) == 1
    assert served.store.push("readings", rows(("b", 3, 20.0), created=2)) == 0
    assert served.lookup("b") == [30.0]


def test_several_rows_of_one_key_leave_the_greatest(served: Project) -> None:
    served.store.push("readings", rows(("a", 7, 7.0), ("a", 9, 9.0), ("a", 8, 8.0)))
    assert served.lookup("a") == [9.0]


def test_training_does_not_see_a_push_until_a_run_publishes_it(served: Project) -> None:
    served.store.push("readings", rows(("a", 5, 5.0)))
    assert served.history(("a", 9)) == [1.0]


def test_a_run_replaces_a_push_that_came_before_it(served: Project) -> None:
    served.store.push("readings", rows(("a", 5, 5.0), ("x", 5, 5.0)))
    served.deliver(table([("a", 1, 1.0), ("x", 2, 2.0)], created=[None, None]))
    served.store.materialize_incremental()
    assert served.lookup("a", "b", "x") == [1.0, None, 2.0]


def test_a_row_that_is_not_available_yet_is_refused_with_its_time(served: Project) -> None:
    with pytest.raises(
        UsageError, match="available from 2020-01-02T01:00:00Z on, and the clock says 2020-01-02T00:00:00"
    ):
        served.store.push("readings", rows(("a", 25, 1.0), ("b", 4, 1.0)))
    assert served.lookup("a", "b") == [1.0, 3.0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("a", 5, -1.0), r"between\(0, 100\)"),
        (("a", 5, 1.0, "too long"), r"length\(0, 5\)"),
        ((None, 5, 1.0), "key is not null"),
        (("a", None, 1.0), "event time is not null"),
    ],
)
def test_a_row_that_breaks_a_check_is_refused_and_nothing_is_written(served: Project, row: tuple, said: str) -> None:
    with pytest.raises(DataError, match=f"Nothing was pushed into feature view 'readings': .*{said}"):
        served.store.push("readings", rows(row, ("b", 9, 9.0)))
    assert served.lookup("a", "b") == [1.0, 3.0]


def test_a_missing_or_mistyped_column_is_refused(served: Project) -> None:
    with pytest.raises(SourceError, match="note"):
        served.store.push("readings", rows(("a", 5, 1.0)).drop_columns(["note"]))
    with pytest.raises(SourceError, match="value"):
        served.store.push("readings", rows(("a", 5, 1.0)).set_column(2, "value", pa.array(["1.0"])))
    with pytest.raises(UsageError, match="is not a table"):
        served.store.push("readings", [{"sensor": "a"}])


def test_times_before_1970_and_nanoseconds_are_floored_as_in_a_source(served: Project) -> None:
    times = pa.array([-1], pa.timestamp("ns"))
    frame = rows(("old", 1, 1.0)).set_column(1, "at", times)
    served.store.push("readings", frame)
    answer = served.store.get_online_features(["readings:value"], {"sensor": ["old"]}).to_dict(include_metadata=True)
    assert str(answer["value__event_time"][0]) == "1969-12-31 23:59:59.999999+00:00"


def test_there_must_be_something_to_push_to(project: Project) -> None:
    project.deliver(ROWS)
    project.store.apply([view(), view("offline_only", online=False)])
    with pytest.raises(NotMaterializedError, match="hitherto materialize --view readings"):
        project.store.push("readings", table(ROWS))
    with pytest.raises(UsageError, match="online=False"):
        project.store.push("offline_only", table(ROWS))
    with pytest.raises(UnknownNameError, match="Did you mean 'readings'"):
        project.store.push("reading", table(ROWS))


def test_a_frame_without_rows_pushes_nothing(served: Project) -> None:
    assert served.store.push("readings", rows(("a", 5, 1.0)).slice(0, 0)) == 0
