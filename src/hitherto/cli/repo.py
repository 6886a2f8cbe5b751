"""Commands on a repo and what is deployed of it: init, check, plan, apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hitherto.cli import faults
from hitherto.cli.output import count, printable, styled
from hitherto.cli.session import session

if TYPE_CHECKING:
    from rich.console import Console

    from hitherto.definitions.collection import Definitions
    from hitherto.registry.diff import Plan

STYLES = {"+": "green", "~": "yellow", "^": "cyan", "-": "red"}
"""The mark that a plan's line begins with -> its colour."""


def init(
    context: typer.Context,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FILE", help="Your Parquet: a file, a glob, a folder, or an s3:// or gs:// path."
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column that identifies what the rows are about; repeat for several."),
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the event time: when the fact of a row happened.")
    ] = None,
) -> None:
    """Write a feature repo that runs at once.

    Settings and typed definitions, for a Parquet file of yours or for a small sample. The types are those of the file; names
    that are no names (capitals, blanks) are mapped with source_column. Nothing that exists is overwritten.
    """
    from hitherto.cli import scaffold

    here = session(context)
    made = scaffold.write(here.repo, data=data, keys=key or [], time=time)
    lookup = f"get-online-features --features {made.view}:{made.features[0]}{made.entity_options}"
    following = [here.command(command) for command in ("apply", "materialize", lookup)]

    def render(console: Console) -> None:
        console.print(styled(f"Wrote {', '.join(str(path) for path in made.written)}"))
        console.print(
            styled(f"Feature view {made.view!r}: {count(len(made.features), 'feature')} of {', '.join(made.keys)}")
        )
        for note in made.notes:
            console.print(styled(printable(note), "yellow"))
        console.print(styled("\nNext:", "bold"))
        for command in following:
            console.print(styled(f"  {command}"))

    document = {
        "written": [str(path) for path in made.written],
        "feature_view": made.view,
        "join_keys": made.keys,
        "features": made.features,
        "notes": made.notes,
        "next": following,
    }
    here.output.show(document, render)


def check(
    context: typer.Context,
    *,
    transforms: Annotated[
        bool,
        typer.Option(
            "--transforms",
            help="Also run each transform on the rows and on parts of them: which sees the future, or further back than its lookback.",
        ),
    ] = False,
) -> None:
    """Check definitions and sources, all at once.

    Reads the settings, imports the definitions, checks them across each other, and opens every source: missing files and
    columns, types that would lose something, SQL that is refused. Each problem is told with its file and line. Nothing is written.
    """
    here = session(context)
    with here.open_store() as store:
        definitions = store.check(run_transforms=transforms)
    counts = _counts(definitions)
    words = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in counts.items())
    here.output.show({"ok": True, **counts}, lambda console: console.print(styled(f"No problems: {words}.", "green")))


def plan(
    context: typer.Context,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 4 if there are changes: for continuous integration.")
    ] = False,
) -> None:
    """Show what apply would change.

    For each object what differs, whether it starts a new version, what has to be computed, and which services and training
    sets it touches. Nothing is written.
    """
    here = session(context)
    with here.open_store() as store:
        found = store.plan()
    here.output.show(found.to_json(), lambda console: show_plan(console, found))
    if check and found.has_changes:
        raise typer.Exit(faults.CHANGES)


def apply(
    context: typer.Context,
    *,
    allow_remove: Annotated[
        bool, typer.Option("--allow-remove", help="Also remove definitions that have published data; the data stays.")
    ] = False,
) -> None:
    """Set the registry to what the definitions say.

    It does what plan shows, and shows it. A changed schema, key, source, transform or known-time rule starts a new version;
    the old one serves until the new one has published what the old one had.
    """
    here = session(context)
    with here.open_store() as store:
        done = store.apply(plan=store.plan(), allow_remove=allow_remove)

    def render(console: Console) -> None:
        show_plan(console, done)
        if done.has_changes:
            console.print(
                styled("Applied.", "bold green").append(
                    f" Next: {here.command('materialize-incremental')}", "not bold default"
                )
            )

    here.output.show({"applied": done.has_changes, **done.to_json()}, render)


def show_plan(console: Console, found: Plan) -> None:
    """A plan in colours: green is new, yellow in place, cyan a new version, red removed."""
    for line in printable(str(found)).splitlines():
        console.print(styled(line, STYLES.get(line[:1], "" if line[:1].strip() else "dim")), soft_wrap=True)


def _counts(definitions: Definitions) -> dict[str, int]:
    return {
        "entities": len(definitions.entities),
        "sources": len(definitions.sources),
        "feature_views": len(definitions.feature_views),
        "on_demand_feature_views": len(definitions.on_demand_feature_views),
        "feature_services": len(definitions.feature_services),
    }
