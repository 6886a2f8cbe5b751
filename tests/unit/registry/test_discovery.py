"""Loading a repo: what is collected, all problems at once with file and line, and no traces in the interpreter."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from hitherto.definitions import FeatureView
from hitherto.definitions.collection import Definitions
from hitherto.errors import DefinitionError
from hitherto.registry import discovery
from unit.registry.samples import AIRPORT, EVERYTHING, SERVICE, VIEW, WEATHER

HEAD = """
from hitherto.definitions import Entity, FeatureService, FeatureView, Field, ParquetSource, expect
from hitherto.types import Float64, Int64, String
"""
ENTITIES = HEAD + 'airport = Entity("airport", join_keys={"airport": String})\n'
WEATHER_FILE = (
    HEAD
    + """
from entities import airport
weather = ParquetSource("data/weather.parquet", timestamp_field="at")
airport_weather = FeatureView("airport_weather", entities=[airport], source=weather, schema=[Field("wind", Float64)])
"""
)

Repo = Callable[..., Path]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """Writes files and gives their folder, from whose parent the paths of problems are told."""
    monkeypatch.chdir(tmp_path)

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / "repo" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        (tmp_path / "repo").mkdir(exist_ok=True)
        return tmp_path / "repo"

    return write


def problems(folder: Path) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        discovery.load(folder)
    return [str(problem) for problem in caught.value.problems]


def names(definitions: Definitions) -> dict[str, list[str]]:
    return {kind: list(found) for kind, found in vars(definitions).items()}


def test_module_level_objects_of_all_files_are_collected(repo):
    loaded = discovery.load(repo(entities=ENTITIES, weather=WEATHER_FILE))
    assert names(loaded) == {
        "entities": ["airport"],
        "sources": ["weather"],
        "feature_views": ["airport_weather"],
        "on_demand_feature_views": [],
        "feature_services": [],
    }
    assert loaded.feature_views["airport_weather"].entities[0] is loaded.entities["airport"]


def test_places_are_told_relative_to_the_repo(repo):
    loaded = discovery.load(repo(entities=ENTITIES, weather=WEATHER_FILE))
    view = loaded.feature_views["airport_weather"]
    assert str(view.location) == str(view.schema[0].location) == "weather.py:7"
    assert str(view.entities[0].location) == "entities.py:4"


def test_an_empty_folder_has_no_definitions(repo):
    assert names(discovery.load(repo())) == {
        "entities": [],
        "sources": [],
        "feature_views": [],
        "on_demand_feature_views": [],
        "feature_services": [],
    }


def test_a_folder_that_is_not_there_is_a_problem(tmp_path):
    assert problems(tmp_path / "nowhere") == [f"repo {str(tmp_path / 'nowhere')!r}: There is no such folder."]


def test_tests_hidden_and_underscore_files_are_left_out(repo):
    broken = "raise RuntimeError"
    folder = repo(test_x=broken, conftest=broken, _private=broken, entities=ENTITIES, **{"tests/x": broken})
    (folder / ".hidden.py").write_text(broken)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "__init__.py").write_text(broken)
    (folder / "notes.txt").write_text(broken)
    assert list(discovery.load(folder).entities) == ["airport"]


def test_packages_are_loaded_with_what_they_import(repo):
    files = {
        "views/__init__": "",
        "views/weather": WEATHER_FILE.replace("weather = P", "from ._sources import winds\nweather = P"),
        "views/_sources": HEAD + 'winds = ParquetSource("w.parquet", name="winds", timestamp_field="at")',
    }
    folder = repo(entities=ENTITIES, **files)
    loaded = discovery.load(folder)
    assert sorted(loaded.sources) == ["weather", "winds"]
    assert str(loaded.feature_views["airport_weather"].location) == "views/weather.py:8"


def test_a_folder_without_init_is_loaded_only_when_it_is_imported(repo):
    files = {"lib/shared": ENTITIES, "lib/other": "raise RuntimeError"}
    folder = repo(views="from lib.shared import airport", **files)
    assert list(discovery.load(folder).entities) == ["airport"]
    assert "lib.shared" not in sys.modules


def test_objects_in_lists_and_dicts_and_behind_others_are_collected(repo):
    text = (
        ENTITIES
        + """
def view(name):
    source = ParquetSource(f"{name}.parquet", timestamp_field="at")
    return FeatureView(name, entities=[airport], source=source, schema=[Field("x", Float64)])

