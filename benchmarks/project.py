"""Projects of ours over the made-up data, through the public interface; shared by the benchmarks of one invocation."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from atexit import register
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.data import END, KINDS, events, feature_names, feature_types, few_events
from hitherto import Entity, FeatureStore, FeatureView, Field, ParquetSource, expect
from hitherto.config import Config
from hitherto.types import Int64

CHECKS: dict[str, list[Any]] = {
    "f0": [expect.not_null(), expect.between(0, 1)],
    "f1": [expect.between(0, 100)],
    "f2": [expect.between(0, 1000)],
    "f5": [expect.is_in([0, 1, 2, 3, 4, 5])],
    "f8": [expect.length(high=10)],
    "f9": [expect.not_null(at_least=0.9, severity="warn")],
}


@cache
def work_folder() -> Path:
    """Where projects are made: BENCH_WORK, which `python -m benchmarks` sets for all, or a temporary folder."""
    if given := os.environ.get("BENCH_WORK"):
        return Path(given)
    folder = Path(tempfile.mkdtemp(prefix="hitherto-bench-"))
    os.environ["BENCH_WORK"] = str(folder)  # for the processes that this one starts
    register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def view(
    name: str,
    source: Path,
    *,
    features: int = 10,
    ttl: str | None = "3650d",
    known: bool = False,
    checks: bool = False,
    online: bool = False,
) -> FeatureView:
    """A feature view of the events: f0, f1, ... per user."""
    return FeatureView(
        name,
        entities=[Entity("user", join_keys={"user_id": Int64})],
        source=ParquetSource(
            str(source.absolute()),
            name=f"{name}_events",
            timestamp_field="event_timestamp",
            created_timestamp_field="created",
            known_timestamp_field="known" if known else None,
        ),
        schema=[
            Field(name, kind, expect=CHECKS.get(name, []) if checks else [])
            for name, kind in feature_types(features).items()
        ],
        ttl=ttl,
        online=online,
    )


def make(
    folder: Path,
    views: Sequence[FeatureView],
    *,
    online: str = "lmdb:///online",
    memory_limit: str | None = None,
    clock: Callable[[], datetime] | None = None,
) -> FeatureStore:
    """A new project with these views applied; nothing is materialized yet."""
    folder.mkdir(parents=True)
    limit = f'[offline]\nmemory_limit = "{memory_limit}"\n' if memory_limit else ""
    (folder / "hitherto.toml").write_text(f'project = "bench"\n{limit}[online]\nurl = "{online}"\n')
    store = open_again(folder, clock=clock)
    store.apply(list(views))
    return store


def open_again(folder: Path, *, clock: Callable[[], datetime] | None = None) -> FeatureStore:
    """A project that is there already."""
    return FeatureStore(config=Config.load(folder), clock=clock or (lambda: END))


@dataclass(frozen=True)
class Built:
    """A materialized project, and how long its first materialization took."""

    folder: Path
    seconds: float

    def open(self) -> FeatureStore:
        return open_again(self.folder)


def built(name: str, views: Sequence[FeatureView], **options: Any) -> Built:
    """The project of this name, made and materialized by the first benchmark that asks for it."""
    folder = work_folder() / name
    told = folder / "built.json"
    if not told.exists():
        shutil.rmtree(folder, ignore_errors=True)
        with make(folder, views, **options) as store:
            began = time.perf_counter()
            store.materialize(end=END)
            told.write_text(json.dumps(time.perf_counter() - began))
    return Built(folder, json.loads(told.read_text()))


def bytes_on_disk(folder: Path) -> int:
    """What the files of a folder take on disk; sparse files count what they hold."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


VIEWS = ("fv", "v1", "v2", "v3", "v4")
"""Five views of ten features each, for lookups; `wide` is one of a hundred."""


def lookup_project(name: str, keys: int, *, online: str = "lmdb:///online") -> Built:
    """The project that lookups are measured on: five views and a wide one, every key once or twice in the source."""
    few, wide = few_events(keys), events(keys, keys, features=100, in_turn=True)
    views = [*(view(one, few, online=True) for one in VIEWS), view("wide", wide, features=100, online=True)]
    return built(name, views, online=online)


def lookup_features(features: int, views: int) -> list[str]:
    """References to so many features: of one view, or ten of each of five."""
    if views == 1:
        return [f"{'fv' if features <= len(KINDS) else 'wide'}:{name}" for name in feature_names(features)]
    return [f"{one}:{name}" for one in VIEWS[:views] for name in feature_names(features // views)]
