"""Training sets and lookups of on-demand features agree on generated rows of all types, and both modes with each other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from hitherto import Entity, FeatureView, Field, ParquetSource, RequestSource, on_demand_feature_view
from hitherto.testing import Repo
from hitherto.types import Bool, DataType, Date, Float64, Int64, List, String, Timestamp
from vectors import VECTORS

KINDS = {f"v{number}": kind for number, kind in enumerate(VECTORS)}
KEYS, EVENTS, REQUESTS = 40, 120, 150
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
NOW = BEGIN + timedelta(days=10)

SENSOR = Entity("sensor", join_keys={"sensor": Int64})
STORED = FeatureView(
    "stored",
    entities=[SENSOR],
    source=ParquetSource("anywhere", name="readings", timestamp_field="at"),
    schema=[
        *(Field(name, kind) for name, kind in KINDS.items()),
        Field("x", Float64),
        Field("n", Int64),
        Field("s", String),
    ],
    ttl="8d",
)
ASKED = RequestSource(
    "asked",
    schema=[
        *(Field(f"r_{name}", kind) for name, kind in KINDS.items()),
        Field("y", Float64),
        Field("m", Int64),
        Field("flag", Bool),
        Field("due", Timestamp),
        Field("many", List(Float64)),
        Field("day", Date),
    ],
)


def echo(kinds: dict[str, DataType], name: str, source: Any, mode: Any) -> Any:
    """A function that gives back what it is given, of every type."""
    parameters = ", ".join(kinds)
    code = (
        f"def {name}({parameters}):\n    return {{{', '.join(f'{one!r}: {one}' for one in (f'{k}' for k in kinds))}}}\n"
    )
    import linecache

    file = f"<{name}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    room: dict[str, Any] = {}
    exec(compile(code, file, "exec"), room)
    function = room[name]
    if mode == "python":
        function.__annotations__ = {**dict.fromkeys(kinds, Any), "return": Any}
    schema = [Field(one, kind) for one, kind in kinds.items()]
    return on_demand_feature_view(sources=[source], schema=schema, mode=mode)(function)


REQUESTED = {f"r_{name}": kind for name, kind in KINDS.items()}
ECHOES = [
    echo(KINDS, "stored_python", STORED, "python"),
    echo(KINDS, "stored_polars", STORED, "polars"),
    echo(REQUESTED, "asked_python", ASKED, "python"),
    echo(REQUESTED, "asked_polars", ASKED, "polars"),
]
COMPUTED = [
    Field("total", Float64),
    Field("left", Float64),
    Field("minutes", Float64),
    Field("told", String),
    Field("count", Int64),
    Field("later", Bool),
]


@on_demand_feature_view(sources=[STORED, ASKED], schema=COMPUTED)
def by_python(
    x: float | None,
    y: float | None,
    n: int | None,
    m: int | None,
    s: str | None,
    flag: bool | None,
    due: datetime | None,
    now: datetime,
) -> dict[str, Any]:
    return {
        "total": None if x is None or y is None else x * y + 1,
        "left": None if due is None else float((due - now) // timedelta(microseconds=1)),
        "minutes": None if due is None else float((due - now) // timedelta(microseconds=1)) * (1 / 60e6),
        "told": None if s is None or flag is None else (s + "!" if flag else s),
        "count": None if n is None or m is None else n - m,
        "later": None if due is None else due > now,
    }


@on_demand_feature_view(sources=[STORED, ASKED], schema=COMPUTED, mode="polars")
def by_polars(
    x: pl.Expr, y: pl.Expr, n: pl.Expr, m: pl.Expr, s: pl.Expr, flag: pl.Expr, due: pl.Expr, now: pl.Expr
) -> dict[str, pl.Expr]:
    return {
        "total": x * y + 1,
        "left": (due - now).dt.total_microseconds().cast(pl.Float64),
        # By a constant, Polars multiplies by the reciprocal: of one row as of many.
        "minutes": (due - now).dt.total_microseconds() / 60e6,
        "told": pl.when(flag).then(s + "!").when(~flag).then(s),
        "count": n - m,
        "later": due > now,
    }


@on_demand_feature_view(sources=[by_python, ASKED], schema=[Field("share", Float64), Field("first", Float64)])
def fragile(total: float | None, m: int | None, many: list[float] | None) -> dict[str, Any]:
    """Divides by what may be nothing, and takes the first of what may be empty."""
    return {"share": None if total is None or m is None else total / m, "first": many[0]}  # type: ignore[index]  # it is to fail


VIEWS = [*ECHOES, by_python, by_polars, fragile]
FEATURES = [f"{one.name}:{feature}" for one in VIEWS for feature in one.feature_names]


def rows(rng: random.Random, kinds: dict[str, DataType], count: int) -> dict[str, pa.Array]:
    return {
        name: pa.array([rng.choice(VECTORS[kind]) for _ in range(count)], kind.arrow) for name, kind in kinds.items()
    }


def requests(rng: random.Random, count: int) -> dict[str, pa.Array]:
    def some(make: Any, kind: DataType) -> pa.Array:
        return pa.array([None if rng.random() < 0.2 else make() for _ in range(count)], kind.arrow)

    return {
        "sensor": pa.array([None if rng.random() < 0.1 else rng.randrange(KEYS + 5) for _ in range(count)], pa.int64()),
        **rows(rng, REQUESTED, count),
        "y": some(lambda: rng.choice([0.0, -0.0, float("nan"), float("inf"), rng.gauss(0, 1e3)]), Float64),
        "m": some(lambda: rng.choice([0, 1, -7, 2**40]), Int64),
        "flag": some(lambda: rng.random() < 0.5, Bool),
        "due": some(lambda: NOW + timedelta(microseconds=rng.randrange(-(10**12), 10**12)), Timestamp),
        "many": some(lambda: [rng.random() for _ in range(rng.randrange(3))], List(Float64)),
        "day": some(lambda: date(2020, 1, 1), Date),
    }


@pytest.fixture(scope="module", params=[1, 2])
def drawn(request: pytest.FixtureRequest) -> Iterator[tuple[Repo, dict[str, pa.Array]]]:
    rng = random.Random(request.param)
    with Repo([STORED, *VIEWS], now=NOW) as repo:
        table = {
            "sensor": pa.array([rng.randrange(KEYS) for _ in range(EVENTS)]),
            "at": pa.array(
                [BEGIN + timedelta(minutes=rng.randrange(10 * 24 * 60)) for _ in range(EVENTS)],
                pa.timestamp("us", "UTC"),
            ),
            **rows(rng, KINDS, EVENTS),
            "x": pa.array([rng.choice([None, float("nan"), rng.gauss(0, 1e6)]) for _ in range(EVENTS)], pa.float64()),
            "n": pa.array([rng.choice([None, rng.randrange(-(10**6), 10**6)]) for _ in range(EVENTS)], pa.int64()),
            "s": pa.array([rng.choice(VECTORS[String]) for _ in range(EVENTS)], pa.string()),
        }
        repo.load("readings", pa.table(table))
        repo.materialize()
        yield repo, requests(rng, REQUESTS)


def test_training_equals_lookups_values_and_statuses(drawn: tuple[Repo, dict[str, pa.Array]]) -> None:
    repo, asked = drawn
    training = repo.store.get_historical_features(
        pa.table({**asked, "event_timestamp": pa.array([NOW] * REQUESTS, pa.timestamp("us", "UTC"))}),
        FEATURES,
        full_feature_names=True,
    )
    columns, statuses = training.to_arrow(), training.statuses()
    answer = repo.store.get_online_features(
        FEATURES, {name: column.to_pylist() for name, column in asked.items()}, full_feature_names=True
    )
    looked_up = answer.to_dict(include_metadata=True)
    told = set()
    for name in training.features:
        assert repr(_plain(columns.column(name))) == repr([_utc(value) for value in looked_up[name]]), name
        assert statuses.column(name).to_pylist() == looked_up[f"{name}__status"], name
        told.update(looked_up[f"{name}__status"])
    assert told == {"PRESENT", "NULL_VALUE", "ERROR"}


def test_both_modes_agree(drawn: tuple[Repo, dict[str, pa.Array]]) -> None:
    repo, asked = drawn
    found = repo.store.get_online_features(
        FEATURES, {name: column.to_pylist() for name, column in asked.items()}, full_feature_names=True
    ).to_dict(include_metadata=True)
    pairs = [("by_python", "by_polars"), ("stored_python", "stored_polars"), ("asked_python", "asked_polars")]
    for one, other in pairs:
        names = [name for name in found if name.startswith(f"{one}__")]
        assert names
        for name in names:
            assert repr(found[name]) == repr(found[name.replace(one, other, 1)]), name
    for name in (*KINDS, *REQUESTED):
        owner = "stored_python" if name in KINDS else "asked_python"
        assert "ERROR" not in found[f"{owner}__{name}__status"]


def test_each_row_alone_is_answered_as_among_others(drawn: tuple[Repo, dict[str, pa.Array]]) -> None:
    repo, asked = drawn
    lists = {name: column.to_pylist() for name, column in asked.items()}
    whole = repo.store.get_online_features(FEATURES, lists, full_feature_names=True).to_dict()
    for row in range(0, REQUESTS, 10):
        alone = repo.store.get_online_features(
            FEATURES, {name: values[row : row + 1] for name, values in lists.items()}, full_feature_names=True
        )
        assert repr({name: values[0] for name, values in alone.to_dict().items()}) == repr(
            {name: values[row] for name, values in whole.items()}
        )


def test_parity_is_measured_with_made_up_requests(drawn: tuple[Repo, dict[str, pa.Array]]) -> None:
    report = drawn[0].store.check_parity(FEATURES, sample=None, instants=[NOW, NOW + timedelta(days=3, microseconds=1)])
    assert report.ok, str(report)
    assert report.present > report.checked / 3


def _utc(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if isinstance(value, list):
        return [_utc(one) for one in value]
    return {name: _utc(one) for name, one in value.items()} if isinstance(value, dict) else value


def _plain(column: pa.ChunkedArray) -> list[Any]:
    return [_utc(value) for value in column.to_pylist()]
