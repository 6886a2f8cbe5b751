"""Feast, run by the python of the peers' environment: one JSON request per line in, one JSON answer per line out.

    python feast_peer.py FOLDER as-it-comes|tuned REDIS_PORT

Each answer has `seconds`, what the task took inside this process, and `peak_mb`, its peak memory so far. It imports nothing of
the project: see Feast in peers.py for the requests.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

# Feast prints; what it prints goes to its log, so that answers stay alone on their line.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

# Tuned: what Feast's documentation offers for this use. Only the newest row of a key is pulled, rows are written in batches,
# without reading each key's time before (nobody else writes), and the registry is refreshed by a thread.
TUNED = {
    "registry": "registry:\n  path: registry.db\n  cache_ttl_seconds: 600\n  cache_mode: thread\n",
    "online": "  skip_dedup: true\n  full_scan_for_deletion: false\n",
    "materialization": "materialization:\n  pull_latest_features: true\n  online_write_batch_size: 10000\n",
}
AS_IT_COMES = {"registry": "registry: registry.db\n", "online": "", "materialization": ""}
SETTINGS = """project: bench
{registry}provider: local
online_store:
  type: redis
  connection_string: "127.0.0.1:{port}"
{online}offline_store:
  type: duckdb
entity_key_serialization_version: 3
{materialization}"""


def write_settings(folder: Path, kind: str, port: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chosen = TUNED if kind == "tuned" else AS_IT_COMES
    (folder / "feature_store.yaml").write_text(SETTINGS.format(port=port, **chosen))


def apply(store: Any, views: list[dict[str, Any]], ttl_days: int = 3650) -> None:
    """Views over Parquet files: [{"name", "path", "features": {"f0": "Float64"}}, ...]."""
    from datetime import timedelta

    import feast.types
    from feast import Entity, FeatureView, Field, FileSource, ValueType

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    objects = [user]
    for view in views:
        source = FileSource(
            name=f"{view['name']}_events",
            path=view["path"],
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        )
        schema = [Field(name="user_id", dtype=feast.types.Int64)]
        schema += [Field(name=name, dtype=getattr(feast.types, kind)) for name, kind in view["features"].items()]
        objects.append(
            FeatureView(name=view["name"], entities=[user], ttl=timedelta(days=ttl_days), source=source, schema=schema)
        )
    store.apply(objects)


def train(store: Any, entities: str, features: list[str], result: str | None = None) -> dict[str, Any]:
    import pandas as pd

    began = time.perf_counter()
    rows = pd.read_parquet(entities)
    frame = store.get_historical_features(entity_df=rows, features=features).to_df()
    seconds = time.perf_counter() - began
    if result:
        frame.to_parquet(result)
    return {"seconds": seconds}


def materialize(store: Any, start: str, end: str) -> dict[str, Any]:
    began = time.perf_counter()
    store.materialize(start_date=datetime.fromisoformat(start), end_date=datetime.fromisoformat(end))
    return {"seconds": time.perf_counter() - began}


def lookup(store: Any, requests: list[list[int]], features: list[str], values: bool = False) -> dict[str, Any]:
    """The same requests one after the other; seconds of one of them."""
    asked = [[{"user_id": user} for user in users] for users in requests]
    answer, began = None, time.perf_counter()
    for rows in asked:
        answer = store.get_online_features(features=features, entity_rows=rows).to_dict()
    seconds = (time.perf_counter() - began) / len(asked)
    return {"seconds": seconds, "values": answer if values else None}


def peak_mb() -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    folder, kind, port = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    write_settings(folder, kind, port)
    os.chdir(folder)
    from feast import FeatureStore

    store = FeatureStore(".")
    tasks: dict[str, Any] = {"apply": apply, "train": train, "materialize": materialize, "lookup": lookup}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            done = tasks[request.pop("do")](store, **request) or {}
        except Exception as error:  # noqa: BLE001 the asking side raises it
            done = {"error": f"{type(error).__name__}: {error}"}
        ANSWERS.write(json.dumps({**done, "peak_mb": peak_mb()}, default=str) + "\n")
        ANSWERS.flush()


if __name__ == "__main__":
    main()
