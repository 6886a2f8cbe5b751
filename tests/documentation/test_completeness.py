"""Nothing public is without a word: names, methods, commands, options, settings, routes, errors, checks, types, metrics."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import hitherto
from documentation.blocks import DOCS, PAGES, ROOT, blocks, name_of
from hitherto import FeatureStore, RunReport, errors, events, testing, types
from hitherto.cli import app
from hitherto.cli.faults import CHANGES, ENVIRONMENT, FAULT, INTERRUPTED, SAID_NO, USAGE
from hitherto.config.settings import Settings, known_settings
from hitherto.definitions import expectation
from hitherto.online.answer import Status
from hitherto.serving import problems
from hitherto.serving.app import create_app
from hitherto.serving.metrics import Metrics
from hitherto.testing import FakeClock


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


# -- Python ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hitherto.__all__)
def test_a_public_name_has_a_line_in_the_python_page(name: str):
    assert re.search(rf"^\| `{name}` \| \S.{{10,}}", page("python.md"), flags=re.MULTILINE)


def test_the_python_page_names_every_method_of_the_facade():
    methods = {name for name, value in inspect.getmembers(FeatureStore) if not name.startswith("_")}
    methods |= {"config", "clock"}
    section = page("python.md").split("## FeatureStore", 1)[1].split("\n## ", 1)[0]
    assert not {name for name in methods if not re.search(rf"`{name}[`(]", section)}


def test_the_python_page_names_what_its_other_modules_have():
    text = page("python.md")
    told = {name for name, value in vars(events).items() if dataclasses.is_dataclass(value)} - {"Observers", "Interval"}
    told |= set(testing.__all__) | (set(types.__all__) - {"Decimal", "List", "Struct"})
    assert not {name for name in told if f"`{name}`" not in text}
    assert all(f"`{name}(" in text for name in ("Decimal", "List", "Struct"))


def test_a_run_report_is_described_field_by_field():
    assert all(f"`{one.name}`" in page("materialization.md") for one in dataclasses.fields(RunReport))


# -- definitions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*expectation.ROW_KINDS, *expectation.WHOLE_KINDS])
def test_a_check_has_a_line_and_an_example(kind: str):
    text = page("definitions.md")
    assert f"| `expect.{kind}(" in text
    assert any(f"expect.{kind}(" in block.text for block in blocks(DOCS / "definitions.md", "python"))


@pytest.mark.parametrize("severity", expectation.SEVERITIES)
def test_a_severity_is_described(severity: str):
    assert f'| `"{severity}"`' in page("definitions.md")


def test_the_table_of_types_has_every_type():
    table = page("definitions.md").split("## Types", 1)[1].split("```", 1)[0]
    assert not {name for name in types.__all__ if name != "DataType" and not re.search(rf"`{name}[`(]", table)}


@pytest.mark.parametrize("kind", ["Entity", "ParquetSource", "FeatureView", "Field", "FeatureService"])
def test_the_definitions_page_uses_every_argument_of_an_object(kind: str):
    shown = "".join(block.text for block in blocks(DOCS / "definitions.md", "python"))
    # What an object is given first, without its name; `location` is filled in by itself.
    first = {"name", "location", "path", "dtype", "schema"}
    arguments = {one.name for one in dataclasses.fields(getattr(hitherto, kind))} - first
    assert not {name for name in arguments if f"{name}=" not in shown}


@pytest.mark.parametrize("status", [one.value for one in Status])
def test_a_status_is_described(status: str):
    assert f"| `{status}` |" in page("online.md")
    assert f"| `{status}` |" in page("semantics.md")


# -- command line ------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, Any]]:
    tree: Any = typer.main.get_command(app.build())
    for name, command in tree.commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        else:
            yield from ((f"{name} {other}", one) for other, one in inner.items())


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda one: one if isinstance(one, str) else "")
def test_a_command_has_a_section_with_its_options_and_an_example(name: str, command: Any):
    sections = re.split(r"^### hitherto ", page("cli.md"), flags=re.MULTILINE)
    section = next((one for one in sections if one.startswith(f"{name}\n")), "")
    assert section, f"docs/cli.md has no section about {name}"
    options = {option for one in command.params for option in one.opts if option.startswith("--")} - {"--help"}
    assert not {option for option in options if option not in section}
    words = name.split()
    assert any(
        line.split("#")[0].find(f" {name}") > 0
        for block in re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
        for line in block.splitlines()
        if line.strip() and words[0] in line
    )


def test_the_options_of_every_command_are_described():
    tree: Any = typer.main.get_command(app.build())
    options = {option for one in tree.params for option in one.opts} | set(app.GLOBAL_OPTIONS)
    assert not {option for option in options if f"`{option}" not in page("cli.md")}


@pytest.mark.parametrize("code", [0, SAID_NO, USAGE, ENVIRONMENT, CHANGES, FAULT, INTERRUPTED])
@pytest.mark.parametrize("name", ["cli.md", "troubleshooting.md"])
def test_an_exit_code_is_described(name: str, code: int):
    assert re.search(rf"^\| {code} \| `?\w", page(name), flags=re.MULTILINE)


# -- settings ----------------------------------------------------------------------------------------------------------


def settings_lines(model: type[BaseModel] = Settings, table: str = "") -> Iterator[str]:
    """The lines of the table in docs/settings.md, from the settings themselves."""
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings_lines(inner, f"{table}{name}.")
        else:
            default = "" if info.default in (None, PydanticUndefined) else f"`{info.default}` "
            yield f"| `{table}{name}` | {default}| {info.description} |"


def test_the_table_of_settings_is_what_the_settings_are():
    section = page("settings.md").split("## Every setting", 1)[1]
    shown = [line for line in section.splitlines() if line.startswith("| `")]
    assert shown == list(settings_lines())
    assert len(shown) == len(list(known_settings()))


def toml_blocks() -> Iterator[tuple[Path, str]]:
    for one in PAGES:
        for block in blocks(one, "toml"):
            yield one, block.text


@pytest.mark.parametrize(
    ("where", "text"), list(toml_blocks()), ids=lambda one: name_of(one) if isinstance(one, Path) else ""
)
def test_settings_that_a_page_shows_are_settings(where: Path, text: str):
    document = tomllib.loads(text)
    tables = [document, *document.pop("env", {}).values()]
    named = {
        f"{table}.{name}" if isinstance(inner, dict) else table
        for one in tables
        for table, inner in one.items()
        for name in (inner if isinstance(inner, dict) else [""])
    }
    assert named <= {name for name, _ in known_settings()}


# -- HTTP --------------------------------------------------------------------------------------------------------------


def test_the_http_page_has_every_route_and_its_method(materialized: Path):
    with FeatureStore(materialized, clock=FakeClock("2013-12-27T18:00Z")) as store:
        paths = create_app(store).openapi()["paths"]
    assert len(paths) >= 5
    routes = [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]
    assert not [route for route in [*routes, "GET /docs", "GET /openapi.json"] if f"`{route}`" not in page("http.md")]


def test_the_http_page_has_every_kind_of_problem_with_its_status():
    for kind in problems._KINDS.values():
        assert re.search(rf"^\| {kind.status} \|[^|]*`{kind.kind}`", page("http.md"), flags=re.MULTILINE), kind
    assert not [kind for kind in problems._TITLES if kind != "disconnected" and f"`{kind}`" not in page("http.md")]


def test_the_http_page_has_every_metric():
    families = {name.decode() for name in re.findall(rb"^# TYPE (\w+) ", Metrics().text(), flags=re.MULTILINE)}
    assert not [name for name in families if not name.endswith("_created") and f"`{name}`" not in page("http.md")]


# -- errors ------------------------------------------------------------------------------------------------------------


ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.HithertoError) and value is not errors.HithertoError
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_is_described_with_its_exit_code(error: type[errors.HithertoError]):
    assert f"| `{error.__name__}` | {error.exit_code} |" in page("troubleshooting.md")


# -- the rules and the house -------------------------------------------------------------------------------------------


SECTIONS = 12


def test_the_semantics_have_numbered_sections_and_their_deviations():
    *numbered, last = re.findall(r"^## (.+)$", page("semantics.md"), flags=re.MULTILINE)
    assert [heading.split(".")[0] for heading in numbered] == [str(number) for number in range(1, SECTIONS + 1)]
    assert last == "Deviations and additions"


def test_deviations_have_letters_of_their_own_in_order():
    found = re.findall(r"^\| ([a-z]+) \| ", page("semantics.md").split("## Deviations and additions")[1], re.MULTILINE)
    assert len(found) > 26
    assert found == [*ascii_lowercase, *(f"a{letter}" for letter in ascii_lowercase)][: len(found)]


def test_code_and_tests_refer_to_sections_that_are_there():
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *ROOT.glob("*.md")]
    found = {
        int(number)
        for file in files
        for numbers in re.findall(r"\bsemantics (\d+(?:(?:, | and |-)\d+)*)", file.read_text(encoding="utf-8"))
        for number in re.findall(r"\d+", numbers)
    }
    assert found <= set(range(1, SECTIONS + 1))
    assert found >= {1, 2, 3, 4, 5, 6, 7, 8, 9}


def rooms() -> list[str]:
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Rooms", 1)[1].split("\n## ", 1)[0]
    return [
        room
        for line in table.splitlines()
        if line.startswith("| `")
        for room in re.findall(r"`(\w+)`", line.split("|")[1])
    ]


def test_the_rooms_of_the_map_are_the_rooms_of_the_house():
    there = {
        one.name.removesuffix(".py")
        for one in (ROOT / "src" / "hitherto").iterdir()
        if not one.name.startswith("_") and (one.suffix == ".py" or (one / "__init__.py").exists())
    }
    assert sorted(rooms()) == sorted(there)


def test_files_and_functions_that_the_map_names_are_there():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    source = ROOT / "src" / "hitherto"
    for path in re.findall(r"`([\w/]+/\w+\.py|[\w/]+/)`", text):
        assert (source / path).exists() or list(source.rglob(path)), path
    for owner, name in re.findall(r"`(\w+)\.(\w+)(?:\(\))?`", text.split("## Walks", 1)[1]):
        if name in ("py", "tmp", "toml", "pending", "md") or owner == "training":
            continue
        assert is_there(source, owner, name), f"{owner}.{name}"


def is_there(source: Path, owner: str, name: str) -> bool:
    """Whether a module or a class has a function of a name."""
    definition = re.compile(rf"^(?P<indent> *)(async )?def {name}\b", flags=re.MULTILINE)
    if owner[0].isupper():
        files = [
            file for file in source.rglob("*.py") if re.search(rf"^class {owner}\b", file.read_text("utf-8"), re.M)
        ]
    else:
        # `store` in a walk is the protocol; the others are modules, or the room's own folder.
        files = [*source.rglob(f"{owner}.py"), *source.rglob(f"{owner}/*.py")]
    return any(definition.search(file.read_text("utf-8")) for file in files)


# -- pages -------------------------------------------------------------------------------------------------------------


def test_every_page_is_in_the_index():
    listed = set(re.findall(r"\]\(([\w.]+\.md)", page("index.md")))
    assert {one.name for one in DOCS.glob("*.md")} - {"index.md"} <= listed


def json_blocks() -> Iterator[tuple[Path, str]]:
    for one in PAGES:
        for block in blocks(one, "json"):
            yield one, block.text


@pytest.mark.parametrize(
    ("where", "text"), list(json_blocks()), ids=lambda one: name_of(one) if isinstance(one, Path) else ""
)
def test_json_that_a_page_shows_is_json(where: Path, text: str):
    assert json.loads(text)
