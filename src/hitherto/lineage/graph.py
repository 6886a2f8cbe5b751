"""The lineage as a graph: where data comes from, what depends on it, by the name of anything that is in it.

source file -> source -> view version -> segment -> online generation; view version -> feature view -> feature service;
feature view and request source -> on-demand feature view -> feature service; segment, view version and on-demand feature view ->
training set. Arrows that a run drew carry its id, so that a walk from a segment, a training set
or a file follows only the runs that had to do with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.on_demand import OnDemandFeatureView, OnDemandProjection
from hitherto.errors import UnknownNameError
from hitherto.lineage import rendering
from hitherto.lineage.impact import Impact, impact_of
from hitherto.lineage.nodes import KINDS, Edges, Node
from hitherto.registry.records import Edge

_RUN_ID = re.compile(r"r\d+")


@dataclass(frozen=True)
class Lineage:
    """A lineage, or the part of one around a name (`focus`).

    `str(lineage)` is a tree for the terminal; `to_json()` and `to_mermaid()` give the same to programs and to pages.
    """

    nodes: frozenset[Node]
    edges: Edges
    """(from, to) -> the runs that drew the arrow; none for what definitions say."""
    details: Mapping[Node, Mapping[str, Any]] = field(default_factory=dict)
    """What is known of a node: a file's size and identity, a segment's rows, a version's SQL and revision."""
    focus: tuple[Node, ...] = ()
    """What was asked for; empty for the whole."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Names that services give to feature views -> the views."""

    @cached_property
    def parents(self) -> Mapping[Node, tuple[Node, ...]]:
        """Node -> what it comes from, in order."""
        return _neighbours((end, start) for start, end in self.edges)

    @cached_property
    def children(self) -> Mapping[Node, tuple[Node, ...]]:
        """Node -> what comes from it, in order."""
        return _neighbours(self.edges)

    def upstream(self, name: str) -> Lineage:
        """What a thing comes from, itself included. Raises UnknownNameError."""
        found = self.resolve(name)
        return self._part(found, self._walk(found, self.parents, self._runs_into(found), up=True))

    def downstream(self, name: str) -> Lineage:
        """What comes from a thing, itself included. Raises UnknownNameError."""
        found = self.resolve(name)
        return self._part(found, self._walk(found, self.children, self._runs_from(found), up=False))

    def around(self, name: str) -> Lineage:
        """Both directions. Raises UnknownNameError."""
        up, down = self.upstream(name), self.downstream(name)
        merged = {**up.edges, **down.edges}
        return self._part(up.focus, (up.nodes | down.nodes, merged))

    def impact(self, name: str) -> Impact:
        """What depends on a thing: whom a change of it touches. Raises UnknownNameError."""
        down = self.downstream(name)
        return impact_of(down.focus, down.nodes)

    def resolve(self, name: str) -> tuple[Node, ...]:
        """The nodes that a name means.

        Args:
            name: A feature view (all its versions), `view@2`, a feature service, a source, a training set (its newest
                version, or `name@3`), a run or segment, an online generation (`view@2#5`), the path of a source file or, if it is the
                only one, its last part. Where two kinds share a name the first of these is meant; `source:weather` says
                which.

        Raises:
            UnknownNameError: With the nearest known name.
        """
        kind, colon, rest = name.partition(":")
        if colon and kind in KINDS:
            found = self._names[kind].get(rest)
            if not found:
                raise UnknownNameError(KINDS[kind], rest, self._names[kind], where="the lineage")
            return found
        for names in self._names.values():
            if name in names:
                return names[name]
        raise UnknownNameError("object", name, self._known_like(name), where="the lineage")

    def to_text(self) -> str:
        """A tree that a terminal can show."""
        return rendering.to_text(self.nodes, self.edges, self.details, self.focus)

    def to_json(self) -> dict[str, Any]:
        """Plain values: `focus`, `nodes`, `edges`."""
        return rendering.to_json(self.nodes, self.edges, self.details, self.focus)

    def to_mermaid(self) -> str:
        """A flowchart in Mermaid's language; names are escaped."""
        return rendering.to_mermaid(self.nodes, self.edges, self.focus)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return rendering.to_html(self.to_text())

    @cached_property
    def _names(self) -> Mapping[str, Mapping[str, tuple[Node, ...]]]:
        """Kind -> name -> nodes, in the order in which kinds are tried."""
        names: dict[str, dict[str, list[Node]]] = {kind: {} for kind in KINDS}
        for node in sorted(self.nodes):
            names[node.kind].setdefault(node.name, []).append(node)
        for node in sorted(self.nodes):
            plain = node.name.partition("@")[0]
            if node.kind == "view_version":
                names["feature_view"].setdefault(plain, []).append(node)
        for node in sorted(self.nodes, key=_version):
            if node.kind == "training_set":
                names["training_set"][node.name.partition("@")[0]] = [node]
        for alias, view in self.aliases.items():
            names["feature_view"].setdefault(alias, names["feature_view"].get(view, []))
        self._add_runs(names["segment"])
        _add_last_parts(names["source_file"])
        return {kind: {name: tuple(nodes) for name, nodes in known.items()} for kind, known in names.items()}

    def _add_runs(self, names: dict[str, list[Node]]) -> None:
        """A run that published no rows has no segment of its name: it then means its view version."""
        without: dict[str, set[Node]] = {}
        for (_, end), runs in self.edges.items():
            if end.kind == "view_version":
                for run in runs:
                    if run not in names:
                        without.setdefault(run, set()).add(end)
        names.update({run: sorted(nodes) for run, nodes in without.items()})

    def _known_like(self, name: str) -> list[str]:
        """The names to suggest from: files for what looks like a path, runs for what looks like one, else objects."""
        if _RUN_ID.fullmatch(name):
            return list(self._names["segment"])
        kinds = ["feature_view", "on_demand_view", "feature_service", "source", "training_set", "view_version"]
        if "/" in name or "." in name:
            kinds.append("source_file")
        return [one for kind in kinds for one in self._names[kind]]

    def _runs_into(self, found: Iterable[Node]) -> frozenset[str] | None:
        """The runs that made these things, if they are of the kinds that runs make; None follows every run."""
        return self._runs(found, ("segment", "generation", "training_set"), 1)

    def _runs_from(self, found: Iterable[Node]) -> frozenset[str] | None:
        """The runs that read these files or made these segments."""
        return self._runs(found, ("source_file", "segment"), 0)

    def _runs(self, found: Iterable[Node], kinds: tuple[str, ...], side: int) -> frozenset[str] | None:
        nodes = set(found)
        if not all(node.kind in kinds for node in nodes):
            return None
        runs = frozenset(run for edge, drawn in self.edges.items() if edge[side] in nodes for run in drawn)
        return runs | {node.name for node in nodes if node.kind == "segment"}

    def _walk(
        self,
        found: tuple[Node, ...],
        neighbours: Mapping[Node, tuple[Node, ...]],
        runs: frozenset[str] | None,
        *,
        up: bool,
    ) -> tuple[frozenset[Node], Edges]:
        seen, edges = set(found), {}
        waiting = list(found)
        while waiting:
            node = waiting.pop()
            for other in neighbours.get(node, ()):
                edge = (other, node) if up else (node, other)
                drawn = self.edges[edge]
                if not _concerns(edge, drawn, runs, up=up):
                    continue
                edges[edge] = drawn if runs is None else drawn & runs
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return frozenset(seen), edges

    def _part(self, focus: tuple[Node, ...], part: tuple[frozenset[Node], Edges]) -> Lineage:
        nodes, edges = part
        details = {node: self.details[node] for node in nodes if node in self.details}
        return Lineage(nodes, edges, details, focus, self.aliases)


