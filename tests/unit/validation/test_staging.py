from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal as Number
from typing import Any

import duckdb
import pytest

from hitherto.definitions import Entity, Expectation, FeatureView, Field, ParquetSource, expect
from hitherto.errors import SourceError
from hitherto.timeline import Interval, instant
from hitherto.types import Bytes, DataType, Date, Decimal, Float32, Float64, Int64, List, String, Timestamp
from hitherto.validation.report import CheckResult, rejects
from hitherto.validation.staging import Staged, stage

DAY = Interval(instant("2020-01-01"), instant("2020-01-02"))
NOON = "TIMESTAMP '2020-01-01 12:00:00'"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


def view(*fields: Field, on_view: tuple[Expectation, ...] = (), **source: Any) -> FeatureView:
    return FeatureView(
        "rides",
        entities=[Entity("rider", join_keys={"k": Int64})],
        source=ParquetSource("a.parquet", timestamp_field="ts", **source),
        schema=fields or (Field("v", Float64),),
        expect=on_view,
    )


def staged(
    con: duckdb.DuckDBPyConnection, one: FeatureView, columns: str, *rows: str, interval: Interval | None = DAY
) -> Staged:
    con.execute(f"CREATE OR REPLACE TEMP VIEW raw AS SELECT * FROM (VALUES {', '.join(rows)}) AS t({columns})")
    return stage(con, one, relation="raw", interval=interval)


def go_on(con: duckdb.DuckDBPyConnection, columns: str | None = None) -> list[tuple[Any, ...]]:
    if columns is None:
        names = [row[0] for row in con.execute("DESCRIBE staged").fetchall()]
        columns = ", ".join(name for name in names if not name.startswith("__mask"))
    return con.execute(f"SELECT {columns} FROM staged ORDER BY ALL").fetchall()


def aside(con: duckdb.DuckDBPyConnection) -> dict[Any, list[str]]:
    return dict(con.execute("SELECT k, reasons FROM quarantined").fetchall())


def results(found: Staged) -> dict[str, CheckResult]:
    return {check.name: check for check in found.checks}


def test_a_row_goes_on_typed_with_its_times(con: duckdb.DuckDBPyConnection) -> None:
    one = view(Field("v", Float64, source_column="raw_v"), known_after="1h", created_timestamp_field="made")
    found = staged(con, one, "k, ts, made, raw_v, other", f"(1::TINYINT, {NOON}, DATE '2020-01-01', 2::INTEGER, 'x')")
    assert (found.rows_read, found.rows_quarantined, found.checks) == (1, 0, ())
    assert con.execute("DESCRIBE staged").fetchall()
    assert go_on(con) == [(1, datetime(2020, 1, 1, 12), datetime(2020, 1, 1), datetime(2020, 1, 1, 13), 2.0)]
    names = [row[0] for row in con.execute("DESCRIBE staged").fetchall()]
    assert names == ["k", "__event", "__created", "__available", "v", "__mask0"]


@pytest.mark.parametrize("key", ["1::TINYINT", "1::BIGINT", "NULL"])
def test_what_is_set_aside_has_the_same_columns_when_nothing_is(con: duckdb.DuckDBPyConnection, key: str) -> None:
    one = view(Field("v", List(Float64)), known_timestamp_field="known")
    columns = "k, ts, known, v"
    staged(con, one, columns, f"({key}, {NOON}, NULL::TIMESTAMP, [1.0])")
    some = con.execute("DESCRIBE quarantined").fetchall()
    assert con.execute("SELECT count(*) FROM quarantined").fetchall() == [(1,)]
    staged(con, one, columns, f"(coalesce({key}, 1), {NOON}, {NOON}, [1.0])")
    assert con.execute("SELECT count(*) FROM quarantined").fetchall() == [(0,)]
    assert con.execute("DESCRIBE quarantined").fetchall() == some


def test_the_interval_is_half_open_in_available_time(con: duckdb.DuckDBPyConnection) -> None:
    times = ["2019-12-31 22:59:59.999999", "2019-12-31 23:00:00", "2020-01-01 22:59:59.999999", "2020-01-01 23:00:00"]
    rows = [f"({n}, TIMESTAMP '{when}', 0.0)" for n, when in enumerate(times)]
    found = staged(con, view(known_after="1h"), "k, ts, v", *rows)
    assert found.rows_read == 2
    assert go_on(con, "k") == [(1,), (2,)]
    assert staged(con, view(known_after="1h"), "k, ts, v", *rows, interval=None).rows_read == 4


