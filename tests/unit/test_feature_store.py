"""The facade: what is there, what is told, what is seen by whom, and that nothing foreign comes out of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hitherto import FeatureService, FeatureStore, Field
from hitherto.config import Config
from hitherto.errors import (
    ClockError,
    ConfigError,
    DefinitionError,
    InstantError,
    RegistryConflict,
    UnknownNameError,
    UsageError,
)
from hitherto.events import DefinitionsApplied, Event, RowsPushed, RunFinished, RunStarted
from hitherto.offline.duckdb.connection import Engine
from hitherto.testing import FakeClock
from hitherto.types import Float64
from journeys.projects import SENSOR, Project, entity_rows, hour, micros, source, table, view

ROWS = [("a", 1, 1.0), ("b", 3, 3.0)]
REPO = """from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.types import Float64, String

sensor = Entity("sensor", join_keys={"sensor": String})
readings = FeatureView(
    "readings",
    entities=[sensor],
    source=ParquetSource("data/*.parquet", name="raw", timestamp_field="at"),
    schema=[Field("value", Float64)],
)
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    one = Project(tmp_path / "project", '[offline]\nmemory_limit = "512MB"\nthreads = 2\n')
    one.deliver(ROWS)
    yield one
    one.store.close()


class Told:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)


def test_what_is_deployed_is_listed_and_got_by_name(project: Project) -> None:
    service = FeatureService("model", features=[view()])
    project.store.apply([view(), service])
    store = project.store
    assert [one.name for one in store.list_feature_views()] == ["readings"]
    assert [one.name for one in store.list_entities()] == ["sensor"]
    assert [one.name for one in store.list_sources()] == ["readings"]
    assert [one.name for one in store.list_feature_services()] == ["model"]
    assert (store.get_feature_view("readings"), store.get_entity("sensor")) == (view(), SENSOR)
    assert (store.get_source("readings"), store.get_feature_service("model")) == (source(), service)
    assert (store.list_runs(), store.list_training_sets()) == ([], [])
    store.materialize()
    (run,) = store.list_runs(feature_view="readings", state="published")
    assert store.get_run(run.run_id) == run
    assert store.list_runs(state="failed") == []


@pytest.mark.parametrize("kind", ["entity", "source", "feature_view", "feature_service", "run"])
def test_an_unknown_name_is_refused(project: Project, kind: str) -> None:
    with pytest.raises(UnknownNameError, match="There is no"):
        getattr(project.store, f"get_{kind}")("nothing")
    with pytest.raises(UnknownNameError, match="There is no"):
        getattr(project.store, f"get_{kind}")(None)


def test_the_repo_or_objects_are_applied(project: Project) -> None:
    (project.folder / "definitions.py").write_text(REPO)
    assert project.store.plan().has_changes
    assert project.store.list_feature_views() == []
    project.store.apply()
    assert project.store.get_feature_view("readings").feature_names == ("value",)
    assert not project.store.plan().has_changes
    assert project.store.apply().has_changes is False
    project.store.apply([view()])
    assert project.store.get_feature_view("readings").feature_names == ("value", "note")


def test_a_plan_that_was_looked_at_is_refused_once_the_registry_has_moved(project: Project) -> None:
    plan = project.store.plan([view()])
    project.store.apply([view("other")])
    with pytest.raises(RegistryConflict, match="has moved since the plan"):
        project.store.apply([view()], plan=plan)
    project.store.apply([view()], plan=project.store.plan([view()]))
    assert [one.name for one in project.store.list_feature_views()] == ["readings"]


@pytest.mark.parametrize("given", [view(), 5])
def test_definitions_are_given_as_a_list(project: Project, given: Any) -> None:
    with pytest.raises(DefinitionError, match="are given as a list"):
        project.store.apply(given)


def test_definitions_that_are_wrong_change_nothing(project: Project) -> None:
    project.store.apply([view()])
    with pytest.raises(DefinitionError, match="'valeu'"):
        project.store.apply([view(schema=[Field("valeu", Float64)])])
    assert project.store.get_feature_view("readings") == view()


