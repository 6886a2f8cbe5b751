from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitherto.errors import StorageError
from hitherto.result import Result

TABLE = pa.table({"n": [1, None, 3], "text": ["<b>", "x" * 300, None]})


class Lazy(Result):
    """Counts how often it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.computed = 0

    def _compute(self) -> pa.Table:
        self.computed += 1
        return TABLE


def test_rows_are_computed_when_first_asked_for_and_once() -> None:
    result = Lazy()
    assert result.computed == 0
    assert (len(result), result.to_arrow(), len(result.head(2)), result.computed) == (3, TABLE, 2, 1)


def test_integers_beside_nulls_stay_integers_in_every_frame() -> None:
    result = Result(TABLE)
    assert str(result.to_pandas()["n"].dtype) == "Int64"
    assert result.to_df().equals(result.to_pandas())
    assert result.to_polars()["n"].to_list() == [1, None, 3]


def test_batches_have_at_most_so_many_rows() -> None:
    assert [batch.num_rows for batch in Result(TABLE).to_batches(2)] == [2, 1]
    assert list(Result(TABLE.slice(0, 0)).to_batches()) == []


def test_head_is_a_result_too() -> None:
    assert Result(TABLE).head(1).to_arrow().to_pylist() == [{"n": 1, "text": "<b>"}]
    assert len(Result(TABLE).head(99)) == 3


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = Result(TABLE).write_parquet(str(tmp_path / "r.parquet"))
    assert path == tmp_path / "r.parquet"
    assert pq.read_table(path).equals(TABLE)
    assert [one.name for one in tmp_path.iterdir()] == ["r.parquet"]
    with pytest.raises(StorageError, match=r"no/r\.parquet cannot be written"):
        Result(TABLE).write_parquet(tmp_path / "no" / "r.parquet")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").touch()
    with pytest.raises(StorageError, match="folder cannot be written"):
        Result(TABLE).write_parquet(tmp_path / "folder")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["folder", "r.parquet"]


def test_it_shows_well_in_a_terminal_and_in_a_notebook() -> None:
    assert str(Result(TABLE)).startswith("3 rows x 2 columns\n")
    shown = Result(TABLE)._repr_html_()
    assert "<td>&lt;b&gt;</td>" in shown
    assert "3 rows" in shown
    assert "x" * 201 not in shown


def test_a_result_that_cannot_compute_is_a_fault() -> None:
    with pytest.raises(AssertionError):
        Result().to_arrow()


def test_its_rows_are_dicts_of_python_values() -> None:
    assert Result(pa.table({"x": [1, None], "y": ["a", "b"]})).to_dicts() == [{"x": 1, "y": "a"}, {"x": None, "y": "b"}]
