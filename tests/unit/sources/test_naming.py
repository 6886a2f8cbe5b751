from __future__ import annotations

import pytest

from hitherto.sources.naming import columns_of


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("select k, v as x from source where w > 1 group by u", ["k", "v", "w", "u"]),
        ("select k, v / 2 as v from source", ["k", "v"]),
        ("select k, sum(v) over w as total from source window w as (partition by k order by at_)", ["k", "v", "at_"]),
        ("with a as (select k, v as x from source) select k, max(x) as y from a group by k having y > 1", ["k", "v"]),
        ("select s.k, other.v from source s join (select k, z as v from source) other using (k)", ["k", "z"]),
        ("select k, 2 as two from source order by two", ["k"]),
        ("select * from source", ["k", "result"]),
        ("select *, a + b as result from source", ["a", "b", "k"]),
        ("from source", ["k", "result"]),
        ("select count(*) as n from source", []),
        ("select f.v, p.seats from flights f join planes p on f.k = p.k", []),
        ("this is no SQL (", []),
    ],
)
def test_the_columns_that_a_transform_needs_of_its_source(sql: str, columns: list[str]) -> None:
    assert sorted(columns_of(sql, "source", ["k", "result"])) == sorted(columns)


def test_of_several_tables_each_has_its_own() -> None:
    sql = "select f.k, f.v, p.seats as result from flights f asof join planes p on f.k = p.k and f.at_ >= p.listed"
    assert sorted(columns_of(sql, "flights", ["k", "result"])) == ["at_", "k", "v"]
    assert sorted(columns_of(sql, "planes", ["k", "result"])) == ["k", "listed", "seats"]


@pytest.mark.parametrize(
    ("sql", "flights", "planes"),
    [
        ("select f.*, p.result from flights f join planes p on f.k = p.k", ["k"], ["k", "result"]),
        ("select f.*, p.seats as result from flights f join planes p on f.k = p.k", ["k"], ["k", "seats"]),
        ("select f.k, p.* from flights f, planes p where f.__available_time >= p.__available_time", ["k"], ["result"]),
        # Of whichever table they are: nothing can be asked for.
        ("select * from flights f join planes p on f.k = p.k", ["k"], ["k"]),
    ],
)
def test_the_star_of_one_table_asks_no_other_for_its_columns(sql: str, flights: list[str], planes: list[str]) -> None:
    assert sorted(columns_of(sql, "flights", ["k", "result"])) == flights
    assert sorted(columns_of(sql, "planes", ["k", "result"])) == planes