def build(
    edges: Iterable[Edge],
    definitions: Definitions,
    *,
    serving: Mapping[str, int] | None = None,
    details: Mapping[Node, Mapping[str, Any]] | None = None,
) -> Lineage:
    """The whole lineage of a project.

    Args:
        edges: What runs and training sets recorded (registry.lineage_edges).
        definitions: What is deployed; it brings feature services, and views that have not run yet.
        serving: Feature view -> the version that answers for its name; the newest recorded one where it is not given.
        details: What is known of nodes.

    >>> from hitherto.definitions.collection import Definitions
    >>> drawn = [Edge("source_file", "w.parquet", "source", "weather", "r000001"),
    ...          Edge("source", "weather", "view_version", "airport@1", "r000001")]
    >>> print(build(drawn, Definitions()).upstream("airport@1"))
    view version airport@1
    └── comes from
        └── source weather
            └── source file w.parquet
    """
    collected: dict[tuple[Node, Node], set[str]] = {}
    for edge in edges:
        ends = (Node(edge.from_kind, edge.from_name), Node(edge.to_kind, edge.to_name))
        collected.setdefault(ends, set()).update([edge.run_id] if edge.run_id else [])
    newest = _newest_versions(node for ends in collected for node in ends)
    for view in dict.fromkeys((*definitions.feature_views, *newest)):
        number = (serving or {}).get(view) or newest.get(view) or 1
        version = Node("view_version", f"{view}@{number}")
        collected.setdefault((version, Node("feature_view", view)), set())
        if view in definitions.feature_views and not any(end == version for _, end in collected):
            for source in definitions.feature_views[view].all_sources.values():
                collected[Node("source", source.name), version] = set()
    aliases: dict[str, str] = {}
    for node, user in _users(definitions):
        for projection in user.projections:
            kind = "on_demand_view" if isinstance(projection, OnDemandProjection) else "feature_view"
            collected.setdefault((Node(kind, projection.view.name), node), set())
            if kind == "feature_view":
                aliases[projection.name] = projection.view.name
        if isinstance(user, OnDemandFeatureView):
            collected.update({(Node("request_source", one.name), node): set() for one in user.request_sources})
    defined = {Node("source", name) for name in definitions.sources}
    nodes = frozenset(node for ends in collected for node in ends) | defined
    drawn = {ends: frozenset(runs) for ends, runs in collected.items()}
    return Lineage(nodes, drawn, dict(details or {}), aliases=aliases)


