"""Impact: what depends on a thing, so whom a change of it touches."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hitherto.lineage.nodes import KINDS, Node, shown

_LISTED = ("feature_view", "on_demand_view", "view_version", "feature_service", "training_set", "generation")


@dataclass(frozen=True)
class Impact:
    """What depends on `of`, by kind. Segments are counted: there is one per run."""

    of: tuple[str, ...]
    feature_views: tuple[str, ...]
    on_demand_views: tuple[str, ...]
    view_versions: tuple[str, ...]
    feature_services: tuple[str, ...]
    training_sets: tuple[str, ...]
    generations: tuple[str, ...]
    segments: int

    def __bool__(self) -> bool:
        return any((*self._listed().values(), self.segments))

    def _listed(self) -> dict[str, tuple[str, ...]]:
        return {
            "feature_view": self.feature_views,
            "on_demand_view": self.on_demand_views,
            "view_version": self.view_versions,
            "feature_service": self.feature_services,
            "training_set": self.training_sets,
            "generation": self.generations,
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "of": list(self.of),
            **{f"{kind}s": list(names) for kind, names in self._listed().items()},
            "segments": self.segments,
        }

    def __str__(self) -> str:
        head = ", ".join(self.of)
        if not self:
            return f"Nothing depends on {head}."
        lines = [f"What depends on {head}:"]
        for kind, names in self._listed().items():
            if names:
                plural = KINDS[kind] if len(names) == 1 else f"{KINDS[kind]}s"
                lines.append(f"  {len(names)} {plural}: {', '.join(shown(name) for name in names)}")
        if self.segments:
            lines.append(f"  {self.segments:,} segment{'s' if self.segments > 1 else ''}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def impact_of(focus: Iterable[Node], reached: Iterable[Node]) -> Impact:
    """The impact on all that a walk downstream reached. `focus` itself is not its own impact."""
    own = tuple(focus)
    others = sorted(set(reached) - set(own))
    by_kind = {kind: tuple(node.name for node in others if node.kind == kind) for kind in _LISTED}
    # A view is asked for with all its versions; the first node says what was meant.
    return Impact(
        of=tuple(str(node) for node in own[:1]),
        feature_views=by_kind["feature_view"],
        on_demand_views=by_kind["on_demand_view"],
        view_versions=by_kind["view_version"],
        feature_services=by_kind["feature_service"],
        training_sets=by_kind["training_set"],
        generations=by_kind["generation"],
        segments=sum(node.kind == "segment" for node in others),
    )
