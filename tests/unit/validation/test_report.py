from __future__ import annotations

import json

from hitherto.validation.report import CheckResult, rejects

BROKEN = CheckResult("between(0, 1)", "v", "fail", False, 10, 2, 0.9, "2 of 10 rows break it")


def test_a_result_comes_back_from_json() -> None:
    assert CheckResult.from_json(json.loads(json.dumps(BROKEN.to_json()))) == BROKEN


def test_only_a_broken_check_of_severity_fail_rejects() -> None:
    warning = CheckResult("not_null()", "v", "warn", False, 10, 2)
    passed = CheckResult("not_null()", "v", "fail", True, 10, 0)
    assert rejects([passed, BROKEN])
    assert not rejects([passed, warning])
    assert not rejects([])


def test_a_result_reads_as_a_line() -> None:
    assert str(BROKEN) == "FAILED: v: between(0, 1) (2 of 10 rows break it)"
    assert str(CheckResult("row_count(1)", None, "warn", True, 10, 0)) == "ok: row_count(1)"
