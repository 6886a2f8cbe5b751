"""Every error that Hitherto raises. Foreign exceptions never leave the public interface (semantics 10).

HithertoError                       exit code
├── UsageError                      2   the call or its arguments are wrong
│   ├── UnknownNameError                a view, feature, entity, service, column ... that is not there
│   ├── JoinKeyError                    a join key is missing, or one too many
│   ├── KeyTypeError                    a key of the wrong type
│   ├── RequestFieldError               a request field is missing, or of the wrong type
│   ├── NameCollisionError              two output columns of one name
│   ├── IntervalError                   reversed, or its end is in the future
│   └── InstantError                    a naive or unreadable instant or duration
├── DefinitionError                 2   one or more problems of a repo, each with file and line
├── FunctionError                   2   an on-demand view's function is not there, or is not the applied one
├── ConfigError                     2   hitherto.toml or HITHERTO_* is wrong
├── MissingExtraError               2   an optional dependency is not installed
├── DataError                       1   the data says no
│   ├── SourceError                     missing, empty, truncated, corrupt, not Parquet, changed columns
│   ├── TransformError                  the SELECT failed on the data
│   ├── NotMaterializedError            a row needs a range that no run has published
│   ├── MaterializationRejected         a check said no (carries .report)
│   ├── MaterializationFailed           a run failed (carries .report)
│   └── VerificationError               stored data is not what its manifest says
├── RegistryError                   3   the registry cannot be read or written
│   ├── RegistryConflict                the registry has moved since the plan
│   └── RegistryFormatError             written by a newer Hitherto
├── RunInProgressError              3   another process is materializing this view
├── StorageError                    3   a directory that cannot be written, a full disk
├── OnlineStoreError                3   the online store refused
│   ├── OnlineStoreUnavailable          not reachable, or no answer in time
│   └── FencedError                     the writer's fencing token is no longer the highest
└── ClockError                      3   the clock is before the watermark
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


_MOST_MATCHED = 200
"""Characters of a name that are compared with the known ones: a name of a megabyte would take 0.2 s."""


class HithertoError(Exception):
    """Root of the tree. `exit_code` is what the command line returns for it."""

    exit_code = 5


class UsageError(HithertoError):
    """The call or its arguments are wrong."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not there; the message suggests the nearest known one."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        place = f" in {where}" if where else ""
        super().__init__(f"There is no {kind} {name!r}{place}.{did_you_mean(name, self.known)}")


class JoinKeyError(UsageError):
    """A join key is missing from the entity rows, or one is there that no view uses."""


class KeyTypeError(UsageError):
    """A key cannot be taken as the type that its entity declares."""


class RequestFieldError(UsageError):
    """A field of a request source is missing from the entity rows, or cannot be taken as its declared type."""


class NameCollisionError(UsageError):
    """Two output columns would have one name."""


class IntervalError(UsageError):
    """An interval that is reversed, or ends in the future."""


class InstantError(UsageError):
    """A naive or unreadable instant, or an unreadable duration."""


@dataclass(frozen=True)
class Location:
    """Where an object was defined."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a repo: what, with which object, where, and what to do."""

    message: str
    object: str = ""
    location: Location | None = None

    def __str__(self) -> str:
        head = ": ".join(part for part in (str(self.location or ""), self.object) if part)
        return f"{head}: {self.message}" if head else self.message


class DefinitionError(HithertoError):
    """One or more problems of a repo's definitions, all of them at once.

    `sound` holds the feature views that nothing was found wrong with, so that their sources can be looked at all the same.
    """

    exit_code = 2

    def __init__(self, problems: Iterable[Problem], *, sound: Iterable[Any] = ()) -> None:
        self.problems = tuple(problems)
        self.sound = tuple(sound)
        head = "" if len(self.problems) == 1 else f"{len(self.problems)} problems in the definitions:\n"
        super().__init__(head + "\n".join(str(problem) for problem in self.problems))


class ConfigError(HithertoError):
    """hitherto.toml or a HITHERTO_* variable is wrong."""

    exit_code = 2


class FunctionError(HithertoError):
    """The function of an on-demand feature view is not there, or is not the one that was applied."""

    exit_code = 2


class MissingExtraError(HithertoError):
    """An optional dependency is not installed; the message holds the install line."""

    exit_code = 2

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Install it with: pip install 'hitherto[{extra}]'")


class DataError(HithertoError):
    """The data says no: the command worked, its answer is a refusal."""

    exit_code = 1


class SourceError(DataError):
    """A source that is missing, empty, truncated, corrupt or not Parquet, or whose columns changed."""


class TransformError(DataError):
    """A view's SELECT failed on the data."""


class NotMaterializedError(DataError):
    """A training row needs a range of the source that no run has published."""


class VerificationError(DataError):
    """Stored data is not what its manifest says."""


class MaterializationRejected(DataError):
    """At least one view was rejected by a check; the others are done. `report` tells all."""

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


class MaterializationFailed(MaterializationRejected):
    """At least one view failed; the others are done. `report` tells all."""


class RegistryError(HithertoError):
    """The registry cannot be read or written."""

    exit_code = 3


class RegistryConflict(RegistryError):
    """The registry has moved since the plan was made."""


class RegistryFormatError(RegistryError):
    """The registry was written by a newer Hitherto."""


class RunInProgressError(HithertoError):
    """Another process is materializing this view."""

    exit_code = 3


class StorageError(HithertoError):
    """A directory that cannot be written, or a full disk."""

    exit_code = 3


class OnlineStoreError(HithertoError):
    """The online store refused a read or a write."""

    exit_code = 3


class OnlineStoreUnavailable(OnlineStoreError):
    """The online store cannot be reached, or did not answer in time."""


class FencedError(OnlineStoreError):
    """The writer's fencing token is lower than the one the store has seen."""


class ClockError(HithertoError):
    """The clock is before the watermark: an answer would come from the future."""

    exit_code = 3

    def __init__(self, view: str, now: datetime, watermark: datetime) -> None:
        super().__init__(
            f"The clock says {now.isoformat()}, but view {view!r} is materialized up to {watermark.isoformat()}: "
            "a lookup would answer from the future. Use a clock at or after the watermark."
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A closing sentence with the nearest known names, or all of them if they are few.

    >>> did_you_mean("wether", ["weather", "flights"])
    " Did you mean 'weather'?"
    """
    names = sorted(set(known))
    by_letters = {known.lower(): known for known in names}
    # A caller may have handed in anything for a name.
    near = difflib.get_close_matches(str(name)[:_MOST_MATCHED].lower(), by_letters, n=1, cutoff=0.6)
    if near:
        return f" Did you mean {by_letters[near[0]]!r}?"
    if not names:
        return " None is defined."
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f" Known: {shown}."