def test_a_known_time_before_the_event_does_not_make_the_row_available_earlier(con: duckdb.DuckDBPyConnection) -> None:
    staged(con, view(known_timestamp_field="known"), "k, ts, known, v", f"(1, {NOON}, TIMESTAMP '2019-01-01', 0.0)")
    assert go_on(con, "__available") == [(datetime(2020, 1, 1, 12),)]


def test_null_keys_and_null_or_impossible_times_are_always_set_aside(con: duckdb.DuckDBPyConnection) -> None:
    one = view(known_timestamp_field="known", created_timestamp_field="made")
    good = "TIMESTAMP '2020-01-01'"
    found = staged(
        con, one, "k, ts, known, made, v",
        f"(NULL, {good}, {good}, NULL, 1.0)",
        f"(2, NULL, {good}, {good}, 1.0)",
        f"(3, {good}, NULL, {good}, 1.0)",
        f"(4, TIMESTAMP 'infinity', {good}, {good}, 1.0)",
        f"(5, {good}, TIMESTAMP '10000-01-01', {good}, 1.0)",
        f"(6, {good}, {good}, TIMESTAMP '-infinity', 1.0)",
        f"(7, {good}, {good}, NULL, 1.0)",
    )  # fmt: skip
    assert (found.rows_read, found.rows_quarantined) == (7, 6)
    assert go_on(con, "k") == [(7,)]
    outside = "is outside the years 1 to 9999"
    assert aside(con) == {
        None: ["join key 'k' is null"], 2: ["event time 'ts' is null"], 3: ["known time 'known' is null"],
        4: [f"event time 'ts' {outside}"], 5: [f"known time 'known' {outside}"], 6: [f"created time 'made' {outside}"],
    }  # fmt: skip
    assert not rejects(found.checks)
    assert results(found)["key is not null"].broken == 1
    assert results(found)["key is not null"].severity == "quarantine"


def test_a_row_without_a_time_belongs_to_every_run_but_one_outside_the_interval_does_not(
    con: duckdb.DuckDBPyConnection,
) -> None:
    found = staged(con, view(), "k, ts, v", "(1, NULL::TIMESTAMP, 0.0)", "(NULL, TIMESTAMP '2021-01-01', 0.0)")
    assert (found.rows_read, found.rows_quarantined) == (1, 1)


def test_a_value_that_cannot_be_cast_is_set_aside_and_its_reason_does_not_hold_it(
    con: duckdb.DuckDBPyConnection,
) -> None:
    one = view(Field("n", Int64, expect=[expect.not_null()]))
    found = staged(con, one, "k, ts, n", f"(1, {NOON}, 1.0::DOUBLE)", f"(2, {NOON}, 123.456::DOUBLE)")
    assert aside(con) == {2: ["feature 'n': a value of DOUBLE cannot be Int64 without loss"]}
    assert "123.456" not in str(aside(con)) + str(found.checks)
    assert results(found)["not_null()"].passed, "a value that is set aside is not a null"


def test_a_key_that_cannot_be_cast_is_set_aside(con: duckdb.DuckDBPyConnection) -> None:
    found = staged(con, view(), "k, ts, v", f"(1.5::DOUBLE, {NOON}, 1.0)")
    assert found.rows_quarantined == 1
    assert aside(con) == {None: ["join key 'k': a value of DOUBLE cannot be Int64 without loss"]}


def test_every_reason_is_kept(con: duckdb.DuckDBPyConnection) -> None:
    checks = [
        expect.between(0, 1, severity="quarantine"),
        expect.is_in([0.5], severity="quarantine"),
        expect.between(0, 2),
    ]
    found = staged(con, view(Field("v", Float64, expect=checks)), "k, ts, v", f"(NULL, {NOON}, 9.0)")
    assert aside(con) == {
        None: ["feature 'v' breaks between(0, 1)", "feature 'v' breaks is_in((0.5,))", "join key 'k' is null"]
    }
    assert found.rows_quarantined == 1


