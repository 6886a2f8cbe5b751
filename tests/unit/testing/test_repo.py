from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal as Number
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from hitherto import Entity, FeatureService, FeatureView, Field, ParquetSource, expect
from hitherto.errors import (
    DefinitionError,
    InstantError,
    MaterializationFailed,
    MaterializationRejected,
    UnknownNameError,
    UsageError,
)
from hitherto.testing import Repo
from hitherto.types import Bool, Date, Decimal, Float32, Float64, Int8, Int64, List, String, Struct, Timestamp

NOON = "2013-01-01T12:00Z"
airport = Entity("airport", join_keys={"airport": String})
reports = ParquetSource("s3://nobody/reports", name="reports", timestamp_field="at", known_after="30m")
weather = FeatureView(
    "weather",
    entities=[airport],
    source=reports,
    schema=[
        Field("temp", Float64, expect=[expect.between(-40, 120, severity="quarantine")]),
        Field("wind", Float64, source_column="wind_speed", expect=[expect.between(0, 200, severity="nullify")]),
        Field("visibility", Float64, expect=[expect.between(0, 10)]),
    ],
    ttl="6h",
)
counts = FeatureView(
    "counts",
    entities=[airport],
    source=reports,
    transform='select airport, "at", count(*) over (partition by airport order by "at") as reports from source',
    schema=[Field("reports", Int64)],
)
model = FeatureService(
    "model",
    features=[
        weather[["temp"]],
        weather.with_name("alternate")[["temp"]].with_join_key_map({"airport": "other"}),
        counts,
    ],
)
ALL = [weather, counts, model]
TEMP = ["weather:temp"]


@pytest.fixture
def repo() -> Iterator[Repo]:
    with Repo(ALL, now=NOON) as repo:
        yield repo


def report(at: str = NOON, **columns: Any) -> dict[str, Any]:
    return {"airport": "JFK", "at": at, "temp": 39.0, "wind_speed": 12.0, "visibility": 10.0, **columns}


JFK = {"airport": "JFK"}


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_row_is_seen_from_its_known_time_on(repo: Repo) -> None:
    repo.load("reports", [report()])
    repo.advance("30m")
    assert repo.lookup(JFK, TEMP) == {"temp": None}, "a run publishes what was available before its instant"
    repo.advance("1s")
    assert repo.lookup(JFK, TEMP) == {"temp": 39.0}
    rows = [{**JFK, "event_timestamp": at} for at in ("2013-01-01T12:29:59Z", "2013-01-01T12:30Z")]
    assert [row["temp"] for row in repo.training_set(rows, TEMP).to_dicts()] == [None, 39.0]


def test_a_row_is_old_after_its_ttl(repo: Repo) -> None:
    repo.load("reports", [report()])
    repo.advance("6h")
    assert repo.lookup(JFK, TEMP) == {"temp": 39.0}
    repo.advance("1us")
    assert repo.lookup(JFK, TEMP) == {"temp": None}
    assert repo.statuses(JFK, TEMP) == {"temp": "OUTSIDE_MAX_AGE"}


def test_the_clock_goes_on_and_never_back(repo: Repo) -> None:
    repo.advance("90m")
    assert repo.now == datetime(2013, 1, 1, 13, 30, tzinfo=UTC)
    with pytest.raises(InstantError, match="cannot advance"):
        repo.advance("-1m")


def test_late_rows_are_seen_by_the_next_run_and_change_what_follows_from_them(repo: Repo) -> None:
    repo.load("reports", [report("2013-01-01T10:00Z")])
    repo.advance("1h")
    assert repo.lookup(JFK, ["counts:reports"]) == {"reports": 1}
    repo.load("reports", [report("2013-01-01T09:00Z", temp=30.0)])
    repo.materialize()
    assert repo.lookup(JFK, ["counts:reports", "weather:temp"]) == {"reports": 2, "temp": 39.0}
    rows = [{**JFK, "event_timestamp": "2013-01-01T09:45Z"}]
    assert repo.training_set(rows, TEMP).to_dicts()[0]["temp"] == 30.0


