"""A server of a small store that was materialized for real; LMDB for most tests, Valkey where the network matters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hitherto import FeatureStore
from hitherto.serving.server import running
from unit.serving.servers import Client, make_store, running_valkey


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    """The store on LMDB; tests of a module share it and change nothing in it."""
    with make_store(tmp_path_factory.mktemp("repo") / "demo") as made:
        yield made


@pytest.fixture(scope="module")
def client(store: FeatureStore) -> Iterator[Client]:
    """A client of a server of that store."""
    with running(store) as url:
        yield Client(url)


@pytest.fixture(scope="module")
def valkey_url() -> Iterator[str]:
    """A Valkey server of the module's own."""
    with running_valkey() as url:
        yield url
