"""What a lineage is made of: nodes, and the kinds of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KINDS = {
    "feature_view": "feature view",
    "on_demand_view": "on-demand feature view",
    "feature_service": "feature service",
    "source": "source",
    "request_source": "request source",
    "training_set": "training set",
    "view_version": "view version",
    "segment": "segment",
    "generation": "online generation",
    "source_file": "source file",
}
"""Kind -> how people read it, in the order in which a name is looked for among them."""


@dataclass(frozen=True, order=True)
class Node:
    """One thing of the lineage. Kinds are those of `KINDS`.

    >>> print(Node("view_version", "airport_weather@1"))
    view version airport_weather@1
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{KINDS.get(self.kind, self.kind)} {shown(self.name)}"


Edges = Mapping[tuple[Node, Node], frozenset[str]]
"""(from, to) -> the runs that drew the arrow."""


def shown(name: str) -> str:
    """A name as a terminal may show it: a path can hold any character, control sequences too."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)
