from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitherto.definitions import ParquetSource
from hitherto.errors import SourceError
from hitherto.registry.records import SourceFile
from hitherto.sources.files import list_files, read_schema

Write = Callable[..., Path]
ROW = {"k": [1], "ts": pa.array([0], pa.timestamp("us"))}


def source(path: str) -> ParquetSource:
    return ParquetSource(path, timestamp_field="ts", name="taxis")


def paths(files: tuple[SourceFile, ...]) -> list[str]:
    return [file.path for file in files]


def test_files_are_sorted_and_relative_to_the_repo(write: Write, tmp_path: Path) -> None:
    write("data/b.parquet", ROW), write("data/a.parquet", {"k": [1, 2]})
    files = list_files(source("data"), root=tmp_path)
    assert paths(files) == ["data/a.parquet", "data/b.parquet"]
    assert [(file.rows, file.start, file.end) for file in files] == [(2, None, None), (1, None, None)]
    assert files[0].size == (tmp_path / "data/a.parquet").stat().st_size


def test_an_absolute_path_is_recorded_as_it_is(write: Write, tmp_path: Path) -> None:
    file = write("a.parquet", ROW)
    assert paths(list_files(source(str(file)), root=Path("/elsewhere"))) == [str(file)]
    assert paths(list_files(source(f"file://{file}"), root=Path("/elsewhere"))) == [str(file)]


def test_marks_checksums_and_hidden_folders_are_no_data(write: Write, tmp_path: Path) -> None:
    write("out/part-0.snappy.parquet", ROW)
    for extra in ("_SUCCESS", ".part-0.crc", "_temporary/part-1.parquet", "notes.txt"):
        (tmp_path / "out" / extra).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / extra).write_bytes(b"")
    write("out/000000_0", ROW)  # as Hive names its files
    assert paths(list_files(source("out"), root=tmp_path)) == ["out/000000_0", "out/part-0.snappy.parquet"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("d/*.parquet", ["d/a.parquet", "d/b.parquet"]),
        ("d/[a].parquet", ["d/a.parquet"]),
        ("d/?.parquet", ["d/a.parquet", "d/b.parquet"]),
        ("d/**/*.parquet", ["d/a.parquet", "d/b.parquet", "d/x/c.parquet", "d/x/y/e.parquet"]),
        ("*/x/**/e.parquet", ["d/x/y/e.parquet"]),
        ("*/**/c.parquet", ["d/x/c.parquet"]),
        ("d/x*", ["d/x/c.parquet", "d/x/y/e.parquet"]),
        ("d/*/c.parquet", ["d/x/c.parquet"]),
    ],
)
def test_a_pattern_matches_files_and_folders(write: Write, tmp_path: Path, pattern: str, found: list[str]) -> None:
    for name in ("d/a.parquet", "d/b.parquet", "d/x/c.parquet", "d/x/y/e.parquet"):
        write(name, ROW)
    assert paths(list_files(source(pattern), root=tmp_path)) == found


def test_a_name_with_pattern_characters_is_a_name_when_it_is_there(write: Write, tmp_path: Path) -> None:
    write("d/a[1].parquet", ROW), write("d/a1.parquet", ROW)
    assert paths(list_files(source("d/a[1].parquet"), root=tmp_path)) == ["d/a[1].parquet"]


def test_identity_changes_with_content_and_time_only(write: Write, tmp_path: Path) -> None:
    file = write("a.parquet", ROW)
    (first,) = list_files(source("a.parquet"), root=tmp_path)
    assert list_files(source("a.parquet"), root=tmp_path) == (first,)
    os.utime(file, ns=(1, 1))
    (touched,) = list_files(source("a.parquet"), root=tmp_path)
    assert touched.footer == first.footer
    assert touched.identity != first.identity
    write("a.parquet", {"k": [2], "ts": ROW["ts"]})
    (other,) = list_files(source("a.parquet"), root=tmp_path)
    assert other.footer != first.footer