def test_of_an_event_the_greatest_created_time_counts() -> None:
    source = ParquetSource("x.parquet", name="prices", timestamp_field="at", created_timestamp_field="written")
    view = FeatureView("price", source=source, schema=[Field("price", Decimal(9, 2))])
    with Repo([view], now=NOON) as repo:
        repo.load("prices", [{"at": "2013-01-01", "written": "2013-01-01T09:00Z", "price": Number("1.50")}])
        repo.advance("1m")
        repo.load("prices", [{"at": "2013-01-01", "written": "2013-01-01T11:00Z", "price": Number("1.75")}])
        repo.advance("1m")
        assert repo.lookup({}, ["price:price"]) == {"price": Number("1.75")}


def test_rows_that_replace_a_source_take_the_others_away(repo: Repo) -> None:
    repo.load("reports", [report("2013-01-01T10:00Z"), report("2013-01-01T10:00Z", airport="LGA")])
    repo.advance("1m")
    repo.load("reports", [report("2013-01-01T10:00Z", temp=40.0)], replace=True)
    repo.advance("1m")
    assert repo.lookup([JFK, {"airport": "LGA"}], TEMP) == [{"temp": 40.0}, {"temp": None}]
    repo.load("reports", [report("2013-01-01T11:00Z", temp=41.0)])
    repo.advance("1m")
    assert repo.lookup(JFK, ["weather:temp", "counts:reports"]) == {"temp": 41.0, "reports": 2}


def test_an_emptied_source_is_empty(repo: Repo) -> None:
    repo.load("reports", [], replace=True)
    assert repo.lookup(JFK, TEMP) == {"temp": None}, "nothing was there before either"
    repo.load("reports", [report("2013-01-01T10:00Z")])
    repo.advance("1m")
    for _ in range(2):
        repo.load("reports", [], replace=True)
        with pytest.raises(UsageError, match="no run has read them"):
            repo.lookup(JFK, TEMP)
        runs = repo.advance("1m").runs
        assert {(run.state, run.rows_written, run.rows_quarantined) for run in runs} == {("published", 0, 0)}
        assert repo.statuses(JFK, ["weather:temp", "counts:reports"]) == {"temp": "NOT_FOUND", "reports": "NOT_FOUND"}
    repo.load("reports", [report("2013-01-01T11:00Z", temp=41.0)])
    repo.advance("1m")
    assert repo.lookup(JFK, ["weather:temp", "counts:reports"]) == {"temp": 41.0, "reports": 1}


# -- what comes out ----------------------------------------------------------------------------------------------------


def test_a_list_of_entities_is_answered_by_a_list(repo: Repo) -> None:
    repo.load("reports", [report()])
    repo.advance("1h")
    rows = [JFK, {"airport": "XXX"}, {"airport": None}]
    assert repo.lookup(rows, TEMP) == [{"temp": 39.0}, {"temp": None}, {"temp": None}]
    assert [one["temp"] for one in repo.statuses(rows, TEMP)] == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]


def test_no_entities_have_no_answers(repo: Repo) -> None:
    repo.load("reports", [report()])
    repo.advance("1h")
    assert (repo.lookup([], TEMP), repo.statuses([], model)) == ([], [])
    with pytest.raises(UnknownNameError):
        repo.lookup([], ["weather:tmp"])


def test_a_service_joins_a_view_twice_and_training_equals_lookup(repo: Repo) -> None:
    repo.load("reports", [report(), report(airport="LGA", temp=41.0)])
    repo.advance("1h")
    entity = {"airport": "JFK", "other": "LGA"}
    found = repo.lookup(entity, "model", full_feature_names=True)
    assert found == {"weather__temp": 39.0, "alternate__temp": 41.0, "counts__reports": 1}
    assert repo.lookup(entity, model, full_feature_names=True) == found
    training = repo.training_set([{**entity, "event_timestamp": repo.now}], model, full_feature_names=True)
    assert {name: training.to_dicts()[0][name] for name in found} == found
    assert repo.store.check_parity("model").ok


