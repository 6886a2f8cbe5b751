"""Commands that ask for features: training sets and lookups."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from hitherto.cli.output import Output, cell, count, moment, printable, state, styled, table
from hitherto.cli.session import session
from hitherto.errors import JoinKeyError, StorageError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console
    from rich.table import Table

    from hitherto.feature_store import FeatureStore
    from hitherto.online.answer import Answer
    from hitherto.types import DataType

HEAD_ROWS = 5
WIDEST_HEAD = 6
"""Columns beyond which the head is turned: a line for each column, and so many rows."""
TURNED_ROWS = 3
ANSWER = ("!feature", "value", "!status", "!event time")

Features = Annotated[
    list[str] | None,
    typer.Option(
        "--features", metavar="VIEW:FEATURE,...", help="Features, with commas between them; or repeat the option."
    ),
]
Service = Annotated[str | None, typer.Option("--service", metavar="NAME", help="All features of a feature service.")]
FullNames = Annotated[bool, typer.Option("--full-feature-names", help="Name columns view__feature.")]
Entities = Annotated[
    str,
    typer.Option(
        metavar="FILE|SQL", help="Entity rows: a Parquet file, a .sql file, or SQL that sees the sources by name."
    ),
]
TimestampField = Annotated[str, typer.Option(metavar="COLUMN", help="The entity rows' column of times.")]
AsOf = Annotated[str | None, typer.Option(metavar="INSTANT", help="The store as it was published then.")]
AsServed = Annotated[
    bool,
    typer.Option(
        "--as-served", help="For each row only what had been published by its time: what a lookup then was given."
    ),
]
MissingRanges = Annotated[
    str, typer.Option(metavar="error|null", help="What rows get that need a range no run has published.")
]
Target = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a Parquet file instead of showing the first rows.")
]
Explain = Annotated[
    int | None, typer.Option(metavar="ROW", help="Explain how one row was answered; rows count from 0.")
]


def get_historical_features(
    context: typer.Context,
    *,
    entities: Entities,
    features: Features = None,
    service: Service = None,
    timestamp_field: TimestampField = "event_timestamp",
    as_of: AsOf = None,
    as_served: AsServed = False,
    missing: MissingRanges = "error",
    full_feature_names: FullNames = False,
    output: Target = None,
    explain: Explain = None,
) -> None:
    """Build a training set.

    Each entity row, in its order, with what was known at its time, never later. It is written to a Parquet file, or its first
    rows are shown, with how many rows each view answered.
    """
    here = session(context)
    asked = _asked(features, service)
    with here.open_store() as store:
        training = store.get_historical_features(
            _entity_rows(entities),
            asked,
            full_feature_names=full_feature_names,
            timestamp_field=timestamp_field,
            as_of=as_of,
            as_served=as_served,
            missing=cast("Literal['error', 'null']", missing),
        )
        written = training.write_parquet(output) if output is not None else None
        rows, coverage = training.to_arrow(), training.coverage
        explained = None if explain is None else training.explain(explain)
        # Only programs read it, and it takes a pass over all rows.
        content_hash = training.content_hash if here.output.as_json else None
    head = rows.slice(0, HEAD_ROWS)

    def render(console: Console) -> None:
        console.print(styled(f"{count(rows.num_rows, 'row')} x {count(rows.num_columns, 'column')}"))
        if explained is not None:
            console.print(styled(f"\n{printable(str(explained))}"))
        elif written is None:
            console.print("", _head(head))
        console.print(styled(f"\n{coverage}"))
        if written:
            console.print(styled(f"\nWrote {written}"))

    document = {
        "rows": rows.num_rows,
        "columns": rows.column_names,
        "content_hash": content_hash,
        "coverage": {name: _fields(one) for name, one in coverage.views.items()},
        "head": head.to_pylist(),
        "output": written,
        "explanation": None if explained is None else _fields(explained),
    }
    here.output.show(document, render)


def get_online_features(
    context: typer.Context,
    *,
    features: Features = None,
    service: Service = None,
    entity: Annotated[
        list[str] | None,
        typer.Option(
            "--entity",
            metavar="KEY=VALUE",
            help="A key of the entity row, or a request field; repeat for more of them, or one for more rows.",
        ),
    ] = None,
    entities: Annotated[
        str | None,
        typer.Option(metavar="JSON", help='Entity rows: [{"airport": "JFK"}, ...] or {"airport": ["JFK", ...]}.'),
    ] = None,
    full_feature_names: FullNames = False,
) -> None:
    """Look up the latest values.

    Each value has a status: it is PRESENT, NULL_VALUE (the row is there, the value is null), NOT_FOUND, OUTSIDE_MAX_AGE (older than the ttl)
    or ERROR (its function failed).
    Data of the past is looked up at its own time: --now 2013-07-01T12:00Z.
    """
    here = session(context)
    asked = _asked(features, service)
    if entity and entities:
        raise UsageError("Give --entity or --entities, not both.")
    with here.open_store() as store:
        kinds, fields = _column_types(store, asked)
        given, text = json_rows(entities) if entities else entity_columns(entity or ()), not entities
        rows = _typed({name: values for name, values in given.items() if name not in fields}, kinds, text=text)
        taken = {name: _request_field(name, fields[name], given[name], text=text) for name in given if name in fields}
        rows = {name: taken.get(name, rows.get(name, [])) for name in given}
        answer = store.get_online_features(asked, rows, full_feature_names=full_feature_names)
    _show_answer(here.output, answer)


# -- requests --------------------------------------------------------------------------------------------------------


def _asked(features: Sequence[str] | None, service: str | None) -> list[str] | str:
    """References, or a service's name."""
    references = [one.strip() for part in features or () for one in part.split(",") if one.strip()]
    if bool(references) == bool(service):
        raise UsageError("Ask for --features VIEW:FEATURE,... or for a --service NAME: one of them.")
    return service or references


