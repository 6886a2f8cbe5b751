"""Sources on S3, against a local server that speaks its protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from hitherto.definitions import ParquetSource
from hitherto.errors import SourceError
from hitherto.sources.files import list_files, read_schema
from hitherto.sources.relation import open_relation, time_ranges

ROOT = Path()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    bucket = pafs.S3FileSystem(
        endpoint_override=f"{host}:{port}", scheme="http", region="us-east-1", allow_bucket_creation=True,
        access_key="any", secret_key="any",
    )  # fmt: skip
    bucket.create_dir("lake")
    old = pa.table(
        {"k": [1, 2], "ts": pa.array([-1, 1001], pa.timestamp("ns")), "c": pa.array(["a", "b"]).dictionary_encode()}
    )
    new = pa.table({"k": [3], "ts": pa.array([10**9], pa.timestamp("ns", "UTC")), "c": ["x"]})
    pq.write_table(old, "lake/rides/month=01/a.parquet", filesystem=bucket, use_deprecated_int96_timestamps=True)
    pq.write_table(new, "lake/rides/month=02/a b.parquet", filesystem=bucket)
    with bucket.open_output_stream("lake/rides/_SUCCESS"):
        pass
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def _settings(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


def source(path: str) -> ParquetSource:
    return ParquetSource(path, timestamp_field="ts", name="rides")


@pytest.mark.parametrize("path", ["s3://lake/rides", "s3://lake/rides/month=*/*.parquet", "s3://lake/**/*.parquet"])
def test_a_folder_or_pattern_on_s3_is_read_like_a_local_one(path: str) -> None:
    files = list_files(source(path), root=ROOT)
    assert [file.path for file in files] == [
        "s3://lake/rides/month=01/a.parquet",
        "s3://lake/rides/month=02/a b.parquet",
    ]
    assert read_schema(source(path), files, root=ROOT).names == ["k", "ts", "c", "month"]
    with duckdb.connect() as con:
        open_relation(con, source(path), files, root=ROOT, name="rides")
        rows = con.execute("SELECT k, epoch_us(ts), c, month FROM rides ORDER BY k").fetchall()
        ranges = time_ranges(con, source(path), files, root=ROOT)
    assert rows == [(1, -1, "a", "01"), (2, 1, "b", "01"), (3, 1_000_000, "x", "02")]
    assert [(file.start, file.end) for file in ranges] == [(-1, 1), (1_000_000, 1_000_000)]


def test_the_etag_is_part_of_an_objects_identity() -> None:
    (file,) = list_files(source("s3://lake/rides/month=01/a.parquet"), root=ROOT)
    assert file.modified.strip("0123456789abcdef-") == ""
    assert len(file.modified) >= 32


def test_an_object_that_is_not_there_is_a_source_error() -> None:
    with pytest.raises(SourceError, match="there is nothing at 's3://lake/none'"):
        list_files(source("s3://lake/none"), root=ROOT)


def test_a_store_that_does_not_answer_is_a_source_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(SourceError, match="'s3://lake/rides' cannot be read"):
        list_files(source("s3://lake/rides"), root=ROOT)
