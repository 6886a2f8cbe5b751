"""The OpenAPI document: what FastAPI knows of its routes, and by hand the lookup, which is not one of them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from hitherto.online.answer import Status
from hitherto.serving.metrics import LOOKUP_ROUTE
from hitherto.serving.models import ProblemModel
from hitherto.serving.problems import MEDIA_TYPE
from hitherto.serving.routes import is_open

_REFUSALS = {
    "400": "The body is malformed, or asks for what cannot be.",
    "401": "A token is needed.",
    "403": "The token does not allow this.",
    "404": "A view, feature or service that is not there; the detail has the nearest name.",
    "413": "The body, its entity rows or its features are too many.",
    "415": "The body is not JSON.",
    "422": "A key is missing or not of its type.",
    "503": "The online store does not answer in time, or the clock is before what is published. See retry-after.",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = ProblemModel.model_json_schema()
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    document["paths"] = {LOOKUP_ROUTE: {"post": _lookup()}, **document["paths"]}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _problem("A problem document.")
            if path == LOOKUP_ROUTE:
                operation["responses"].update({status: _problem(text) for status, text in _REFUSALS.items()})
            if not is_open(path):
                operation["security"] = [{"token": []}]
    return document


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _lookup() -> dict[str, Any]:
    return {
        "tags": ["lookup"],
        "summary": "Look up features",
        "description": "The latest values of features for entity rows, in the JSON of Feast's feature server. Scope: read.",
        "operationId": "get_online_features",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": _ANSWER}}},
        },
    }


_STRINGS = {"type": "array", "items": {"type": "string"}}
_BODY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["entities"],
    "properties": {
        "features": {**_STRINGS, "description": "References, view:feature or view@2:feature. Or give feature_service."},
        "feature_service": {"type": "string", "description": "A feature service, instead of features."},
        "entities": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {}},
            "description": "Entity column -> its values, one per row. Bytes are base64, dates and times ISO 8601.",
        },
        "full_feature_names": {"type": "boolean", "default": False, "description": "Name values view__feature."},
        "include_feature_view_version_metadata": {"description": "Feast's clients send it; it means nothing here."},
    },
    "examples": [
        {
            "features": ["airport_weather:temperature"],
            "entities": {"airport": ["JFK", "XXX"]},
            "full_feature_names": False,
        }
    ],
}
_RESULT = {
    "type": "object",
    "properties": {
        "values": {"type": "array", "items": {}},
        "statuses": {
            "type": "array",
            "items": {"type": "string", "enum": [one.value for one in Status]},
        },
        "event_timestamps": {"type": "array", "items": {"type": "string", "format": "date-time"}},
    },
}
_ANSWER = {
    "type": "object",
    "properties": {
        "metadata": {"type": "object", "properties": {"feature_names": _STRINGS}},
        "results": {"type": "array", "items": _RESULT, "description": "One for each of metadata.feature_names."},
    },
}