def test_the_raw_row_is_kept_as_json(con: duckdb.DuckDBPyConnection) -> None:
    staged(
        con, view(), "k, ts, v, s, nan, l, st, b, d, n, big, unused",
        f"(NULL, {NOON}, 1.5::DOUBLE, 'a\"\\\n' || chr(0), 'nan'::DOUBLE, [1.0::DOUBLE, 'inf'::DOUBLE, NULL], {{'x': '-inf'::FLOAT, 'y': NULL}}, "
        "'\\xFF'::BLOB, 1.10::DECIMAL(5, 2), NULL, 18446744073709551615::UBIGINT, true)",
    )  # fmt: skip
    ((text,),) = con.execute("SELECT row FROM quarantined").fetchall()
    assert json.loads(text) == {
        "k": None, "ts": "2020-01-01 12:00:00", "v": 1.5, "s": 'a"\\\n\0', "nan": "NaN", "l": [1.0, "Infinity", None],
        "st": {"x": "-Infinity", "y": None}, "b": "/w==", "d": "1.10", "n": None, "big": 18446744073709551615, "unused": True,
    }  # fmt: skip


def broken(con: duckdb.DuckDBPyConnection, kind: DataType, check: Expectation, *values: str) -> list[int]:
    """The numbers of the values that break the check."""
    quarantine = Expectation(check.kind, check.params, "quarantine")
    rows = [f"({number}, {NOON}, {value})" for number, value in enumerate(values)]
    staged(con, view(Field("v", kind, expect=[quarantine])), "k, ts, v", *rows)
    return sorted(aside(con))


def test_between_has_both_ends_inside_and_nan_outside(con: duckdb.DuckDBPyConnection) -> None:
    values = [f"{value}::DOUBLE" for value in ("0", "1", "0.5", "-0.1", "1.1", "'nan'", "NULL", "'inf'", "'-inf'")]
    assert broken(con, Float64, expect.between(0, 1), *values) == [3, 4, 5, 7, 8]
    assert broken(con, Float64, expect.between(0, None), *values) == [3, 5, 8]
    assert broken(con, Float64, expect.between(None, 1), *values) == [4, 5, 7]


def test_bounds_are_of_the_columns_type(con: duckdb.DuckDBPyConnection) -> None:
    assert broken(con, Float32, expect.between(0.1, 0.1), "0.1::FLOAT", "0.2::FLOAT") == [1]
    assert broken(con, Int64, expect.between(0.5, 1.5), "0", "1", "2") == [0, 2]
    assert broken(con, Int64, expect.between(9007199254740993, None), "9007199254740992", "9007199254740993") == [0]
    assert broken(con, Int64, expect.between(-1e300, 1e300), "0", "9223372036854775807") == []
    assert broken(
        con, Decimal(5, 2), expect.between(Number("1.005"), None), "1.00::DECIMAL(5,2)", "1.01::DECIMAL(5,2)"
    ) == [0]
    assert broken(
        con, Date, expect.between(date(2020, 1, 1), date(2020, 1, 2)), "DATE '2020-01-02'", "DATE '2020-01-03'"
    ) == [1]
    assert broken(con, Timestamp, expect.between("2020-01-01T01:00:00+01:00", None), "TIMESTAMP '2020-01-01'") == []
    assert broken(con, String, expect.between("b", "c"), "'a'", "'b'", "'cc'") == [0, 2]


def test_not_null_is_in_matches_and_length(con: duckdb.DuckDBPyConnection) -> None:
    assert broken(con, Float64, expect.not_null(), "1.0", "NULL", "'nan'::DOUBLE") == [1]
    assert broken(con, String, expect.is_in(["it's", "b"]), "'it''s'", "'c'", "NULL") == [1]
    assert broken(con, Int64, expect.is_in([1.0, 2.5]), "1", "2", "3") == [1, 2]
    assert broken(con, Int64, expect.is_in([2.5]), "1", "NULL") == [0]
    assert broken(con, Float64, expect.is_in([float("nan")]), "'nan'::DOUBLE", "1.0") == [1]
    assert broken(con, String, expect.matches("[a-z]+"), "'abc'", "'abc1'", "NULL", "''") == [1, 3]
    assert broken(con, String, expect.length(2, 3), "'é'", "'éé'", "NULL", "'abcd'") == [0, 3]
    assert broken(con, Bytes, expect.length(2), "'\\xC3\\xA9'::BLOB", "'a'::BLOB") == [1]
    assert broken(con, List(Int64), expect.length(None, 1), "[1]", "[1, 2]", "[]", "NULL") == [1]


def test_unique_breaks_for_every_row_that_shares_a_value(con: duckdb.DuckDBPyConnection) -> None:
    assert broken(con, String, expect.unique(), "'a'", "'b'", "'a'", "NULL", "NULL") == [0, 2]


