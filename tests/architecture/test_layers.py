"""The house of ARCHITECTURE.md as failing checks: layers, fences around third parties, sizes."""

from __future__ import annotations

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "hitherto"
MODULES = sorted(PACKAGE.rglob("*.py"))
OURS = [*MODULES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]

LONGEST_FILE = 600
LONGEST_FUNCTION = 60
MOST_POSITIONAL = 6

# Who may import what. Everybody else speaks Arrow.
FENCES = {
    "duckdb": ("offline/duckdb", "sources", "validation"),
    "redis": ("online/redis",),
    "hiredis": ("online/redis",),
    "lmdb": ("online/embedded",),
    "fastapi": ("serving",),
    "starlette": ("serving",),
    "uvicorn": ("serving",),
    "prometheus_client": ("serving",),
    "pandas": ("frames",),
    "polars": ("frames", "on_demand"),
    "pydantic_settings": ("config",),
    "sqlglot": ("sources", "validation"),
    "sqlite3": ("registry",),
    "typer": ("cli",),
    "rich": ("cli",),
    "pickle": (),
    "requests": (),
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The packages that a module imports at run time, wherever it does; annotations may name any."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0], node.lineno


def test_no_layer_imports_a_higher_one():
    linter = Path(sys.executable).with_name("lint-imports")
    command = str(linter) if linter.exists() else shutil.which("lint-imports")
    assert command, "import-linter is a development dependency"
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_that_is_there_is_held_to_the_map():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    being_built = {name for layer in layers for name in re.findall(r"\((\w+)\)", layer)}
    there = {name for name in being_built if list((PACKAGE / name).glob("*.py")) or (PACKAGE / f"{name}.py").exists()}
    assert not there, "take the brackets away in [tool.importlinter]"


def test_third_parties_stay_behind_their_fences():
    broken = []
    for path, tree in trees():
        room = path.relative_to(PACKAGE).with_suffix("").as_posix()
        broken += [
            f"{relative(path)}:{line} imports {package}"
            for package, line in imported(tree)
            if package in FENCES and not any(f"{room}/".startswith(f"{one}/") for one in FENCES[package])
        ]
    assert not broken


def test_a_module_opens_by_saying_what_lives_there():
    assert not [relative(path) for path, tree in trees() if tree.body and not ast.get_docstring(tree)]


def test_files_stay_short():
    long = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {path: lines for path, lines in long.items() if lines > LONGEST_FILE}


def test_functions_and_parameter_lists_stay_short():
    broken = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            positional = [
                one.arg for one in (*node.args.posonlyargs, *node.args.args) if one.arg not in ("self", "cls")
            ]
            if length > LONGEST_FUNCTION:
                broken.append(f"{relative(path)}:{node.lineno} {node.name} has {length} lines")
            if len(positional) > MOST_POSITIONAL:
                broken.append(
                    f"{relative(path)}:{node.lineno} {node.name} takes {len(positional)} positional parameters"
                )
    assert not broken


def test_an_ignore_names_its_rule_and_its_reason():
    ignore = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:\s*no (cover|branch))")
    complete = re.compile(r"#\s*(noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*|type: ignore\[[\w, -]+\]|pragma: no \w+)\W+\w+\W+\w+")
    broken = [
        f"{relative(path)}:{line} {comment}"
        for path in OURS
        for line, comment in comments(path)
        if ignore.search(comment) and not complete.search(comment)
    ]
    assert not broken, "write the rule and, after it, why"


def test_nothing_is_left_for_later():
    later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert not [f"{relative(path)}:{line}" for path in OURS for line, text in comments(path) if later.search(text)]


def test_modules_and_classes_have_no_empty_words_for_names():
    classes = re.compile(r"(Base|Manager|Provider|Helper|Helpers|Util|Utils)$")
    modules = re.compile(r"(^|_)(base|manager|provider|helpers?|utils?|misc|common)$")
    broken = [relative(path) for path in MODULES if modules.search(path.stem)]
    for path, tree in trees():
        broken += [
            f"{relative(path)}:{node.lineno} {node.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and classes.search(node.name)
        ]
    assert not broken


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES]


@cache
def comments(path: Path) -> list[tuple[int, str]]:
    tokens = tokenize.tokenize(io.BytesIO(path.read_bytes()).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
