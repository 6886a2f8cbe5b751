"""The arithmetic of rounds, the verdicts, and the page."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from benchmarks import report, targets
from benchmarks.curves import Curve
from benchmarks.pairs import rounds, spread, times_its_speed, times_its_time
from benchmarks.record import Measured
from benchmarks.targets import Target


def test_every_other_round_goes_backwards():
    order: list[str] = []

    def side(name: str, seconds: float):
        def measure() -> float:
            order.append(name)
            return seconds

        return measure

    taken = rounds({"a": side("a", 1.0), "b": side("b", 2.0), "c": side("c", 3.0)}, 2, before=lambda: order.append("-"))
    assert "".join(order) == "-a-b-c-c-b-a"
    assert taken == {"a": [1.0, 1.0], "b": [2.0, 2.0], "c": [3.0, 3.0]}


def test_ratios_are_taken_within_a_round():
    ours, theirs = [1.0, 2.0, 4.0], [3.0, 4.0, 4.0]
    assert times_its_speed(ours, theirs) == [3.0, 2.0, 1.0]
    assert times_its_time([2.0], [4.0]) == [0.5]
    assert spread(times_its_speed(ours, theirs)) == spread([1.0, 2.0, 3.0])
    assert spread([5.0, 1.0, 2.0]).median == 2.0


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(None, "not measured"), (1.0, "missed"), (1.7, "met"), (2.9, "met"), (3.0, "aim met")],
)
def test_more_is_better(value: float | None, verdict: str):
    assert Target("a", "", "", 1.7, 3.0).verdict(value) == verdict


@pytest.mark.parametrize(("value", "verdict"), [(2.1, "missed"), (2.0, "met"), (1.2, "aim met")])
def test_less_is_better(value: float, verdict: str):
    assert Target("a", "", "", 2.0, 1.2, more_is_better=False).verdict(value) == verdict


def test_without_an_aim_a_target_is_met():
    assert Target("a", "", "", 5.0, more_is_better=False).verdict(4.0) == "met"


def test_claims_of_targets_differ():
    claims = [one.claim for one in targets.TARGETS]
    assert len(claims) == len(set(claims))


def figure(claim: str, value: float, **given: Any) -> dict[str, Any]:
    return {"claim": claim, "value": value, "lowest": value / 2, "highest": value * 2, "rounds": 5, **given}


def test_the_table_says_what_is_wanted_what_was_found_and_the_verdict():
    found = {"a": figure("a", 2.0), "b": figure("b", 9.0)}
    wanted = (Target("a", "one", "two", 1.7, 3.0), Target("b", "slow", "", 5.0, None, more_is_better=False, unit="ms"))
    lines = report.targets_table(found, wanted).splitlines()
    assert lines[2] == "| one | two | at least 1.7 / 3x | 2 (1 to 4); 5 rounds | met |"
    assert lines[3] == "| slow |  | at most 5 ms | 9 (4.5 to 18); 5 rounds | **missed** |"


def test_the_points_of_a_curve_are_a_table_with_a_gap_where_a_series_has_none():
    series = {"ours": [(10.0, 0.5), (1000.0, 2.0)], "theirs": [(1000.0, 4.0)]}
    lines = report.points_table(Curve("a", "A", "rows", "seconds"), series).splitlines()
    assert lines[0] == "| rows (seconds) | ours | theirs |"
    assert lines[2:] == ["| 10 | 0.5 |  |", "| 1,000 | 2 | 4 |"]


def test_only_what_stands_between_the_markers_is_written():
    page = "by hand\n<!-- generated: x -->\nold\n<!-- end: x -->\nby hand too\n"
    written = report.placed(page, "x", "new")
    assert written == "by hand\n<!-- generated: x -->\n\nnew\n\n<!-- end: x -->\nby hand too\n"
    assert report.placed(written, "x", "new") == written
    with pytest.raises(ValueError, match="lacks the markers"):
        report.placed(page, "y", "new")


def test_the_page_has_a_place_for_everything_that_is_made():
    page = report.PAGE.read_text(encoding="utf-8")
    machine = dict.fromkeys(("cpu", "cores", "memory_gb", "system", "python", "hitherto"), "")
    machine |= {"packages": {}, "load_average_before": [0.0]}
    found = [{"benchmark": "x", "measured": [], "curves": {}, "notes": [], "machine": machine, "seconds": 1}]
    for name, text in report.generated(found):
        assert report.placed(page, name, text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.0, "1"), (12.345, "12.3"), (999.9, "1000"), (12345.6, "12,300")],
)
def test_numbers_have_three_digits(value: float, text: str):
    assert report.number(value) == text


def test_curves_are_drawn_the_same_every_time(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="the extra `bench` has it")
    from benchmarks.curves import CURVES, draw

    series = {"ours": [[1, 1.0], [10, 5.0]], "theirs": [[10, 9.0], [1, 2.0]]}
    for name in ("a", "b"):
        draw(CURVES[0], series, tmp_path / name)
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()


def test_a_figure_prints_both_sides():
    one = Measured("c", "task", "peer", "times its speed", 2.0, 1.0, 3.0, 5, 0.5, 1.0)
    assert str(one) == "  task against peer: 2 (1 to 3) times its speed  ours 500.0 ms, theirs 1.00 s"


def test_every_benchmark_runs_in_both_sizes_and_is_reported():
    from benchmarks.__main__ import PROGRAMS
    from benchmarks.record import SIZES

    assert sorted(PROGRAMS) == sorted(report.ORDER)
    for name in PROGRAMS:
        assert set(importlib.import_module(f"benchmarks.{name}").SIZES) >= set(SIZES)
