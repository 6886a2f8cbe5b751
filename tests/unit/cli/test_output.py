from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal

import pytest

from hitherto.cli import output

PARIS = dt.timezone(dt.timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (2**63 - 1, 9223372036854775807),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        (True, True),
        (None, None),
        (b"\x00\xff", "AP8="),
        (Decimal("1.10"), "1.10"),
        (dt.date(2025, 1, 1), "2025-01-01"),
        (dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC), "2025-01-01T12:00:00Z"),
        (dt.timedelta(minutes=1), 60.0),
        ({"a": [1, (2, 3)]}, {"a": [1, [2, 3]]}),
    ],
)
def test_values_have_their_json_form(value, form):
    assert output.plain(value) == form
    json.dumps(output.plain(value), allow_nan=False)


def test_a_value_without_a_json_form_is_refused():
    with pytest.raises(TypeError, match="object"):
        output.plain(object())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 100, "x" * 57 + "..."),
        ("two\nlines", "two\\nlines"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("[bold]", "[bold]"),
        (["a", None], '["a", null]'),
    ],
)
def test_a_cell_is_short_and_steers_no_terminal(value, text):
    assert output.cell(value) == text


def test_brackets_in_data_are_no_markup():
    written = io.StringIO()
    output.console(written).print(output.styled("[red]x[/red] [/y]"))
    assert written.getvalue() == "[red]x[/red] [/y]\n"


def test_where_there_is_no_terminal_lines_stay_whole(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    written = io.StringIO()
    made = output.table("a", ">b")
    made.add_row("x " * 60, "1")
    output.console(written).print(made)
    assert len(written.getvalue().splitlines()) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dt.datetime(2025, 1, 1, 1, tzinfo=PARIS), "2025-01-01"),
        (dt.datetime(2025, 1, 1, 12, 30, tzinfo=dt.UTC), "2025-01-01T12:30Z"),
        (dt.datetime(2025, 1, 1, 12, 30, 5, 999, tzinfo=dt.UTC), "2025-01-01T12:30:05Z"),
        (-1, "1969-12-31T23:59:59Z"),
    ],
)
def test_moments_are_short_and_in_utc(value, text):
    assert output.moment(value) == text


def test_facts_without_a_value_are_left_out():
    assert output.facts([("a", "1"), ("b", None), ("c", "")]).row_count == 1
