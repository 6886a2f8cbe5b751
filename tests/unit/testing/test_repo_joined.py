"""Repo with a view of several sources: rows of both are asked for, typed and joined as they were known."""

from __future__ import annotations

import pytest

from hitherto import Entity, FeatureView, Field, ParquetSource
from hitherto.errors import UsageError
from hitherto.testing import Repo
from hitherto.types import Int64, String

aircraft = Entity("aircraft", join_keys={"aircraft": String})
flights = ParquetSource("flights", timestamp_field="departed_at")
planes = ParquetSource("planes", timestamp_field="listed_at", known_after="1d")
seats = FeatureView(
    "seats",
    entities=[aircraft],
    sources={"flights": flights, "planes": planes},
    transform="""
        select f.*, p.seats from flights f asof left join planes p
        on f.aircraft = p.aircraft and f.__available_time >= p.__available_time
    """,
    schema=[Field("seats", Int64), Field("passengers", Int64)],
)
history = FeatureView("history", entities=[aircraft], source=flights, schema=[Field("passengers", Int64)])
FLIGHT = {"aircraft": "N1", "departed_at": "2013-01-03", "passengers": 90}
PLANE = {"aircraft": "N1", "listed_at": "2013-01-01", "seats": 150}


def test_both_sources_are_loaded_and_joined_as_they_were_known():
    with Repo([seats], now="2013-01-04") as repo:
        repo.load(flights, [FLIGHT])
        repo.load(planes, [PLANE, {**PLANE, "listed_at": "2013-01-02T12:00Z", "seats": 200}])
        repo.materialize()
        found = repo.lookup({"aircraft": "N1"}, ["seats:seats", "seats:passengers"])
        assert (found["seats"], found["passengers"]) == (150, 90)
        repo.load(flights, [{**FLIGHT, "departed_at": "2013-01-05"}])
        repo.advance("2d")
        assert repo.lookup({"aircraft": "N1"}, ["seats:seats"])["seats"] == 200


def test_a_column_that_the_join_reads_of_either_source_is_asked_for():
    with Repo([seats], now="2013-01-04") as repo:
        with pytest.raises(UsageError, match="no column 'seats', which feature view 'seats' reads"):
            repo.load(planes, [{"aircraft": "N1", "listed_at": "2013-01-01"}])
        with pytest.raises(UsageError, match="no column 'passengers'"):
            repo.load(flights, [{"aircraft": "N1", "departed_at": "2013-01-01"}])


def test_a_source_that_nothing_was_loaded_for_is_empty():
    with Repo([seats, history], now="2013-01-04") as repo:
        repo.load(flights, [FLIGHT])
        repo.materialize()
        assert repo.lookup({"aircraft": "N1"}, ["history:passengers"])["passengers"] == 90
        assert repo.lookup({"aircraft": "N1"}, ["seats:seats", "seats:passengers"]) == {"seats": None, "passengers": 90}
        repo.load(planes, [PLANE])
        repo.materialize()
        assert repo.lookup({"aircraft": "N1"}, ["seats:seats"])["seats"] == 150


def test_a_joined_view_without_any_row_answers_not_found():
    with Repo([seats], now="2013-01-04") as repo:
        assert repo.lookup({"aircraft": "N1"}, ["seats:seats"])["seats"] is None
