from __future__ import annotations

import pytest

from hitherto.cli import faults
from hitherto.errors import (
    ClockError,
    DefinitionError,
    HithertoError,
    Location,
    MaterializationRejected,
    OnlineStoreUnavailable,
    Problem,
    RegistryConflict,
    SourceError,
    UnknownNameError,
)
from hitherto.timeline import to_datetime


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownNameError("feature view", "wether", ["weather"]), faults.USAGE),
        (DefinitionError([]), faults.USAGE),
        (SourceError("gone"), faults.SAID_NO),
        (MaterializationRejected("no", None), faults.SAID_NO),
        (RegistryConflict("moved"), faults.ENVIRONMENT),
        (OnlineStoreUnavailable("down"), faults.ENVIRONMENT),
        (ClockError("weather", to_datetime(0), to_datetime(1)), faults.ENVIRONMENT),
        (PermissionError(13, "Permission denied", "/root"), faults.ENVIRONMENT),
        (MemoryError(), faults.ENVIRONMENT),
        (HithertoError("rows do not add up"), faults.FAULT),
        (ZeroDivisionError("division by zero"), faults.FAULT),
        (KeyboardInterrupt(), faults.INTERRUPTED),
    ],
)
def test_an_error_has_the_exit_code_of_its_kind(error, code):
    assert faults.exit_code(error) == code
    assert faults.document(error)["error"]["exit_code"] == code


def test_a_system_error_names_its_file():
    assert faults.message(PermissionError(13, "Permission denied", "/root/x")) == "/root/x: Permission denied."
    assert faults.message(OSError("odd")) == "odd."


def test_only_a_fault_of_ours_asks_for_a_report():
    assert "report it" in faults.message(ZeroDivisionError("division by zero"))
    assert "report it" not in faults.message(SourceError("gone"))
    assert "memory_limit" in faults.message(MemoryError())


def test_problems_and_known_names_are_told_to_programs():
    location = Location("weather.py", 3)
    error = DefinitionError([Problem("is wrong.", "field 'x'", location), Problem("is missing.")])
    assert faults.document(error)["error"]["problems"] == [
        {"message": "is wrong.", "object": "field 'x'", "file": "weather.py", "line": 3},
        {"message": "is missing.", "object": "", "file": None, "line": None},
    ]
    assert faults.document(UnknownNameError("kind", "a", ["b"]))["error"]["known"] == ["b"]


def test_a_report_and_its_error_are_one_document():
    assert set(faults.with_error({"ok": False}, SourceError("gone"))) == {"ok", "error"}
