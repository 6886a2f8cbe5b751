"""Plan: what `apply` would change, object by object, what has to be computed for it, and what it touches. Pure."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_view import FeatureView
from hitherto.registry import json_format
from hitherto.registry.description import ORDER, Lines, describe
from hitherto.registry.records import ViewVersion
from hitherto.timeline import Interval, rfc3339

Action = Literal["create", "update", "new version", "remove", "unchanged"]
_MARKS: dict[Action, str] = {"create": "+", "update": "~", "new version": "^", "remove": "-", "unchanged": " "}
_SHOWN_RANGES = 3


@dataclass(frozen=True)
class Published:
    """What a view version has published: the ranges that a new version has to compute again."""

    version: int
    intervals: Sequence[Interval]


@dataclass(frozen=True)
class Change:
    """What happens to one object."""

    kind: str
    """entity, source, feature view, on-demand feature view or feature service."""
    name: str
    action: Action
    details: tuple[str, ...] = ()
    """`what: before -> after`, one for each difference."""
    version: int | None = None
    """The version that a feature view has afterwards."""
    compute: str = ""
    """What has to be computed; empty if nothing."""
    affects: tuple[str, ...] = ()
    """The feature services and training sets that it touches."""

    @property
    def summary(self) -> str:
        """Version and computation in a few words."""
        if self.action == "remove" or self.version is None:
            return self.compute
        return f"version {self.version}" + (f"; {self.compute}" if self.compute else "")


@dataclass(frozen=True)
class Plan:
    """What `apply` would change. Prints well in a terminal and in a notebook."""

    serial: int
    """The registry's serial when it was planned: apply is refused if it has moved."""
    changes: tuple[Change, ...]

    @property
    def has_changes(self) -> bool:
        """Whether apply would change anything."""
        return any(change.action != "unchanged" for change in self.changes)

    @property
    def summary(self) -> str:
        """How many of each action: `2 to create, 1 new version, 5 unchanged`."""
        counts = {action: sum(change.action == action for change in self.changes) for action in _MARKS}
        words = {"create": "to create", "update": "to update", "new version": "new version", "remove": "to remove"}
        found = [f"{counts[action]} {words.get(action, action)}" for action in _MARKS if counts[action]]
        return ", ".join(found) or "nothing is defined"

    def __str__(self) -> str:
        if not self.has_changes:
            return f"No changes: the registry is what the definitions say ({self.summary})."
        shown = [change for change in self.changes if change.action != "unchanged"]
        kinds, names = max(len(change.kind) for change in shown), max(len(change.name) for change in shown)
        lines: list[str] = []
        for change in shown:
            lines.append(
                f"{_MARKS[change.action]} {change.kind:<{kinds}}  {change.name:<{names}}  {_headline(change)}".rstrip()
            )
            lines.extend(f"    {detail}" for detail in change.details)
            if change.affects:
                lines.append(f"    touches {', '.join(change.affects)}")
        return "\n".join([*lines, f"{self.summary}."])

    def _repr_html_(self) -> str:
        if not self.has_changes:
            return f"<p>{html.escape(str(self))}</p>"
        heads = "".join(f"<th>{head}</th>" for head in ("", "object", "name", "what", "details", "touches"))
        body = "".join(_html_row(change) for change in self.changes if change.action != "unchanged")
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(self.summary)}.</p>"

    def to_json(self) -> dict[str, Any]:
        """The plan as a JSON document, unchanged objects included."""
        changes = [asdict(change) for change in self.changes]
        for change in changes:
            change["details"], change["affects"] = list(change["details"]), list(change["affects"])
        return {"serial": self.serial, "has_changes": self.has_changes, "changes": changes}


