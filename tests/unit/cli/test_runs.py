from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from hitherto.cli import faults


@pytest.fixture
def quarantined(repo, edit, hitherto):
    """The repo with a run that set rows aside."""
    edit('Field("humidity", Int16)', 'Field("humidity", Int16, expect=[expect.between(0, 60, severity="quarantine")])')
    edit("import Entity,", "import expect, Entity,")
    hitherto("apply", repo=repo)
    assert hitherto("materialize", repo=repo).code == 0
    return repo


def test_runs_are_listed_newest_first(hitherto, quarantined):
    document = hitherto("runs", "--json", repo=quarantined).document
    assert [run["run_id"] for run in document["runs"]] == ["r000002", "r000001"]
    told = hitherto("runs", "--view", "readings", "--limit", "1", repo=quarantined)
    assert "r000002" in told.out
    assert "r000001" not in told.out


def test_one_run_is_shown_with_its_checks(hitherto, quarantined):
    told = hitherto("runs", "r000002", repo=quarantined)
    assert "216 read = " in told.out
    assert "between(0, 60)" in told.out
    document = hitherto("runs", "r000002", "--json", repo=quarantined).document
    assert document["rows_read"] == 216
    assert document["profile"]["features"]
    assert document["published"].endswith("Z")


def test_runs_are_chosen_by_state(hitherto, materialized):
    assert hitherto("runs", "--state", "rejected", repo=materialized).out.strip() == "No run fits."
    told = hitherto("runs", "--state", "rejectd", repo=materialized)
    assert told.code == faults.USAGE
    assert "Did you mean 'rejected'?" in told.err


@pytest.mark.parametrize("arguments", [["r999999"], ["--view", "reading"]])
def test_an_unknown_run_or_view_is_wrong_usage(arguments, hitherto, materialized):
    assert hitherto("runs", *arguments, repo=materialized).code == faults.USAGE


def test_quarantine_shows_rows_with_their_reasons(hitherto, quarantined):
    told = hitherto("quarantine", "readings", repo=quarantined)
    assert told.code == 0
    assert "set aside by run r000002 (published)" in told.out
    assert "humidity" in told.out
    assert "--export" in told.out
    document = hitherto("quarantine", "readings", "--json", repo=quarantined).document
    assert document["rows"] == sum(document["reasons"].values()) > 0
    assert {"sensor", "reasons", "row"} <= set(document["head"][0])


def test_quarantine_exports_every_row(hitherto, quarantined, tmp_path):
    rows = hitherto("quarantine", "readings", "--json", repo=quarantined).document["rows"]
    told = hitherto("quarantine", "readings", "--export", str(tmp_path / "bad.parquet"), repo=quarantined)
    assert f"Wrote {rows} rows" in told.out
    assert pq.read_table(tmp_path / "bad.parquet").num_rows == rows


def test_quarantine_takes_the_run_that_is_named(hitherto, quarantined):
    assert hitherto("quarantine", "readings", "--run", "r000001", "--json", repo=quarantined).document["rows"] == 0
    assert hitherto("quarantine", "readings", "--run", "r000009", repo=quarantined).code == faults.USAGE


def test_without_rows_set_aside_it_says_so(hitherto, materialized):
    told = hitherto("quarantine", "readings", repo=materialized)
    assert (told.code, told.out.strip()) == (0, "No run of readings has set rows aside.")
    assert hitherto("quarantine", "reading", repo=materialized).code == faults.USAGE
