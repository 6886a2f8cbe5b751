"""Definitions: all objects of one repo, by kind and name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hitherto.definitions.entity import Entity
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.on_demand import OnDemandFeatureView
from hitherto.definitions.source import ParquetSource


@dataclass(frozen=True)
class Definitions:
    """What a repo says, or what is deployed. Each mapping goes from name to object, in the order of definition."""

    entities: Mapping[str, Entity] = field(default_factory=lambda: MappingProxyType({}))
    sources: Mapping[str, ParquetSource] = field(default_factory=lambda: MappingProxyType({}))
    feature_views: Mapping[str, FeatureView] = field(default_factory=lambda: MappingProxyType({}))
    on_demand_feature_views: Mapping[str, OnDemandFeatureView] = field(default_factory=lambda: MappingProxyType({}))
    feature_services: Mapping[str, FeatureService] = field(default_factory=lambda: MappingProxyType({}))
