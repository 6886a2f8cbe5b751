from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hitherto.cli import app, faults, main
from hitherto.cli.app import SECTIONS, hoist

SRC = Path(app.__file__).parents[2]
COMMANDS = [command for commands in SECTIONS.values() for command in commands]
HEAVY = {"duckdb", "pyarrow", "numpy", "pydantic", "sqlite3", "sqlglot", "msgspec", "lmdb", "redis", "fastapi", "rich"}
VERBS = {
    "init", "check", "plan", "apply", "materialize", "materialize-incremental", "get-historical-features", "get-online-features",
    "list", "describe", "runs", "quarantine", "lineage", "verify", "serve", "token create", "doctor", "version",
}  # fmt: skip


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=SRC,
        env={**kept, "PYTHONPATH": str(SRC), **environment},
    )


def hitherto_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return python(f"import sys; from hitherto.cli import main; sys.exit(main({list(arguments)!r}))", **environment)


def test_every_verb_of_the_interface_is_there():
    assert {command.name for command in COMMANDS} >= VERBS


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_with_an_example_that_parses(command, hitherto):
    told = hitherto(*command.name.split(), "--help")
    assert told.code == 0
    assert len(told.out.split("Options:")[0].splitlines()) >= 3
    assert f"hitherto {command.name}" in told.out.split("Example")[1]
    assert all(example.startswith(command.name) for example in command.examples)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_list_of_commands_says_in_one_line_what_each_does(command, hitherto):
    line = next(
        line for line in hitherto("--help").out.splitlines() if line.startswith(f"  {command.name.split()[0]} ")
    )
    assert not line.endswith("...")
    assert line.endswith(".")


def test_without_a_command_the_help_is_shown(hitherto):
    assert hitherto().out == hitherto("--help").out
    assert hitherto().code == 0


def test_the_help_loads_no_engine():
    done = python("import sys; from hitherto.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)")
    assert done.stdout.startswith("Usage: hitherto")
    assert not HEAVY & set(done.stderr.split())


def test_the_version_loads_no_engine():
    done = python("import sys; from hitherto.cli import main; main(['version']); print(*sys.modules, file=sys.stderr)")
    assert done.stdout.startswith("hitherto")
    # rich prints the table, and Typer reads options with pydantic.
    assert not (HEAVY - {"rich", "pydantic"}) & set(done.stderr.split())


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["plan", "--json"], ["--json", "plan"]),
        (["materialize", "2013-01-01", "--now", "2014-01-01", "--view", "a"], ["--now", "2014-01-01", "materialize", "2013-01-01", "--view", "a"]),
        (["--repo=x", "plan", "--env=prod", "--debug"], ["--repo=x", "--env=prod", "--debug", "plan"]),
        (["describe", "run", "--", "--json"], ["describe", "run", "--", "--json"]),
        (["plan", "--repo"], ["--repo", "plan"]),
    ],
)  # fmt: skip
def test_options_of_every_command_may_stand_anywhere(given, wanted):
    assert hoist(given) == wanted


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["plann"], "Did you mean 'plan'?"),
        (["plan", "--chek"], "--check"),
        (["describe"], "Missing argument 'KIND'"),
        (["token"], "Missing command"),
        (["runs", "--limit", "many"], "--limit"),
        (["plan", "--now", "yesterday"], "not an ISO 8601 instant"),
        (["list", "feature-vews"], "Did you mean 'feature-views'?"),
    ],
)
def test_wrong_usage_is_two_and_says_what_would_be_right(arguments, told, hitherto, materialized):
    outcome = hitherto(*arguments, repo=materialized)
    assert outcome.code == faults.USAGE
    assert told in outcome.err
    assert outcome.out == ""


def test_with_json_an_error_is_one_document_too(hitherto, tmp_path):
    outcome = hitherto("plan", "--json", repo=tmp_path)
    assert outcome.code == faults.USAGE
    assert outcome.document["error"]["type"] == "ConfigError"
    assert "hitherto init" in outcome.document["error"]["message"]
    assert outcome.err == ""


def test_with_json_a_call_that_cannot_be_parsed_is_one_document_too(hitherto):
    outcome = hitherto("plann", "--json")
    assert outcome.document["error"]["exit_code"] == outcome.code == faults.USAGE


def test_an_unexpected_error_is_five_without_a_traceback(hitherto, monkeypatch):
    monkeypatch.setattr(app, "build", lambda: {}["gone"])
    outcome = hitherto("plan")
    assert outcome.code == faults.FAULT
    assert "KeyError: 'gone'" in outcome.err
    assert "report it" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("how", ["--debug", "HITHERTO_DEBUG"])
def test_the_traceback_is_shown_on_demand(how, hitherto, monkeypatch, tmp_path):
    if how == "HITHERTO_DEBUG":
        monkeypatch.setenv(how, "1")
    outcome = hitherto("plan", *([how] if how.startswith("--") else []), repo=tmp_path)
    assert "Traceback" in outcome.err
    assert outcome.code == faults.USAGE


def test_debug_is_no_setting_of_a_project(hitherto, monkeypatch, materialized):
    monkeypatch.setenv("HITHERTO_DEBUG", "1")
    assert hitherto("plan", repo=materialized).code == 0


def test_an_interrupt_ends_with_a_sentence(hitherto, monkeypatch):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "build", interrupted)
    outcome = hitherto("plan")
    assert outcome.code == faults.INTERRUPTED
    assert "Nothing that was published is touched" in outcome.err


def test_what_goes_into_a_pipe_has_no_colours(materialized):
    done = hitherto_process("--repo", str(materialized), "runs")
    assert done.returncode == 0
    assert "published" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_no_color_is_respected_in_a_terminal(materialized):
    pty = pytest.importorskip("pty", reason="a terminal to write to is a matter of POSIX")
    colours = {}
    for name in ("", "1"):
        reading, writing = pty.openpty()
        code = f"import sys; from hitherto.cli import main; sys.exit(main(['--repo', {str(materialized)!r}, 'runs']))"
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "PYTHONPATH": str(SRC),
            "NO_COLOR": name,
            "COLUMNS": "100",
        }
        with subprocess.Popen([sys.executable, "-c", code], stdout=writing, env=environment) as process:
            assert process.wait(timeout=60) == 0
        os.close(writing)
        colours[name] = "\x1b[32m" in os.read(reading, 65536).decode()
        os.close(reading)
    assert colours == {"": True, "1": False}


def test_a_reader_that_goes_away_is_no_fault(materialized):
    code = f"""
import os, sys
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
from hitherto.cli import main
sys.exit(main(["--repo", {str(materialized)!r}, "runs"]))
"""
    done = python(code)
    assert done.returncode == 141
    assert done.stderr == ""


def test_characters_that_a_terminal_cannot_show_are_escaped(hitherto, tmp_path):
    done = hitherto_process("--repo", str(tmp_path / "Größe"), "plan", PYTHONIOENCODING="ascii")
    assert done.returncode == faults.USAGE
    assert "Gr\\xf6\\xdfe" in done.stderr


def test_a_json_document_is_all_that_is_on_standard_output(repo):
    done = hitherto_process("--repo", str(repo), "materialize-incremental", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_the_entry_point_of_the_package_is_this_one():
    assert main is app.main


def test_the_module_runs_as_the_script_does(tmp_path):
    call = [sys.executable, "-m", "hitherto", "--repo", str(tmp_path), "plan"]
    done = subprocess.run(call, capture_output=True, check=False, cwd=SRC, env={**os.environ, "PYTHONPATH": str(SRC)})
    assert done.returncode == faults.USAGE
