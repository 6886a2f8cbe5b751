"""The error tree: what the page at its top draws is what there is, and messages help."""

from __future__ import annotations

import difflib
import inspect
import pickle
import re
from datetime import UTC, datetime

import pytest

from hitherto import errors
from hitherto.errors import (
    ClockError,
    DefinitionError,
    HithertoError,
    Location,
    MissingExtraError,
    Problem,
    UnknownNameError,
    did_you_mean,
)

CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == errors.__name__
}


def drawn() -> dict[str, tuple[str | None, int | None]]:
    """Name -> (parent, exit code) as the docstring draws them."""
    found: dict[str, tuple[str | None, int | None]] = {"HithertoError": (None, None)}
    parents = {0: "HithertoError"}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"(?P<bars>[│ ]*)[├└]── (?P<name>\w+)\s*(?P<code>\d)?", line)
        if match:
            depth = len(match["bars"]) // 4 + 1
            parents[depth] = match["name"]
            found[match["name"]] = (parents[depth - 1], int(match["code"]) if match["code"] else None)
    return found


def test_the_tree_at_the_top_of_the_file_is_the_tree():
    tree = drawn()
    assert set(tree) == set(CLASSES)
    for name, (parent, code) in tree.items():
        if parent is not None:
            # MaterializationFailed is drawn beside MaterializationRejected, whose report it shares.
            assert issubclass(CLASSES[name], CLASSES[parent]), name
        if code is not None:
            assert CLASSES[name].exit_code == code, name


def test_exit_codes_are_those_of_the_command_line():
    assert {kind.exit_code for kind in CLASSES.values()} <= {1, 2, 3, 5}
    assert HithertoError.exit_code == 5


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_says_what_it_is_for(name: str):
    assert (CLASSES[name].__doc__ or "").rstrip().endswith((".", "tells all."))


def test_an_unknown_name_comes_with_the_nearest_known_one():
    error = UnknownNameError("feature view", "wether", ["flights", "weather"], where="project 'nyc'")
    assert str(error) == "There is no feature view 'wether' in project 'nyc'. Did you mean 'weather'?"
    assert error.known == ("flights", "weather")


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("x", [], " None is defined."),
        ("zzz", ["b", "a"], " Known: a, b."),
        ("zzz", "abcdefghijk", " Known: a, b, c, d, e, f, g, h, ..."),
        ("weathr", ["weather", "whether"], " Did you mean 'weather'?"),
    ],
)
def test_a_suggestion_is_the_nearest_name_or_a_few_known_ones(name: str, known: list[str], text: str):
    assert did_you_mean(name, known).rstrip(".") == text.rstrip(".")


def test_one_problem_stands_alone_and_several_are_counted():
    first = Problem("it has no features.", "feature view 'a'", Location("views.py", 3))
    second = Problem("something is wrong.")
    assert str(DefinitionError([first])) == "views.py:3: feature view 'a': it has no features."
    assert str(DefinitionError([first, second])).splitlines() == [
        "2 problems in the definitions:",
        "views.py:3: feature view 'a': it has no features.",
        "something is wrong.",
    ]
    assert DefinitionError(iter([first, second])).problems == (first, second)


def test_a_missing_extra_comes_with_its_install_line():
    assert "pip install 'hitherto[redis]'" in str(MissingExtraError("redis", "redis"))


def test_a_clock_before_the_watermark_names_both():
    error = ClockError("weather", datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC))
    for part in ("'weather'", "2013-01-01T00:00:00+00:00", "2013-02-01T00:00:00+00:00"):
        assert part in str(error)


def test_a_report_travels_on_the_exception():
    error = errors.MaterializationFailed("one view failed", report=[1])
    assert isinstance(error, errors.MaterializationRejected)
    assert error.report == [1]


def test_plain_errors_survive_a_process_boundary():
    error = pickle.loads(pickle.dumps(errors.SourceError("gone")))
    assert (type(error), str(error)) == (errors.SourceError, "gone")


def test_of_a_long_name_only_the_beginning_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda word, *_, **__: compared.append(word) or [])
    did_you_mean("a" * 1_000_000, ["weather"])
    assert compared == ["a" * 200]