def _entity_rows(text: str) -> Path | str:
    """A Parquet file, or SQL, maybe from a file."""
    path = Path(text) if len(text) < 1000 and "\n" not in text else None
    if path is not None and path.suffix.lower() == ".sql":
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise StorageError(f"{path} cannot be read: {reason}.") from error
    is_file = path is not None and (path.exists() or " " not in text.strip())
    return path if path is not None and is_file else text


def entity_columns(pairs: Sequence[str]) -> dict[str, list[Any]]:
    """KEY=VALUE options as columns: a key that is repeated makes more rows.

    >>> entity_columns(["airport=JFK", "airport=LGA"])
    {'airport': ['JFK', 'LGA']}
    """
    columns: dict[str, list[Any]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{pair!r} is not KEY=VALUE, for example --entity airport=JFK.")
        columns.setdefault(key, []).append(value)
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise JoinKeyError(f"Each row needs every key, so each key must be given as often as the others: {told} times.")
    return columns


def json_rows(text: str) -> dict[str, list[Any]]:
    """Entity rows in JSON, as columns. Raises UsageError."""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--entities is not JSON: {error}.") from None
    if isinstance(parsed, list) and all(isinstance(row, Mapping) and set(row) == set(parsed[0]) for row in parsed):
        return {key: [row[key] for row in parsed] for key in (parsed[0] if parsed else ())}
    if isinstance(parsed, Mapping) and all(isinstance(values, list) for values in parsed.values()):
        return dict(parsed)
    raise UsageError(
        '--entities is [{"airport": "JFK"}, ...], every row with the same keys, or {"airport": ["JFK", ...]}.'
    )


def _column_types(store: FeatureStore, asked: list[str] | str) -> tuple[dict[str, DataType], Mapping[str, DataType]]:
    """The entity columns that the request needs and their types: keys, and request fields that are no keys too."""
    from hitherto.registry.references import resolve

    found = resolve(store.registry.snapshot(), asked, full_feature_names=True)
    keys = {
        column: view.served.definition.join_keys[key]
        for view in found.views
        for key, column in view.key_columns.items()
    }
    return keys, {name: kind for name, kind in found.computations.fields.items() if name not in keys}


def _request_field(name: str, kind: DataType, values: Sequence[Any], *, text: bool) -> list[Any]:
    """Values of a request field in its type."""
    from hitherto.errors import RequestFieldError
    from hitherto.on_demand.values import from_json

    taken, refused = from_json(kind, [_from_text(kind, value) if text else value for value in values])
    if refused:
        raise RequestFieldError(
            f"The request field {name!r} is {kind!r}; the value of row {refused[0]} cannot be taken as that."
        )
    return taken


def _typed(columns: Mapping[str, list[Any]], kinds: Mapping[str, DataType], *, text: bool) -> dict[str, list[Any]]:
    """Values in their keys' types; a key that nothing needs stays as it is, so that the lookup can refuse it."""
    from hitherto.encoding.key_codec import check_key

    return {
        key: [
            check_key(kinds[key], _from_text(kinds[key], value) if text else value, key=key, json=True)
            if key in kinds
            else value
            for value in values
        ]
        for key, values in columns.items()
    }


def _from_text(kind: DataType, value: str) -> Any:
    """A word of the command line as JSON would have it: numbers and truth values; the rest is text in JSON too."""
    if kind.name == "Bool" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        if kind.is_integer:
            return int(value)
        return json.loads(value) if kind.is_float or kind.is_nested else value
    except ValueError:
        return value


# -- answers ---------------------------------------------------------------------------------------------------------


def _fields(record: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(record)


def _head(head: pa.Table) -> Table:
    """The first rows; where there are many columns, fewer rows, and a line for each column."""
    rows = head.to_pylist()
    if len(head.column_names) <= WIDEST_HEAD:
        made = table(*head.column_names)
        for row in rows:
            made.add_row(*(_short(value) for value in row.values()))
        return made
    rows = rows[:TURNED_ROWS]
    made = table("!column", *(f"row {number}" for number in range(len(rows))))
    for name in head.column_names:
        made.add_row(name, *(_short(row[name]) for row in rows))
    return made


def _short(value: Any) -> str:
    """A value to look at, not to take away: a float to six digits. JSON, Parquet and lookups have them all."""
    return f"{value:.6g}" if isinstance(value, float) else cell(value)


def _show_answer(output: Output, answer: Answer) -> None:
    """A line per value: what it is, why it is not there, and when it happened; whose it is in front, or above if that is long."""

    def render(console: Console) -> None:
        columns = answer.to_dict(include_metadata=True)
        keys = list(answer.entities)
        together = len(keys) <= 1
        made = table(*keys, *ANSWER) if together else table(*ANSWER)
        for row in range(answer.rows):
            owner = [cell(columns[key][row]) for key in keys]
            if not together:
                made = table(*ANSWER)
                console.print(
                    styled(", ".join(f"{key}={value}" for key, value in zip(keys, owner, strict=True)), "bold")
                )
            for number, feature in enumerate(answer.plan.columns):
                name = feature.name
                before = (owner if number == 0 else [""] * len(keys)) if together else []
                told = state(columns[f"{name}__status"][row])
                made.add_row(*before, name, cell(columns[name][row]), told, moment(columns[f"{name}__event_time"][row]))
            if not together or row == answer.rows - 1:
                console.print(made)

    output.show(json.loads(answer.to_json()), render)
