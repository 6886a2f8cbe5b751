"""Feast's own remote online store client reads our server, and gets what our lookup gives.

Feast lives in an environment of its own, because its pins and ours differ. `FEAST_PYTHON=/path/to/python` names one that has
feast 0.67.0; with `FEAST_INTEROP=1` one is made, once, under the cache folder. (Not HITHERTO_*: those are settings.)
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest

from hitherto import FeatureStore
from hitherto.serving.server import running
from unit.serving.servers import make_store

FEAST = "feast==0.67.0"
KEYS = ["JFK", "LGA", "OLD", "XXX"]
FEATURES = ["weather:temperature", "weather:reports", "weather:dry", "weather:remark"]
# What runs in Feast's environment: its FeatureStore on our server, by references, by a service, and by online_read.
PROGRAM = """
import json, sys
from datetime import timedelta
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type
from feast.types import Bool, Float64, Int64, String

told = json.loads(sys.argv[1])
store = FeatureStore(config=RepoConfig(
    project="demo", provider="local", registry=told["registry"], entity_key_serialization_version=3,
    online_store={"type": "remote", "path": told["url"]}, offline_store={"type": "file"},
))
source = FileSource(path=told["source"], timestamp_field="at")
station = Entity(name="station", join_keys=["station"], value_type=ValueType.STRING)
weather = FeatureView(name="weather", entities=[station], source=source, ttl=timedelta(hours=6), schema=[
    Field(name="station", dtype=String), Field(name="temperature", dtype=Float64), Field(name="reports", dtype=Int64),
    Field(name="dry", dtype=Bool), Field(name="remark", dtype=String)])
store.apply([station, weather])

answer = store.get_online_features(told["features"], [{"station": key} for key in told["keys"]])
full = store.get_online_features(told["features"], {"station": told["keys"]}, full_feature_names=True)
names = answer.proto.metadata.feature_names.val
statuses = {name: list(map(int, vector.statuses)) for name, vector in zip(names, answer.proto.results)}
read = store._get_provider().online_read(
    store.config, weather, [EntityKey(join_keys=["station"], entity_values=[Value(string_val=key)]) for key in told["keys"]],
    [name.split(":")[1] for name in told["features"]])
rows = [{name: feast_value_type_to_python_type(value) for name, value in row.items()} for _, row in read]
wrong = ""
try:
    store.get_online_features(["weather:temperature"], [{"station": 7}])
except Exception as error:
    wrong = str(error)
print("RESULT" + json.dumps({"dict": answer.to_dict(), "full": full.to_dict(), "statuses": statuses, "rows": rows, "wrong": wrong}))
"""
STATUS_NUMBERS = {"PRESENT": 1, "NULL_VALUE": 2, "NOT_FOUND": 3, "OUTSIDE_MAX_AGE": 4}


def feast_python() -> str:
    """The Python that has Feast."""
    given = os.environ.get("FEAST_PYTHON")
    if given:
        return given
    if not os.environ.get("FEAST_INTEROP"):
        pytest.skip(
            f"{FEAST} wants an environment of its own: set FEAST_INTEROP=1 to make one, or FEAST_PYTHON to a Python that has it."
        )
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "hitherto-tests" / FEAST.replace("==", "-")
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", FEAST]
        subprocess.run(command, check=True, timeout=1_200)
        done.touch()
    return str(python)


@pytest.fixture(scope="module")
def feast() -> str:
    """The Python that has Feast; without one the tests skip, with what to set."""
    return feast_python()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store whose values Feast's client can read: it knows no text for NaN, times, bytes and decimals."""
    with make_store(tmp_path_factory.mktemp("feast")) as made:
        yield made


def test_feasts_remote_client_gets_what_our_lookup_gives(store: FeatureStore, feast: str, tmp_path: Path):
    ours = store.get_online_features(FEATURES, {"station": KEYS})
    with running(store) as url:
        told = {
            "url": url,
            "keys": KEYS,
            "features": FEATURES,
            "registry": str(tmp_path / "feast.db"),
            "source": str(store.config.repo_path / "weather.parquet"),
        }
        environment = {**os.environ, "FEAST_USAGE": "False", "IS_TEST": "True"}
        done = subprocess.run(
            [feast, "-W", "ignore", "-c", PROGRAM, json.dumps(told)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=environment,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))[6:])
    expected = ours.to_dict()
    assert theirs["dict"] == expected
    assert [type(value) for value in theirs["dict"]["reports"]] == [type(value) for value in expected["reports"]]
    assert theirs["dict"]["reports"][0] == 2**53 + 1
    assert not any(isinstance(value, float) and math.isnan(value) for value in theirs["dict"]["temperature"])
    renamed = {name if name == "station" else f"weather__{name}": values for name, values in expected.items()}
    assert theirs["full"] == renamed
    for column in ours.plan.columns:
        assert theirs["statuses"][column.name] == [STATUS_NUMBERS[status] for status in ours.statuses(column)]
        assert [row[column.name] for row in theirs["rows"]] == expected[column.name]
    assert "declared String" in theirs["wrong"]