def test_what_was_never_loaded_is_empty(repo: Repo) -> None:
    assert repo.statuses(JFK, TEMP) == {"temp": "NOT_FOUND"}
    assert repo.training_set([{**JFK, "event_timestamp": NOON}], TEMP).to_dicts()[0]["temp"] is None
    repo.load("reports", [report("2013-01-01T08:00Z")])
    repo.advance("1m")
    assert repo.lookup(JFK, TEMP) == {"temp": 39.0}, "rows before the first answer are late, not lost"


def test_rows_that_no_run_has_read_are_not_answered_for(repo: Repo) -> None:
    repo.load("reports", [report()])
    with pytest.raises(UsageError, match=r"loaded for source 'reports'.*repo\.advance"):
        repo.lookup(JFK, TEMP)
    with pytest.raises(UsageError, match="'weather' cannot have them"):
        repo.training_set([{**JFK, "event_timestamp": NOON}], TEMP)


@pytest.mark.parametrize("replace", [False, True])
def test_later_rows_that_no_run_has_read_are_not_answered_for_either(repo: Repo, replace: bool) -> None:
    repo.load("reports", [report("2013-01-01T10:00Z")])
    repo.advance("1h")
    repo.load("reports", [report("2013-01-01T09:00Z", airport="LGA")], replace=replace)
    for ask in (
        lambda: repo.lookup({"airport": "LGA"}, TEMP),
        lambda: repo.statuses([], TEMP),
        lambda: repo.training_set([{"airport": "LGA", "event_timestamp": NOON}], TEMP),
    ):
        with pytest.raises(UsageError, match=r"source 'reports'.*repo\.advance\(\.\.\.\) or repo\.materialize\(\)"):
            ask()
    repo.load("reports", [])
    repo.materialize()
    repo.load("reports", [])
    assert repo.lookup({"airport": "LGA"}, TEMP) == {"temp": 39.0}, "no rows are nothing to read"


def test_options_of_training_sets_go_through(repo: Repo) -> None:
    repo.load("reports", [report("2013-01-01T10:00Z")])
    repo.advance("1h")
    rows = [{**JFK, "moment": "2013-01-01T12:30Z"}]
    served = repo.training_set(rows, TEMP, timestamp_field="moment", as_served=True)
    assert served.to_dicts()[0]["temp"] is None
    assert repo.training_set(rows, TEMP, timestamp_field="moment").statuses().to_pylist() == [{"temp": "PRESENT"}]


def test_entity_rows_come_as_sql_over_the_sources_too(repo: Repo) -> None:
    repo.load("reports", [report("2013-01-01T10:00Z"), report("2013-01-01T11:00Z", temp=41.0)])
    repo.advance("1h")
    sql = 'select airport, "at" + interval 30 minutes as event_timestamp from reports order by 2'
    assert [row["temp"] for row in repo.training_set(sql, TEMP).to_dicts()] == [39.0, 41.0]


def test_a_training_set_outlives_the_repo() -> None:
    with Repo(ALL, now=NOON) as repo:
        repo.load("reports", [report("2013-01-01T10:00Z")])
        repo.advance("1h")
        training = repo.training_set([{**JFK, "event_timestamp": repo.now}], TEMP)
    assert training.to_pandas()["temp"].tolist() == [39.0]


landings = ParquetSource("landings.parquet", timestamp_field="landed")
delays = FeatureView(
    "delays",
    entities=[airport],
    sources={"landings": landings, "reports": reports},
    transform="""
        select l.airport, l.landed, l.delay, r.temp
        from landings l asof left join reports r on l.airport = r.airport and l.landed >= r.at + interval 30 minutes
    """.replace("r.at", 'r."at"'),
    schema=[Field("delay", Int64), Field("temp", Float64)],
)
DELAYS = ["delays:delay", "delays:temp"]


