"""What every command gets: the options that stand before (or after) any command, and the ways to open and to answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hitherto.cli.output import Output
from hitherto.timeline import Clock, to_datetime

if TYPE_CHECKING:
    from hitherto.events import Observer
    from hitherto.feature_store import FeatureStore


@dataclass(frozen=True)
class Session:
    """One call of the command line."""

    repo: Path
    env: str | None
    now: int | None
    """The instant to behave as if executed at, microseconds UTC; None is the system's clock."""
    output: Output

    @property
    def clock(self) -> Clock | None:
        """A clock that stands at `--now`; None for the system's."""
        if self.now is None:
            return None
        standing = to_datetime(self.now)
        return lambda: standing

    def open_store(self, *observers: Observer) -> FeatureStore:
        """The project of `--repo`. Here the engines are loaded, and not before. Raises ConfigError."""
        from hitherto.feature_store import FeatureStore

        return FeatureStore(self.repo, env=self.env, clock=self.clock, observers=observers)

    def command(self, text: str) -> str:
        """A command to run next, for the same repo and environment.

        >>> Session(Path("flights"), None, None, Output()).command("apply")
        'hitherto --repo flights apply'
        """
        import shlex

        options = ["--repo", str(self.repo)] if self.repo != Path() else []
        options += ["--env", self.env] if self.env else []
        return " ".join(["hitherto", *(shlex.quote(option) for option in options), text])


def session(context: typer.Context) -> Session:
    """The session of a command's context."""
    found = context.obj
    assert isinstance(found, Session)
    return found