def test_observers_are_told_and_a_broken_one_stops_nothing(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def observe(self, event: Event) -> None:
            raise ValueError("mine")

    told = Told()
    store = FeatureStore(project.folder, clock=project.clock, observers=[Broken(), told])
    with store:
        store.apply([view()])
        store.materialize()
        late = Told()
        store.observe(late)
        store.push("readings", table([("a", 5, 5.0)]))
    kinds = [type(event) for event in told.events]
    assert [kind for kind in kinds if kind in (DefinitionsApplied, RunStarted, RunFinished, RowsPushed)] == [
        DefinitionsApplied, RunStarted, RunFinished, RowsPushed,
    ]  # fmt: skip
    assert [event.rows for event in late.events if isinstance(event, RowsPushed)] == [1]
    applied = next(event for event in told.events if isinstance(event, DefinitionsApplied))
    assert "create feature view 'readings'" in applied.changes
    assert "Broken failed on RunStarted: ValueError. The work goes on." in caplog.text


def test_who_applies_or_publishes_sees_it_at_once_in_lookups(project: Project) -> None:
    project.store.apply([view()])
    assert project.statuses("a") == ["NOT_FOUND"]
    project.store.materialize()
    assert project.statuses("a") == ["PRESENT"]
    project.store.apply([view(ttl="1h")])
    assert project.statuses("a") == ["OUTSIDE_MAX_AGE"]


def test_another_process_sees_it_within_the_poll_interval(project: Project) -> None:
    project.store.apply([view()])
    config = Config(project="small", repo_path=project.folder, server={"poll_seconds": 0.001})
    with FeatureStore(config=config, clock=project.clock) as other:
        assert other.get_online_features(["readings:value"], {"sensor": ["a"]}).to_dict()["value"] == [None]
        project.store.materialize()
        threading.Event().wait(0.01)
        assert other.get_online_features(["readings:value"], {"sensor": ["a"]}).to_dict()["value"] == [1.0]


def test_a_clock_before_the_watermark_is_an_error_not_an_answer_from_the_future(project: Project) -> None:
    project.store.apply([view()])
    project.store.materialize()
    project.at(23)
    with pytest.raises(ClockError, match="would answer from the future"):
        project.lookup("a")


def test_rows_or_columns_and_a_service_by_name_are_looked_up_sync_and_async(project: Project) -> None:
    project.store.apply([view(), FeatureService("model", features=[view()])])
    project.store.materialize()
    wanted = {"sensor": ["b", "a", "b"], "value": [3.0, 1.0, 3.0], "note": [None] * 3}
    columns = {"sensor": ["b", "a", "b"]}
    rows = [{"sensor": one} for one in columns["sensor"]]
    for asked in ("model", project.store.get_feature_service("model"), ["readings:value", "readings:note"]):
        assert project.store.get_online_features(asked, columns).to_dict() == wanted
        assert project.store.get_online_features(asked, rows).to_dict() == wanted
        assert asyncio.run(project.store.get_online_features_async(asked, columns)).to_dict() == wanted
    full = project.store.get_online_features("model", columns, full_feature_names=True).to_dict()
    assert list(full) == ["sensor", "readings__value", "readings__note"]


@pytest.mark.parametrize("call", ["materialize", "history", "read", "latest"])
def test_a_naive_datetime_as_an_argument_is_refused_with_the_fix(project: Project, call: str) -> None:
    project.store.apply([view()])
    project.store.materialize()
    naive = datetime(2020, 1, 1, 5)
    calls: dict[str, Any] = {
        "materialize": lambda: project.store.materialize(naive),
        "history": lambda: project.history(("a", 4), as_of=naive),
        "read": lambda: project.store.read("readings", naive),
        "latest": lambda: project.store.read_latest("readings", naive),
    }
    with pytest.raises(InstantError, match=r"has no time zone.*replace\(tzinfo=datetime.UTC\)"):
        calls[call]()


def test_instants_are_aware_datetimes_dates_or_iso_text(project: Project) -> None:
    project.store.apply([view()])
    for end in ("2020-01-01T02:00:00Z", datetime(2020, 1, 1, 4, tzinfo=UTC), hour(24).date()):
        project.store.materialize_incremental(end)
    assert [run.interval.end for run in project.runs()] == [micros(2), micros(4), micros(24)]


def test_closing_gives_back_what_a_plan_without_a_run_has_opened(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deliver(ROWS)
    project.store.apply([view()])
    engine, closed = project.store.context.engine, []
    monkeypatch.setattr(Engine, "close", lambda self: closed.append(self))
    project.store.close()
    assert closed == [engine]


def test_closing_is_safe_to_repeat_and_the_store_may_be_used_again(project: Project) -> None:
    with project.store as store:
        store.apply([view()])
        store.materialize()
    store.close()
    assert project.lookup("a") == [1.0]


def test_threads_may_share_a_store(project: Project) -> None:
    project.store.apply([view()])
    project.store.materialize()
    answers: list[Any] = []

    def ask() -> None:
        for _ in range(5):
            answers.append((project.lookup("a"), project.history(("b", 9))))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [([1.0], [3.0])] * 15


def test_settings_may_be_built_by_hand_and_a_folder_without_them_is_refused(tmp_path: Path) -> None:
    config = Config(project="by_hand", repo_path=tmp_path)
    with FeatureStore(config=config, clock=FakeClock(hour(1))) as store:
        assert store.list_feature_views() == []
    with pytest.raises(ConfigError, match=r"hitherto\.toml"):
        FeatureStore(tmp_path / "nothing")


def test_an_environment_is_laid_over_the_settings(project: Project) -> None:
    with (project.folder / "hitherto.toml").open("a") as file:
        file.write('[env.prod.online]\nurl = "lmdb:///elsewhere"\n')
    with FeatureStore(project.folder, env="prod", clock=project.clock) as store:
        assert "elsewhere" in store.config.online_url


def test_lineage_parity_verification_and_the_doctor_are_verbs_too(project: Project) -> None:
    project.store.apply([view()])
    project.store.materialize()
    project.store.get_historical_features(entity_rows([("a", 4)]), ["readings:value"]).save("mine")
    assert "readings@1" in str(project.store.lineage("readings"))
    assert "mine@1" in str(project.store.lineage())
    with pytest.raises(UnknownNameError):
        project.store.lineage("nothing")
    assert project.store.check_parity(["readings:value"], instants=["2020-01-02T00:00:00Z"]).ok
    with pytest.raises(ClockError):
        project.store.check_parity(["readings:value"], instants=[hour(1)])
    assert project.store.verify().ok
    assert project.store.doctor()["registry"].state == "ok"


def test_parity_of_a_service_by_name(project: Project) -> None:
    project.store.apply([view(), FeatureService("model", features=[view()])])
    project.store.materialize()
    assert project.store.check_parity("model").ok
    with pytest.raises(UnknownNameError):
        project.store.check_parity("modle")


def test_removing_what_has_data_needs_leave(project: Project) -> None:
    project.store.apply([view(), view("empty")])
    project.store.materialize(feature_views=["readings"])
    # What has no data may go.
    project.store.apply([view()])
    with pytest.raises(UsageError, match="readings"):
        project.store.apply([view("empty")])
