"""Commands that look at what is deployed: list, describe, lineage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitherto.cli import runs
from hitherto.cli.output import cell, count, facts, moment, printable, state, styled, table
from hitherto.cli.session import Session, session
from hitherto.errors import UnknownNameError
from hitherto.timeline import to_datetime

if TYPE_CHECKING:
    from rich.console import Console

    from hitherto.definitions.feature_view import FeatureView
    from hitherto.feature_store import FeatureStore
    from hitherto.registry.snapshot import ServedView

KINDS = (
    "entities",
    "sources",
    "feature-views",
    "on-demand-feature-views",
    "feature-services",
    "training-sets",
    "runs",
)
FORMATS = ("text", "json", "mermaid")
_OTHER_WORDS = {
    "entity": "entities",
    "views": "feature-views",
    "on-demand-views": "on-demand-feature-views",
    "services": "feature-services",
}


def list_objects(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")],
) -> None:
    """List what is deployed, by kind."""
    here = session(context)
    chosen = kind_of(kind)
    if chosen == "runs":
        runs.runs(context, None, state=None, view=None, limit=20)
        return
    with here.open_store() as store:
        columns, rows = LISTS[chosen](store)

    def render(console: Console) -> None:
        if not rows:
            console.print(styled(f"No {chosen.replace('-', ' ')} yet."))
            return
        made = table(*columns)
        for row in rows:
            made.add_row(*(printable(_shown(row[column.lstrip("!>").replace(" ", "_")])) for column in columns))
        console.print(made)

    here.output.show({chosen.replace("-", "_"): rows}, render)


def describe(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}, in the singular or plural.")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name: a view also as view@2, a training set as name@2.")
    ],
) -> None:
    """Describe one object and how it stands."""
    here = session(context)
    chosen = kind_of(kind)
    if chosen == "runs":
        runs.runs(context, name, state=None, view=None, limit=1)
        return
    with here.open_store() as store:
        if chosen == "training-sets":
            _describe_training_set(here, store, name)
        elif chosen == "feature-views":
            _describe_view(here, store, name)
        else:
            found = {
                "entities": store.get_entity,
                "sources": store.get_source,
                "on-demand-feature-views": store.get_on_demand_feature_view,
                "feature-services": store.get_feature_service,
            }
            _describe_plainly(here, found[chosen](name))


def lineage(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A view, view@2, service, source, training set, run or source file; kind:name where it is unclear.",
        ),
    ],
    *,
    format: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text, json or mermaid.")] = "text",  # noqa: A002  (the option's name)
) -> None:
    """Show where something comes from and leads to.

    Source files, sources, view versions, segments, online generations, feature services and training sets, as a tree, as JSON or
    as a Mermaid flowchart.
    """
    here = session(context)
    if format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)
    with here.open_store() as store:
        found = store.lineage(name)
    if format == "json" and not here.output.as_json:
        import json

        text = json.dumps(found.to_json(), indent=2)
    else:
        text = found.to_mermaid() if format == "mermaid" else found.to_text()
    document = {**found.to_json(), **({"mermaid": text} if format == "mermaid" else {})}
    here.output.show(document, lambda console: console.print(styled(printable(text)), soft_wrap=True))


def kind_of(text: str) -> str:
    """A kind as people write it: singular or plural, with blanks, hyphens or underscores. Raises UnknownNameError.

    >>> kind_of("feature_view"), kind_of("Entities"), kind_of("view")
    ('feature-views', 'entities', 'feature-views')
    """
    name = text.strip().lower().replace("_", "-").replace(" ", "-")
    for candidate in (name, f"{name}s"):
        chosen = _OTHER_WORDS.get(candidate, candidate)
        if chosen in KINDS:
            return chosen
    raise UnknownNameError("kind", text, KINDS)


# -- lists -----------------------------------------------------------------------------------------------------------

Rows = tuple[Sequence[str], list[dict[str, Any]]]


def _entities(store: FeatureStore) -> Rows:
    rows = [
        {
            "name": one.name,
            "join_keys": {key: repr(kind) for key, kind in one.join_keys.items()},
            "description": one.description,
        }
        for one in store.list_entities()
    ]
    return ("!name", "join keys", "description"), rows


def _sources(store: FeatureStore) -> Rows:
    rows = [
        {
            "name": one.name,
            "path": one.path,
            "event_time": one.timestamp_field,
            "known": _known(one),
            "description": one.description,
        }
        for one in store.list_sources()
    ]
    return ("!name", "path", "event time", "known"), rows


def _known(source: Any) -> str:
    from hitherto.timeline import duration_text

    if source.known_timestamp_field:
        return str(source.known_timestamp_field)
    return f"after {duration_text(source.delay)}" if source.delay else "at once"


def _views(store: FeatureStore) -> Rows:
    snapshot = store.registry.snapshot()
    rows = [
        {
            "name": view.name,
            "version": snapshot.views[view.name].version,
            "serving": snapshot.views[view.name].serving,
            "keys": list(view.join_keys),
            "features": len(view.feature_names),
            "up_to": _instant(snapshot.views[view.name].watermark),
            "online": view.online,
            "owner": view.owner,
            "description": view.description,
        }
        for view in store.list_feature_views()
    ]
    return ("!name", ">version", "keys", ">features", "!up to", "!online", "owner"), rows


def _on_demand_views(store: FeatureStore) -> Rows:
    rows = [
        {
            "name": view.name,
            "mode": view.mode,
            "inputs": list(dict.fromkeys(one.source.name for one in view.inputs if one.source is not None)),
            "features": len(view.feature_names),
            "function": view.import_path,
            "owner": view.owner,
            "description": view.description,
        }
        for view in store.list_on_demand_feature_views()
    ]
    return ("!name", "mode", "inputs", ">features", "function", "owner"), rows


def _services(store: FeatureStore) -> Rows:
    rows = [
        {
            "name": one.name,
            "views": [projection.name for projection in one.projections],
            "features": sum(len(projection.feature_names) for projection in one.projections),
            "owner": one.owner,
            "description": one.description,
        }
        for one in store.list_feature_services()
    ]
    return ("!name", "views", ">features", "owner"), rows


def _training_sets(store: FeatureStore) -> Rows:
    rows = [
        {
            "name": one.name,
            "version": one.version,
            "rows": one.rows,
            "created": _instant(one.created_at),
            "content_hash": one.content_hash,
            "description": one.description,
        }
        for one in store.list_training_sets()
    ]
    return ("!name", ">version", ">rows", "!created", "description"), rows


LISTS = {
    "entities": _entities,
    "sources": _sources,
    "feature-views": _views,
    "on-demand-feature-views": _on_demand_views,
    "feature-services": _services,
    "training-sets": _training_sets,
}


def _shown(value: Any) -> str:
    """A value of a list's row as its table shows it."""
    if value is None or isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


