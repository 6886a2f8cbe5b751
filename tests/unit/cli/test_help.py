"""The help of every command, as one golden file. `python tests/unit/cli/test_help.py` writes it anew."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from hitherto.cli import main
from hitherto.cli.app import SECTIONS

GOLDEN = Path(__file__).parents[2] / "golden" / "cli_help.txt"


def every_help() -> str:
    names = [command.name for commands in SECTIONS.values() for command in commands]
    parts = []
    for name in ("", *names):
        written = io.StringIO()
        with contextlib.redirect_stdout(written):
            assert main([*name.split(), "--help"]) == 0
        parts.append(f"$ hitherto{' ' if name else ''}{name} --help\n{written.getvalue().strip()}\n")
    return "\n\n".join(parts)


def test_the_help_is_what_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert every_help() == GOLDEN.read_text(encoding="utf-8"), f"if it is meant to be: python {Path(__file__).name}"


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    GOLDEN.write_text(every_help(), encoding="utf-8")
