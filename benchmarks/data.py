"""The data of all benchmarks, made up and the same every time: source events, entity rows, taxi trips.

Files are made once, in benchmarks/.data (BENCH_DATA names another folder), and are shared by all benchmarks.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from hitherto.types import Bool, DataType, Float64, Int32, Int64, String

FOLDER = Path(os.environ.get("BENCH_DATA", Path(__file__).parent / ".data")) / "v1"
"""Whoever changes what is made changes the last part, so that nobody measures on files of before."""
BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 4, 10, tzinfo=UTC)
"""All events happen and become known between them; END is the end of every run, and the clock of every store."""
DAYS = 90
HOT = -1
"""The hot key, in files that have one: no other row has it."""
KINDS: tuple[DataType, ...] = (Float64, Float64, Int64, Float64, Float64, Int32, Bool, Float64, String, Float64)
"""The types of f0 ... f9; f10 begins again."""


def feature_names(count: int) -> list[str]:
    return [f"f{number}" for number in range(count)]


def feature_types(count: int) -> dict[str, DataType]:
    return {name: KINDS[number % len(KINDS)] for number, name in enumerate(feature_names(count))}


def events(rows: int, keys: int, *, features: int = 10, hot: int = 0, in_turn: bool = False) -> Path:
    """Source events: a key, an event time in 90 days, a created time up to an hour and a known time up to two days later, and
    features of mixed types; 5 % of f9 are null. The first `hot` rows are all of one key. `in_turn`: the keys 0 ... follow each
    other, so that each has as many rows; else a row is of any key.

    No two events of a key have one event time: of such a pair, the peers' ASOF joins take either.
    """
    key = f"(i % {keys})::bigint" if in_turn else f"(hash(i * 7919) % {keys})::bigint"
    query = f"""
        select *, event_timestamp + to_seconds({_uniform(2)} * 3600) as created,
               event_timestamp + to_seconds({_uniform(3)} * 172800) as known,
               {", ".join(f"{_feature(number)} as f{number}" for number in range(features))}
        from (
            select i, {f"case when i < {hot} then {HOT} else {key} end" if hot else key} as user_id,
                   timestamp '2025-01-01' + to_microseconds(({_uniform(1)} * {DAYS * 86400})::bigint * 1000000 + i % 1000000)
                       as event_timestamp
            from range({rows}) as t(i)
        )
    """
    name = f"events-{rows}-{keys}-{features}-{hot}{'-in-turn' if in_turn else ''}"
    return _made(name, f"select * exclude (i) from ({query})")


def few_events(keys: int, *, features: int = 10) -> Path:
    """Two events of every key: enough where only the newest row of a key counts."""
    return events(2 * keys, keys, features=features, in_turn=True)


def clustered(source: Path) -> Path:
    """The same events in the order of their keys and times."""
    return _made(f"{source.stem}-clustered", f"select * from '{source}' order by user_id, event_timestamp")


def entity_rows(rows: int, keys: int, *, hot: int = 0) -> Path:
    """Entity rows in no order: a key (2 % are unknown), a time, a label, a row number. `hot` of them ask for the hot key."""
    key = f"({_uniform(1)} * {keys} * 1.02)::bigint"
    query = f"""
        select {f"case when i % {rows // hot} = 0 then {HOT} else {key} end" if hot else key} as user_id,
               timestamp '2025-01-01' + to_seconds(({_uniform(2)} * {(DAYS + 2) * 86400})::bigint) as event_timestamp,
               ({_uniform(3)} * 2)::int as label, i as row_id
        from range({rows}) as t(i)
    """
    return _made(f"entities-{rows}-{keys}-{hot}", query)


ZONES, TAXI_DAYS = 263, 22
TRIP = {
    "vendor": "(1 + {u} * 2)::int", "passengers": "(1 + {u} * 5)::int", "rate": "(1 + {u} * 5)::int",
    "payment": "(1 + {u} * 3)::int", "distance": "{u} * 20", "fare": "3 + {u} * 60", "extra": "{u} * 3",
    "tax": "0.5", "tip": "{u} * 15", "tolls": "{u} * 7", "total": "10 + {u} * 80",
}  # fmt: skip


def taxi_trips(rows: int) -> Path:
    """Trips of 22 days, 14 columns: pickup time, pickup and drop-off zone, and eleven numbers."""
    numbers = ", ".join(f"{made.format(u=_uniform(10 + at))} as {name}" for at, (name, made) in enumerate(TRIP.items()))
    query = f"""
        select timestamp '2025-01-01' + to_seconds(({_uniform(1)} * {TAXI_DAYS * 86400})::bigint) as event_timestamp,
               ({_uniform(2)} * {ZONES - 1})::int as pickup_zone, ({_uniform(3)} * {ZONES - 1})::int as dropoff_zone,
               {numbers}
        from range({rows}) as t(i)
    """
    return _made(f"trips-{rows}", query)


def taxi_pickups() -> Path:
    """Per pickup zone and 15 minutes: mean fare and trips, at the end of the 15 minutes."""
    windows = f"{_uniform(1)} * 50 + 3 as mean_fare, ({_uniform(2)} * 90)::int as trips"
    return _made("pickups", _windows("pickup_zone", 15, windows))


def taxi_dropoffs() -> Path:
    """Per drop-off zone and 30 minutes: trips, and whether it is the weekend, at the end of the 30 minutes."""
    windows = f"({_uniform(3)} * 160)::int as trips, isodow(event_timestamp) >= 6 as is_weekend"
    return _made("dropoffs", _windows("dropoff_zone", 30, windows))


def _windows(zone: str, minutes: int, columns: str) -> str:
    return f"""
        select * exclude (i), {columns} from (
            select i, (i % {ZONES})::int as {zone},
                   timestamp '2025-01-01' + to_minutes((1 + i // {ZONES}) * {minutes}) as event_timestamp
            from range({ZONES * TAXI_DAYS * 24 * 60 // minutes}) as t(i)
        )
    """


def _uniform(salt: int) -> str:
    """A number in [0, 1) that depends on the row number `i` only: unlike random(), the same on any number of threads."""
    return f"((hash(i * 1024 + {salt}) >> 11)::double / 9007199254740992)"


def _feature(number: int) -> str:
    uniform = _uniform(16 + number)
    made = {
        1: f"{uniform} * 100",
        2: f"({uniform} * 1000)::bigint",
        5: f"({uniform} * 5)::int",
        6: f"{uniform} > 0.5",
        8: f"'cat_' || ({uniform} * 50)::int",
        9: f"case when {uniform} < 0.05 then null else {uniform} end",
    }
    return made.get(number % len(KINDS), uniform)


def _made(name: str, query: str) -> Path:
    path = FOLDER / f"{name}.parquet"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        print(f"  making {path.name}", flush=True)
        with duckdb.connect() as con:
            con.execute("set enable_progress_bar = false")
            # Under another name until it is whole: a run that is broken off leaves nothing that looks done.
            con.execute(f"copy ({query}) to '{path}.part' (format parquet, row_group_size 500000)")
        path.with_name(f"{path.name}.part").rename(path)
    return path
