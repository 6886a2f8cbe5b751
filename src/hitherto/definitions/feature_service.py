"""FeatureService: the features of one model, under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hitherto.definitions.feature_view import FeatureView, FeatureViewProjection
from hitherto.definitions.on_demand import OnDemandFeatureView, OnDemandProjection
from hitherto.definitions.problems import check_name, here, report, taken_tags
from hitherto.errors import Location


@dataclass(frozen=True)
class FeatureService:
    """What a model is trained on and asks for.

    Args:
        name: Its name (semantics 7).
        features: Feature views, whole (`weather`), in part (`weather[["temperature"]]`), renamed
            (`weather.with_name("alternate_weather").with_join_key_map({"airport": "alternate"})`); on-demand feature views, whole or in part.
        description, owner, tags: For people; they change nothing.

    Raises:
        DefinitionError: With the file and line of the definition.
    """

    name: str
    features: Sequence[FeatureView | FeatureViewProjection | OnDemandFeatureView | OnDemandProjection] = field(
        kw_only=True
    )
    description: str = field(default="", kw_only=True)
    owner: str | None = field(default=None, kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        what = f"feature service {self.name!r}"
        check_name(self.name, object=what, location=self.location)
        if not isinstance(self.features, list | tuple):
            report("features= is a list of feature views: features=[...].", object=what, location=self.location)
            object.__setattr__(self, "features", ())
            return
        for one in self.features:
            if not isinstance(one, FeatureView | FeatureViewProjection | OnDemandFeatureView | OnDemandProjection):
                report(f"{one!r} is not a feature view.", object=what, location=self.location)
        projections = tuple(
            _projection(one)
            for one in self.features
            if isinstance(one, FeatureView | FeatureViewProjection | OnDemandFeatureView | OnDemandProjection)
        )
        object.__setattr__(self, "features", projections)
        object.__setattr__(self, "tags", taken_tags(self.tags, object=what, location=self.location))
        if not projections:
            report("it has no features.", object=what, location=self.location)
        names = [one.name for one in projections]
        for name in sorted({name for name in names if names.count(name) > 1}):
            report(
                f"it takes feature view {name!r} twice; give one of them another name with .with_name(...).",
                object=what,
                location=self.location,
            )

    @property
    def projections(self) -> tuple[FeatureViewProjection | OnDemandProjection, ...]:
        """The feature views as this service uses them."""
        return tuple(one for one in self.features if isinstance(one, FeatureViewProjection | OnDemandProjection))

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))


def _projection(
    one: FeatureView | FeatureViewProjection | OnDemandFeatureView | OnDemandProjection,
) -> FeatureViewProjection | OnDemandProjection:
    if isinstance(one, FeatureView):
        return FeatureViewProjection(one, location=one.location)
    if isinstance(one, OnDemandFeatureView):
        return OnDemandProjection(one, location=one.location)
    return one
