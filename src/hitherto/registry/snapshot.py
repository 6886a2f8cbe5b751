"""Snapshot: all that a lookup or a training set needs to know of the registry, as of one serial. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hitherto.definitions.collection import Definitions
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView
from hitherto.errors import UnknownNameError, UsageError

_VERSION_DIGITS = 10


@dataclass(frozen=True)
class ServedView:
    """A view version as it is served now."""

    definition: FeatureView
    version: int
    generation: int
    """The online generation that lookups read; 0 before the first publish."""
    watermark: int | None
    """The end of the last published range, microseconds UTC; None before the first publish."""
    serving: bool
    """Whether this version answers for the plain name of the view."""


@dataclass(frozen=True)
class Snapshot:
    """What is deployed and served, as of one serial of the registry."""

    serial: int
    project: str
    definitions: Definitions
    """As applied last: a view that waits for its new version's data is here in its new form."""
    views: Mapping[str, ServedView]
    """View name -> the version that serves, or the newest one where none does yet."""
    versions: Mapping[tuple[str, int], ServedView]
    """(view name, version) -> that version."""

    def view(self, name: str) -> ServedView:
        """The view that answers for `view`, or the version that `view@2` names (semantics 6).

        Raises:
            UnknownNameError: With the nearest known name.
            UsageError: It is an on-demand feature view, which has no versions.
        """
        plain, at, number = name.partition("@")
        on_demand = self.definitions.on_demand_feature_views
        if plain in on_demand:
            raise UsageError(
                f"{plain!r} is an on-demand feature view: it is computed when it is asked for, so it has neither versions nor rows."
            )
        if plain not in self.views:
            raise UnknownNameError("feature view", plain, (*self.views, *on_demand))
        if not at:
            return self.views[plain]
        # No version has ten digits, and Python refuses to read a number of thousands.
        version = int(number) if number.isdecimal() and len(number) < _VERSION_DIGITS else 0
        if (plain, version) not in self.versions:
            known = [f"{plain}@{one}" for view, one in self.versions if view == plain]
            raise UnknownNameError("feature view version", name, known)
        return self.versions[plain, version]

    def feature_service(self, name: str) -> FeatureService:
        """The service of a name. Raises UnknownNameError."""
        services = self.definitions.feature_services
        if name not in services:
            raise UnknownNameError("feature service", name, services)
        return services[name]
