from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from hitherto.cli import demo, main
from hitherto.cli.output import Output
from hitherto.demo import report, story
from hitherto.demo.telling import Grid, Section, Words
from hitherto.monitoring.parity import ParityReport

SECTION = Section(
    "Title", "Why [not].", (Grid([("a", Words("1.5", "good")), ("bcd", "22")], ("x", ">y")), Words("line"))
)


def with_consoles(*, terminal: bool, as_json: bool = False) -> tuple[Output, io.StringIO, io.StringIO]:
    output, out, err = Output(as_json=as_json), io.StringIO(), io.StringIO()
    for name, stream in (("console", out), ("messages", err)):
        console = Console(file=stream, force_terminal=terminal, markup=False, highlight=False, width=40)
        output.__dict__[name] = console
    return output, out, err


def test_a_section_is_a_title_why_and_columns_without_trailing_blanks():
    output, out, _ = with_consoles(terminal=False)
    demo.Teller(output).tell(SECTION)
    assert out.getvalue() == "1  Title\n   Why [not].\n   x      y\n   a    1.5\n   bcd   22\n   line\n\n"


def test_no_line_is_broken_so_that_commands_can_be_copied():
    output, out, _ = with_consoles(terminal=True)
    demo.Teller(output).tell(Section("Next", "Why.", [Words("hitherto " + "x" * 60)]))
    assert "hitherto " + "x" * 60 in out.getvalue()


def test_control_characters_do_not_reach_the_terminal():
    output, out, _ = with_consoles(terminal=False)
    demo.Teller(output).tell(Words("a\x1b[31mb"))
    assert out.getvalue() == "a\\x1b[31mb\n\n"


def test_sections_are_counted_from_one():
    output, out, _ = with_consoles(terminal=False)
    teller = demo.Teller(output)
    teller.tell(SECTION)
    teller.tell(SECTION)
    assert [line for line in out.getvalue().splitlines() if "Title" in line] == ["1  Title", "2  Title"]


def test_as_json_nothing_is_told():
    output, out, _ = with_consoles(terminal=False, as_json=True)
    demo.Teller(output).tell(SECTION)
    assert out.getvalue() == ""


def test_in_a_terminal_a_spinner_goes_before_a_section_is_printed():
    output, out, err = with_consoles(terminal=True)
    teller = demo.Teller(output)
    teller.step("Reading")
    teller.step("Writing")
    teller.tell(SECTION)
    ended = len(err.getvalue())
    assert "Title" in out.getvalue()
    # It has given the cursor back.
    assert err.getvalue().rfind("\x1b[?25h") > err.getvalue().rfind("\x1b[?25l")
    teller.pause()
    assert len(err.getvalue()) == ended


@pytest.mark.parametrize(
    ("called", "on_path", "expected"),
    [
        ("/usr/bin/hitherto", "/usr/bin/hitherto", "hitherto"),
        (".venv/bin/hitherto", None, ".venv/bin/hitherto"),
        ("/usr/lib/pytest/__main__.py", None, "hitherto"),
    ],
)
def test_commands_are_told_as_they_can_be_called(
    called: str, on_path: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setattr("shutil.which", lambda name: on_path)
    assert demo.program() == expected


def test_a_parity_that_is_not_whole_ends_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = ParityReport(checked=2, equal=1, mismatches=(SimpleNamespace(),))  # type: ignore[arg-type]  # only its being there counts
    findings = SimpleNamespace(parity=SimpleNamespace(whole=whole), to_json=dict)
    monkeypatch.setattr(story, "play", lambda stage, tell: findings)
    monkeypatch.setattr(story, "tell_closing", lambda stage, findings, **places: SECTION)
    monkeypatch.setattr(report, "write_report", lambda path, stage, findings: path)
    assert main(["demo", "--keep", str(tmp_path / "demo")]) == 1
