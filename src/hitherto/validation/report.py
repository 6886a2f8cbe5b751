"""What the checks of a run said, as frozen records that become JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hitherto.definitions.expectation import Severity


@dataclass(frozen=True)
class CheckResult:
    """One check of one run: what it looked at and what it found."""

    name: str
    """As the definition says it: `between(-40, 120)`; or what is always checked: `key is not null`."""
    field: str | None
    """The feature, key or time column; None for a check on the view."""
    severity: Severity
    passed: bool
    rows: int
    """How many rows (for a check on the whole: of the run) it judged."""
    broken: int
    """How many of them break it; for a check on the whole 0 or 1."""
    at_least: float | None = None
    detail: str = ""
    """One sentence for people; it never holds a row's value."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the registry keeps them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CheckResult:
        """The result again, from `to_json`."""
        return cls(**value)

    def __str__(self) -> str:
        mark = "ok" if self.passed else {"fail": "FAILED", "warn": "warning"}.get(self.severity, self.severity)
        subject = f"{self.field}: " if self.field else ""
        return f"{mark}: {subject}{self.name}" + (f" ({self.detail})" if self.detail else "")


def rejects(checks: Iterable[CheckResult]) -> bool:
    """Whether a run with these results must not be published: a check of severity `fail` is broken (semantics 9)."""
    return any(not check.passed and check.severity == "fail" for check in checks)