# -- descriptions ----------------------------------------------------------------------------------------------------


def _describe_plainly(here: Session, definition: Any) -> None:
    from hitherto.registry import json_format
    from hitherto.registry.description import describe as lines_of

    pairs = [("name", definition.name), *lines_of(definition).items(), ("defined in", str(definition.location or ""))]
    here.output.show(json_format.to_json(definition), lambda console: console.print(facts(pairs)))


def _describe_view(here: Session, store: FeatureStore, name: str) -> None:
    from hitherto.registry import json_format

    served = store.registry.snapshot().view(name)
    view = served.definition
    ran = store.list_runs(feature_view=view.name)
    status = {
        "version": served.version,
        "serving": served.serving,
        "generation": served.generation,
        "up_to": _instant(served.watermark),
        "last_run": ran[0].run_id if ran else None,
        "last_state": ran[0].state if ran else None,
    }

    def render(console: Console) -> None:
        console.print(facts([*_status_pairs(served, ran), *_view_pairs(view)]))
        made = table("!feature", "type", "checks", "description")
        from hitherto.registry.description import computation

        computed = {one.name: f", {computation(one)}" for one in view.windowed}
        for field in view.features:
            origin = f" from {field.source_column}" if field.source_column else computed.get(field.name, "")
            default = "" if field.default is None else f", default {field.default!r}"
            kind = printable(f"{field.dtype!r}{origin}{default}")
            made.add_row(field.name, kind, _checks(field.expect), printable(field.description))
        console.print("", made)
        if view.sql:
            console.print(styled("\ntransform", "bold"))
            console.print(styled(printable(view.sql.strip())), soft_wrap=True)

    here.output.show({**json_format.to_json(view), "status": status}, render)


def _status_pairs(served: ServedView, ran: Sequence[Any]) -> list[tuple[str, Any]]:
    standing = (
        f"materialized up to {moment(served.watermark)}" if served.watermark is not None else "never materialized"
    )
    last = (
        state(ran[0].state).append(f" ({ran[0].run_id}, began {moment(ran[0].began_at)})", "not bold default")
        if ran
        else None
    )
    return [
        ("feature view", f"{served.definition.name}@{served.version}{'' if served.serving else ', not serving yet'}"),
        ("stands", standing),
        ("last run", last),
    ]


def _view_pairs(view: FeatureView) -> Iterable[tuple[str, Any]]:
    from hitherto.registry.description import describe as lines_of

    told = lines_of(view)
    of_fields = ("feature ", "checks of ", "default of ", "description of ", "tags of ", "order of ", "transform")
    return [
        *((label, text) for label, text in told.items() if not label.startswith(of_fields)),
        ("defined in", str(view.location or "")),
    ]


def _checks(expectations: Iterable[Any]) -> str:
    from hitherto.registry.description import check_text

    return printable("; ".join(check_text(one) for one in expectations))


def _describe_training_set(here: Session, store: FeatureStore, name: str) -> None:
    plain, _, number = name.partition("@")
    record = store.registry.training_set(plain, int(number) if number.isdecimal() else None)
    manifest = record.manifest
    reads = [
        (read["name"], read["version"], read["features"], len(read["segments"])) for read in manifest.get("reads", ())
    ]
    libraries = manifest.get("libraries", {})

    def render(console: Console) -> None:
        console.print(
            facts(
                [
                    ("training set", f"{record.name}@{record.version}"),
                    ("description", record.description),
                    ("created", moment(record.created_at)),
                    ("rows", f"{record.rows:,}"),
                    ("content hash", record.content_hash),
                    ("definitions", manifest.get("definitions_hash")),
                    ("libraries", ", ".join(f"{library} {version}" for library, version in libraries.items())),
                ]
            )
        )
        made = table("!view", ">version", "features", ">segments")
        for view, version, features, segments in reads:
            made.add_row(view, str(version), cell(", ".join(features)), str(segments))
        console.print("", made)
        console.print(
            styled(
                f"\n{count(len(reads), 'view')}; built again and compared by FeatureStore.get_training_set({record.name!r}).recreate()",
                "dim",
            )
        )

    document = {"name": record.name, "version": record.version, "description": record.description, "rows": record.rows}
    document |= {"created": _instant(record.created_at), "content_hash": record.content_hash, "manifest": manifest}
    here.output.show(document, render)


def _instant(micros: int | None) -> Any:
    return None if micros is None else to_datetime(micros)