def _users(definitions: Definitions) -> Iterable[tuple[Node, FeatureService | OnDemandFeatureView]]:
    """What takes features of views: feature services and on-demand feature views."""
    yield from ((Node("feature_service", one.name), one) for one in definitions.feature_services.values())
    yield from ((Node("on_demand_view", one.name), one) for one in definitions.on_demand_feature_views.values())


def _newest_versions(nodes: Iterable[Node]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for node in nodes:
        if node.kind == "view_version":
            view = node.name.partition("@")[0]
            newest[view] = max(newest.get(view, 0), _version(node))
    return newest


def _version(node: Node) -> int:
    """The number behind the @, 0 if there is none."""
    number = node.name.rpartition("@")[2]
    return int(number) if number.isdecimal() else 0


def _neighbours(pairs: Iterable[tuple[Node, Node]]) -> dict[Node, tuple[Node, ...]]:
    found: dict[Node, list[Node]] = {}
    for node, other in pairs:
        found.setdefault(node, []).append(other)
    return {node: tuple(sorted(others)) for node, others in found.items()}


def _concerns(edge: tuple[Node, Node], drawn: frozenset[str], runs: frozenset[str] | None, *, up: bool) -> bool:
    """Whether an arrow belongs to a walk that follows only some runs."""
    if runs is None or drawn & runs:
        return True
    # What no run drew holds for all of them; but which training sets used a run's rows is told by the segments' arrows.
    return not drawn and (up or edge[1].kind != "training_set")


def _add_last_parts(names: dict[str, list[Node]]) -> None:
    """Let the last part of a path mean the file, where no other file has it."""
    last: dict[str, list[Node]] = {}
    for path, nodes in names.items():
        last.setdefault(path.rstrip("/").rpartition("/")[2], []).extend(nodes)
    for part, nodes in last.items():
        if part and len(nodes) == 1:
            names.setdefault(part, nodes)
