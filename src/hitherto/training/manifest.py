"""The manifest of a saved training set: everything that decides its content, so that it can be built again and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitherto.errors import StorageError, VerificationError
from hitherto.lineage.revision import libraries
from hitherto.offline.content_hash import hash_table
from hitherto.offline.duckdb.segments import file_hash
from hitherto.offline.plan import AgeLimit, Default, RetrievalPlan, SegmentRead, ViewRead
from hitherto.on_demand.functions import Functions
from hitherto.registry import json_format
from hitherto.registry.json_values import read_value, write_value
from hitherto.registry.records import Segment
from hitherto.timeline import Interval
from hitherto.training import on_demand
from hitherto.training.training_set import TrainingRequest
from hitherto.types import parse

FORMAT = 1


def write_entity_rows(entity: pa.Table, path: Path) -> None:
    """Keep the entity rows of a training set, as an Arrow stream: Parquet has no like of some types. Raises StorageError."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(temporary, entity.schema, options=options) as stream:
            stream.write_table(entity)
        temporary.rename(path)
    except OSError as error:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise StorageError(f"The entity rows cannot be kept in {path.parent}: {error.strerror or error}.") from error


def describe(
    request: TrainingRequest,
    *,
    entity_path: str,
    offline_path: Path,
    segments: Mapping[str, Segment],
    registry_serial: int,
) -> dict[str, Any]:
    """The manifest as plain values.

    `segments` maps run ids to their segments; the manifest pins each by its content hash and its file's hash.
    """
    plan = request.plan
    computed = request.on_demand
    on_demand_views = [] if computed is None else [one.view for one in computed.computations.views]
    return {
        "format": FORMAT,
        "registry_serial": registry_serial,
        "definitions_hash": json_format.definitions_hash([*(read.view for read in plan.reads), *on_demand_views]),
        "entity_rows": {"path": entity_path, "hash": hash_table(request.entity), "rows": request.entity.num_rows},
        "timestamp_field": plan.timestamp_field,
        "outputs": list(plan.outputs),
        "missing": request.missing,
        "reads": [_read_to_json(read, offline_path, segments) for read in plan.reads],
        "on_demand": None if computed is None else on_demand.to_json(computed),
        "libraries": libraries(),
    }


def _read_to_json(read: ViewRead, offline_path: Path, segments: Mapping[str, Segment]) -> dict[str, Any]:
    return {
        "name": read.name,
        "view": json_format.to_json(read.view, locations=False),
        "version": read.version,
        "key_columns": dict(read.key_columns),
        "features": list(read.features),
        "outputs": list(read.outputs),
        "ttl": [dataclasses.astuple(one) for one in read.ttl],
        "online_retention": [dataclasses.astuple(one) for one in read.online_retention],
        "watermark": read.watermark,
        "missing": [[one.start, one.end] for one in read.missing],
        "as_served": read.as_served,
        "defaults": [[one.output, repr(one.kind), write_value(one.value)] for one in read.defaults],
        "segments": [
            {
                "path": str(one.path.relative_to(offline_path)),
                "run_id": one.run_id,
                "intervals": [[part.start, part.end] for part in one.intervals],
                "whole": one.whole,
                "indexed": one.indexed,
                "served": list(one.served) if one.served else None,
                "content_hash": segments[one.run_id].content_hash,
                "file_hash": segments[one.run_id].file_hash,
            }
            for one in read.segments
        ],
    }


def load_request(manifest: Mapping[str, Any], *, offline_path: Path, functions: Functions) -> TrainingRequest:
    """The request that a manifest pins, after checking that its parts are still what they were.

    Raises:
        VerificationError: Entity rows, segments or functions are gone or have changed.
    """
    entity = _entity_rows(manifest["entity_rows"], offline_path)
    reads = tuple(_read_from_json(read, offline_path) for read in manifest["reads"])
    plan = RetrievalPlan(reads, manifest["timestamp_field"], tuple(manifest["outputs"]))
    computed = manifest.get("on_demand")
    return TrainingRequest(
        entity,
        plan,
        manifest["missing"],
        on_demand=None if computed is None else on_demand.from_json(computed, entity, functions),
    )


def _entity_rows(pinned: Mapping[str, Any], offline_path: Path) -> pa.Table:
    path = offline_path / pinned["path"]
    try:
        with path.open("rb") as file:
            entity = pa.ipc.open_stream(file).read_all()
    except (OSError, pa.ArrowException) as error:
        raise VerificationError(f"The entity rows of the training set cannot be read from {path}: {error}.") from error
    if hash_table(entity) != pinned["hash"]:
        raise VerificationError(f"The entity rows in {path} are not those that the training set was saved with.")
    return entity


def _read_from_json(data: Mapping[str, Any], offline_path: Path) -> ViewRead:
    return ViewRead(
        name=data["name"],
        view=json_format.from_json(data["view"]),
        version=data["version"],
        key_columns=dict(data["key_columns"]),
        features=tuple(data["features"]),
        outputs=tuple(data["outputs"]),
        segments=tuple(_segment(one, offline_path) for one in data["segments"]),
        ttl=tuple(AgeLimit(*one) for one in data["ttl"]),
        online_retention=tuple(AgeLimit(*one) for one in data["online_retention"]),
        watermark=data["watermark"],
        missing=tuple(Interval(*one) for one in data["missing"]),
        as_served=data["as_served"],
        # Training sets that were saved before there were defaults have none.
        defaults=tuple(
            Default(output, parse(kind), read_value(value)) for output, kind, value in data.get("defaults", ())
        ),
    )


def _segment(data: Mapping[str, Any], offline_path: Path) -> SegmentRead:
    path = offline_path / data["path"]
    if not path.exists():
        raise VerificationError(f"The segment {path}, which the training set is pinned to, is gone.")
    if file_hash(path) != data["file_hash"]:
        raise VerificationError(f"The segment {path} is not the file that the training set was built from.")
    served = data["served"]
    return SegmentRead(
        path=path,
        run_id=data["run_id"],
        intervals=tuple(Interval(*one) for one in data["intervals"]),
        whole=data["whole"],
        indexed=data["indexed"],
        served=(served[0], served[1]) if served else None,
    )
