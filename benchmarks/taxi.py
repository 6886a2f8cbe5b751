"""The join of the feature-store benchmark that Hopsworks published: taxi trips with features of both zones.

    python -m benchmarks.taxi --size small

Full: 10 M trips of 14 columns; view A per pickup zone and 15 minutes (mean fare, trips), view B per drop-off zone and 30 minutes (trips,
is_weekend); 263 zones, 22 days. Into pandas, and into Parquet. The data are made up in this shape. Hopsworks' published figure is
10.3 s, on 16 vCPU: other hardware, shown as such.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.by_hand import check_equal, connection
from benchmarks.data import taxi_dropoffs, taxi_pickups, taxi_trips
from benchmarks.pairs import peak_megabytes, rounds, timed
from benchmarks.project import built, open_again, work_folder
from benchmarks.record import Record, command
from hitherto import Entity, FeatureStore, FeatureView, Field, ParquetSource
from hitherto.types import Bool, Float64, Int32

PUBLISHED_SECONDS = 10.3
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"trips": 1_000, "pairs": 1, "parquet": 1},
    "small": {"trips": 200_000, "pairs": 3, "parquet": 3},
    "full": {"trips": 10_000_000, "pairs": 5, "parquet": 3},
}
FEATURES = [
    "pickup_windows:mean_fare",
    "pickup_windows:pickup_trips",
    "dropoff_windows:dropoff_trips",
    "dropoff_windows:is_weekend",
]
FEATURE_NAMES = [name.partition(":")[2] for name in FEATURES]


def views() -> list[FeatureView]:
    return [
        FeatureView(
            "pickup_windows",
            entities=[Entity("pickup", join_keys={"pickup_zone": Int32})],
            source=ParquetSource(str(taxi_pickups().absolute()), timestamp_field="event_timestamp"),
            schema=[Field("mean_fare", Float64), Field("pickup_trips", Int32, source_column="trips")],
            online=False,
        ),
        FeatureView(
            "dropoff_windows",
            entities=[Entity("dropoff", join_keys={"dropoff_zone": Int32})],
            source=ParquetSource(str(taxi_dropoffs().absolute()), timestamp_field="event_timestamp"),
            schema=[Field("dropoff_trips", Int32, source_column="trips"), Field("is_weekend", Bool)],
            online=False,
        ),
    ]


def asked(store: FeatureStore, trips: Path) -> Any:
    return store.get_historical_features(trips, FEATURES)


def in_a_fresh_process(project: Path, trips: Path) -> None:
    with open_again(project) as store:
        asked(store, trips).to_pandas()


def by_hand(trips: Path, output: str | Path) -> Any:
    """Two ASOF joins in DuckDB, in the order of the trips, into "pandas", "arrow" or a file."""
    with connection() as con:
        joined = con.sql(
            f"""
            select t.* exclude (__row), a.mean_fare, a.trips as pickup_trips, b.trips as dropoff_trips, b.is_weekend
            from (select *, row_number() over () as __row from '{trips}') t
            asof left join '{taxi_pickups()}' a on t.pickup_zone = a.pickup_zone and t.event_timestamp >= a.event_timestamp
            asof left join '{taxi_dropoffs()}' b on t.dropoff_zone = b.dropoff_zone and t.event_timestamp >= b.event_timestamp
            order by __row
            """
        )
        if isinstance(output, Path):
            return joined.write_parquet(str(output))
        return joined.df() if output == "pandas" else joined.to_arrow_table()


def by_hand_into_pandas(trips: Path) -> None:
    by_hand(trips, "pandas")


def run(size: str) -> Path:
    given = SIZES[size]
    record = Record("taxi", size)
    trips = taxi_trips(given["trips"])
    project = built("taxi", views())
    ours_file, their_file = work_folder() / "taxi-ours.parquet", work_folder() / "taxi-by-hand.parquet"
    with project.open() as store:
        check_equal(asked(store, trips).to_arrow(), {"DuckDB": by_hand(trips, "arrow")})
        record.progress("equal to DuckDB; measuring")
        pandas = rounds(
            {"ours": timed(lambda: asked(store, trips).to_pandas()), "duckdb": timed(by_hand, trips, "pandas")},
            given["pairs"],
        )
        record.progress("into Parquet")
        sides = {
            "ours": timed(lambda: asked(store, trips).write_parquet(ours_file)),
            "duckdb": timed(by_hand, trips, their_file),
        }
        parquet = rounds(sides, given["parquet"])
        check_equal(_read(ours_file), {"DuckDB": _read(their_file)}, FEATURE_NAMES)
    task = f"taxi trips, {given['trips']:,} rows of 14 columns, two views"
    published = "(Hopsworks published 10.3 s, on 16 vCPU)"
    record.value("taxi.pandas", f"{task}, into pandas", pandas["ours"], unit="s", against=published)
    record.value("taxi.parquet", f"{task}, into Parquet", parquet["ours"], unit="s")
    record.pair(
        "taxi.pandas.duckdb", f"{task}, into pandas", pandas["ours"], pandas["duckdb"], against="DuckDB by hand"
    )
    record.pair(
        "taxi.parquet.duckdb", f"{task}, into Parquet", parquet["ours"], parquet["duckdb"], against="DuckDB by hand"
    )
    for name, way, arguments in (
        ("Hitherto", in_a_fresh_process, (project.folder, trips)),
        ("DuckDB by hand", by_hand_into_pandas, (trips,)),
    ):
        peak = float(peak_megabytes(way, *arguments))
        record.value(f"taxi.peak.{name}", f"peak memory of a fresh process into pandas, {name}", [peak], unit="MB")
    return record.write()


def _read(path: Path) -> pa.Table:
    return pq.read_table(path)


if __name__ == "__main__":
    command(__doc__, run)
