"""Frames in and out: the same rows, order, names and values, whatever library they came from."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitherto.errors import MissingExtraError, SourceError, UsageError
from hitherto.frames import to_arrow, to_pandas, to_polars

BIG = 2**53 + 1
UTC_MICROS = pa.timestamp("us", tz="UTC")
INSTANT = dt.datetime(2013, 1, 1, 12, 0, 0, 1, tzinfo=dt.UTC)

# One column for each type of hitherto.types, with what tends to get lost.
VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "bool": (pa.bool_(), [True, None, False]),
    "int8": (pa.int8(), [-128, None, 127]),
    "int64": (pa.int64(), [BIG, None, -BIG]),
    "uint64": (pa.uint64(), [2**64 - 1, None, 0]),
    "float32": (pa.float32(), [0.5, None, -0.0]),
    "float64": (pa.float64(), [0.1, None, math.inf]),
    "string": (pa.string(), ["", None, "a\0ü"]),
    "bytes": (pa.binary(), [b"", None, b"\0\xff"]),
    "date": (pa.date32(), [dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]),
    "timestamp": (UTC_MICROS, [INSTANT, None, dt.datetime(1, 1, 1, tzinfo=dt.UTC)]),
    "decimal": (pa.decimal128(10, 2), [Decimal("1.10"), None, Decimal("-0.01")]),
    "floats": (pa.list_(pa.float64()), [[0.1, 0.2], None, []]),
    "ints": (pa.list_(pa.int64()), [[BIG, None], None, []]),
    "texts": (pa.list_(pa.string()), [["", None], None, []]),
    "struct": (pa.struct([("x", pa.int64()), ("y", pa.string())]), [{"x": BIG, "y": None}, None, {"x": None, "y": ""}]),
}
TABLE = pa.table({name: pa.array(values, kind) for name, (kind, values) in VALUES.items()})


def test_arrow_comes_through_as_it_is():
    reader = pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches())
    for frame in (TABLE, TABLE.combine_chunks().to_batches()[0], reader):
        assert to_arrow(frame).equals(TABLE)


def test_an_empty_table_keeps_its_columns():
    for frame in (TABLE.slice(0, 0), to_pandas(TABLE.slice(0, 0)), to_polars(TABLE.slice(0, 0))):
        assert to_arrow(frame).num_rows == 0
        assert to_arrow(frame).column_names == TABLE.column_names


@pytest.mark.parametrize("name", VALUES)
def test_every_type_goes_to_polars_and_back_without_loss(name: str):
    frame = to_polars(TABLE.select([name]))
    assert to_arrow(frame).column(name).to_pylist() == VALUES[name][1]
    assert to_arrow(frame.lazy()).column(name).to_pylist() == VALUES[name][1]


@pytest.mark.parametrize("name", VALUES)
def test_every_type_goes_to_pandas_and_back_without_loss(name: str):
    assert to_arrow(to_pandas(TABLE.select([name]))).column(name).to_pylist() == VALUES[name][1]


@pytest.mark.parametrize("name", VALUES)
def test_every_type_goes_to_pandas_and_back_when_it_has_no_nulls(name: str):
    table = TABLE.select([name]).take([0, 2])
    assert to_arrow(to_pandas(table)).column(name).to_pylist() == [VALUES[name][1][0], VALUES[name][1][2]]


# pandas, out


def test_whole_numbers_beside_nulls_are_exact_in_pandas():
    column = to_pandas(TABLE)["int64"]
    assert column.dtype == pd.Int64Dtype()
    assert column.tolist() == [BIG, pd.NA, -BIG]


def test_whole_numbers_without_nulls_are_plain_in_pandas():
    frame = to_pandas(TABLE.select(["int64", "bool"]).take([0, 2]))
    assert [str(kind) for kind in frame.dtypes] == ["int64", "bool"]


def test_pandas_gets_the_dtypes_that_a_data_scientist_expects():
    kinds = to_pandas(TABLE).dtypes.astype(str).to_dict()
    assert kinds == {
        "bool": "boolean",
        "int8": "Int8",
        "int64": "Int64",
        "uint64": "UInt64",
        "float32": "float32",
        "float64": "float64",
        "string": kinds["string"],  # object before pandas 3, str from then on
        "bytes": "object",
        "date": "object",
        "timestamp": "datetime64[us, UTC]",
        "decimal": "object",
        "floats": "object",
        "ints": "object",
        "texts": "object",
        "struct": "object",
    }


def test_a_list_of_numbers_without_nulls_is_an_array_in_pandas():
    frame = to_pandas(TABLE)
    assert isinstance(frame["floats"][0], np.ndarray)
    assert isinstance(frame["ints"][0], list)


def test_the_columns_and_rows_keep_their_order_in_pandas():
    frame = to_pandas(TABLE)
    assert list(frame.columns) == TABLE.column_names
    assert list(frame.index) == [0, 1, 2]


def test_a_pandas_frame_can_be_written_to():
    frame = to_pandas(pa.table({"x": [1.0, 2.0], "n": pa.array([1, None])}))
    frame.loc[0, "x"] = 5.0
    frame.loc[1, "n"] = BIG
    assert frame["x"].tolist() == [5.0, 2.0]
    assert frame["n"].tolist() == [1, BIG]


# pandas, in


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_times_of_pandas_keep_unit_and_zone(unit: str, zone: str | None):
    times = pd.Series(pd.to_datetime(["2013-01-01T12:00:00", None])).dt.tz_localize(zone).dt.as_unit(unit)  # type: ignore[arg-type]  # a unit
    column = to_arrow(pd.DataFrame({"at": times})).schema.field("at")
    assert column.type == pa.timestamp(unit, tz=zone)


def test_the_index_of_pandas_is_left_out_and_rows_keep_their_order():
    frame = pd.DataFrame({"x": [3, 1, 2]}, index=pd.Index([7, 7, 5], name="id"))
    assert to_arrow(frame).to_pydict() == {"x": [3, 1, 2]}


def test_a_pandas_frame_with_rows_and_no_columns_keeps_its_rows():
    assert to_arrow(pd.DataFrame(index=range(3))).num_rows == 3


def test_nothing_of_another_frame_stays_in_the_schema():
    assert to_arrow(pa.Table.from_pandas(pd.DataFrame({"x": [1]}))).schema.metadata is None


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series([1.0, float("nan")]), [1.0, None]),
        (pd.Series(pd.array([1, None], dtype="Int64")), [1, None]),
        (pd.Series([BIG, None], dtype=object), [BIG, None]),
        (pd.Series(pd.array([BIG, None], dtype=pd.ArrowDtype(pa.int64()))), [BIG, None]),
        (pd.Series(["a", None], dtype="category"), ["a", None]),
        (pd.Series([dt.date(2013, 1, 1), None], dtype=object), [dt.date(2013, 1, 1), None]),
        (pd.Series([None, None], dtype=object), [None, None]),
    ],
)
def test_what_pandas_means_by_missing_is_null(column: pd.Series, expected: list[Any]):
    assert to_arrow(pd.DataFrame({"x": column}))["x"].to_pylist() == expected


@pytest.mark.parametrize("values", [[1, "JFK"], [2**70, 1], [object(), None]])
def test_a_column_of_mixed_types_is_named_and_its_values_are_not(values: list[object]):
    with pytest.raises(UsageError, match=r"Column 'airport' .* has no one type") as caught:
        to_arrow(pd.DataFrame({"airport": pd.Series(values, dtype=object)}))
    assert "JFK" not in str(caught.value)
    assert caught.value.__suppress_context__


# Others


def test_null_and_nan_stay_apart_in_polars_and_arrow():
    frame = pl.DataFrame({"x": [1.0, None, math.nan]})
    column = to_arrow(frame)["x"]
    assert column.null_count == 1
    assert to_polars(pa.table({"x": column}))["x"].is_nan().to_list() == [False, None, True]


def test_a_duckdb_relation_is_a_frame():
    with duckdb.connect() as con:
        assert to_arrow(con.sql("select 'JFK' as airport union all select null")).to_pydict() == {
            "airport": ["JFK", None]
        }


def test_a_path_to_parquet_is_a_frame(tmp_path: Path):
    pq.write_table(TABLE, tmp_path / "rows.parquet")
    assert to_arrow(tmp_path / "rows.parquet").equals(TABLE)


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"airport\nJFK\n"])
def test_a_path_to_anything_else_is_an_error_with_the_path(tmp_path: Path, content: bytes | None):
    path = tmp_path / "rows.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"rows\.parquet"):
        to_arrow(path)


@pytest.mark.parametrize("frame", [5, None, [1], {"x": [1]}, pd.Series([1]), pl.Series([1]), pa.array([1]), object()])
def test_what_is_no_table_is_refused_with_what_is(frame: object):
    with pytest.raises(UsageError, match="Give a pandas, Polars or PyArrow table, a DuckDB relation, or a Path"):
        to_arrow(frame)


def test_text_is_not_taken_for_a_path():
    with pytest.raises(UsageError, match=r"Text is SQL; a file is Path"):
        to_arrow("rows.parquet")


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2]], columns=["x", "x"]),
        pa.table([[1], [2]], names=["x", "x"]),
    ],
    ids=["pandas", "arrow"],
)
def test_two_columns_of_one_name_are_refused(frame: object):
    with pytest.raises(UsageError, match="two columns named 'x'"):
        to_arrow(frame)


@pytest.mark.parametrize(("package", "convert"), [("pandas", to_pandas), ("polars", to_polars)])
def test_a_missing_library_is_an_error_with_its_install_line(
    package: str, convert: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'hitherto\[{package}\]'"):
        convert(TABLE)


def test_the_room_itself_imports_neither_pandas_nor_polars():
    code = "import sys, hitherto.frames; print({'pandas', 'polars'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
