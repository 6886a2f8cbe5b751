"""sources=: names that SQL can read, exactly one of source= and sources=, and the first one's time rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pytest

from hitherto.definitions import FeatureView, Field, ParquetSource
from hitherto.definitions.collection import Definitions
from hitherto.definitions.problems import collecting
from hitherto.definitions.relations import WORDS
from hitherto.definitions.rules import check
from hitherto.errors import DefinitionError
from hitherto.types import Float64

FLIGHTS = ParquetSource("flights.parquet", timestamp_field="departed_at", known_after="1h")
PLANES = ParquetSource("planes.parquet", timestamp_field="registered_at")
SQL = "select * from flights asof join planes using (tail)"


def joined(**changes: Any) -> FeatureView:
    given = {
        "sources": {"flights": FLIGHTS, "planes": PLANES},
        "transform": SQL,
        "schema": [Field("seats", Float64)],
    }
    return FeatureView("seats", **{**given, **changes})


def test_the_first_source_gives_the_time_rules_and_is_the_views_source():
    view = joined()
    assert view.source == FLIGHTS
    assert list(view.all_sources.items()) == [("flights", FLIGHTS), ("planes", PLANES)]
    assert list(joined(sources={"planes": PLANES, "flights": FLIGHTS}).all_sources) == ["planes", "flights"]


def test_one_source_is_called_source():
    view = FeatureView("x", source=FLIGHTS, schema=[Field("seats", Float64)])
    assert view.sources is None
    assert view.all_sources == {"source": FLIGHTS}


def test_a_joined_view_may_be_copied_compared_and_changed():
    view = joined()
    assert replace(view, ttl="1d").all_sources == view.all_sources
    assert joined() == view
    assert joined(sources={"flights": FLIGHTS, "planes": replace(PLANES, path="other")}) != view
    assert hash(view) == hash(joined())
    mine = {"flights": FLIGHTS, "planes": PLANES}
    view = joined(sources=mine)
    del mine["planes"]
    assert list(view.all_sources) == ["flights", "planes"]


def test_one_source_may_be_read_under_two_names():
    view = joined(sources={"now": FLIGHTS, "before": FLIGHTS})
    assert view.all_sources == {"now": FLIGHTS, "before": FLIGHTS}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sources": {}}, "sources={} is not a mapping from names to sources; give sources="),
        ({"sources": [FLIGHTS]}, "is not a mapping from names to sources"),
        ({"sources": FLIGHTS}, "is not a mapping from names to sources"),
        ({"sources": {"flights": FLIGHTS, "Planes": PLANES}}, "the name 'Planes'; the SELECT reads lower-case letters"),
        ({"sources": {"flights": FLIGHTS, "__planes": PLANES}}, "the name '__planes'"),
        ({"sources": {5: FLIGHTS}}, "the name 5"),
        ({"sources": {"order": FLIGHTS}}, "the name 'order', which is a word of SQL"),
        ({"sources": {"asof": FLIGHTS}}, "the name 'asof', which is a word of SQL"),
        ({"sources": {"flights": "flights.parquet"}}, "has 'flights.parquet' as 'flights'; give a ParquetSource"),
        ({"transform": None}, "sources= are joined by a transform, and there is none"),
        ({"source": PLANES}, "it has source= and sources=; give one of the two"),
        ({"sources": None}, "its source is None; give source=ParquetSource"),
        (
            {"lookback": {"plane": "1h"}},
            "lookback= names 'plane', which is not among its sources. Did you mean 'planes'?",
        ),
        ({"lookback": {"planes": "soon"}}, "lookback of 'planes'"),
        ({"lookback": {"planes": "-1h"}}, "lookback of 'planes'=-1 day, 23:00:00 is negative"),
        ({"lookback": "-1h"}, "lookback=-1 day, 23:00:00 is negative"),
        ({"ttl": "30m"}, "known_after=1:00:00 is above ttl=0:30:00"),
    ],
)
def test_what_is_wrong_with_sources_is_said_with_the_view(changes, said):
    with pytest.raises(DefinitionError) as caught:
        joined(**changes)
    (problem,) = caught.value.problems
    assert said in problem.message
    assert problem.object == "feature view 'seats'"
    assert problem.location is not None
    assert problem.location.file == __file__


def test_all_problems_of_sources_come_at_once():
    with collecting() as problems:
        joined(sources={"Flights": FLIGHTS, "select": PLANES, "planes": None}, transform=None)
    assert len(problems) == 4
    with collecting() as problems:
        assert joined(sources={"Flights": FLIGHTS}).source is None
    assert len(problems) == 1


def test_every_word_that_the_engine_does_not_read_as_a_name_is_refused():
    found = duckdb.sql(
        "select keyword_name from duckdb_keywords() where keyword_category in ('reserved', 'type_function')"
    ).fetchall()
    assert {row[0] for row in found} == WORDS


def test_a_source_has_one_definition_wherever_it_stands():
    other = replace(PLANES, known_after="1d")
    view = joined()
    found = check(Definitions(sources={"flights": FLIGHTS, "planes": other}, feature_views={"seats": view}))
    assert [problem.object for problem in found] == ["source 'planes'"]
    assert "it is defined a second time, differently" in found[0].message
    assert check(Definitions(sources={"flights": FLIGHTS, "planes": PLANES}, feature_views={"seats": view})) == ()


def test_a_lookback_holds_for_all_sources_or_for_each():
    hour = 3_600_000_000
    assert joined().lookbacks == {"flights": None, "planes": None}
    assert joined(lookback="2h").lookbacks == {"flights": 2 * hour, "planes": 2 * hour}
    view = joined(lookback={"flights": "2h"})
    assert view.lookbacks == {"flights": 2 * hour, "planes": None}
    assert replace(view, ttl="1d").lookbacks == view.lookbacks
    assert joined(lookback={"planes": None, "flights": timedelta(hours=2)}) == view
    plain = FeatureView("x", source=FLIGHTS, schema=[Field("seats", Float64)])
    assert plain.lookbacks == {"source": 0}
    assert replace(plain, transform="select 1").lookbacks == {"source": None}


def test_a_lookback_by_name_is_for_several_sources():
    with pytest.raises(DefinitionError, match="lookback= by name is for sources=; of one source it is a duration"):
        FeatureView(
            "x", source=FLIGHTS, transform="select 1", lookback={"source": "1h"}, schema=[Field("seats", Float64)]
        )
