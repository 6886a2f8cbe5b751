from __future__ import annotations

import shutil

from hitherto.cli import faults


def test_a_run_is_reported_as_a_table_and_as_json(hitherto, repo):
    shutil.rmtree(repo / ".hitherto")
    hitherto("apply", repo=repo)
    told = hitherto("materialize", "2025-01-01", "2025-01-02", repo=repo)
    assert told.code == 0
    assert "readings@1" in told.out
    assert "2025-01-01 .. 2025-01-02" in told.out
    assert "run r000001" in told.err
    document = hitherto("materialize-incremental", "2025-01-03", "--json", repo=repo).document
    assert document["ok"] is True
    assert [(run["start"], run["rows_written"]) for run in document["runs"]] == [("2025-01-02T00:00:00Z", 72)]


def test_a_second_incremental_run_has_nothing_to_do(hitherto, repo):
    hitherto("materialize-incremental", "--now", "2030-01-01", repo=repo)
    told = hitherto("materialize-incremental", "--now", "2030-01-01", repo=repo)
    assert told.out.strip() == "Up to date: readings."


def test_a_rejection_is_one_with_the_report_and_the_error_in_one_document(hitherto, repo, edit):
    edit('Field("humidity", Int16)', 'Field("humidity", Int16, expect=[expect.between(0, 50)])')
    edit("import Entity,", "import expect, Entity,")
    hitherto("apply", repo=repo)
    told = hitherto("materialize", repo=repo)
    assert told.code == faults.SAID_NO
    assert "rejected" in told.out
    assert "between(0, 50)" in told.out
    assert "The last good data keeps serving." in told.out
    assert "Traceback" not in told.err
    refused = hitherto("materialize", "--json", repo=repo)
    assert refused.code == faults.SAID_NO
    assert refused.document["ok"] is False
    assert refused.document["runs"][0]["state"] == "rejected"
    assert refused.document["error"]["type"] == "MaterializationRejected"


def test_the_clock_of_now_is_the_end_of_a_run(hitherto, repo):
    document = hitherto("materialize", "--now", "2025-01-02T12:00Z", "--json", repo=repo).document
    assert document["runs"][0]["end"] == "2025-01-02T12:00:00Z"
    told = hitherto("materialize", "2025-01-01", "2025-02-01", "--now", "2025-01-02", repo=repo)
    assert told.code == faults.USAGE
    assert "in the future" in told.err


def test_a_dry_run_says_what_would_happen_and_writes_nothing(hitherto, repo, edit):
    edit('Field("humidity", Int16)', 'Field("humidity", Int16, expect=[expect.between(0, 60, severity="quarantine")])')
    edit("import Entity,", "import expect, Entity,")
    hitherto("apply", repo=repo)
    before = hitherto("runs", "--json", repo=repo).document
    told = hitherto("materialize", "--dry-run", repo=repo)
    assert told.code == 0
    assert "would go on" in told.out
    assert "Nothing was written" in told.out
    document = hitherto("materialize", "--dry-run", "--json", "--view", "readings", repo=repo).document
    assert (document["ok"], document["runs"][0]["rows_read"]) == (True, 216)
    assert document["runs"][0]["rows_quarantined"] > 0
    assert hitherto("runs", "--json", repo=repo).document == before


def test_a_dry_run_that_would_be_rejected_is_one(hitherto, repo, edit):
    edit('Field("humidity", Int16)', 'Field("humidity", Int16, expect=[expect.between(0, 50)])')
    edit("import Entity,", "import expect, Entity,")
    hitherto("apply", repo=repo)
    told = hitherto("materialize", "--dry-run", repo=repo)
    assert told.code == faults.SAID_NO
    assert "would be rejected" in told.out


def test_an_unknown_view_is_wrong_usage(hitherto, materialized):
    told = hitherto("materialize", "--view", "reading", repo=materialized)
    assert told.code == faults.USAGE
    assert "Did you mean 'readings'?" in told.err


def test_without_definitions_there_is_nothing_to_do(hitherto, repo):
    shutil.rmtree(repo / ".hitherto")
    told = hitherto("materialize", repo=repo)
    assert (told.code, told.out.strip()) == (0, "There is nothing to materialize.")


def test_a_narrow_terminal_gets_fewer_columns(hitherto, materialized, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = hitherto("runs", repo=materialized).out
    assert "written" in told
    assert "keys" not in told
    assert max(len(line) for line in told.splitlines()) <= 80
