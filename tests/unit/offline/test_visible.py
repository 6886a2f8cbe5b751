"""The rows that count over several segments, some of them partly masked, against the same by hand."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from hitherto.errors import StorageError
from hitherto.offline.duckdb.visible import attached, empty_rows, greatest_rows, inside, new_key_count, rows_of_all
from hitherto.offline.plan import SegmentRead
from hitherto.timeline import Interval
from unit.offline.engine import Row, rank
from unit.offline.states import VIEWS, State, state

WANTED = "{keys}epoch_us(__event), epoch_us(__created), epoch_us(__available), x"


def fetch(con: duckdb.DuckDBPyConnection, one: State, query: str) -> list[Row]:
    keys = "".join(f"{name}, " for name in one.view.join_keys)
    with attached(con, one.segments, view="things"):
        return con.execute(f"select {WANTED.format(keys=keys)} from ({query})").fetchall()


def alike(rows: list[Row]) -> list[str]:
    return sorted(map(repr, rows))


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("parts", [1, 3])
def test_rows_of_all_segments_are_those_of_their_intervals(name: str, parts: int, tmp_path: Path) -> None:
    with state(name, tmp_path, parts=parts) as (con, one):
        assert alike(fetch(con, one, rows_of_all(one.view, one.segments))) == alike(list(one.rows))


@pytest.mark.parametrize("name", VIEWS)
def test_the_greatest_row_of_each_key_is_found_across_segments(name: str, tmp_path: Path) -> None:
    with state(name, tmp_path, seed=1) as (con, one):
        for until in (None, -10, 0, 19, 20, 29, 33, 69, 85):
            wanted = []
            for key in one.all_keys:
                known = [row for row in one.of_key(key) if until is None or row[one.keys + 2] <= until]
                if known:
                    wanted.append(max(known, key=lambda row: rank(row, one.keys)))
            assert alike(fetch(con, one, greatest_rows(one.view, one.segments, until=until))) == alike(wanted), until


@pytest.mark.parametrize("name", ["one key", "two keys"])
def test_only_the_keys_asked_for_are_looked_at(name: str, tmp_path: Path) -> None:
    with state(name, tmp_path) as (con, one):
        asked = [*one.all_keys[:2], (99, "no")[: one.keys]]
        columns = {key: [row[place] for row in asked] for place, key in enumerate(one.view.join_keys)}
        con.register("arrow_asked", pa.table(columns))
        con.execute("create temp table asked as select * from arrow_asked")
        found = fetch(con, one, greatest_rows(one.view, one.segments, keys="asked"))
        assert sorted(row[: one.keys] for row in found) == one.all_keys[:2]


@pytest.mark.parametrize("name", VIEWS)
def test_before_anything_is_published_there_is_no_row_and_the_columns_are_right(name: str, tmp_path: Path) -> None:
    with state(name, tmp_path, parts=0) as (con, one):
        assert fetch(con, one, greatest_rows(one.view, ())) == []
        assert fetch(con, one, rows_of_all(one.view, ())) == []
        columns = con.sql(empty_rows(one.view, "*")).columns
        assert columns == [*one.view.join_keys, "__event", "__created", "__available", "x"]


def test_no_interval_at_all_is_nothing() -> None:
    assert inside([]) == "false"
    assert "__available >= make_timestamp(1) and __available < make_timestamp(2)" in inside([Interval(1, 2)])


def test_one_file_in_several_parts_is_attached_once(tmp_path: Path) -> None:
    with state("one key", tmp_path, parts=1) as (con, one):
        (segment,) = one.segments
        halves = [
            SegmentRead(segment.path, "r", (part,), False, segment.indexed, (0, None)) for part in segment.intervals
        ]
        with attached(con, halves, view="things"):
            names = [
                row[0]
                for row in con.execute("select database_name from duckdb_databases() where not internal").fetchall()
            ]
            assert names.count("__0") == 1
        assert "__0" not in [row[0] for row in con.execute("select database_name from duckdb_databases()").fetchall()]


@pytest.mark.parametrize("content", [None, b"", b"no database at all, but long enough to look like one" * 100])
def test_a_segment_that_cannot_be_opened_is_a_storage_error_that_names_the_view(
    content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "gone.duckdb"
    if content is not None:
        path.write_bytes(content)
    broken = SegmentRead(path, "r", (Interval(0, 1),), True, False)
    with (
        state("one key", tmp_path / "other", parts=1) as (con, one),
        pytest.raises(StorageError, match="feature view 'things'"),
        attached(con, [broken], view="things"),
    ):
        con.execute(f"select * from {path.stem}.rows")


@pytest.mark.parametrize("name", VIEWS)
def test_new_keys_are_those_that_the_state_has_never_seen(name: str, tmp_path: Path) -> None:
    with state(name, tmp_path) as (con, one):
        asked = [*one.all_keys[:1], *one.all_keys[:1], (99, "no")[: one.keys], (98, "no")[: one.keys]]
        columns = {key: [row[place] for row in asked] for place, key in enumerate(one.view.join_keys)} or {"x": asked}
        con.register(
            "arrow_asked",
            pa.table({name: pa.array(values) if values != asked else pa.nulls(4) for name, values in columns.items()}),
        )
        con.execute("create temp table asked as select * from arrow_asked")
        assert new_key_count(con, one.view, one.segments, "asked") == (2 if one.keys else 0)
        assert new_key_count(con, one.view, (), "asked") == (3 if one.keys else 1)
