"""The doctor: whether this machine, these settings and these stores can do the work, and what to do where they cannot.

It looks and touches no data: no registry is made, no run is recovered. Whatever fails is a line of the report.
"""

from __future__ import annotations

import html
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from hitherto.config import Config, memory
from hitherto.errors import HithertoError, OnlineStoreError
from hitherto.monitoring.settings import Setting, settings_in_force
from hitherto.online.store import OnlineStore
from hitherto.online.stores import unfilled
from hitherto.registry import migrations
from hitherto.registry.sqlite import Registry
from hitherto.timeline import rfc3339

State = Literal["ok", "warning", "problem"]
_SHOWN_AS: dict[State, str] = {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}
NEEDED = ("duckdb", "pyarrow", "numpy", "lmdb", "msgspec", "pydantic", "pydantic-settings", "sqlglot", "typer", "rich")
OPTIONAL = ("redis", "hiredis", "fastapi", "uvicorn", "pandas", "polars")
LITTLE_DISK, NO_DISK = 1 << 30, 100 << 20
MOST_MEMORY = 0.9
_MOST_NAMES = 5


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at. `remedy` says what to do, where something is to be done."""

    what: str
    state: State
    finding: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{_SHOWN_AS[self.state]:<8}{self.what}: {self.finding}{f' -> {self.remedy}' if self.remedy else ''}"

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return {"what": self.what, "state": self.state, "finding": self.finding, "remedy": self.remedy}


@dataclass(frozen=True)
class DoctorReport:
    """What the doctor found, and the settings that it found it with."""

    diagnoses: tuple[Diagnosis, ...]
    settings: tuple[Setting, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem; warnings do not count."""
        return not any(one.state == "problem" for one in self.diagnoses)

    def __getitem__(self, what: str) -> Diagnosis:
        return next(one for one in self.diagnoses if one.what == what)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for --json."""
        return {
            "ok": self.ok,
            "diagnoses": [one.to_json() for one in self.diagnoses],
            "settings": {one.name: {"value": one.value, "origin": one.origin} for one in self.settings},
        }

    def __str__(self) -> str:
        settings = [f"        {one}" for one in self.settings]
        return "\n".join([*(str(one) for one in self.diagnoses), "settings in force:", *settings])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def diagnose(
    config: Config,
    *,
    now: int,
    open_online: Callable[[], OnlineStore],
    is_running: Callable[[str], bool] = lambda view: False,
) -> DoctorReport:
    """Look at everything that the project needs.

    Args:
        config: The settings.
        now: The clock, microseconds UTC.
        open_online: Opens the online store; what it raises becomes a line.
        is_running: Whether a process is materializing a view right now.
    """
    found = [_python(), _libraries(), _memory(config), *_offline(config), _temporary(config), *_online(open_online)]
    registry_line, registry = _registry(config)
    found.append(registry_line)
    if registry is not None:
        with registry:
            found += _looked_up("online rows", lambda: _online_rows(registry, open_online))
            found += _looked_up("clock", lambda: _clock(registry, now))
            found += _looked_up("runs", lambda: _runs(registry, is_running))
            found += _looked_up("temporary files", lambda: _leftovers(config, registry, is_running))
    return DoctorReport(tuple(found), settings_in_force(config))


def _looked_up(what: str, look: Callable[[], Iterable[Diagnosis]]) -> list[Diagnosis]:
    try:
        return list(look())
    except (HithertoError, OSError) as error:
        return [Diagnosis(what, "problem", str(error))]


# -- the machine -------------------------------------------------------------------------------------------------------


def _python() -> Diagnosis:
    return Diagnosis("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _libraries() -> Diagnosis:
    found = {name: _version(name) for name in ("hitherto", *NEEDED, *OPTIONAL)}
    text = ", ".join(f"{name} {one}" for name, one in found.items() if one)
    missing = [name for name in NEEDED if not found[name]]
    if missing:
        return Diagnosis(
            "libraries", "problem", f"{', '.join(missing)} missing; {text}", "pip install --upgrade hitherto"
        )
    return Diagnosis("libraries", "ok", text)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _memory(config: Config) -> Diagnosis:
    limit, there = config.memory_limit, memory.available()
    text = f"DuckDB may use {_size(limit)} of {_size(there)}"
    if limit > there * MOST_MEMORY:
        return Diagnosis(
            "memory", "warning", text, "lower offline.memory_limit: the rest of the process needs memory too"
        )
    return Diagnosis("memory", "ok", text)


# -- the stores --------------------------------------------------------------------------------------------------------


def _offline(config: Config) -> Iterator[Diagnosis]:
    yield _folder("offline path", config.offline_path, "set offline.path to a directory that is writable")


def _temporary(config: Config) -> Diagnosis:
    return _folder(
        "temporary directory", config.temp_path, "set offline.temp_directory to a directory that is writable"
    )


def _folder(what: str, path: Path, remedy: str) -> Diagnosis:
    """A folder that will be written to: it, or what would be its parent, is writable and has room."""
    there = next((one for one in (path, *path.parents) if one.exists()), path)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Diagnosis(what, "problem", f"{there} is no directory that this user can write to", remedy)
    free = shutil.disk_usage(there).free
    text = f"{path}, {_size(free)} free" + ("" if there == path else " (made by the first run)")
    if free < LITTLE_DISK:
        return Diagnosis(what, "problem" if free < NO_DISK else "warning", text, "free some disk space")
    return Diagnosis(what, "ok", text)


def _online(open_online: Callable[[], OnlineStore]) -> Iterator[Diagnosis]:
    try:
        store = open_online()
        store.ping()
        warnings = store.warnings()
    except HithertoError as error:
        yield Diagnosis("online store", "problem", str(error), "check online.url, its credentials, and that it runs")
        return
    yield Diagnosis("online store", "ok", f"{store!r} answers")
    for warning in warnings:
        yield Diagnosis("online store", "warning", warning)


def _online_rows(registry: Registry, open_online: Callable[[], OnlineStore]) -> Iterator[Diagnosis]:
    """Whether the store has the views that are published; one that does not answer has a line already."""
    try:
        lost = unfilled(open_online(), registry.snapshot())
    except OnlineStoreError:
        return
    if lost:
        finding = f"the store has none of {_names(lost)}, which are published: lookups find nothing"
        yield Diagnosis("online rows", "problem", finding, "run: hitherto materialize-incremental")


def _registry(config: Config) -> tuple[Diagnosis, Registry | None]:
    path = config.registry_path
    if not path.exists():
        return Diagnosis("registry", "warning", f"{path} does not exist yet", "run: hitherto apply"), None
    try:
        registry = Registry(path, project=config.project)
        serial = registry.serial()
    except HithertoError as error:
        return Diagnosis("registry", "problem", str(error)), None
    newest = migrations.MIGRATIONS[-1].version
    return Diagnosis("registry", "ok", f"{path}, storage format {newest}, serial {serial}"), registry


# -- what is going on --------------------------------------------------------------------------------------------------


def _clock(registry: Registry, now: int) -> Iterator[Diagnosis]:
    """The clock against what is published: before a watermark lookups are refused (semantics 4)."""
    views = registry.snapshot().views
    never = sorted(name for name, view in views.items() if view.watermark is None)
    ahead = sorted(name for name, view in views.items() if view.watermark is not None and view.watermark > now)
    marks = [view.watermark for view in views.values() if view.watermark is not None]
    if ahead:
        remedy = "set this machine's clock, or serve historical data at its own time: hitherto serve --now INSTANT"
        yield Diagnosis(
            "clock",
            "problem",
            f"{rfc3339(now)} is before the watermark of {_names(ahead)}: lookups are refused",
            remedy,
        )
    elif marks:
        yield Diagnosis("clock", "ok", f"{rfc3339(now)}; published up to {rfc3339(min(marks))} at least")
    else:
        yield Diagnosis("clock", "ok", rfc3339(now))
    if never:
        yield Diagnosis(
            "views", "warning", f"never materialized: {_names(never)}", "run: hitherto materialize-incremental"
        )


def _runs(registry: Registry, is_running: Callable[[str], bool]) -> Iterator[Diagnosis]:
    unfinished = registry.unfinished_runs()
    alive = [run for run in unfinished if is_running(run.view)]
    dead = [run for run in unfinished if run not in alive]
    if alive:
        yield Diagnosis(
            "runs", "ok", f"under way: {_names(f'{run.run_id} of {run.view}, {run.state}' for run in alive)}"
        )
    for run in dead:
        cause = f": {run.error}" if run.error else ""
        text = f"run {run.run_id} of feature view {run.view!r} stopped in state {run.state}{cause}"
        yield Diagnosis("runs", "warning", text, f"run: hitherto materialize-incremental --view {run.view}")
    if not unfinished:
        yield Diagnosis("runs", "ok", "none is unfinished")


def _leftovers(config: Config, registry: Registry, is_running: Callable[[str], bool]) -> Iterator[Diagnosis]:
    """Files that only a process in the middle of its work has, where none is."""
    busy = any(is_running(run.view) for run in registry.unfinished_runs())
    found = list(_temporary_files(config))
    if not found or busy:
        yield Diagnosis("temporary files", "ok", f"{len(found)}, in use by a run" if found else "none is left over")
        return
    size = sum(_size_of(path) for path in found)
    text = f"{len(found)} left over, {_size(size)}: {_names(str(path) for path in found)}"
    yield Diagnosis("temporary files", "warning", text, "remove them, if no other process uses this project")


def _temporary_files(config: Config) -> Iterator[Path]:
    offline = config.offline_path
    yield from sorted(path for path in offline.glob("**/*.tmp") if not path.is_relative_to(config.temp_path))
    if config.temp_path.is_dir():
        yield from sorted(path for path in config.temp_path.iterdir() if path.name.startswith("duckdb_temp"))
    online = urlsplit(config.online_url)
    if online.scheme == "lmdb":
        yield from sorted(Path(unquote(online.path[1:])).glob("*/*/.loading-*"))


def _size_of(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def _names(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return ", ".join(known[:_MOST_NAMES]) + more


def _size(count: int) -> str:
    """Bytes as people read them.

    >>> _size(3 << 30)
    '3.0 GiB'
    """
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"
