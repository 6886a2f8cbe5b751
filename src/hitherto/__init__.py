"""Hitherto: a feature store that never looks into the future.

Each public name is loaded when it is first used: `import hitherto` loads no engine, client or web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hitherto.config import Config
    from hitherto.definitions import (
        Aggregation,
        Entity,
        FeatureService,
        FeatureView,
        Field,
        OnDemandFeatureView,
        ParquetSource,
        RequestSource,
        expect,
        on_demand_feature_view,
    )
    from hitherto.errors import (
        ClockError,
        ConfigError,
        DataError,
        DefinitionError,
        FunctionError,
        HithertoError,
        MaterializationFailed,
        MaterializationRejected,
        MissingExtraError,
        NotMaterializedError,
        OnlineStoreError,
        OnlineStoreUnavailable,
        RegistryConflict,
        RegistryError,
        RequestFieldError,
        SourceError,
        StorageError,
        TransformError,
        UnknownNameError,
        UsageError,
    )
    from hitherto.events import Observer
    from hitherto.feature_store import FeatureStore
    from hitherto.materialization.report import MaterializationReport, RunReport
    from hitherto.online.answer import Answer
    from hitherto.registry.diff import Plan
    from hitherto.result import Result
    from hitherto.training.training_set import TrainingSet

__version__ = "0.1.0"

__all__ = [
    "Aggregation",
    "Answer",
    "ClockError",
    "Config",
    "ConfigError",
    "DataError",
    "DefinitionError",
    "Entity",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FunctionError",
    "HithertoError",
    "MaterializationFailed",
    "MaterializationRejected",
    "MaterializationReport",
    "MissingExtraError",
    "NotMaterializedError",
    "Observer",
    "OnDemandFeatureView",
    "OnlineStoreError",
    "OnlineStoreUnavailable",
    "ParquetSource",
    "Plan",
    "RegistryConflict",
    "RegistryError",
    "RequestFieldError",
    "RequestSource",
    "Result",
    "RunReport",
    "SourceError",
    "StorageError",
    "TrainingSet",
    "TransformError",
    "UnknownNameError",
    "UsageError",
    "__version__",
    "expect",
    "on_demand_feature_view",
]

_ELSEWHERE = {
    "Answer": "hitherto.online.answer",
    "Config": "hitherto.config",
    "FeatureStore": "hitherto.feature_store",
    "MaterializationReport": "hitherto.materialization.report",
    "Observer": "hitherto.events",
    "Plan": "hitherto.registry.diff",
    "Result": "hitherto.result",
    "RunReport": "hitherto.materialization.report",
    "TrainingSet": "hitherto.training.training_set",
} | dict.fromkeys(
    (
        "Aggregation",
        "Entity",
        "FeatureService",
        "FeatureView",
        "Field",
        "OnDemandFeatureView",
        "ParquetSource",
        "RequestSource",
        "expect",
        "on_demand_feature_view",
    ),
    "hitherto.definitions",
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'hitherto' has no attribute {name!r}")
    value = getattr(import_module(_ELSEWHERE.get(name, "hitherto.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
