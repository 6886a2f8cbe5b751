"""What the pages show is what happens: their Python and their commands run, in order, and print what the page says."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from documentation.blocks import BEGINNINGS, PAGES, Block, beginning, blocks, name_of
from hitherto.cli import main

# A server runs until it is stopped, and the demo has tests of its own.
NOT_RUN = ("serve", "demo")
RUNS = [page for page in PAGES if blocks(page, "python", "sh")]
_SHOWN = re.compile(r"# ?> ?(.*)")
_EXIT = re.compile(r"#.*\bexit code (\d)")
_VARIABLE = re.compile(r"[A-Z_]+=.*")


@pytest.mark.parametrize("page", RUNS, ids=name_of)
def test_the_blocks_of_a_page_run_in_order_and_print_what_it_says(
    page: Path, desk: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    begin = beginning(page)
    if begin is not None:
        assert begin in BEGINNINGS
        folder: Path = request.getfixturevalue("materialized" if begin.endswith("materialized") else "example")
        shutil.copytree(folder, desk / "feature_repo")
    names: dict[str, object] = {"__name__": "__main__"}
    said = ""
    with undisturbed():
        for block in blocks(page, "python", "sh", "text"):
            if block.language == "python":
                run_python(block, names)
                said = ""
            elif block.language == "sh":
                said = run_commands(block, monkeypatch)
            elif said:
                check_shown(block, said)


@contextmanager
def undisturbed() -> Iterator[None]:
    """The process as it was: a page may load definitions and change its folder."""
    path, folder = list(sys.path), Path.cwd()
    try:
        yield
    finally:
        sys.path[:] = path
        os.chdir(folder)


def run_python(block: Block, names: dict[str, object]) -> None:
    """Run a block at its place in the page, so that errors and definitions name the page's line."""
    code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
    shown = "\n".join(found[1] for line in block.text.splitlines() if (found := _SHOWN.match(line)))
    printed = captured(lambda: exec(code, names))
    if shown:
        assert lines_of(printed) == lines_of(shown), f"{block}: it prints\n{printed}"


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def captured(work: Callable[[], object]) -> str:
    printed = io.StringIO()
    with redirect_stdout(printed):
        work()
    return printed.getvalue()


def run_commands(block: Block, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the `hitherto` commands of a block; what the last one printed."""
    said = ""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        with monkeypatch.context() as variables:
            while words and _VARIABLE.fullmatch(words[0]):
                variables.setenv(*words.pop(0).split("=", 1))
            if words[:1] == ["cd"]:
                os.chdir(words[1])
            elif words[:1] == ["hitherto"] and not set(NOT_RUN) & set(words) and "--help" not in words:
                said = run_command(block, line, words[1:])
    return said


def run_command(block: Block, line: str, words: list[str]) -> str:
    printed, told = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(told):
        code = main(words)
    expected = _EXIT.search(line)
    assert code == (int(expected[1]) if expected else 0), f"{block}: {line}\n{printed.getvalue()}{told.getvalue()}"
    return printed.getvalue() + told.getvalue()


def check_shown(block: Block, said: str) -> None:
    """Every line of what the page shows is in what was printed; `...` is anything, white space does not count."""
    printed = [" ".join(line.split()) for line in said.splitlines()]
    for line in block.text.splitlines():
        parts = [re.escape(" ".join(part.split())) for part in line.split("...")]
        pattern = re.compile(r"\s*.*?\s*".join(parts))
        assert any(pattern.fullmatch(one) for one in printed), f"{block}: nobody printed {line!r} in\n{said}"
