"""What is wanted of each path, against what: the table of docs/benchmarks.md in the making. Figures are named by their claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["aim met", "met", "missed", "not measured"]


@dataclass(frozen=True)
class Target:
    """A figure's bounds. `more_is_better`: at least `least`, else at most."""

    claim: str
    path: str
    against: str
    least: float
    aim: float | None = None
    more_is_better: bool = True
    unit: str = "x"

    def verdict(self, value: float | None) -> Verdict:
        """The median decides."""
        if value is None:
            return "not measured"
        if self.aim is not None and self._reaches(value, self.aim):
            return "aim met"
        if self._reaches(value, self.least):
            return "met"
        return "missed"

    def _reaches(self, value: float, bound: float) -> bool:
        return value >= bound if self.more_is_better else value <= bound

    @property
    def wanted(self) -> str:
        word = "at least" if self.more_is_better else "at most"
        aim = f" / {self.aim:g}" if self.aim is not None else ""
        return f"{word} {self.least:g}{aim} {self.unit}".replace(" x", "x")


def _faster(claim: str, path: str, against: str, least: float, aim: float | None) -> Target:
    return Target(claim, path, against, least, aim)


def _cost(claim: str, path: str, against: str, least: float, aim: float | None, unit: str = "x") -> Target:
    return Target(claim, path, against, least, aim, more_is_better=False, unit=unit)


PLAIN = "10 plain features: share of their requests/s"
FLOOR = "bare ASGI server: share of its requests/s"
FEAST_SERVER = "Feast's server, the better of as it comes and tuned"
TARGETS = (
    _faster("training.duckdb", "training set, 10 M rows", "DuckDB ASOF by hand", 1.7, 3),
    _faster("training.polars", "training set, 10 M rows", "Polars `join_asof`", 2, 4),
    _faster("training.feast", "training set, 10 M rows, into pandas", "Feast", 8, 15),
    _cost("training.feast.memory", "peak memory of that", "Feast: share of its memory", 0.5, None),
    _cost(
        "training.paid_back", "segments are paid back after", "DuckDB ASOF by hand", float("inf"), 2, "training sets"
    ),
    _cost("taxi.pandas", "taxi join, 10 M trips, into pandas", "10.3 s published by Hopsworks, 16 vCPU", 15, 10, "s"),
    _cost("memory_limit.growth", "50 M rows under 2 GB, growth of time over rows", "itself at 10 M rows", 1.3, 1),
    _cost("hot_key", "one key with 1 M versions", "itself without", 2, 1.2),
    _cost(
        "windows.duckdb",
        "3 windows, 4 functions, 10 M events, 1 M entity rows",
        "the best DuckDB query by hand",
        1.5,
        1,
    ),
    _cost("windows.peak", "peak memory of that", "", 2_000, 1_000, "MB"),
    _faster("push.redis", "push to Redis", "`redis-cli --pipe`, the same bytes", 0.7, 0.9),
    _faster("push.redis.cas", "push to Redis, compare and set", "`redis-cli --pipe`, the same bytes", 0.4, 0.6),
    _faster("materialize.feast.tuned", "whole materialization, checks on, 1 M rows", "Feast, tuned", 15, 30),
    _cost("lookup.redis.1", "SDK lookup, Redis, 1 row", "bare MGET: times its time", 2, 1.3),
    _cost("lookup.redis.100", "SDK lookup, Redis, 100 rows", "bare MGET: times its time", 3, 2),
    _faster("lookup.feast.1", "SDK lookup, Redis, 1 row", "Feast's SDK", 2.5, 4),
    _faster("lookup.feast.100", "SDK lookup, Redis, 100 rows", "Feast's SDK", 12, 20),
    _cost("lookup.lmdb.1", "SDK lookup, LMDB, 1 row", "bare get: times its time", 15, 8),
    _cost("lookup.lmdb.100", "SDK lookup, LMDB, 100 rows", "bare get: times its time", 5, 3),
    _cost("on_demand.python.dict.1", "request-time feature in Python, LMDB, 1 row", "the lookup without", 20, 10, "µs"),
    _cost(
        "on_demand.python.dict.100",
        "request-time feature in Python, LMDB, 100 rows",
        "the lookup without",
        20,
        5,
        "µs for each row",
    ),
    _cost(
        "on_demand.python.json.100",
        "the same, to the JSON of an HTTP answer",
        "the lookup without",
        20,
        5,
        "µs for each row",
    ),
    _faster("windowed.http.lmdb", "HTTP lookup of 10 windowed features, LMDB, 1 row", PLAIN, 0.5, 0.8),
    _faster("windowed.http.redis", "HTTP lookup of 10 windowed features, Redis, 1 row", PLAIN, 0.5, 0.8),
    _faster("http.floor.lmdb", "HTTP lookup, LMDB, 1 row, 16 connections", FLOOR, 0.7, 0.85),
    _faster("http.floor.redis", "HTTP lookup, Redis, 1 row, 16 connections", FLOOR, 0.7, 0.85),
    _cost("http.p99.lmdb", "the same, LMDB: p99 at full rate", "", 5, None, "ms"),
    _cost("http.p99.redis", "the same, Redis: p99 at full rate", "", 5, None, "ms"),
    _faster("http.feast.1", "HTTP lookup, Redis, 1 row, per worker", FEAST_SERVER, 20, 30),
    _faster("http.feast.10", "HTTP lookup, Redis, 10 rows, per worker", FEAST_SERVER, 20, 30),
    _faster("http.feast.100", "HTTP lookup, Redis, 100 rows, per worker", FEAST_SERVER, 35, 50),
    _cost("publish.publish.lmdb", "p99 at half the maximum rate during a publish, LMDB", "the same without", 2, 1.3),
    _cost("publish.publish.redis", "p99 at half the maximum rate during a publish, Redis", "the same without", 2, 1.3),
    _cost("publish.niced.lmdb", "the same with the publish at `nice -n 19`, LMDB", "the same without", 2, 1.3),
    _cost("publish.niced.redis", "the same with the publish at `nice -n 19`, Redis", "the same without", 2, 1.3),
    _cost("startup.import", "`import hitherto`", "`python -c pass`: seconds more", 0.1, None, "s"),
    _cost("startup.help", "`hitherto --help`", "`python -c pass`: seconds more", 0.25, None, "s"),
)
