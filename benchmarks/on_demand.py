"""What a request-time feature adds to a lookup and to a training set, for each row.

    python -m benchmarks.on_demand --size small

A function of one stored feature, one request field and the time, in Python and over Polars expressions, beside the same lookup
of 10 stored features without it: microseconds more for each row, to a dict of Python values and to the JSON of an HTTP answer.
Of training sets it is the whole time, less that of the same training set without the feature.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from benchmarks.bare import some_users
from benchmarks.data import END, few_events
from benchmarks.pairs import rounds, timed
from benchmarks.project import built, lookup_features, view
from benchmarks.record import Record, command
from hitherto import FeatureStore, FeatureView, Field, OnDemandFeatureView, RequestSource, on_demand_feature_view
from hitherto.types import Float64

if TYPE_CHECKING:
    import polars as pl

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"keys": 50, "rows": 20, "pairs": 1, "training": 100},
    "small": {"keys": 20_000, "rows": 5_000, "pairs": 5, "training": 100_000},
    "full": {"keys": 100_000, "rows": 20_000, "pairs": 7, "training": 1_000_000},
}
ROWS_PER_REQUEST = (1, 10, 100, 1_000)
MODES = {"python": "against_limit:against_limit", "polars": "against_limit_fast:against_limit_fast"}


def definitions(keys: int) -> tuple[FeatureView, list[OnDemandFeatureView]]:
    """The stored view, and one function in both modes."""
    stored = view("fv", few_events(keys), online=True)
    asked = RequestSource("asked", schema=[Field("limit", Float64)])

    @on_demand_feature_view(sources=[stored[["f0"]], asked], schema=[Field("against_limit", Float64)])
    def against_limit(f0: float | None, limit: float | None, now: datetime) -> float | None:
        return None if f0 is None or limit is None else (f0 - limit) * now.hour

    @on_demand_feature_view(
        sources=[stored[["f0"]], asked], schema=[Field("against_limit_fast", Float64)], mode="polars"
    )
    def against_limit_fast(f0: pl.Expr, limit: pl.Expr, now: pl.Expr) -> pl.Expr:
        return (f0 - limit) * now.dt.hour()

    return stored, [against_limit, against_limit_fast]


def lookups(record: Record, store: FeatureStore, keys: int, *, rows: int, pairs: int) -> None:
    stored = lookup_features(10, 1)
    forms: dict[str, Callable[[Any], Any]] = {
        "dict": lambda answer: answer.to_dict(),
        "json": lambda answer: answer.to_json(),
    }
    for size in ROWS_PER_REQUEST:
        users = some_users(keys, size, max(5, rows // (size + 3)))
        asked = [{"user_id": one, "limit": [0.5] * size} for one in users]
        for form, take in forms.items():

            def look_up(features: list[str], requests: list[Any], take: Callable[[Any], Any] = take) -> None:
                for one in requests:
                    take(store.get_online_features(features, one))

            plain = [{"user_id": one} for one in users]
            sides = {"without": timed(look_up, stored, plain, of=len(users))}
            sides |= {mode: timed(look_up, [*stored, one], asked, of=len(users)) for mode, one in MODES.items()}
            for side in sides.values():
                side()
            taken = rounds(sides, pairs)
            for mode in MODES:
                more = [(mine - bare) / size * 1e6 for mine, bare in zip(taken[mode], taken["without"], strict=True)]
                task = f"request-time feature, {mode}, SDK lookup, LMDB, {size} rows, to {form}"
                record.value(
                    f"on_demand.{mode}.{form}.{size}", task, more, unit="µs for each row", against="the lookup without"
                )


def training_sets(record: Record, store: FeatureStore, keys: int, *, rows: int, pairs: int) -> None:
    users = [number % keys for number in range(rows)]
    entity = pa.table({"user_id": users, "event_timestamp": [END] * rows, "limit": [0.5] * rows})
    stored = lookup_features(10, 1)

    def build(features: list[str]) -> None:
        store.get_historical_features(entity, features).to_arrow()

    sides = {"without": timed(build, stored), **{mode: timed(build, [*stored, one]) for mode, one in MODES.items()}}
    taken = rounds(sides, min(pairs, 3))
    for mode in MODES:
        more = [(mine - bare) / rows * 1e6 for mine, bare in zip(taken[mode], taken["without"], strict=True)]
        task = f"request-time feature, {mode}, training set of {rows:,} rows"
        record.value(
            f"on_demand.{mode}.training", task, more, unit="µs for each row", against="the training set without"
        )


def check_values(store: FeatureStore) -> None:
    """Both modes say the same, online and offline."""
    report = store.check_parity(list(MODES.values()), sample=200)
    assert report.ok, str(report)
    found = store.get_online_features([*MODES.values()], {"user_id": [0, 1], "limit": [0.5, None]}).to_dict()
    assert found["against_limit"] == found["against_limit_fast"]


def run(size: str) -> Path:
    given = SIZES[size]
    keys = given["keys"]
    record = Record("on_demand", size)
    record.progress("building")
    stored, computed = definitions(keys)
    with built(f"on-demand-{keys}", [stored], online="lmdb:///online").open() as store:
        store.apply([stored, *computed])
        check_values(store)
        lookups(record, store, keys, rows=given["rows"], pairs=given["pairs"])
        training_sets(record, store, keys, rows=given["training"], pairs=given["pairs"])
    return record.write()


if __name__ == "__main__":
    command(__doc__, run)
