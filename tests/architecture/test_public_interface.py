"""What `import hitherto` gives: about thirty documented names, each loaded when it is used, and no engine."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hitherto

ROOT = Path(__file__).parents[2]
ENGINES = {
    "duckdb",
    "fastapi",
    "hiredis",
    "lmdb",
    "msgspec",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "pydantic",
    "redis",
    "rich",
    "sqlglot",
    "sqlite3",
    "starlette",
    "typer",
    "uvicorn",
}
# Of the standard library and our own; a bare Python has about 40 of them already.
MOST_MODULES = 130


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh Python has after some code."""
    command = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=ROOT / "src", env={"PATH": ""}
    )
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_no_engine_and_little_else():
    before, after = loaded_by(""), loaded_by("import hitherto")
    assert not after & ENGINES
    assert len(after - before) <= 40  # importlib and typing


@pytest.mark.parametrize(
    "names", ["Entity, Field, FeatureView, FeatureService, ParquetSource, expect", "HithertoError"]
)
def test_definitions_and_errors_load_no_engine(names: str):
    after = loaded_by(f"from hitherto import {names}")
    assert not after & ENGINES
    assert len(after) <= MOST_MODULES


def test_there_are_about_thirty_public_names_in_order():
    assert 20 <= len(hitherto.__all__) <= 45
    assert list(hitherto.__all__) == sorted(set(hitherto.__all__))


@pytest.mark.parametrize("name", hitherto.__all__)
def test_a_public_name_is_there_and_documented(name: str):
    value = getattr(hitherto, name)
    if name != "__version__":
        assert len(inspect.getdoc(value) or "") > 20


def test_type_checkers_see_the_same_names():
    source = Path(hitherto.__file__ or "").read_text(encoding="utf-8")
    block = source.split("if TYPE_CHECKING:", 1)[1].split("\n\n", 1)[0]
    seen = set(re.findall(r"^\s+([A-Za-z]\w+),?$", block, flags=re.MULTILINE))
    seen |= {
        name.strip() for line in re.findall(r"import ([\w, ]+)$", block, flags=re.MULTILINE) for name in line.split(",")
    }
    assert seen | {"__version__"} == set(hitherto.__all__)


def test_dir_lists_the_public_names():
    assert dir(hitherto) == sorted(hitherto.__all__)


@pytest.mark.parametrize("name", ["FeatureStor", "_secret", "import_modules"])
def test_an_unknown_name_is_an_attribute_error(name: str):
    with pytest.raises(AttributeError, match=name):
        getattr(hitherto, name)


def test_the_version_is_a_version_and_the_changelog_knows_it():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", hitherto.__version__)
    assert f"## [{hitherto.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_dependency_has_its_reason_beside_it():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(text)["project"]
    declared = [
        *settings["dependencies"],
        *(one for extra in settings["optional-dependencies"].values() for one in extra),
    ]
    for dependency in declared:
        if not dependency.startswith("hitherto["):
            line = next(line for line in text.splitlines() if f'"{dependency}"' in line)
            assert re.search(r",\s+# \S.{7,}", line), dependency
