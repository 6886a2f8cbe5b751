"""Segment files: order, ties, the index of winners against brute force, identity, and nothing half-done."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hitherto import Aggregation, Entity, FeatureView, Field, ParquetSource
from hitherto.errors import StorageError
from hitherto.offline.duckdb import segments
from hitherto.offline.duckdb.reading import content_rows
from hitherto.offline.duckdb.visible import attached
from hitherto.timeline import Interval
from hitherto.types import Bool, Bytes, DataType, Date, Float64, Int32, Int64, List, String, Timestamp
from unit.offline.engine import engine, reads, staged, write

SOURCE = ParquetSource("x.parquet", timestamp_field="at", created_timestamp_field="made", known_timestamp_field="known")


def view_of(*kinds: DataType) -> FeatureView:
    keys = {f"k{place}": kind for place, kind in enumerate(kinds)}
    entities = [Entity("thing", join_keys=keys)] if keys else []
    return FeatureView("things", entities=entities, source=SOURCE, schema=[Field("x", Float64), Field("y", String)])


ONE = view_of(Int64)
PAIR = view_of(Int64, String)
NONE = view_of()


def random_rows(view: FeatureView, count: int, rng: random.Random, *, late: bool = True) -> list[tuple[Any, ...]]:
    """Rows with many ties and late arrivals."""
    rows = []
    for _ in range(count):
        key = tuple(
            rng.randrange(3) if kind == Int64 else rng.choice(["", "a", "11"]) for kind in view.join_keys.values()
        )
        event = rng.randrange(6)
        created = rng.choice([None, 0, 1])
        available = event + (rng.randrange(4) if late else 0)
        rows.append((*key, event, created, available, rng.choice([None, -0.0, 0.0, 1.5]), rng.choice([None, "", "b"])))
    return rows


def order(row: tuple[Any, ...], keys: int) -> tuple[Any, ...]:
    event, created, available = row[keys : keys + 3]
    return (event, -1 if created is None else created, available)


def brute_force(rows: list[tuple[Any, ...]], keys: int) -> set[tuple[Any, ...]]:
    """(key, available, order of the greatest row available by then), for each available time of the key."""
    found = set()
    for key, group in itertools.groupby(sorted(rows, key=lambda row: row[:keys]), key=lambda row: row[:keys]):
        own = list(group)
        for available in {row[keys + 2] for row in own}:
            found.add((key, available, max(order(row, keys) for row in own if row[keys + 2] <= available)))
    return found


@pytest.mark.parametrize("view", [ONE, PAIR, NONE], ids=["one key", "two keys", "no key"])
@pytest.mark.parametrize("late", [True, False])
def test_the_index_of_winners_names_the_greatest_row_available_by_each_time(
    view: FeatureView, late: bool, tmp_path: Path
) -> None:
    rng = random.Random(len(view.join_keys) * 2 + late)
    rows = random_rows(view, 120, rng, late=late)
    keys = len(view.join_keys)
    with engine() as con:
        written = write(con, view, rows, tmp_path / "s.duckdb")
        con.execute(f"attach '{written.path}' as seg (read_only)")
        names = ", ".join(f"r.{name}" for name in view.join_keys)
        times = ", ".join(f"epoch_us(r.{name})" for name in ("__event", "__created", "__available"))
        index = (
            "select __available, __row from seg.winners"
            if written.indexed
            else "select __available, rowid as __row from seg.rows"
        )
        found = con.execute(
            f"select {names + ', ' if names else ''}epoch_us(w.__available), {times} from ({index}) w join seg.rows r on r.rowid = w.__row"
        ).fetchall()
    assert {(row[:keys], row[keys], order(row[keys + 1 :], 0)) for row in found} == brute_force(rows, keys)


@pytest.mark.parametrize("view", [ONE, PAIR, NONE], ids=["one key", "two keys", "no key"])
def test_of_rows_that_agree_in_key_and_times_the_greatest_bytes_stay_and_the_rest_are_counted(
    view: FeatureView, tmp_path: Path
) -> None:
    key = (1, "a")[: len(view.join_keys)]
    rows = [
        (*key, 5, None, 7, value, text)
        for value, text in [(1.5, "a"), (1.5, "b"), (None, "z"), (-0.0, "a"), (0.0, "a")]
    ]
    with engine() as con:
        written = write(con, view, [*rows, (*key, 6, None, 7, 0.0, "")], tmp_path / "s.duckdb")
        con.execute(f"attach '{written.path}' as seg (read_only)")
        kept = con.execute("select x, y from seg.rows order by rowid").fetchall()
    # Bytewise: "n" of null is above every digit and the minus.
    assert kept == [(None, "z"), (0.0, "")]
    assert (written.rows, written.superseded, written.keys) == (2, 4, 1)


def test_row_ids_follow_the_order_of_rows_and_nulls_in_created_come_first(tmp_path: Path) -> None:
    rows = random_rows(ONE, 400, random.Random(3))
    with engine(threads=2) as con:
        written = write(con, ONE, rows, tmp_path / "s.duckdb")
        con.execute(f"attach '{written.path}' as seg (read_only)")
        found = con.execute(
            "select k0, epoch_us(__event), epoch_us(__created), epoch_us(__available) from seg.rows order by rowid"
        ).fetchall()
    assert found == sorted(found, key=lambda row: (row[0], *order(row, 1)))


def test_no_order_of_rows_and_no_number_of_threads_changes_the_content_hash(tmp_path: Path) -> None:
    rows = random_rows(PAIR, 300, random.Random(4))
    hashes = set()
    for turn, threads in enumerate((1, 2, 2)):
        shuffled = random.Random(turn).sample(rows, len(rows))
        with engine(threads=threads) as con:
            written = write(con, PAIR, shuffled, tmp_path / f"{turn}.duckdb")
            assert segments.content_of(con, PAIR, f"({_select(con, written.path)})") == written.content_hash
        hashes.add(written.content_hash)
    assert len(hashes) == 1


def _select(con: duckdb.DuckDBPyConnection, path: Path) -> str:
    con.execute(f"attach '{path}' as seg (read_only)")
    return "select k0, k1, __event, __created, __available, x, y from seg.rows"


def test_one_other_bit_changes_the_content_hash(tmp_path: Path) -> None:
    with engine() as con:
        one = write(con, ONE, [(1, 5, None, 5, 0.0, "a")], tmp_path / "a.duckdb")
        other = write(con, ONE, [(1, 5, None, 5, -0.0, "a")], tmp_path / "b.duckdb")
    assert one.content_hash != other.content_hash


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (Bool, False, True),
        (Int32, -(2**31), 2**31 - 1),
        (Int64, -(2**63), 2**63 - 1),
        (Date, __import__("datetime").date(1, 1, 1), __import__("datetime").date(9999, 12, 31)),
        (
            Timestamp,
            __import__("datetime").datetime(1, 1, 1),
            __import__("datetime").datetime(9999, 12, 31, 23, 59, 59, 999999),
        ),
        (String, "", "\U0010ffff\0"),
        (Bytes, b"", b"\xff" * 9),
    ],
    ids=lambda value: repr(value) if isinstance(value, DataType) else "",
)
def test_keys_of_every_type_are_told_apart_up_to_the_ends_of_their_range(
    kind: DataType, low: Any, high: Any, tmp_path: Path
) -> None:
    view = view_of(kind)
    with engine() as con:
        written = write(con, view, [(low, 5, None, 5, 1.0, ""), (high, 5, None, 5, 2.0, "")], tmp_path / "s.duckdb")
        con.execute(f"attach '{written.path}' as seg (read_only)")
        tables = {
            row[0]
            for row in con.execute("select table_name from duckdb_tables() where database_name = 'seg'").fetchall()
        }
        ids = con.execute("select __key from seg.rows order by rowid").fetchall()
    assert written.keys == len(set(ids)) == 2
    assert ("keys" in tables) == (kind in (String, Bytes))


def test_a_view_without_rows_makes_an_empty_segment(tmp_path: Path) -> None:
    with engine() as con:
        written = write(con, PAIR, [], tmp_path / "s.duckdb")
    assert (written.rows, written.keys, written.superseded, written.indexed) == (0, 0, 0, False)


def test_there_is_an_index_only_where_the_newest_row_is_not_simply_the_winner(tmp_path: Path) -> None:
    plain = [(1, time, None, time, 0.0, "") for time in range(3)]
    with engine() as con:
        assert not write(con, ONE, plain, tmp_path / "a.duckdb").indexed
        assert write(con, ONE, [*plain, (1, 1, None, 9, 0.0, "")], tmp_path / "b.duckdb").indexed
        # Two rows of one available time: created time decides, and the index has one row for both.
        assert write(con, ONE, [*plain, (1, 2, 0, 2, 0.0, "")], tmp_path / "c.duckdb").indexed


def test_a_segment_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s.duckdb"
    with engine() as con:
        # Not sorted: the proof of the order fails, which is an error in the middle of writing.
        con.register("given", staged(ONE, [(1, 6, None, 6, 1.0, "a"), (1, 5, None, 5, 2.0, "a")]))
        con.execute("create table staged as select * from given")
        with pytest.raises(StorageError, match="Feature view 'things': 1 rows of the new segment are out of order"):
            segments.write(con, ONE, relation="staged", path=path)
    assert list(path.parent.iterdir()) == []


def test_a_half_written_file_of_an_earlier_attempt_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "s.duckdb.tmp").write_bytes(b"half")
    with engine() as con:
        assert write(con, ONE, [(1, 5, None, 5, 1.0, "a")], tmp_path / "s.duckdb").rows == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s.duckdb"]


def test_a_folder_that_cannot_be_made_is_a_storage_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with engine() as con, pytest.raises(StorageError, match=r"Not a directory|File exists") as caught:
        write(con, ONE, [(1, 5, None, 5, 1.0, "a")], tmp_path / "file" / "s.duckdb")
    assert "offline.path" in str(caught.value)


def test_the_file_hash_is_of_the_bytes_on_disk(tmp_path: Path) -> None:
    with engine() as con:
        written = write(con, ONE, [(1, 5, None, 5, 1.0, "a")], tmp_path / "s.duckdb")
    assert segments.file_hash(written.path) == written.file_hash
    with pytest.raises(StorageError, match="Reading the segment"):
        segments.file_hash(tmp_path / "gone.duckdb")


@pytest.mark.parametrize("view", [ONE, PAIR], ids=["one key", "two keys"])
def test_many_rows_of_which_some_go_keep_their_order_on_two_threads(view: FeatureView, tmp_path: Path) -> None:
    names = ", ".join(["i // 20 as k0", "'k' || (i // 10) as k1"][: len(view.join_keys)])
    with engine(threads=2) as con:
        con.execute(
            f"create table staged as select {names}, make_timestamp((i % 20) // 2) as __event, null::timestamp as __created, "
            f"make_timestamp((i % 20) // 2) as __available, i::double as x, 'y' as y from range(400000) t(i) "
            f"order by {segments.clustering(view)}"
        )
        superseded = segments.drop_superseded(con, view, "staged", "printf('%020d', x::bigint)")
        written = segments.write(con, view, relation="staged", path=tmp_path / "s.duckdb", superseded=superseded)
        con.execute(f"attach '{written.path}' as seg (read_only)")
        left = con.execute("select distinct x % 2 from seg.rows").fetchall()
    # Of each pair the odd one is greater; that the order holds is proven by the writer.
    assert (written.rows, written.superseded, left) == (200000, 200000, [(1.0,)])


def test_rows_that_only_the_available_time_orders_are_put_in_order(tmp_path: Path) -> None:
    with engine(threads=2) as con:
        # Sorted as asked for, and of each key the latest row comes first; each time is there twice, not side by side.
        con.execute(
            "create table staged as select i // 20 as k0, make_timestamp(5) as __event, make_timestamp(7) as __created, "
            "make_timestamp(10 + (19 - i % 20) % 10) as __available, i::double as x, 'y' as y from range(100000) t(i)"
        )
        superseded = segments.drop_superseded(con, ONE, "staged", "printf('%020d', x::bigint)")
        written = segments.write(con, ONE, relation="staged", path=tmp_path / "s.duckdb", superseded=superseded)
        con.execute(f"attach '{written.path}' as seg (read_only)")
        left = con.execute("select distinct x % 20 >= 10 from seg.rows").fetchall()
    # Of each pair the later is greater; that the order holds is proven by the writer.
    assert (written.rows, written.superseded, left) == (50000, 50000, [(True,)])


def windowed(source: ParquetSource, kind: DataType = Int64) -> FeatureView:
    """A view with aggregations over `x` and `y`."""
    entities = [Entity("thing", join_keys={"k0": kind})]
    aggregations = [
        Aggregation("x", "sum", windows=["1h"]),
        Aggregation("y", "last", dtype=String),
        Aggregation("z", "count", dtype=List(Int64)),
    ]
    return FeatureView("things", entities=entities, source=source, aggregations=aggregations)


EVENTS = ParquetSource("x.parquet", timestamp_field="at", known_timestamp_field="known")


def tied_rows(rng: random.Random) -> list[tuple[Any, ...]]:
    """Rows of three keys and few times, many of which agree in all of them, some in everything."""
    return [
        (rng.randrange(3), event, None, event + rng.randrange(2), rng.choice([None, -0.0, 0.0]), rng.choice("ab"), [1])
        for event in rng.choices(range(4), k=200)
    ]


def test_rows_that_agree_in_all_times_are_all_kept_in_the_order_of_their_bytes_where_each_is_an_event(
    tmp_path: Path,
) -> None:
    view, rows = windowed(EVENTS), tied_rows(random.Random(5))
    found, hashes = set(), set()
    for turn, threads in enumerate((1, 2, 2)):
        with engine(threads=threads) as con:
            shuffled = random.Random(turn).sample(rows, len(rows))
            written = write(con, view, shuffled, tmp_path / f"{turn}.duckdb")
            assert (written.rows, written.superseded, written.keys, written.indexed) == (200, 0, 3, False)
            con.execute(f"attach '{written.path}' as seg (read_only)")
            kept = con.execute(
                "select k0, epoch_us(__event), epoch_us(__available), x, y from seg.rows order by rowid"
            ).fetchall()
            state = (reads(written),)
            con.execute("detach seg")
            with attached(con, state, view="things"):
                everything = content_rows(view, state, Interval(-(10**15), 10**15))
                hashes |= {written.content_hash, segments.content_of(con, view, everything)}
        found.add(str(kept))
        # Bytewise "-0.0" < "0.0" < "null", and then "a" < "b".
        ranks = {None: 2, -0.0: 0}
        order = [
            (*row[:3], 0 if str(row[3]) == "-0.0" else 1 if row[3] == 0 else ranks[row[3]], row[4]) for row in kept
        ]
        assert order == sorted(order)
    assert (len(found), len(hashes)) == (1, 1)


def test_with_a_created_time_rows_of_a_windowed_view_are_versions_and_superseded_ones_go(tmp_path: Path) -> None:
    rows = [(1, 5, 6, 7, 1.0, "a", [1]), (1, 5, 6, 7, 2.0, "a", [1]), (1, 5, 6, 8, 3.0, "a", [1])]
    with engine() as con:
        written = write(con, windowed(SOURCE), rows, tmp_path / "s.duckdb")
    assert (written.rows, written.superseded, written.indexed) == (2, 1, False)


def test_many_rows_that_tie_keep_the_order_of_all_rows_on_two_threads(tmp_path: Path) -> None:
    view = windowed(EVENTS)
    with engine(threads=2) as con:
        con.execute(
            "create table staged as select i // 20 as k0, make_timestamp((i % 20) // 2) as __event, null::timestamp as __created, "
            "make_timestamp((i % 20) // 2) as __available, (i * 7919 % 400000)::double as x, 'y' as y, [i] as z "
            f"from range(400000) t(i) order by {segments.clustering(view)}"
        )
        assert segments.drop_superseded(con, view, "staged", "printf('%020d', x::bigint)") == 0
        written = segments.write(con, view, relation="staged", path=tmp_path / "s.duckdb")
        con.execute(f"attach '{written.path}' as seg (read_only)")
        early = con.execute(
            "select count(*) from (select k0 = lag(k0) over () and __event = lag(__event) over () and x < lag(x) over () as early "
            "from seg.rows) where early"
        ).fetchall()
        rows = con.execute("select count(distinct x), count(distinct z) from seg.rows").fetchall()
    # That key and times are in order is proven by the writer.
    assert (written.rows, early, rows) == (400000, [(0,)], [(400000, 400000)])
