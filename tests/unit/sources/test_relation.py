from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from hitherto.definitions import ParquetSource
from hitherto.errors import SourceError
from hitherto.sources.files import list_files
from hitherto.sources.relation import available_sql, describe, open_relation, time_ranges

Write = Callable[..., Path]
Connection = duckdb.DuckDBPyConnection


def source(path: str = "d", **options: Any) -> ParquetSource:
    return ParquetSource(path, **{"timestamp_field": "ts", "name": "taxis", **options})


def opened(con: Connection, root: Path, one: ParquetSource, columns: Sequence[str] | None = None) -> list[Any]:
    open_relation(con, one, list_files(one, root=root), root=root, name="taxis", columns=columns)
    return con.execute("SELECT * FROM taxis").fetchall()


def micros(con: Connection) -> list[int | None]:
    return [row[0] for row in con.execute("SELECT epoch_us(ts) FROM taxis ORDER BY k").fetchall()]


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_unit_and_zone_is_the_same_instant(
    con: Connection, write: Write, tmp_path: Path, unit: str, zone: str | None
) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    instants = [1_700_000_000 * per_second, -2 * per_second, None]
    write("d/a.parquet", {"k": [1, 2, 3], "ts": pa.array(instants, pa.timestamp(unit, zone))})
    opened(con, tmp_path, source())
    assert describe(con, "taxis")["ts"] == "TIMESTAMP"
    assert micros(con) == [1_700_000_000_000_000, -2_000_000, None]


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_nanoseconds_are_floored_also_before_1970(
    con: Connection, write: Write, tmp_path: Path, zone: str | None
) -> None:
    nanos = [-1, -999, -1000, -1001, 0, 999, 1000, 1999, 1_700_000_000_000_000_999, 2**63 - 2, -(2**63) + 2]
    write("d/a.parquet", {"k": list(range(len(nanos))), "ts": pa.array(nanos, pa.timestamp("ns", zone))})
    opened(con, tmp_path, source())
    assert micros(con) == [value // 1000 for value in nanos]


def test_int96_of_spark_is_floored(con: Connection, write: Write, tmp_path: Path) -> None:
    nanos = [-1, 1, 1_700_000_000_000_000_999]
    table = {"k": [1, 2, 3], "ts": pa.array(nanos, pa.timestamp("ns"))}
    write("d/a.parquet", table, use_deprecated_int96_timestamps=True)
    opened(con, tmp_path, source())
    assert micros(con) == [value // 1000 for value in nanos]


def test_timestamps_inside_lists_and_structs_are_normalised_too(con: Connection, write: Write, tmp_path: Path) -> None:
    when = pa.timestamp("ns", "UTC")
    write(
        "d/a.parquet",
        {
            "ts": pa.array([0, 0], when),
            "times": pa.array([[-1, None], None], pa.list_(when)),
            "part": pa.array([{"t": 1999, "x": 1}, None], pa.struct([("t", when), ("x", pa.int8())])),
        },
    )
    rows = opened(con, tmp_path, source(), columns=["times", "part"])
    assert describe(con, "taxis") == {
        "times": "TIMESTAMP[]",
        "part": "STRUCT(t TIMESTAMP, x TINYINT)",
        "ts": "TIMESTAMP",
    }
    early = datetime(1969, 12, 31, 23, 59, 59, 999999)
    assert rows[0][:2] == ([early, None], {"t": datetime(1970, 1, 1, 0, 0, 0, 1), "x": 1})
    assert rows[1][:2] == (None, None)


def test_dates_as_event_times_are_midnight(con: Connection, write: Write, tmp_path: Path) -> None:
    write("d/a.parquet", {"k": [1], "ts": pa.array([1], pa.date32())})
    opened(con, tmp_path, source())
    assert micros(con) == [86_400_000_000]


def test_an_infinite_time_stays_infinite_and_does_not_become_null(con: Connection, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    con.execute(f"COPY (SELECT 1 AS k, TIMESTAMPTZ 'infinity' AS ts) TO '{tmp_path}/d/a.parquet'")
    opened(con, tmp_path, source())
    assert con.execute("SELECT isfinite(ts) FROM taxis").fetchall() == [(False,)]


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (["2020-01-01"], "::TIMESTAMPTZ"),
        ([1], "make_timestamp"),
        ([1.5], "make_timestamp"),
        ([True], "real timestamps"),
    ],
)
def test_a_time_column_that_is_no_time_is_refused_with_the_remedy(
    con: Connection, write: Write, tmp_path: Path, values: list[Any], hint: str
) -> None:
    write("d/a.parquet", {"ts": values})
    with pytest.raises(SourceError, match="its time column 'ts' is .*, not a time") as raised:
        opened(con, tmp_path, source())
    assert hint in str(raised.value)


def test_files_with_other_columns_types_and_orders_are_one_relation(
    con: Connection, write: Write, tmp_path: Path
) -> None:
    write(
        "d/a.parquet",
        {"k": pa.array([1], pa.int32()), "ts": pa.array([0], pa.timestamp("ns", "UTC")), "n": pa.nulls(1)},
    )
    write(
        "d/b.parquet",
        {"n": ["x"], "ts": pa.array([5], pa.timestamp("ms")), "k": pa.array([2**40], pa.int64()), "m": [1.5]},
    )
    assert opened(con, tmp_path, source()) == [
        (1, datetime(1970, 1, 1), None, None),
        (2**40, datetime(1970, 1, 1, 0, 0, 0, 5000), "x", 1.5),
    ]
    assert list(describe(con, "taxis").items()) == [
        ("k", "BIGINT"), ("ts", "TIMESTAMP"), ("n", "VARCHAR"), ("m", "DOUBLE"),
    ]  # fmt: skip


def test_a_part_of_the_files_still_knows_the_columns_of_all(con: Connection, write: Write, tmp_path: Path) -> None:
    ts = pa.array([0], pa.timestamp("us"))
    write("d/a.parquet", {"ts": ts}), write("d/b.parquet", {"ts": ts, "new": [1]})
    files = list_files(source(), root=tmp_path)
    open_relation(con, source(), files[:1], root=tmp_path, name="t", columns=["new"], schema_files=files)
    assert con.execute("SELECT new FROM t").fetchall() == [(None,)]
    with pytest.raises(SourceError, match="there is no column 'new'"):
        open_relation(con, source(), files[:1], root=tmp_path, name="t", columns=["new"])


def test_an_unknown_column_is_named_with_the_nearest(con: Connection, write: Write, tmp_path: Path) -> None:
    write("d/a.parquet", {"ts": pa.array([0], pa.timestamp("us")), "temperature": [1]})
    with pytest.raises(SourceError, match="no column 'temprature'. Did you mean 'temperature'"):
        opened(con, tmp_path, source(), columns=["temprature"])


def test_dictionaries_halves_and_fixed_lists_are_plain_values(con: Connection, write: Write, tmp_path: Path) -> None:
    write(
        "d/a.parquet",
        {
            "ts": pa.array([0], pa.timestamp("us")),
            "c": pa.array(["x"]).dictionary_encode(),
            "h": pa.array([1.5], pa.float16()),
            "e": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
            "u": pa.array([2**63], pa.uint64()),
        },
    )
    assert opened(con, tmp_path, source(), columns=["c", "h", "e", "u"])[0][:4] == ("x", 1.5, [1.0, 2.0], 2**63)


def test_hive_partitions_are_texts_that_a_declared_type_may_read(con: Connection, write: Write, tmp_path: Path) -> None:
    ts = pa.array([0], pa.timestamp("us"))
    write("d/month=01/kind=a%20b/x.parquet", {"ts": ts, "v": [1]})
    write("d/month=02/kind=__HIVE_DEFAULT_PARTITION__/y.parquet", {"ts": ts, "v": [2]})
    opened(con, tmp_path, source())
    found = con.execute("SELECT v, month, kind FROM taxis ORDER BY v").fetchall()
    assert found == [(1, "01", "a b"), (2, "02", None)]
    assert describe(con, "taxis")["month"] == "ENUM('01', '02')"


def test_a_partition_may_be_the_event_time(con: Connection, write: Write, tmp_path: Path) -> None:
    write("d/ts=1970-01-02/x.parquet", {"k": [1]})
    opened(con, tmp_path, source())
    assert micros(con) == [86_400_000_000]


def test_folders_above_the_source_are_no_partitions(con: Connection, write: Write, tmp_path: Path) -> None:
    write("env=prod/d/x.parquet", {"ts": pa.array([0], pa.timestamp("us")), "env": ["mine"]})
    opened(con, tmp_path / "env=prod", source())
    assert con.execute("SELECT env FROM taxis").fetchall() == [("mine",)]
    write("env=prod/d/year=1/x.parquet", {"ts": pa.array([0], pa.timestamp("us")), "env": ["mine"]})
    with pytest.raises(SourceError, match="the folder env="):
        opened(con, tmp_path / "env=prod", source("d/year=1"))


def test_names_with_any_character_are_read(con: Connection, write: Write, tmp_path: Path) -> None:
    write("it's/a[1]*?.parquet", {"ts": pa.array([0], pa.timestamp("us")), 'odd "name"': [1]})
    assert opened(con, tmp_path, source("it's"), columns=['odd "name"'])[0][0] == 1


def test_many_part_files_with_empty_row_groups_are_read(con: Connection, write: Write, tmp_path: Path) -> None:
    full = pa.table({"k": [1, 2], "ts": pa.array([0, 1], pa.timestamp("us"))})
    for number in range(12):
        write(f"d/part-{number}.parquet", full.slice(0, number % 3), row_group_size=1)
    assert len(opened(con, tmp_path, source())) == 12


def test_data_that_is_damaged_behind_a_good_footer_is_a_source_error(
    con: Connection, write: Write, tmp_path: Path
) -> None:
    file = write("d/a.parquet", {"ts": pa.array(range(5000), pa.timestamp("us"))}, compression="zstd")
    data = bytearray(file.read_bytes())
    data[4:2000] = b"\xff" * 1996
    file.write_bytes(bytes(data))
    files = list_files(source(), root=tmp_path)
    with pytest.raises(SourceError, match="Source 'taxis'.*reading it failed"):
        time_ranges(con, source(), files, root=tmp_path)


def available(con: Connection, one: ParquetSource, **columns: str) -> Any:
    values = ", ".join(f"CAST({value} AS TIMESTAMP) AS {name}" for name, value in columns.items())
    return con.execute(f"SELECT {available_sql(one, prefix='r.')} FROM (SELECT {values}) AS r").fetchall()[0][0]


def test_available_time_is_the_later_of_event_and_known_time(con: Connection) -> None:
    known = source(known_timestamp_field="known")
    assert available(con, source(), ts="'2020-01-01'") == datetime(2020, 1, 1)
    assert available(con, source(known_after="30m"), ts="'2020-01-01'") == datetime(2020, 1, 1, 0, 30)
    assert available(con, known, ts="'2020-01-01'", known="'2020-01-03'") == datetime(2020, 1, 3)
    assert available(con, known, ts="'2020-01-03'", known="'2020-01-01'") == datetime(2020, 1, 3)


@pytest.mark.parametrize("bad", ["NULL", "'infinity'", "'10000-01-01'", "'0044-03-15 (BC)'"])
def test_available_time_is_null_without_a_usable_event_or_known_time(con: Connection, bad: str) -> None:
    known = source(known_timestamp_field="known")
    assert available(con, source(known_after="1s"), ts=bad) is None
    assert available(con, known, ts=bad, known="'2020-01-01'") is None
    assert available(con, known, ts="'2020-01-01'", known=bad) is None


def test_time_ranges_are_the_first_and_last_available_time_of_each_file(
    con: Connection, write: Write, tmp_path: Path
) -> None:
    write("d/a.parquet", {"ts": pa.array([5, 1, None], pa.timestamp("ms"))})
    write("d/b.parquet", {"ts": pa.array([None], pa.timestamp("ns", "UTC")), "x": [1]})
    write("d/c.parquet", {"ts": pa.array([], pa.timestamp("us"))})
    files = time_ranges(con, source(known_after="1s"), list_files(source(), root=tmp_path), root=tmp_path)
    assert [(file.path, file.start, file.end) for file in files] == [
        ("d/a.parquet", 1_001_000, 1_005_000), ("d/b.parquet", None, None), ("d/c.parquet", None, None),
    ]  # fmt: skip


def test_what_pandas_polars_and_duckdb_write_is_read_alike(con: Connection, tmp_path: Path) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    when = [datetime(2013, 1, 1, 12, tzinfo=UTC), None]
    (tmp_path / "d").mkdir()
    frame = pandas.DataFrame(
        {"k": [1, 2], "ts": pandas.to_datetime(when).astype("datetime64[ns, UTC]"), "s": ["x", None]}
    )
    frame.assign(s=frame["s"].astype("category")).to_parquet(tmp_path / "d/pandas.parquet")
    polars.DataFrame({"k": [1, 2], "ts": when, "s": ["x", None]}).write_parquet(tmp_path / "d/polars.parquet")
    con.execute(
        "COPY (SELECT * FROM (VALUES (1, TIMESTAMPTZ '2013-01-01 12:00:00+00', 'x'), (2, NULL, NULL)) t(k, ts, s)) "
        f"TO '{tmp_path}/d/duckdb.parquet'"
    )
    rows = opened(con, tmp_path, source(), columns=["k", "ts", "s"])
    assert sorted(rows, key=lambda row: row[0]) == [(1, datetime(2013, 1, 1, 12), "x")] * 3 + [(2, None, None)] * 3
