"""Names and constants as SQL text: whatever they hold, they stay one name or one constant."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitherto import sql
from hitherto.timeline import to_datetime

texts = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as connection:
        yield connection


@given(st.data())
def test_any_text_is_one_constant(con: duckdb.DuckDBPyConnection, data: st.DataObject):
    value = data.draw(texts)
    assert con.execute(f"select {sql.text(value)}").fetchall() == [(value,)]


@given(st.data())
def test_any_name_is_one_column(con: duckdb.DuckDBPyConnection, data: st.DataObject):
    name = data.draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
    assert con.execute(f"select 1 as {sql.quote(name)}").description[0][0] == name


@pytest.mark.parametrize("value", ["'; drop table x; --", '"', "a\0b", "\0", "''", "\\'"])
def test_text_that_would_break_out_does_not(con: duckdb.DuckDBPyConnection, value: str):
    assert con.execute(f"select {sql.text(value)}").fetchone() == (value,)


def test_a_list_of_names_has_its_prefix_on_each():
    assert sql.quote_all(["a", 'b"'], prefix="t.") == 't."a", t."b"""'
    assert sql.quote_all([]) == ""


@pytest.mark.parametrize("micros", [0, -1, 1_357_041_600_000_001, -62_135_596_800_000_000, 253_402_300_799_999_999])
def test_an_instant_is_that_timestamp(con: duckdb.DuckDBPyConnection, micros: int):
    row = con.execute(f"select {sql.timestamp(micros)}").fetchone()
    assert row == (to_datetime(micros).replace(tzinfo=None),)