def test_a_predicate_sees_keys_times_and_features(con: duckdb.DuckDBPyConnection) -> None:
    predicate = expect.sql(
        "k < 3 and event_time < available_time and created_time is null and v > w", severity="quarantine"
    )
    one = view(Field("v", Float64), Field("w", Float64), on_view=(predicate,), known_after="1s")
    rows = [f"(1, {NOON}, 2.0, 1.0)", f"(2, {NOON}, 1.0, 2.0)", f"(3, {NOON}, 2.0, 1.0)", f"(0, {NOON}, NULL, 1.0)"]
    staged(con, one, "k, ts, v, w", *rows)
    assert sorted(aside(con)) == [2, 3]


def test_nullify_makes_the_one_value_null_and_counts_it(con: duckdb.DuckDBPyConnection) -> None:
    field = Field(
        "v", Float64, expect=[expect.between(0, 10, severity="nullify"), expect.is_in([1, 2, 99], severity="nullify")]
    )
    found = staged(
        con,
        view(field, Field("w", Float64)),
        "k, ts, v, w",
        f"(1, {NOON}, 1.0, 5.0)",
        f"(2, {NOON}, 99.0, 5.0)",
        f"(3, {NOON}, 3.0, 5.0)",
    )
    assert go_on(con, "k, v, w") == [(1, 1.0, 5.0), (2, None, 5.0), (3, None, 5.0)]
    assert [(check.broken, check.rows, check.passed) for check in found.checks] == [(1, 3, False), (1, 3, False)]
    assert found.rows_quarantined == 0
    assert not rejects(found.checks)


def test_other_checks_see_what_nullify_left(con: duckdb.DuckDBPyConnection) -> None:
    field = Field(
        "v",
        Float64,
        expect=[
            expect.between(-90, 90),
            expect.not_null(severity="warn"),
            expect.between(-999, 90, severity="nullify"),
            expect.between(-90, None, severity="nullify"),
        ],
    )
    found = staged(
        con, view(field, on_view=(expect.sql("v > -100"),)), "k, ts, v", f"(1, {NOON}, -999.0)", f"(2, {NOON}, 5.0)"
    )
    assert not rejects(found.checks)
    assert results(found)["not_null()"].broken == 1


def test_fail_rejects_and_warn_does_not(con: duckdb.DuckDBPyConnection) -> None:
    for severity, rejected in (("fail", True), ("warn", False)):
        check = Expectation("between", (("low", 0), ("high", 1)), severity)  # type: ignore[arg-type]  # a plain str here
        found = staged(con, view(Field("v", Float64, expect=[check])), "k, ts, v", f"(1, {NOON}, 5.0)")
        assert rejects(found.checks) is rejected
        assert found.rows_quarantined == 0
        assert (found.checks[0].broken, found.checks[0].detail) == (1, "1 of 1 rows break it")


def test_a_share_is_held_at_its_bound(con: duckdb.DuckDBPyConnection) -> None:
    rows = [f"({n}, {NOON}, {'NULL' if n == 0 else '1.0'})" for n in range(20)]
    for share, passed in ((0.95, True), (0.96, False)):
        found = staged(con, view(Field("v", Float64, expect=[expect.not_null(at_least=share)])), "k, ts, v", *rows)
        assert found.checks[0].passed is passed
        assert found.checks[0].at_least == share
        assert "95.00 % hold" in found.checks[0].detail


def test_fail_and_warn_judge_only_the_rows_that_go_on(con: duckdb.DuckDBPyConnection) -> None:
    field = Field("v", Float64, expect=[expect.between(0, 1), expect.between(0, 5, severity="quarantine")])
    found = staged(con, view(field), "k, ts, v", f"(1, {NOON}, 99.0)", f"(2, {NOON}, 0.5)")
    assert not rejects(found.checks)
    assert [(check.rows, check.broken) for check in found.checks] == [(1, 0), (2, 1)]


def test_more_than_62_checks_share_the_pass(con: duckdb.DuckDBPyConnection) -> None:
    checks = [expect.between(None, bound, severity="quarantine") for bound in range(150)]
    found = staged(
        con, view(Field("v", Float64, expect=checks)), "k, ts, v", f"(1, {NOON}, 148.5)", f"(2, {NOON}, -1.0)"
    )
    assert (found.rows_read, found.rows_quarantined) == (2, 1)
    assert [check.broken for check in found.checks] == [1] * 149 + [0]
    assert len(aside(con)[1]) == 149