def test_a_joined_view_sees_every_source_and_late_rows_of_each() -> None:
    with Repo([delays], now=NOON) as repo:
        repo.load("landings", [{"airport": "JFK", "landed": "2013-01-01T11:00Z", "delay": 7}])
        repo.advance("1m")
        assert repo.lookup(JFK, DELAYS) == {"delay": 7, "temp": None}, "a source that nothing was loaded for is empty"
        repo.load("reports", [{"airport": "JFK", "at": "2013-01-01T10:00Z", "temp": 39.0}])
        repo.advance("1m")
        assert repo.lookup(JFK, DELAYS) == {"delay": 7, "temp": 39.0}
        assert len(repo.training_set('select airport, "at" as event_timestamp from reports', DELAYS)) == 1


def test_a_joined_view_names_what_each_source_lacks() -> None:
    with (
        Repo([delays], now=NOON) as repo,
        pytest.raises(UsageError, match="no column 'delay', which feature view 'delays'"),
    ):
        repo.load("landings", [{"airport": "JFK", "landed": NOON}])


# -- checks ------------------------------------------------------------------------------------------------------------


def test_checks_work_as_in_a_run(repo: Repo) -> None:
    repo.load("reports", [report(wind_speed=1048.0), report(airport="LGA", temp=500.0)])
    runs = {run.view: run for run in repo.advance("1h").runs}
    assert (runs["weather"].rows_written, runs["weather"].rows_quarantined) == (1, 1)
    assert repo.statuses(JFK, ["weather:wind", "weather:temp"]) == {"wind": "NULL_VALUE", "temp": "PRESENT"}


def test_a_rejected_run_raises_with_its_report_and_the_last_good_data_serves_on(repo: Repo) -> None:
    repo.load("reports", [report("2013-01-01T11:00Z")])
    repo.advance("1h")
    repo.load("reports", [report("2013-01-01T12:00Z", temp=50.0, visibility=-9999.0)])
    with pytest.raises(MaterializationRejected, match="visibility") as refusal:
        repo.advance("1h")
    assert {run.view: run.state for run in refusal.value.report.runs}["counts"] == "published"
    assert repo.lookup(JFK, ["weather:temp", "counts:reports"]) == {"temp": 39.0, "reports": 2}


# -- rows --------------------------------------------------------------------------------------------------------------

