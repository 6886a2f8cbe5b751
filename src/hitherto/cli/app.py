"""The application: all commands in one table, the options of every command, and `main`, which ends with the exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hitherto.cli import answers, catalog, demo, faults, materialization, operations, repo, runs
from hitherto.cli.output import Output
from hitherto.cli.session import Session
from hitherto.timeline import instant

DEBUG = "HITHERTO_DEBUG"


@dataclass(frozen=True)
class Command:
    """One command: its name, the function that runs it, and examples for its help."""

    name: str
    run: Callable[..., None]
    examples: tuple[str, ...]


SECTIONS: dict[str, tuple[Command, ...]] = {
    "Begin": (
        Command("demo", demo.demo, ("demo", "demo --online valkey", "demo --keep /tmp/flights --json")),
        Command("init", repo.init, ("init", "init --from trips.parquet --key taxi --time pickup_at")),
    ),
    "Define": (
        Command("check", repo.check, ("check",)),
        Command("plan", repo.plan, ("plan", "plan --check")),
        Command("apply", repo.apply, ("apply", "apply --allow-remove")),
    ),
    "Compute": (
        Command(
            "materialize",
            materialization.materialize,
            ("materialize", "materialize 2013-01-01 2013-02-01 --view airport_weather", "materialize --dry-run"),
        ),
        Command(
            "materialize-incremental",
            materialization.materialize_incremental,
            ("materialize-incremental", "materialize-incremental 2013-02-01T06:00Z --view airport_weather"),
        ),
        Command("runs", runs.runs, ("runs --state rejected", "runs r000012")),
        Command("quarantine", runs.quarantine, ("quarantine airport_weather --export bad.parquet",)),
    ),
    "Ask": (
        Command(
            "get-historical-features",
            answers.get_historical_features,
            (
                "get-historical-features --entities labels.sql --service delay_model --full-feature-names --output train.parquet",
                "get-historical-features --entities flights.parquet --features airport_weather:temperature --explain 0",
            ),
        ),
        Command(
            "get-online-features",
            answers.get_online_features,
            (
                "get-online-features --features airport_weather:temperature,airport_weather:visibility --entity airport=JFK",
                "get-online-features --features departure:minutes_to_departure "
                """--entities '[{"scheduled_departure": "2013-07-01T12:30Z"}]' --now 2013-07-01T12:00Z""",
            ),
        ),
    ),
    "Look": (
        Command("list", catalog.list_objects, ("list feature-views",)),
        Command("describe", catalog.describe, ("describe feature-view airport_weather",)),
        Command("lineage", catalog.lineage, ("lineage airport_weather", "lineage airport_weather --format mermaid")),
        Command("verify", operations.verify, ("verify --sample 1000 --instants 20",)),
    ),
    "Operate": (
        Command("serve", operations.serve, ("serve --host 127.0.0.1 --port 6566", "serve --now 2013-07-01T12:00Z")),
        Command("token create", operations.create_token, ("token create notebook --scope read",)),
        Command("doctor", operations.doctor, ("doctor",)),
        Command("version", operations.version, ("version",)),
    ),
}
GLOBAL_OPTIONS = {"--repo": 1, "--env": 1, "--now": 1, "--json": 0, "--debug": 0}
"""Options of every command, and how many values each takes."""
EVERY_COMMAND = "--repo DIR, --env NAME, --json, --now INSTANT and --debug go with every command; hitherto --help tells what they do."


HELP = """A feature store that never looks into the future.

Define features in Python and SQL over Parquet files, check and materialize them, build training sets in which every value
was known at its row's time, and look up the same values online.

\b
Exit codes:
  0  done
  1  a check, a verification or a materialization said no
  2  wrong usage, settings or definitions
  3  the environment: store, disk, network
  4  `plan --check` found changes
  5  a fault of ours
"""
WIDEST_HELP = 100


class Sections(TyperGroup):
    """The commands in the sections of the table, in the order in which they are used."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands into the help."""
        width = max(len(name) for name in self.commands)
        for title, commands in SECTIONS.items():
            names = dict.fromkeys(command.name.partition(" ")[0] for command in commands)
            rows = [
                (name.ljust(width), self.commands[name].get_short_help_str(formatter.width - width - 6))
                for name in names
            ]
            with formatter.section(title):
                formatter.write_dl(rows)


def build() -> typer.Typer:
    """The Typer application, from the table."""
    settings: dict[str, Any] = {
        "rich_markup_mode": None,  # plain help: rich would take as long to load as all the rest
        "pretty_exceptions_enable": False,
        "context_settings": {"max_content_width": WIDEST_HELP},
    }
    app = typer.Typer(cls=Sections, callback=begin, help=HELP, **settings)
    groups: dict[str, typer.Typer] = {}
    for command in (one for commands in SECTIONS.values() for one in commands):
        group, _, name = command.name.rpartition(" ")
        if group and group not in groups:
            groups[group] = typer.Typer(help=GROUPS[group], **settings)
            app.add_typer(groups[group], name=group)
        (groups[group] if group else app).command(name, epilog=_epilog(command))(command.run)
    return app


GROUPS = {"token": "Bearer tokens for the server."}


def _epilog(command: Command) -> str:
    # "\b" keeps a paragraph's lines as they are.
    head = "Example:" if len(command.examples) == 1 else "Examples:"
    return "\n".join(["\b", head, *(f"  hitherto {example}" for example in command.examples), "", EVERY_COMMAND])


def begin(
    context: typer.Context,
    *,
    repo: Annotated[
        Path, typer.Option(metavar="DIR", help="The feature repo: the folder with hitherto.toml.")
    ] = Path(),
    env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Lay [env.NAME] of hitherto.toml over the settings; else HITHERTO_ENV."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on standard output, errors too.")
    ] = False,
    now: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT",
            help="Run, look up and serve as if it were INSTANT (ISO 8601, UTC): for historical data.",
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; so does HITHERTO_DEBUG=1.")
    ] = False,
) -> None:
    """Take the options of every command."""
    moment = None if now is None else instant(now, what="--now")
    context.obj = Session(repo, env, moment, Output(as_json=json, debug=debug or _debug()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. `arguments` are those of the process if not given."""
    given = hoist(list(sys.argv[1:] if arguments is None else arguments))
    # Known before parsing: also a call that cannot be parsed is answered as it was asked for.
    output = Output(as_json="--json" in given, debug="--debug" in given or _debug())
    os.environ.pop(DEBUG, None)
    _prepare_streams()
    try:
        code = typer.main.get_command(build()).main(given or ["--help"], prog_name="hitherto", standalone_mode=False)
        if code == faults.INTERRUPTED:
            raise KeyboardInterrupt
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  (whatever it is: a message and an exit code, no traceback)
        return faults.tell(output, error)
    return code if isinstance(code, int) else 0


def hoist(arguments: list[str]) -> list[str]:
    """The options of every command, moved to the front, wherever they stand.

    >>> hoist(["plan", "--json", "--repo", "flights"])
    ['--json', '--repo', 'flights', 'plan']
    """
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, _ = argument.partition("=")
        if argument == "--":
            rest += [argument, *waiting]
        elif name in GLOBAL_OPTIONS:
            front.append(argument)
            if GLOBAL_OPTIONS[name] and not equals:
                front += [value for value in [next(waiting, None)] if value is not None]
        else:
            rest.append(argument)
    return front + rest


def _debug() -> bool:
    return os.environ.get(DEBUG, "").lower() not in ("", "0", "false", "no")


def _prepare_streams() -> None:
    """A terminal that cannot show a character gets an escape; what the rooms log as a warning reaches people."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
