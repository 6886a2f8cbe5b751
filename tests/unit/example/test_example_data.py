"""The example's data has the content, the flaws and the instants that its README tells of; its transforms may be run in parts."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from hitherto import FeatureView, ParquetSource
from hitherto.registry import discovery
from hitherto.sources import files, relation, transform

ROOT = Path(__file__).resolve().parents[3]
REPO = ROOT / "feature_repo"
DATA = REPO / "data"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_example_data", ROOT / "scripts" / "make_example_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def repo() -> Mapping[str, FeatureView]:
    """The feature views of the repo, by name."""
    return discovery.load(REPO).feature_views


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("set timezone = 'UTC'")
        for name in ("flights", "planes", "weather"):
            source = ParquetSource(f"data/{name}.parquet", timestamp_field=_event(name))
            relation.open_relation(connection, source, files.list_files(source, root=REPO), root=REPO, name=name)
        yield connection


def _event(name: str) -> str:
    return {"flights": "scheduled_departure", "planes": "listed_at", "weather": "observed_at"}[name]


def one(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = con.execute(sql).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def read(
    con: duckdb.DuckDBPyConnection, view: FeatureView, *, name: str, start: datetime | None, end: datetime
) -> None:
    """The transformed rows of a run over [start, end), as the temp table `name`, without those that have no available time."""
    raw, available = f"{name}_raw", relation.available_sql(view.source)
    relation.open_relation(con, view.source, files.list_files(view.source, root=REPO), root=REPO, name=f"{name}_all")
    back = start - view.lookback if start and isinstance(view.lookback, timedelta) else datetime(1, 1, 1)
    con.execute(f"create temp table {raw} as from {name}_all where {available} >= '{back}' and {available} < '{end}'")
    if isinstance(view.transform, str):
        transform.run(con, view.transform, relations={"source": raw}, name=f"{name}_out", view=view)
    else:
        con.execute(f"create temp view {name}_out as from {raw}")
    since = f"and {available} >= '{start}'" if start else ""
    con.execute(
        f"create temp table {name} as select *, {available} as a from {name}_out where {available} < '{end}' {since}"
    )


def test_the_shipped_files_have_the_recorded_digests_and_stay_small(script: ModuleType) -> None:
    assert script.check(DATA) == []
    assert sum(path.stat().st_size for path in DATA.glob("*.parquet")) < 5_000_000


def test_another_value_type_order_or_name_has_another_digest_and_another_chunking_the_same(script: ModuleType) -> None:
    table = pa.table({"a": [1, 2, None], "b": ["x", "y", ""]})
    others = [
        pa.table({"a": [1, 2, 0], "b": ["x", "y", ""]}),
        pa.table({"a": [1, 2, None], "b": ["x", "y", None]}),
        table.cast(pa.schema([("a", pa.int32()), ("b", pa.string())])),
        table.take([1, 0, 2]),
        table.rename_columns(["a", "c"]),
    ]
    digests = {script.digest(other) for other in (table, *others)}
    assert len(digests) == 6
    assert script.digest(pa.concat_tables([table.slice(0, 1), table.slice(1)])) == script.digest(table)


def test_a_missing_or_changed_file_is_named(script: ModuleType, tmp_path: Path) -> None:
    script.write(pa.table({"a": [1]}), tmp_path / "weather.parquet")
    problems = script.check(tmp_path)
    assert [problem.split(".parquet")[0] for problem in problems] == [
        str(tmp_path / name) for name in ("flights", "planes", "weather")
    ]
    assert "is missing" in problems[0]
    assert "has the digest" in problems[2]


FLIGHT_CSV = """\
dep_delay,arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,minute,time_hour
10,230,5,UA,1,N1,EWR,LAX,300,2454,30,2013-07-01T03:00:00Z
-5,NA,NA,B6,2,N2,JFK,SJU,NA,1598,0,2013-07-01T04:00:00Z
NA,NA,NA,AA,3,NA,LGA,ORD,NA,733,15,2013-07-01T04:00:00Z
0,2400,-9,DL,4,N4,LGA,ATL,100,762,5,2013-07-01T02:00:00Z
81,203,89,B6,5,N5,JFK,PBI,141,1028,45,2013-03-10T02:00:00Z
60,355,0,B6,6,N6,JFK,BQN,200,1576,0,2013-07-01T03:00:00Z
"""


def test_instants_are_utc_across_midnights_zones_and_the_change_of_clocks(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text(FLIGHT_CSV)
    zones = {
        "LAX": "America/Los_Angeles",
        "ORD": "America/Chicago",
        "ATL": "America/New_York",
        "PBI": "America/New_York",
    }
    (tmp_path / "airports.csv").write_text("faa,tzone\n" + "".join(f"{faa},{zone}\n" for faa, zone in zones.items()))
    (tmp_path / "weather.csv").write_text(
        "origin,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour\n"
        "EWR,NA,1.5,2,3,4,NA,0,1012,10,2013-01-01T06:00:00Z\n"
    )
    (tmp_path / "planes.csv").write_text(
        "tailnum,year,type,manufacturer,model,engines,seats,speed,engine\nN1,NA,Fixed,BOEING,737,2,55,NA,Turbo-fan\n"
    )
    tables = script.build(tmp_path)
    flights = {row["flight"]: row for row in tables["flights"].to_pylist()}
    instants = {
        flight: tuple(
            row[name].strftime("%m-%d %H:%M") if row[name] else None
            for name in ("scheduled_departure", "departed_at", "arrived_at")
        )
        for flight, row in flights.items()
    }
    assert instants == {
        1: ("07-01 03:30", "07-01 03:40", "07-01 09:30"),  # 02:30 in Los Angeles
        2: ("07-01 04:00", "07-01 03:55", None),
        3: ("07-01 04:15", None, None),
        4: ("07-01 02:05", "07-01 02:05", "07-01 04:00"),  # 2400 is midnight
        5: (
            "03-10 02:45",
            "03-10 04:06",
            "03-10 07:03",
        ),  # 02:03 does not exist that night; the clock had not been put forward
        6: ("07-01 03:00", "07-01 04:00", "07-01 07:55"),  # no zone in airports.csv: Puerto Rico
    }
    assert tables["flights"].column("flight").to_pylist() == [5, 4, 6, 1, 2, 3]
    assert tables["weather"].column("temp").to_pylist() == [None]
    assert all(
        str(field.type) == "timestamp[us, tz=UTC]" for field in tables["flights"].schema if field.name.endswith("_at")
    )


def test_instants_agree_with_the_delays(con: duckdb.DuckDBPyConnection) -> None:
    assert one(con, "select count(*) from flights") == 336_776
    assert (
        one(con, "select count(*) from flights where departed_at <> scheduled_departure + to_minutes(departure_delay)")
        == 0
    )
    assert one(con, "select count(*) from flights where (departed_at is null) <> (departure_delay is null)") == 0
    assert one(con, "select count(*) from flights where (arrived_at is null) <> (arrival_delay is null)") == 0
    taxiing = "datediff('minute', departed_at, arrived_at) - air_time"
    assert one(con, f"select min({taxiing}), median({taxiing}), max({taxiing}) from flights") == (5, 28, 235)
    assert one(con, "select min(datediff('minute', scheduled_departure, arrived_at)) > 0 from flights")


def test_rows_stand_in_an_order_without_ties(con: duckdb.DuckDBPyConnection) -> None:
    assert one(con, "select count(distinct (scheduled_departure, airport, carrier, flight)) from flights") == 336_776
    assert one(con, "select count(distinct (observed_at, airport)) from weather") == 26_115
    assert one(con, "select count(distinct aircraft) from planes") == 3_322


def test_the_flaws_of_the_flights_are_there(con: duckdb.DuckDBPyConnection) -> None:
    assert one(con, "select count(*) from flights where aircraft is null") == 2_512
    assert one(con, "select count(*) from flights where aircraft is null and departed_at is not null") == 0
    assert one(con, "select count(*) from flights where departed_at is null") == 8_255
    assert one(con, "select count(*) from flights where departed_at is not null and arrived_at is null") == 1_175
    assert one(con, "select count(*) from flights where aircraft not similar to 'N[0-9A-Z]{1,5}'") == 4
    twice = """select count(arrived_at) as arrived from flights where aircraft is not null
        group by aircraft, scheduled_departure having count(*) = 2"""
    assert one(con, f"select count(*), count(*) filter (arrived = 2) from ({twice})") == (31, 6)
    unknown = "select count(*), count(distinct aircraft) from flights anti join planes using (aircraft) where aircraft is not null"
    assert one(con, unknown) == (50_094, 721)
    assert one(con, "select count(*) from planes where year is null") == 70


def test_the_flaws_of_the_weather_are_there(con: duckdb.DuckDBPyConnection) -> None:
    expected = """select airport, hour from (select distinct airport from weather),
        unnest(generate_series(timestamp '2013-01-01 05:00', timestamp '2014-01-01 04:00', interval 1 hour)) as hours(hour)"""
    assert one(con, f"select count(*) from ({expected})") == 26_280
    missing = f"select e.hour from ({expected}) as e anti join weather as w on w.airport = e.airport and w.observed_at = e.hour"
    inside = "hour between '2013-01-01 06:00' and '2013-12-30 23:00'"
    assert one(con, f"select count(*), count(*) filter ({inside}) from ({missing})") == (165, 75)
    assert one(con, "select count(*) from weather where wind_gust is null") == 20_778
    assert one(con, "select count(*) from weather where pressure is null") == 2_729
    assert one(con, "select airport, observed_at from weather where wind_speed > 200") == (
        "EWR", datetime(2013, 2, 12, 8),
    )  # fmt: skip
    assert one(con, "select airport, observed_at from weather where temp is null") == (
        "EWR", datetime(2013, 8, 22, 13),
    )  # fmt: skip


def test_gaps_in_the_weather_are_counted_by_a_feature(
    con: duckdb.DuckDBPyConnection, repo: Mapping[str, FeatureView]
) -> None:
    read(con, repo["airport_weather"], name="run", start=None, end=datetime(2014, 1, 2))
    gaps = "select count(*), sum(hours_since_previous - 1), max(hours_since_previous) from run where hours_since_previous > 1"
    assert one(con, gaps) == (45, 75, 6)


def test_labels_are_the_flights_that_left(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("create temp view departures as from flights")
    con.execute(f"create temp table labels as {(REPO / 'labels.sql').read_text()}")
    assert one(con, "select count(*), count(*) filter (late) from labels") == (328_521, 70_774)
    assert one(con, "select count(*) from labels where aircraft is null or alternate is null or late is null") == 0
    assert con.execute("select distinct airport, alternate from labels order by all").fetchall() == [
        ("EWR", "LGA"), ("JFK", "LGA"), ("LGA", "JFK"),
    ]  # fmt: skip


@pytest.mark.parametrize("view", ["airport_weather", "airport_congestion", "airport_traffic", "aircraft_history"])
def test_a_transform_is_one_select_over_source(view: str, repo: Mapping[str, FeatureView]) -> None:
    assert transform.check(str(repo[view].transform)) is None


@pytest.mark.parametrize(
    ("view", "hours"),
    [("airport_weather", 5), ("airport_congestion", 3), ("airport_traffic", 3), ("aircraft_history", 17)],
)
def test_runs_over_parts_give_the_rows_of_one_run(
    view: str, hours: int, con: duckdb.DuckDBPyConnection, repo: Mapping[str, FeatureView]
) -> None:
    first, last = datetime(2013, 11, 2, 7), datetime(2013, 11, 3, 23)
    read(con, repo[view], name="whole", start=None, end=last)
    con.execute("create temp table parts as from whole limit 0")
    start, step = first, 0
    while start < last:
        end = min(start + timedelta(hours=hours), last)
        read(con, repo[view], name=f"part{step}", start=start, end=end)
        con.execute(f"insert into parts from part{step}")
        start, step = end, step + 1
    whole = f"(from whole where a >= '{first}')"
    assert one(con, f"select count(*) > 20 from {whole}")
    assert one(con, f"select count(*) from ({whole} except all from parts)") == 0
    assert one(con, f"select count(*) from (from parts except all {whole})") == 0


def _auc(con: duckdb.DuckDBPyConnection, view: FeatureView, key: str, feature: str) -> float:
    """AUC of one feature over the labels, joined by hand: the greatest event among the rows known by then; nulls left out."""
    name = view.name
    read(con, view, name=name, start=None, end=datetime(2014, 1, 2))
    field = view.field(feature)
    assert field is not None
    assert isinstance(view.ttl, timedelta)
    con.execute(f"""
        create temp table {name}_best as
        select {key} as k, a, max(row(e, a, v)) over (partition by {key} order by a) as best
        from (select {key}, a, {view.source.timestamp_field} as e, {field.column} as v from {name} where {key} is not null)
    """)
    return float(
        one(
            con,
            f"""
            with joined as (
                select late, best[3]::double as x from labels asof join (select distinct on (k, a) * from {name}_best)
                on k = labels.{key} and a <= event_timestamp
                where best[1] >= event_timestamp - interval '{view.ttl.total_seconds():.0f} seconds' and best[3] is not null
            ), tied as (
                select x, count(*) filter (late) as late, count(*) as n from joined group by x
            ), ranked as (
                select *, sum(n) over (order by x) - (n - 1) / 2 as rank from tied
            )
            select (sum(late * rank) - sum(late) * (sum(late) + 1) / 2) / (sum(late) * (sum(n) - sum(late))) from ranked
            """,
        )
    )


def test_the_leak_looks_too_good_and_what_was_known_does_not(
    con: duckdb.DuckDBPyConnection, repo: Mapping[str, FeatureView]
) -> None:
    con.execute("create temp view departures as from flights")
    con.execute(f"create temp table labels as {(REPO / 'labels.sql').read_text()}")
    assert _auc(con, repo["aircraft_history_by_schedule"], "aircraft", "last_arrival_delay") == pytest.approx(
        0.940, abs=5e-4
    )
    assert _auc(con, repo["aircraft_history"], "aircraft", "last_arrival_delay") == pytest.approx(0.580, abs=5e-4)
    assert _auc(con, repo["airport_congestion"], "airport", "mean_departure_delay") == pytest.approx(0.7465, abs=5e-4)