def test_rows_read_are_the_rows_that_go_on_and_those_set_aside(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "CREATE TEMP VIEW raw AS SELECT nullif(i % 7, 3) AS k, make_timestamp(1577836800000000 + i) AS ts, "
        "CASE WHEN i % 5 = 0 THEN NULL ELSE i END AS v FROM range(10000) t(i)"
    )
    field = Field("v", Float64, expect=[expect.between(0, 9000, severity="quarantine")])
    found = stage(con, view(field), relation="raw", interval=DAY)
    ((on, off),) = con.execute("SELECT (SELECT count(*) FROM staged), (SELECT count(*) FROM quarantined)").fetchall()
    assert found.rows_read == 10000 == on + off
    assert found.rows_quarantined == off > 0


def test_an_interval_without_rows_gives_empty_relations(con: duckdb.DuckDBPyConnection) -> None:
    found = staged(
        con, view(Field("v", Float64, expect=[expect.not_null()])), "k, ts, v", "(1, TIMESTAMP '2021-01-01', 1.0)"
    )
    assert (found.rows_read, found.rows_quarantined, found.checks[0].passed) == (0, 0, True)
    assert go_on(con) == []


def test_staging_again_replaces_what_was_there(con: duckdb.DuckDBPyConnection) -> None:
    staged(con, view(), "k, ts, v", f"(1, {NOON}, 1.0)")
    staged(con, view(), "k, ts, v", f"(2, {NOON}, 1.0)")
    assert go_on(con, "k") == [(2,)]


def test_a_view_without_entities_has_no_key_to_check(con: duckdb.DuckDBPyConnection) -> None:
    one = FeatureView(
        "all", source=ParquetSource("a.parquet", timestamp_field="ts"), schema=[Field("event_time", Int64)]
    )
    found = staged(con, one, "ts, event_time", f"({NOON}, 1)")
    assert (found.rows_read, found.rows_quarantined) == (1, 0)


def test_a_column_that_changed_its_type_is_a_source_error(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(SourceError, match="View 'rides' cannot read source 'a'.*column 'v' is VARCHAR") as raised:
        staged(con, view(), "k, ts, v", f"(1, {NOON}, 'x')")
    assert "test_staging.py" in str(raised.value)


def test_a_predicate_that_fails_on_a_row_fails_the_staging(con: duckdb.DuckDBPyConnection) -> None:
    one = view(Field("v", String, expect=[expect.sql("cast(v as integer) > 0")]))
    with pytest.raises(SourceError, match="could not read source"):
        staged(con, one, "k, ts, v", f"(1, {NOON}, 'x')")


def test_rows_are_staged_in_the_order_asked_and_those_set_aside_leave_no_trace(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "CREATE TEMP VIEW raw AS SELECT hash(i) % 1000 AS k, make_timestamp(1577836800000000 + (hash(i + 7) % 1000)::BIGINT) AS ts, "
        "CASE WHEN i % 5 = 0 THEN NULL ELSE i END AS v FROM range(300000) t(i)"
    )
    field = Field("v", Float64, expect=[expect.not_null(severity="quarantine")])
    found = stage(con, view(field), relation="raw", interval=DAY, order="k, __event")
    rows = con.execute("SELECT k, __event FROM staged").fetchall()
    assert rows == sorted(rows)
    assert (found.rows_read, found.rows_quarantined, len(rows)) == (300000, 60000, 240000)


@pytest.mark.parametrize(
    ("change", "keys", "values"),
    [
        # Of three rows, one has no key at first; then two have none.
        ("another number", "nullif(nextval('changing') % 2, 0)", "1.0"),
        # Each of three rows is set aside both times, with other values, or with the value of another row.
        ("other values", "NULL::INTEGER", "nextval('changing')"),
        ("one value", "NULL::INTEGER", "nextval('changing') // 4"),
    ],
)
def test_a_source_that_changes_while_it_is_read_fails_the_run(
    con: duckdb.DuckDBPyConnection, change: str, keys: str, values: str
) -> None:
    con.execute("CREATE SEQUENCE changing")
    con.execute(f"CREATE TEMP VIEW raw AS SELECT {keys} AS k, {NOON} AS ts, ({values})::DOUBLE AS v FROM range(3)")
    with pytest.raises(SourceError, match="was changed while it was read"):
        stage(con, view(), relation="raw", interval=DAY)


def test_the_order_in_which_a_source_is_read_again_does_not_matter(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        f"CREATE TEMP VIEW raw AS SELECT NULL::INTEGER AS k, {NOON} AS ts, v::DOUBLE AS v FROM range(100) t(v) ORDER BY random()"
    )
    assert stage(con, view(), relation="raw", interval=DAY).rows_quarantined == 100
