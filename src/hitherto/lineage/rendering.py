"""A lineage as text for a terminal, as JSON, as a Mermaid flowchart."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

from hitherto.lineage.nodes import Edges, Node, shown

MOST_CHILDREN = 20
"""How many arrows of one node the text shows; JSON and Mermaid have all."""
_LONGEST_DETAIL = 48
_UNSAFE = re.compile(r"[^A-Za-z0-9 _./@:=,+*-]")

Details = Mapping[Node, Mapping[str, Any]]
Neighbours = Mapping[Node, Sequence[Node]]


def to_text(nodes: Set[Node], edges: Edges, details: Details, focus: Sequence[Node]) -> str:
    """A tree: the focus, then what it comes from and what leads on from it; all from the sources down without a focus."""
    up: dict[Node, list[Node]] = {}
    down: dict[Node, list[Node]] = {}
    for start, end in sorted(edges):
        up.setdefault(end, []).append(start)
        down.setdefault(start, []).append(end)
    label = _labeller(details)
    lines: list[str] = []
    if not focus:
        seen: set[Node] = set()
        for root in sorted(node for node in nodes if node not in up):
            lines += [label(root), *_branches(root, down, label, seen)]
        return "\n".join(lines) or "Nothing has been recorded yet."
    lines.append(label(focus[0]))
    sides = [(words, _trunk(near, focus)) for words, near in (("comes from", up), ("leads to", down))]
    shown_sides = [(words, trunk) for words, trunk in sides if trunk[focus[0]]]
    for number, (words, trunk) in enumerate(shown_sides):
        last = number == len(shown_sides) - 1
        lines.append(f"{'└' if last else '├'}── {words}")
        branches = _branches(focus[0], trunk, label, {focus[0]})
        lines += [("    " if last else "│   ") + line for line in branches]
    return "\n".join(lines)


def _trunk(near: Neighbours, focus: Sequence[Node]) -> dict[Node, list[Node]]:
    """The arrows with the focus as one trunk: a view stands for its versions, which are its first branches."""
    own = set(focus)
    trunk = {node: [other for other in others if other not in own] for node, others in near.items()}
    trunk[focus[0]] = [*(node for node in focus[1:] if trunk.get(node)), *trunk.get(focus[0], [])]
    return trunk


def _branches(node: Node, near: Neighbours, label: Callable[[Node], str], seen: set[Node]) -> Iterator[str]:
    """The lines below a node. What was shown before is named again, but not its branches."""
    others = list(near.get(node, ()))
    hidden = _oldest_of_many(others)
    entries: list[Node | None] = [*(other for other in others if other not in hidden), *([None] if hidden else [])]
    for number, other in enumerate(entries):
        last = number == len(entries) - 1
        stem, indent = ("└── ", "    ") if last else ("├── ", "│   ")
        if other is None:
            yield f"{stem}... and {len(hidden):,} more"
            continue
        again = other in seen and bool(near.get(other))
        yield f"{stem}{label(other)}{' (see above)' if again else ''}"
        if not again:
            seen.add(other)
            yield from (indent + line for line in _branches(other, near, label, seen))


def _oldest_of_many(nodes: Sequence[Node]) -> frozenset[Node]:
    """What the text leaves out: the first ones, which are the oldest runs, of the kind that there are too many of."""
    rest = len(nodes) - MOST_CHILDREN
    if rest <= 0:
        return frozenset()
    kind, _ = Counter(node.kind for node in nodes).most_common(1)[0]
    return frozenset([node for node in nodes if node.kind == kind][:rest])


def _labeller(details: Details) -> Callable[[Node], str]:
    def label(node: Node) -> str:
        known = details.get(node, {})
        parts = [f"{name.replace('_', ' ')} {_short(value)}" for name, value in known.items() if _fits(value)]
        return f"{node} ({', '.join(parts)})" if parts else str(node)

    return label


def _fits(value: Any) -> bool:
    return isinstance(value, int | str) and 0 < len(str(value)) <= _LONGEST_DETAIL and "\n" not in str(value)


def _short(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else shown(str(value))


def to_json(nodes: Set[Node], edges: Edges, details: Details, focus: Sequence[Node]) -> dict[str, Any]:
    """Plain values, in a fixed order."""

    def name(node: Node) -> dict[str, str]:
        return {"kind": node.kind, "name": node.name}

    return {
        "focus": [name(node) for node in focus],
        "nodes": [
            {**name(node), **({"details": dict(details[node])} if node in details else {})} for node in sorted(nodes)
        ],
        "edges": [
            {"from": name(start), "to": name(end), "runs": sorted(edges[start, end])} for start, end in sorted(edges)
        ],
    }


def to_mermaid(nodes: Set[Node], edges: Edges, focus: Sequence[Node]) -> str:
    """A flowchart from left to right. Ids are numbers, so that no name can end a statement.

    >>> print(to_mermaid({Node("source", 'a"b')}, {}, []))
    flowchart LR
        n0["source a#34;b"]
    """
    ids = {node: f"n{number}" for number, node in enumerate(sorted(nodes))}
    lines = ["flowchart LR", *(f'    {ids[node]}["{_escaped(str(node))}"]' for node in sorted(nodes))]
    lines += [f"    {ids[start]} --> {ids[end]}" for start, end in sorted(edges)]
    lines += [f"    style {ids[node]} stroke-width:3px" for node in focus if node in ids]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Text inside a label: everything that could mean something to Mermaid or HTML as a character code."""
    return _UNSAFE.sub(lambda found: f"#{ord(found[0])};", text)


def to_html(text: str) -> str:
    """For notebooks."""
    return f"<pre>{html.escape(text)}</pre>"