def refusal(path: str, root: Path) -> str:
    with pytest.raises(SourceError) as raised:
        list_files(source(path), root=root)
    message = str(raised.value)
    assert "'taxis'" in message
    assert "test_files.py:" in message
    return message


def test_a_missing_source_says_where_it_was_looked_for(tmp_path: Path) -> None:
    message = refusal("none.parquet", tmp_path)
    assert "there is nothing at 'none.parquet'" in message
    assert str(tmp_path) in message


def test_a_folder_or_pattern_without_files_says_so(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert "there is no Parquet file at 'd'" in refusal("d", tmp_path)
    assert "there is no Parquet file at 'd/*.parquet'" in refusal("d/*.parquet", tmp_path)


def test_files_without_any_row_are_refused_but_one_empty_file_among_others_is_not(write: Write, tmp_path: Path) -> None:
    empty = pa.table(ROW).slice(0, 0)
    write("d/a.parquet", empty)
    assert "no row at all" in refusal("d", tmp_path)
    write("d/b.parquet", ROW)
    assert [file.rows for file in list_files(source("d"), root=tmp_path)] == [0, 1]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"", "is empty: 0 bytes"),
        (lambda data: data[: len(data) // 2], "is truncated"),
        (lambda data: b"a,b\n1,2\n3,4\n5,6\n", "is not a Parquet file"),
        (lambda data: data[:-8] + (10**6).to_bytes(4, "little") + b"PAR1", "claims to be longer"),
        (lambda data: data[:-20] + b"\xff" * 12 + data[-8:], "is corrupt"),
        (lambda data: data[:-4] + b"PARE", "is encrypted"),
    ],
)
def test_a_damaged_file_is_named_with_its_damage(
    write: Write, tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    write("d/good.parquet", ROW)
    file = write("d/bad.parquet", ROW)
    file.write_bytes(damage(file.read_bytes()))
    message = refusal("d", tmp_path)
    assert "'d/bad.parquet'" in message
    assert said in message


def test_a_long_footer_is_read_whole(write: Write, tmp_path: Path) -> None:
    write("wide.parquet", {f"a_rather_long_column_name_{n}": [n] for n in range(1000)})
    (file,) = list_files(source("wide.parquet"), root=tmp_path)
    assert len(read_schema(source("wide.parquet"), [file], root=tmp_path)) == 1000


def test_many_files_are_all_found(write: Write, tmp_path: Path) -> None:
    for number in range(40):
        write(f"d/part-{number:03}.parquet", ROW)
    assert sum(file.rows for file in list_files(source("d"), root=tmp_path)) == 40


def test_a_delta_table_is_refused(write: Write, tmp_path: Path) -> None:
    write("d/a.parquet", ROW)
    (tmp_path / "d/_delta_log").mkdir()
    assert "is a Delta table" in refusal("d", tmp_path)


def test_an_unknown_scheme_is_refused(tmp_path: Path) -> None:
    assert "its path begins with abfs://" in refusal("abfs://a/b", tmp_path)


def schema_of(tmp_path: Path, path: str = "d") -> pa.Schema:
    files = list_files(source(path), root=tmp_path)
    return read_schema(source(path), files, root=tmp_path)


def test_the_schema_is_the_union_with_the_wider_type(write: Write, tmp_path: Path) -> None:
    write("d/a.parquet", {"i": pa.array([1], pa.int32()), "f": pa.array([1], pa.float32()), "n": pa.nulls(1)})
    write("d/b.parquet", {"f": pa.array([1], pa.float64()), "i": pa.array([1], pa.int64()), "n": ["x"], "new": [True]})
    found = schema_of(tmp_path)
    assert {field.name: str(field.type) for field in found} == {
        "i": "int64",
        "f": "double",
        "n": "string",
        "new": "bool",
    }


def test_every_timestamp_is_one_type_and_a_dictionary_is_its_values(write: Write, tmp_path: Path) -> None:
    for number, kind in enumerate([pa.timestamp("ns"), pa.timestamp("ms", "Europe/Berlin"), pa.timestamp("us", "UTC")]):
        write(f"d/{number}.parquet", {"ts": pa.array([0], kind), "c": pa.array(["x"]).dictionary_encode()})
    write("d/9.parquet", {"ts": pa.array([0], pa.timestamp("ns")), "c": ["x"]}, use_deprecated_int96_timestamps=True)
    assert schema_of(tmp_path) == pa.schema([("ts", pa.timestamp("us", "UTC")), ("c", pa.string())])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1]), pa.array(["x"])),
        (pa.array([1], pa.int64()), pa.array([1.0])),
        (pa.array([1], pa.uint64()), pa.array([1], pa.int64())),
        (pa.array([b"x"]), pa.array(["x"])),
        (pa.array([[1]]), pa.array([1])),
        (pa.array([{"a": 1}]), pa.array([{"b": 1}])),
    ],
)
def test_files_that_disagree_on_a_type_are_both_named(
    write: Write, tmp_path: Path, one: pa.Array, other: pa.Array
) -> None:
    write("d/a.parquet", {"x": one}), write("d/b.parquet", {"x": other})
    with pytest.raises(SourceError, match=r"column 'x' is .* in 'd/a.parquet' but .* in 'd/b.parquet'"):
        schema_of(tmp_path)