def compare(
    deployed: Definitions,
    wanted: Definitions,
    versions: Mapping[str, ViewVersion],
    *,
    training_sets: Mapping[str, Collection[str]] | None = None,
    published: Mapping[str, Published] | None = None,
    serial: int = 0,
) -> Plan:
    """The plan from what is deployed to what is wanted.

    Args:
        deployed, wanted: All definitions before and after.
        versions: View name -> its newest version, of removed views too.
        training_sets: Training set (`name@version`) -> the views that it was built from.
        published: View name -> what its serving version (or its newest, if none serves) has published.
        serial: The registry's serial.
    """
    published = published or {}
    touched = _Touched(deployed, wanted, training_sets or {})
    changes = [
        *_plain_changes("entity", deployed.entities, wanted.entities, touched.by_entity),
        *_plain_changes("source", deployed.sources, wanted.sources, touched.by_source),
    ]
    for name in _names(deployed.feature_views, wanted.feature_views):
        before, after = deployed.feature_views.get(name), wanted.feature_views.get(name)
        if after is None:
            data = published.get(name)
            details = (f"it has published data ({ranges(data.intervals)}): apply needs --allow-remove",) if data else ()
            changes.append(Change("feature view", name, "remove", details, affects=touched.by_view(name)))
        else:
            changes.append(_view_change(before, after, versions.get(name), published.get(name), touched))
    before_demand, after_demand = deployed.on_demand_feature_views, wanted.on_demand_feature_views
    changes += _plain_changes("on-demand feature view", before_demand, after_demand, touched.by_view)
    changes += _plain_changes("feature service", deployed.feature_services, wanted.feature_services, lambda _: ())
    return Plan(serial, tuple(changes))


def version_of(view: FeatureView, newest: ViewVersion | None) -> int:
    """The version that a definition is applied as: the newest one if it is compatible, else the next (semantics 6)."""
    if newest is None:
        return 1
    same = json_format.version_key(view) == json_format.version_key(newest.definition)
    return newest.version if same else newest.version + 1


def ranges(intervals: Sequence[Interval]) -> str:
    """Intervals in few words.

    >>> ranges([Interval(0, 86_400_000_000)])
    '1970-01-01 .. 1970-01-02'
    """
    shown = ", ".join(f"{_moment(one.start)} .. {_moment(one.end)}" for one in intervals[:_SHOWN_RANGES])
    rest = len(intervals) - _SHOWN_RANGES
    return f"{shown} and {rest} more {'range' if rest == 1 else 'ranges'}" if rest > 0 else shown


def _moment(micros: int) -> str:
    return rfc3339(micros).removesuffix("T00:00:00Z")


def _view_change(
    before: FeatureView | None,
    after: FeatureView,
    newest: ViewVersion | None,
    published: Published | None,
    touched: _Touched,
) -> Change:
    version = version_of(after, newest)
    affects = touched.by_view(after.name)
    if newest is not None and version != newest.version:
        details = _differences(describe(newest.definition), describe(after))
        action: Action = "new version" if before is not None else "create"
        return Change("feature view", after.name, action, details, version, _computed_again(published), affects)
    if before is None:
        compute = "computes from the first row of its source"
        if published is not None:
            compute = f"takes up again what version {published.version} had published ({ranges(published.intervals)})"
        return Change("feature view", after.name, "create", (), version, compute, affects)
    details = _differences(describe(before), describe(after))
    if not details:
        return Change("feature view", after.name, "unchanged", (), version)
    return Change("feature view", after.name, "update", details, version, "", affects)


def _computed_again(published: Published | None) -> str:
    if published is None:
        return "computes from the first row of its source (no version had published anything)"
    return f"computes {ranges(published.intervals)} again (what version {published.version} had published)"


def _plain_changes(kind: str, before: Mapping[str, Any], after: Mapping[str, Any], affects: Any) -> Iterable[Change]:
    for name in _names(before, after):
        if name not in after:
            yield Change(kind, name, "remove", affects=affects(name))
        elif name not in before:
            yield Change(kind, name, "create")
        else:
            details = _differences(describe(before[name]), describe(after[name]))
            yield Change(
                kind, name, "update" if details else "unchanged", details, affects=affects(name) if details else ()
            )


