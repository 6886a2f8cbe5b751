"""The server's OpenAPI document, word for word: a change of it is a change of the interface.

To take a changed one: `UPDATE_GOLDEN=1 pytest tests/golden/test_openapi.py`, then read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hitherto import FeatureStore
from hitherto.config import Config
from hitherto.serving.app import create_app
from hitherto.serving.routes import is_open

GOLDEN = Path(__file__).with_name("openapi.json")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a server without any view: it does not depend on what is served."""
    with FeatureStore(config=Config(project="demo", repo_path=tmp_path_factory.mktemp("repo"))) as store:
        found = create_app(store).openapi()
    return {**found, "info": {**found["info"], "version": "0"}}


def test_the_document_is_the_golden_one(document: dict[str, Any]):
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert json.loads(GOLDEN.read_text(encoding="utf-8")) == json.loads(text)


def test_it_names_every_route_and_which_need_a_token(document: dict[str, Any]):
    routes = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert routes == {
        ("/get-online-features", "post"),
        ("/health", "get"),
        ("/ready", "get"),
        ("/metrics", "get"),
        ("/feature-views", "get"),
        ("/feature-views/{name}", "get"),
        ("/feature-services", "get"),
        ("/refresh", "post"),
        ("/push", "post"),
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) != is_open(path)
            assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}
            assert operation.get("description")


def test_every_reference_in_it_leads_somewhere(document: dict[str, Any]):
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert names == set(document["components"]["schemas"])
