from __future__ import annotations

import pytest

from hitherto.validation.predicate import check_predicate

NAMES = ["k", "a", "b", "part", "event_time"]


@pytest.mark.parametrize(
    "predicate",
    [
        "a > 0", "A > b or k is null", "a between 1 and 2 and not (b in (1, 2))", "part.x > 1", "event_time < timestamp '2020-01-01'",
        "case when a > 0 then b > 0 else true end", "list_contains([1, 2], a)", "len(list_filter([a], lambda v: v > 0)) = 1",
        "regexp_matches(a, '^x$')", "a is not distinct from b", "a > 0 -- a comment", "abs(a - b) < 1e-9", "a::date = b",
        "age(event_time, timestamp '2013-01-01') < interval 1 day",
    ],
)  # fmt: skip
def test_one_scalar_expression_over_the_names_is_accepted(predicate: str) -> None:
    assert check_predicate(predicate, NAMES) is None


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        ("", "it is empty"),
        ("a >", "cannot be read as SQL"),
        ("a > 0) from x --", "cannot be read as SQL"),
        ("a > 0), (b > 0", "one expression"),
        ("a > 0; select 1", "cannot be read as SQL"),
        ("a > (select 1)", "a subquery"),
        ("exists (select 1)", "a subquery"),
        ("sum(a) > 0", "looks at many rows"),
        ("row_number() over () = 1", "looks at many rows"),
        ("now() > event_time", "another result each time"),
        ("random() > 0.5", "another result each time"),
        ("a > ?", "name the columns"),
        ("c > 0", "it names 'c'"),
        ("evnt_time is null", "Did you mean 'event_time'"),
        ("other.a > 0", "it names 'other'"),
        ("unnest([1]) > 0", "name the columns"),
        ("age(event_time) < interval 1 day", "age() gives another result each time"),
        ("event_time.age() < interval 1 day", "age() gives another result each time"),
        ("event_time > ago(interval 1 day)", "ago() gives another result each time"),
        ("current_localtime() is not null", "gives another result each time"),
    ],
)
def test_anything_else_is_refused(predicate: str, said: str) -> None:
    assert said in (check_predicate(predicate, NAMES) or "")