def test_columns_that_differ_only_in_case_are_refused(write: Write, tmp_path: Path) -> None:
    write("d/a.parquet", {"Temp": [1], "temp": [2]})
    with pytest.raises(SourceError, match="'Temp' and 'temp' differ only in case"):
        schema_of(tmp_path)


def test_partition_columns_come_last_as_dictionaries(write: Write, tmp_path: Path) -> None:
    write("d/year=2013/month=01/a.parquet", {"x": [1]})
    found = schema_of(tmp_path)
    assert found.names == ["x", "year", "month"]
    assert pa.types.is_dictionary(found.field("month").type)


def test_a_file_that_vanished_since_it_was_listed_is_a_source_error(write: Write, tmp_path: Path) -> None:
    file = SourceFile("gone.parquet", 100, "0", "no such footer", 1)
    with pytest.raises(SourceError, match=r"'gone.parquet' cannot be read"):
        read_schema(source("gone.parquet"), [file], root=tmp_path)


def test_nested_types_are_widened_inside() -> None:
    from hitherto.sources.arrow_types import plain, widen

    pairs: list[tuple[Any, Any, Any]] = [
        (pa.list_(pa.int32()), pa.list_(pa.int64()), pa.list_(pa.int64())),
        (pa.struct([("a", pa.int8())]), pa.struct([("a", pa.int16())]), pa.struct([("a", pa.int16())])),
        (pa.decimal128(5, 2), pa.decimal128(10, 4), pa.decimal128(10, 4)),
        (pa.decimal128(38, 0), pa.decimal128(38, 10), None),
        (pa.uint8(), pa.int8(), pa.int16()),
        (pa.int32(), pa.float64(), pa.float64()),
        (pa.float64(), pa.int16(), pa.float64()),
        (pa.date32(), pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC")),
        (pa.null(), pa.list_(pa.null()), pa.list_(pa.null())),
    ]
    for one, other, expected in pairs:
        assert widen(one, other) == expected
    assert plain(pa.list_(pa.large_string(), 3)) == pa.list_(pa.string())
    assert plain(pa.struct([("a", pa.timestamp("s"))])) == pa.struct([("a", pa.timestamp("us", "UTC"))])
    assert plain(pa.float16()) == pa.float32()
    assert plain(pa.binary(4)) == pa.binary()


def test_pandas_index_columns_are_columns_like_others(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"x": [1]}, index=pandas.Index([7], name="k")).to_parquet(tmp_path / "p.parquet")
    assert schema_of(tmp_path, "p.parquet").names == ["x", "k"]
    assert pq.read_schema(tmp_path / "p.parquet").metadata