listed = [view("one"), 5]
mapped = {"two": view("two")}
renamed = view("three").with_name("other")
service = FeatureService("s", features=[view("four")[["x"]]])
"""
    )
    loaded = discovery.load(repo(all=text))
    assert sorted(loaded.feature_views) == sorted(loaded.sources) == ["four", "one", "three", "two"]
    assert list(loaded.feature_services) == ["s"]


def test_every_load_reads_the_files_anew(repo):
    folder = repo(entities=ENTITIES)
    discovery.load(folder)
    status = (folder / "entities.py").stat()
    (folder / "entities.py").write_text(ENTITIES.replace('"airport",', '"runways",'), encoding="utf-8")
    # The same size in the same instant: what a cache of compiled files takes for unchanged.
    os.utime(folder / "entities.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert list(discovery.load(folder).entities) == ["runways"]


def test_nothing_of_the_repo_stays_in_the_interpreter(repo):
    folder = repo(entities=ENTITIES, weather=WEATHER_FILE, broken="x = 1 +")
    before = (dict(sys.modules), list(sys.path), list(sys.meta_path))
    problems(folder)
    after = (dict(sys.modules), list(sys.path), list(sys.meta_path))
    assert [name for name in after[0] if name not in before[0]] == []
    assert after[1:] == before[1:]
    assert not (folder / "__pycache__").exists()


def test_modules_of_the_same_name_elsewhere_are_neither_used_nor_lost(repo, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "entities.py").write_text("airport = None")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    theirs = importlib.import_module("entities")
    try:
        loaded = discovery.load(repo(entities=ENTITIES, weather=WEATHER_FILE))
        assert list(loaded.entities) == ["airport"]
        assert sys.modules["entities"] is theirs
    finally:
        del sys.modules["entities"]


def test_a_module_that_the_user_imported_stays_the_users(repo, monkeypatch):
    folder = repo(entities=ENTITIES)
    monkeypatch.syspath_prepend(folder)
    mine = importlib.import_module("entities")
    try:
        loaded = discovery.load(folder)
        assert sys.modules["entities"] is mine
        assert loaded.entities["airport"] is not mine.airport
        assert loaded.entities["airport"] == mine.airport
    finally:
        del sys.modules["entities"]


def test_all_problems_of_a_repo_come_at_once_with_file_and_line(repo):
    folder = repo(
        a=HEAD + 'one = Entity("One", join_keys={"k": Int64})\ntwo = Entity("two", join_keys={"k": Float64})\n',
        b=HEAD + 'three = ParquetSource("x.parquet", timestamp_field="t", known_after="soon")\n',
        c="import nothing_of_this_name\n",
        d="def f(:\n",
        e="\n\nvalue = 1 / 0\n",
    )
    found = problems(folder)
    places = [text.split(": ")[0] for text in found]
    assert places == [
        "repo/a.py:4",
        "repo/a.py:5",
        "repo/a.py:5",
        "repo/b.py:4",
        "repo/c.py:1",
        "repo/d.py:1",
        "repo/e.py:3",
    ]
    text = "\n".join(found)
    for words in (
        "'One' is not a name",
        "join key 'k' has type Float64",
        "its join key 'k' is Float64, but entity 'One' (repo/a.py:4) has it as Int64",
        "'soon' is not a timedelta",
        "ModuleNotFoundError: No module named 'nothing_of_this_name'",
        "it is not Python",
        "ZeroDivisionError: division by zero",
    ):
        assert words in text


def test_a_module_that_fails_is_told_once_however_many_import_it(repo):
    folder = repo(a="import b", b="import c", c="raise ValueError('no')")
    assert problems(folder) == ["repo/c.py:1: the import failed with ValueError: no"]


def test_an_error_inside_a_library_is_told_at_the_line_of_the_repo(repo):
    assert problems(repo(a="import json\n\njson.loads('{')"))[0].startswith(
        "repo/a.py:3: the import failed with JSONDecodeError"
    )


def test_a_script_that_exits_does_not_end_the_command(repo):
    (found,) = problems(repo(a="import sys\nsys.exit(3)"))
    assert found.startswith("repo/a.py:2: it exits when it is imported")


def test_a_module_that_loads_the_repo_itself_is_told_so(repo):
    folder = repo(
        a="from pathlib import Path\nfrom hitherto.registry import discovery\ndiscovery.load(Path(__file__).parent)"
    )
    (found,) = problems(folder)
    assert found.startswith("repo/a.py:3: it loads a repo while a repo is being loaded")


@pytest.mark.parametrize(("name", "owner"), [("json", "standard library"), ("hitherto", "Hitherto")])
def test_a_file_with_the_name_of_a_library_is_a_problem(repo, name, owner):
    (found,) = problems(repo(**{name: "x = 1"}))
    assert found.startswith(f"repo/{name}.py:1: the name {name!r} belongs to")
    assert owner in found


def test_a_file_that_cannot_be_imported_by_its_name_is_a_problem(repo):
    folder = repo()
    (folder / "my-views.py").write_text(HEAD)
    assert problems(folder) == ["repo/my-views.py:1: 'my-views.py' is not a name that Python can import. Rename it."]


def test_two_different_definitions_of_one_name_are_a_problem_that_names_both(repo):
    folder = repo(a=ENTITIES, b=ENTITIES.replace("String})", 'String}, description="other")'))
    (found,) = problems(folder)
    assert found.startswith("repo/b.py:4: entity 'airport': it is defined a second time, differently")
    assert "repo/a.py:4" in found


def test_two_sources_whose_paths_end_alike_need_names(repo):
    text = (
        HEAD
        + 'x = ParquetSource("a/w.parquet", timestamp_field="t")\ny = ParquetSource("b/w.parquet", timestamp_field="t")'
    )
    (found,) = problems(repo(a=text))
    assert found.startswith("repo/a.py:5: source 'w'")
    assert "Give one of them another name=" in found


def test_the_same_definition_written_twice_is_one(repo):
    assert list(discovery.load(repo(a=ENTITIES, b=ENTITIES)).entities) == ["airport"]


def test_a_value_that_cannot_be_stored_is_a_problem(repo):
    folder = repo(
        a=ENTITIES
        + """
