"""What the registry routes and the probes answer: small, typed, in the glossary's words."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field

from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView
from hitherto.definitions.field import Field as FeatureField
from hitherto.encoding.row_codec import encode_fragment
from hitherto.registry.snapshot import ServedView
from hitherto.timeline import duration_text, rfc3339


class Health(BaseModel):
    """The process lives."""

    status: Literal["ok"] = "ok"


class RegistryState(BaseModel):
    """What is served, and whether the registry answers."""

    answers: bool
    serial: int


class Ready(BaseModel):
    """The server can answer lookups."""

    status: Literal["ready", "degraded"] = Field(
        description="degraded: lookups are answered, and `warnings` says what is wrong."
    )
    project: str
    registry: RegistryState
    warnings: list[str]
    clock: str | None = Field(default=None, description="Where the clock stands, if it was set.")


class FeatureModel(BaseModel):
    """One feature."""

    name: str
    type: str
    description: str
    default: Any = Field(
        default=None, description="What lookups answer where there is no value; null if nothing else is."
    )


class FeatureViewModel(BaseModel):
    """One feature view, as it is served now."""

    name: str
    version: int
    generation: int = Field(description="Online generation that lookups read; 0 before the first publish.")
    watermark: str | None = Field(description="End of what is published.")
    entities: list[str]
    join_keys: dict[str, str]
    features: list[FeatureModel]
    ttl: str | None
    online: bool
    description: str
    owner: str | None
    tags: dict[str, str]


class FeatureViews(BaseModel):
    """All feature views."""

    feature_views: list[FeatureViewModel]


class ServiceViewModel(BaseModel):
    """A feature view as a feature service uses it."""

    name: str
    feature_view: str
    features: list[str]
    join_key_map: dict[str, str] = Field(description="Join key -> entity column, where they differ.")


class FeatureServiceModel(BaseModel):
    """One feature service."""

    name: str
    feature_views: list[ServiceViewModel]
    description: str
    owner: str | None
    tags: dict[str, str]


class FeatureServices(BaseModel):
    """All feature services."""

    feature_services: list[FeatureServiceModel]


class Pushed(BaseModel):
    """What a push did."""

    stored: int = Field(description="Rows that were newer than what was stored.")


class Refreshed(BaseModel):
    """What the registry was read at."""

    serial: int


class ProblemModel(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


def describe_view(name: str, served: ServedView) -> FeatureViewModel:
    """A view as the routes show it."""
    view: FeatureView = served.definition
    return FeatureViewModel(
        name=name,
        version=served.version,
        generation=served.generation,
        watermark=None if served.watermark is None else rfc3339(served.watermark),
        entities=[entity.name for entity in view.entities],
        join_keys={key: repr(kind) for key, kind in view.join_keys.items()},
        features=[_feature(one) for one in view.features],
        # A view's durations are timedeltas once it is built.
        ttl=None if view.ttl is None else duration_text(view.ttl),  # type: ignore[arg-type]  # see above
        online=view.online,
        description=view.description,
        owner=view.owner,
        tags=dict(view.tags),
    )


def _feature(one: FeatureField) -> FeatureModel:
    default = None if one.default is None else msgspec.json.decode(encode_fragment(one.dtype, one.default))
    return FeatureModel(name=one.name, type=repr(one.dtype), description=one.description, default=default)


def describe_service(service: FeatureService) -> FeatureServiceModel:
    """A service as the routes show it."""
    views = [
        ServiceViewModel(
            name=one.name,
            feature_view=one.view.name,
            features=list(one.feature_names),
            join_key_map={key: column for key, column in one.join_key_map.items() if key != column},
        )
        for one in service.projections
    ]
    return FeatureServiceModel(
        name=service.name,
        feature_views=views,
        description=service.description,
        owner=service.owner,
        tags=dict(service.tags),
    )