def _names(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """All names, in the order of the definitions, removed ones last."""
    return list(dict.fromkeys([*after, *before]))


def _differences(before: Lines, after: Lines) -> tuple[str, ...]:
    found = []
    for label in _names(before, after):
        old, new = before.get(label), after.get(label)
        if old != new and not (label.startswith(ORDER) and not _same_names(old, new)):
            found.append(f"{label}: {_short(old, new)}")
    return tuple(found)


def _same_names(old: str | None, new: str | None) -> bool:
    """Whether two orders are of the same names; where they are not, the names' own lines say it."""
    return sorted((old or "").split(", ")) == sorted((new or "").split(", "))


def _short(old: str | None, new: str | None) -> str:
    """`before -> after`; of long texts the first lines that differ."""
    place = ""
    if old and new and ("\n" in old or "\n" in new):
        lines_before, lines_after = old.splitlines(), new.splitlines()
        longest = max(len(lines_before), len(lines_after))
        pairs = [(_line(lines_before, number), _line(lines_after, number)) for number in range(longest)]
        first = next((number for number, (one, other) in enumerate(pairs) if one != other), 0)
        (old, new), place = pairs[first], f"line {first + 1}: "
    return f"{place}{_cut(old)} -> {_cut(new)}"


def _line(lines: Sequence[str], number: int) -> str | None:
    return lines[number] if number < len(lines) else None


def _cut(text: str | None, length: int = 70) -> str:
    if text is None:
        return "none"
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 3] + "..."


def _headline(change: Change) -> str:
    words = {"create": "", "update": "in place", "new version": "", "remove": "removed", "unchanged": "unchanged"}
    summary = "" if change.action == "update" else change.summary
    return "; ".join(part for part in (words[change.action], summary) if part)


def _html_row(change: Change) -> str:
    details = "<br>".join(html.escape(detail) for detail in change.details)
    touches = "<br>".join(html.escape(one) for one in change.affects)
    plain = (_MARKS[change.action], change.kind, change.name, _headline(change))
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in plain)
    return f'<tr>{cells}<td style="text-align: left">{details}</td><td style="text-align: left">{touches}</td></tr>'


class _Touched:
    """Who uses what, before or after."""

    def __init__(
        self, deployed: Definitions, wanted: Definitions, training_sets: Mapping[str, Collection[str]]
    ) -> None:
        self._definitions = (deployed, wanted)
        self._training_sets = training_sets

    def by_view(self, name: str) -> tuple[str, ...]:
        """The on-demand views, services and training sets that take features of a view, whatever lies between."""
        names = dict.fromkeys([name, *self._built_on(name)])
        services = {
            service.name: None
            for definitions in self._definitions
            for service in definitions.feature_services.values()
            if any(projection.view.name in names for projection in service.projections)
        }
        sets = sorted(label for label, views in self._training_sets.items() if names.keys() & views)
        return (
            *(f"on-demand feature view {one}" for one in names if one != name),
            *(f"feature service {one}" for one in services),
            *(f"training set {one}" for one in sets),
        )

    def _built_on(self, name: str) -> list[str]:
        """The on-demand views that are built on a view, directly or over others."""
        found: list[str] = []
        waiting = [name]
        while waiting:
            inner = waiting.pop(0)
            for definitions in self._definitions:
                for view in definitions.on_demand_feature_views.values():
                    takes = any(one.view.name == inner for one in view.projections)
                    if takes and view.name not in (*found, name):
                        found.append(view.name)
                        waiting.append(view.name)
        return found

    def by_entity(self, name: str) -> tuple[str, ...]:
        """The views with an entity, and what takes their features."""
        return self._by_views(lambda view: any(entity.name == name for entity in view.entities))

    def by_source(self, name: str) -> tuple[str, ...]:
        """The views of a source, and what takes their features."""
        return self._by_views(lambda view: any(source.name == name for source in view.all_sources.values()))

    def _by_views(self, uses: Any) -> tuple[str, ...]:
        views = {
            view.name: None
            for definitions in self._definitions
            for view in definitions.feature_views.values()
            if uses(view)
        }
        found = [f"feature view {name}" for name in views]
        for name in views:
            found.extend(self.by_view(name))
        return tuple(dict.fromkeys(found))