view = FeatureView("v", entities=[airport], source=ParquetSource("x.parquet", timestamp_field="t"), schema=[
    Field("x", Int64, expect=[expect.is_in([range(3)])])])
"""
    )
    found = problems(folder)
    assert [text for text in found if "cannot be stored" in text] == [
        "repo/a.py:7: expect.is_in: it has a value of type range, which cannot be stored; use numbers, texts, bytes, dates, "
        "datetimes, timedeltas, decimals or lists of these."
    ]


def test_a_view_whose_source_is_none_is_a_problem(repo):
    text = ENTITIES + 'view = FeatureView("v", entities=[airport], source="x.parquet", schema=[Field("x", Int64)])\n'
    (found,) = problems(repo(a=text + 'service = FeatureService("s", features=[view])'))
    assert found == "repo/a.py:5: feature view 'v': its source is 'x.parquet'; give source=ParquetSource(...)."


def test_a_transform_is_read_from_beside_its_definition(repo):
    folder = repo(
        entities=ENTITIES,
        weather="from pathlib import Path\n" + WEATHER_FILE.replace("schema=", 'transform=Path("w.sql"), schema='),
    )
    assert "its transform 'w.sql' cannot be read" in problems(folder)[0]
    (folder / "w.sql").write_text("select *\nfrom source\n")
    assert discovery.load(folder).feature_views["airport_weather"].transform == "select *\nfrom source\n"


# -- collect ---------------------------------------------------------------------------------------------------------


def test_objects_of_a_notebook_bring_what_they_are_made_of():
    collected = discovery.collect([SERVICE, EVERYTHING])
    assert names(collected) == {
        "entities": ["airport", "pair"],
        "sources": ["weather", "all_of_it"],
        "feature_views": ["airport_weather", "everything"],
        "on_demand_feature_views": [],
        "feature_services": ["delay_model"],
    }
    assert collected.feature_views["airport_weather"] is VIEW
    assert names(discovery.collect([VIEW.with_name("other"), AIRPORT, WEATHER]))["feature_views"] == ["airport_weather"]


def test_what_is_no_definition_cannot_be_applied():
    with pytest.raises(DefinitionError, match="5 is not an entity"):
        discovery.collect([VIEW, 5])


def test_collect_checks_the_rules():
    other = FeatureView(VIEW.name, entities=[AIRPORT], source=WEATHER, schema=[VIEW.schema[1]])
    with pytest.raises(DefinitionError, match="'airport_weather': it is defined a second time, differently"):
        discovery.collect([VIEW, other])


JOINED_FILE = (
    HEAD
    + """
flights = ParquetSource("flights.parquet", timestamp_field="at")
seats = FeatureView(
    "seats",
    sources={
        "flights": flights,
        "planes": ParquetSource("planes.parquet", timestamp_field="at"),
    },
    transform="select * from flights, planes",
    schema=[Field("x", Float64)],
)
"""
)


def test_all_sources_of_a_joined_view_are_collected_with_their_places(repo):
    loaded = discovery.load(repo(seats=JOINED_FILE))
    assert sorted(loaded.sources) == ["flights", "planes"]
    view = loaded.feature_views["seats"]
    assert [str(source.location) for source in view.all_sources.values()] == ["seats.py:5", "seats.py:10"]


def test_a_joined_view_without_a_usable_source_is_one_problem(repo):
    broken = JOINED_FILE.replace('"flights": flights,', '"Flights": flights,').replace('"planes": ', '"select": ')
    told = problems(repo(seats=broken))
    assert len(told) == 2
    assert all("seats.py:6" in one and "sources= has the name" in one for one in told)
