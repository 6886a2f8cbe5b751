"""What a user writes: entities, fields, sources, feature views, feature services, expectations."""

from hitherto.definitions import expectation as expect
from hitherto.definitions.aggregation import Aggregation
from hitherto.definitions.entity import Entity
from hitherto.definitions.expectation import Expectation
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView, FeatureViewProjection
from hitherto.definitions.field import Field
from hitherto.definitions.on_demand import OnDemandFeatureView, RequestSource, on_demand_feature_view
from hitherto.definitions.source import ParquetSource

__all__ = [
    "Aggregation",
    "Entity",
    "Expectation",
    "FeatureService",
    "FeatureView",
    "FeatureViewProjection",
    "Field",
    "OnDemandFeatureView",
    "ParquetSource",
    "RequestSource",
    "expect",
    "on_demand_feature_view",
]
