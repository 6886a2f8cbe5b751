"""Drawings as inline SVG: shares and areas as bars, histograms, and the lineage as a graph from left to right."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from hitherto.demo.page import Markup
from hitherto.lineage.graph import Lineage
from hitherto.lineage.nodes import Node

COLUMNS = (
    ("source_file",),
    ("source",),
    ("view_version", "request_source"),
    ("on_demand_view",),
    ("feature_service", "training_set"),
)
"""The kinds that the graph shows, from left to right."""
SHOWN = frozenset(kind for kinds in COLUMNS for kind in kinds)
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 208, 42, 62, 12


def bar(share: float, *, tone: str = "", width: int = 120) -> Markup:
    """A share from 0 to 1 as a bar."""
    filled = round(max(0.0, min(1.0, share)) * width, 1)
    return Markup(
        f'<svg width="{width}" height="14" viewBox="0 0 {width} 14" role="img" aria-label="{share:.1%}">'
        f'<rect class="rest" x="0" y="2" width="{width}" height="10" rx="2"/>'
        f'<rect class="bar {html.escape(tone)}" x="0" y="2" width="{filled}" height="10" rx="2"/></svg>'
    )


def areas(rows: Sequence[tuple[str, float, str]]) -> Markup:
    """Areas under the curve, from 0.5 (a coin) to 1 (an oracle): label, area, tone."""
    left, width, step = 270, 560, 30
    height = len(rows) * step + 24
    parts = [
        f'<line class="axis" x1="{left + width * mark / 5:.0f}" y1="0" x2="{left + width * mark / 5:.0f}" y2="{height - 20}"/>'
        f'<text class="soft" x="{left + width * mark / 5:.0f}" y="{height - 6}" text-anchor="middle">{0.5 + mark / 10:.1f}</text>'
        for mark in range(6)
    ]
    for number, (label, area, tone) in enumerate(rows):
        top = number * step + 4
        length = max(0.0, (area - 0.5) * 2 * width)
        parts.append(
            f'<text x="{left - 10}" y="{top + 15}" text-anchor="end">{html.escape(label)}</text>'
            f'<rect class="bar {html.escape(tone)}" x="{left}" y="{top + 2}" width="{length:.1f}" height="18" rx="3"/>'
            f'<text x="{left + length + 7:.1f}" y="{top + 15}">{area:.3f}</text>'
        )
    return _drawing(left + width + 60, height, parts, "Areas under the curve")


def histogram(edges: Sequence[float], counts: Sequence[int]) -> Markup:
    """Counts between edges: one more count than edges, the first below and the last above them."""
    width, height = 200, 46
    counts = list(counts)
    most, step = max([*counts, 1]), width / max(len(counts), 1)
    parts = []
    for number, count in enumerate(counts):
        tall = height * count / most
        reach = _reach(edges, number)
        parts.append(
            f'<rect class="bar" x="{number * step:.1f}" y="{height - tall:.1f}" width="{max(step - 1, 0.5):.1f}" '
            f'height="{tall:.1f}"><title>{html.escape(reach)}: {count:,}</title></rect>'
        )
    parts.append(f'<line class="axis" x1="0" y1="{height}" x2="{width}" y2="{height}"/>')
    return _drawing(width, height + 1, parts, "Histogram")


def _reach(edges: Sequence[float], number: int) -> str:
    if number == 0:
        return f"to {edges[0]:g}"
    return f"above {edges[-1]:g}" if number >= len(edges) else f"{edges[number - 1]:g} to {edges[number]:g}"


def graph(lineage: Lineage, notes: Mapping[Node, str]) -> Markup:
    """Files, sources, views, services and training sets, with the arrows between them.

    Args:
        lineage: What to draw; kinds without a column are drawn through.
        notes: A second line for some nodes.
    """
    arrows = _through(lineage)
    ranks = _ranks(lineage, arrows)
    # What is computed stands lower than what it is computed from, so that the others' arrows pass above it.
    middle = max([0, *(len(nodes) for nodes in ranks if not _is_low(nodes))])
    tallest = max([middle, *(middle - 1 + len(nodes) for nodes in ranks if _is_low(nodes))])
    places = {}
    for column, nodes in enumerate(ranks):
        first = middle - 1 if _is_low(nodes) else (middle - len(nodes)) / 2
        for row, node in enumerate(nodes):
            places[node] = (column * (_WIDTH + _GAP_X) + 1, (first + row) * (_HEIGHT + _GAP_Y) + 1)
    parts = [_arrow(places[start], places[end]) for start, end in sorted(arrows)]
    parts += [_box(node, place, notes.get(node, "")) for node, place in places.items()]
    width = len(ranks) * (_WIDTH + _GAP_X) - _GAP_X + 2
    return _drawing(width, int(tallest * (_HEIGHT + _GAP_Y) - _GAP_Y + 2), parts, "Lineage")


def _is_low(nodes: Sequence[Node]) -> bool:
    return bool(nodes) and nodes[0].kind == "on_demand_view"


def _through(lineage: Lineage) -> set[tuple[Node, Node]]:
    """Arrows between nodes that are shown, drawn through those that are not."""
    arrows = set()
    for start in (node for node in lineage.nodes if node.kind in SHOWN):
        waiting, seen = list(lineage.children.get(start, ())), set()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.kind in SHOWN:
                arrows.add((start, node))
            else:
                waiting += lineage.children.get(node, ())
    return arrows


def _ranks(lineage: Lineage, arrows: Iterable[tuple[Node, Node]]) -> list[list[Node]]:
    """The nodes of each column, each near the middle of what it comes from."""
    parents: dict[Node, list[Node]] = {}
    for start, end in arrows:
        parents.setdefault(end, []).append(start)
    ranks: list[list[Node]] = []
    for kinds in COLUMNS:
        place = {node: number for nodes in ranks[-1:] for number, node in enumerate(nodes)}

        def middle(node: Node, place: Mapping[Node, int] = place) -> tuple[bool, float, Node]:
            near = [place[parent] for parent in parents.get(node, ()) if parent in place]
            return (node.kind == "request_source", sum(near) / len(near) if near else 0.0, node)

        nodes = sorted((node for node in lineage.nodes if node.kind in kinds), key=middle)
        if nodes:
            ranks.append(nodes)
    return ranks or [[]]


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH, start[1] + _HEIGHT / 2, end[0], end[1] + _HEIGHT / 2
    bend = (x2 - x1) / 2
    return f'<path class="arrow" d="M{x1:.0f},{y1:.0f} C{x1 + bend:.0f},{y1:.0f} {x2 - bend:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"/>'


def _box(node: Node, place: tuple[float, float], note: str) -> str:
    x, y = place
    kind = "view" if node.kind == "view_version" else ""
    name = node.name if len(node.name) <= 32 else f"...{node.name[-29:]}"
    words = note or node.kind.replace("_", " ")
    return (
        f"<g><title>{html.escape(str(node))}</title>"
        f'<rect class="node {kind}" x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text x="{x + 11:.0f}" y="{y + 18:.0f}">{html.escape(name)}</text>'
        f'<text class="soft" x="{x + 11:.0f}" y="{y + 33:.0f}">{html.escape(words)}</text></g>'
    )


def _drawing(width: float, height: float, parts: Iterable[str], label: str) -> Markup:
    return Markup(
        f'<svg width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    )