FRAME = pa.table(
    {
        "airport": ["JFK"],
        "at": pa.array([datetime(2013, 1, 1, 11, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
        "temp": [39.0],
        "wind_speed": [12.0],
        "visibility": [10.0],
    }
)


@pytest.mark.parametrize("frame", ["arrow", "reader", "pandas", "polars", "lazy"])
def test_rows_come_in_any_frame(repo: Repo, frame: str) -> None:
    polars = pl.DataFrame(FRAME)
    frames = {
        "arrow": FRAME,
        "reader": FRAME.to_reader(),
        "pandas": FRAME.to_pandas(),
        "polars": polars,
        "lazy": polars.lazy(),
    }
    repo.load(reports, frames[frame])
    repo.advance("1h")
    assert repo.lookup(JFK, TEMP) == {"temp": 39.0}


def test_rows_come_from_a_file_too(repo: Repo, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(FRAME, tmp_path / "some.parquet")
    repo.load("reports", tmp_path / "some.parquet")
    repo.advance("1h")
    assert repo.lookup(JFK, TEMP) == {"temp": 39.0}


def test_dicts_are_typed_by_what_the_view_declares() -> None:
    kinds = {
        "small": Int8,
        "real": Float32,
        "day": Date,
        "moment": Timestamp,
        "flag": Bool,
        "parts": List(Int64),
        "pair": Struct({"x": Float64}),
        "nothing": String,
    }
    values = {"small": 7, "real": 0.1, "flag": True, "parts": [], "pair": {"x": 1}, "nothing": None}
    times = {"day": "2013-01-02", "moment": "2013-01-02T03:04Z"}
    source = ParquetSource("x.parquet", timestamp_field="at")
    view = FeatureView("kinds", source=source, schema=[Field(name, kind) for name, kind in kinds.items()])
    with Repo([view], now=NOON) as repo:
        repo.load("x", ({"at": datetime(2013, 1, 1), **values, **times} for _ in range(1)))
        repo.advance("1m")
        found = repo.lookup({}, [f"kinds:{name}" for name in kinds])
    assert found.pop("real") == pytest.approx(0.1)
    read = {"day": datetime(2013, 1, 2).date(), "moment": datetime(2013, 1, 2, 3, 4, tzinfo=UTC)}
    assert found == {**{name: values[name] for name in values if name != "real"}, **read}


def test_a_value_that_is_not_of_its_type_is_left_to_the_gate() -> None:
    source = ParquetSource("x.parquet", timestamp_field="at")
    view = FeatureView("small", source=source, schema=[Field("small", Int8)])
    with Repo([view], now=NOON) as repo:
        repo.load("x", [{"at": "2013-01-01T10:00Z", "small": 300}, {"at": "2013-01-01T09:00Z", "small": 3}])
        assert repo.advance("1m").runs[0].rows_quarantined == 1
        repo.load("x", [{"at": "2013-01-01T11:00Z", "small": "many"}])
        with pytest.raises(MaterializationFailed, match="column 'small' is"):
            repo.advance("1m")


def test_a_missing_column_is_named_with_who_reads_it(repo: Repo) -> None:
    with pytest.raises(UsageError, match=r"no column 'wind_speed', which feature view 'weather' reads.*partial=True"):
        repo.load("reports", [{"airport": "JFK", "at": NOON, "temp": 1.0, "visibility": 1.0}])
    with pytest.raises(UsageError, match=r"row 1 has no column 'temp'"):
        repo.load("reports", [report(), {name: value for name, value in report().items() if name != "temp"}])
    with pytest.raises(UsageError, match=r"no column 'at', which source 'reports' reads. Did you mean 'att'"):
        repo.load("reports", FRAME.rename_columns(["airport", "att", "temp", "wind_speed", "visibility"]))


def test_partial_rows_are_null_where_a_column_is_absent(repo: Repo) -> None:
    repo.load("reports", [{"airport": "JFK", "at": "2013-01-01T11:00Z", "temp": 1.0}, {"airport": "LGA"}], partial=True)
    report = repo.advance("1h")
    assert repo.lookup(JFK, ["weather:temp", "weather:wind"]) == {"temp": 1.0, "wind": None}
    assert {run.rows_quarantined for run in report.runs} == {1}, "a row without a time is set aside"


def test_rows_that_are_no_rows_are_refused(repo: Repo) -> None:
    for rows in (report(), [1, 2], {"airport": ["JFK"]}):
        with pytest.raises(UsageError, match="Rows are a list of dicts, or a pandas, Polars or PyArrow table"):
            repo.load("reports", rows)
    with pytest.raises(UsageError, match="str is not a table"):
        repo.load("reports", "JFK")
    with pytest.raises(UsageError, match="is called 1; names are texts"):
        repo.load("reports", [report() | {1: 2}], partial=True)


def test_a_column_of_several_types_is_named(repo: Repo) -> None:
    with pytest.raises(UsageError, match=r"Column 'temp' of the rows for source 'reports' has no one type"):
        repo.load("reports", [report(temp=1.0), report(temp="warm")])


def test_whole_numbers_after_real_ones_are_real() -> None:
    source = ParquetSource("x.parquet", timestamp_field="at")
    view = FeatureView(
        "half", source=source, transform='select "at", x / 2 as half from source', schema=[Field("half", Float64)]
    )
    with Repo([view], now=NOON) as repo:
        repo.load("x", [{"at": "2013-01-01T09:00Z", "x": 1.5}])
        repo.load("x", [{"at": "2013-01-01T10:00Z", "x": 3}])
        repo.advance("1m")
        assert repo.lookup({}, ["half:half"]) == {"half": 1.5}


def test_no_rows_are_nothing(repo: Repo) -> None:
    repo.load("reports", [])
    assert repo.lookup(JFK, TEMP) == {"temp": None}


def test_an_unknown_source_is_named(repo: Repo) -> None:
    with pytest.raises(UnknownNameError, match="There is no source 'report'. Did you mean 'reports'"):
        repo.load("report", [])


def test_a_path_loads_every_source_that_reads_it() -> None:
    early = ParquetSource("data/x.parquet", name="early", timestamp_field="at")
    late = ParquetSource("data/x.parquet", name="late", timestamp_field="at", known_after="1h")
    views = [FeatureView(f"by_{one.name}", source=one, schema=[Field("x", Int64)]) for one in (early, late)]
    with Repo(views, now=NOON) as repo:
        repo.load("data/x.parquet", [{"at": "2013-01-01T11:30Z", "x": 1}])
        repo.materialize()
        assert repo.lookup({}, ["by_early:x"], full_feature_names=True) == {"by_early__x": 1}
        assert repo.lookup({}, ["by_late:x"]) == {"x": None}


def test_a_column_is_what_any_source_of_its_file_declares() -> None:
    by_event = ParquetSource("data/x.parquet", name="by_event", timestamp_field="happened")
    by_filing = ParquetSource("data/x.parquet", name="by_filing", timestamp_field="filed")
    views = [FeatureView(f"v_{one.name}", source=one, schema=[Field("x", Int64)]) for one in (by_event, by_filing)]
    with Repo(views, now=NOON) as repo:
        repo.load("by_event", [{"happened": "2013-01-01", "filed": "2013-01-02", "x": 1}])
        repo.advance("1m")
        asked = repo.training_set("select filed as event_timestamp from by_event", ["v_by_event:x"])
        assert asked.to_dicts() == [{"event_timestamp": datetime(2013, 1, 2), "x": 1}]


# -- the repo itself ---------------------------------------------------------------------------------------------------


def test_definitions_are_not_touched() -> None:
    with Repo(ALL, now=NOON) as repo:
        assert repo.store.get_source("reports").path == "sources/reports"
    assert reports.path == "s3://nobody/reports"
    assert weather.source is reports


def test_a_repo_folder_is_read_and_nothing_is_written_into_it(tmp_path: Path) -> None:
    (tmp_path / "definitions.py").write_text(
        "from hitherto import FeatureView, Field, ParquetSource\n"
        "from hitherto.types import Int64\n"
        "source = ParquetSource('gone.parquet', timestamp_field='at')\n"
        "view = FeatureView('plain', source=source, schema=[Field('x', Int64)])\n"
    )
    before = sorted(tmp_path.rglob("*"))
    with Repo(tmp_path, now=NOON) as repo:
        repo.load("gone", [{"at": "2013-01-01", "x": 1}])
        repo.advance("1m")
        assert repo.lookup({}, ["plain:x"]) == {"x": 1}
    assert sorted(tmp_path.rglob("*")) == before


def test_closing_leaves_nothing_behind() -> None:
    repo = Repo(ALL, now=NOON)
    folder = repo.store.config.repo_path
    repo.load("reports", [report()])
    assert folder.is_dir()
    repo.close()
    repo.close()
    assert not folder.exists()


def test_a_repo_that_is_forgotten_leaves_nothing_behind() -> None:
    repo = Repo(ALL, now=NOON)
    folder = repo.store.config.repo_path
    del repo
    assert not folder.exists()


def test_only_the_views_that_are_asked_for_are_materialized() -> None:
    with Repo(ALL, now=NOON, feature_views=["counts"]) as repo:
        repo.load("reports", [report()])
        assert [run.view for run in repo.advance("1h").runs] == ["counts"]
        assert repo.lookup(JFK, ["counts:reports"]) == {"reports": 1}
        with pytest.raises(UsageError, match=r"'weather' is not materialized here.*feature_views=\['counts'\]"):
            repo.lookup(JFK, TEMP)
    with pytest.raises(UnknownNameError, match="Did you mean 'counts'"):
        Repo(ALL, now=NOON, feature_views=["count"])


def test_repos_beside_each_other_do_not_meet() -> None:
    with Repo(ALL, now=NOON) as one, Repo(ALL, now="2014-01-01") as other:
        one.load("reports", [report()])
        one.advance("1h")
        assert one.lookup(JFK, TEMP) == {"temp": 39.0}
        assert other.lookup(JFK, TEMP) == {"temp": None}


def test_problems_of_definitions_come_at_once() -> None:
    with pytest.raises(DefinitionError, match="is not an entity, a source, a feature view"):
        Repo(["weather"], now=NOON)
