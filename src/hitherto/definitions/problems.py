"""How a definition says that it is wrong: at once, or, while a repo is loaded, together with all the others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hitherto.errors import DefinitionError, Location, Problem
from hitherto.types import is_name

_collected: ContextVar[list[Problem] | None] = ContextVar("collected", default=None)
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@contextmanager
def collecting() -> Iterator[list[Problem]]:
    """Gather problems instead of raising at the first one."""
    problems: list[Problem] = []
    token = _collected.set(problems)
    try:
        yield problems
    finally:
        _collected.reset(token)


def report(message: str, *, object: str, location: Location | None) -> None:  # noqa: A002  (the word of Problem)
    """Raise DefinitionError, or note the problem if a repo is being loaded."""
    problem = Problem(message, object, location)
    collected = _collected.get()
    if collected is None:
        raise DefinitionError([problem])
    collected.append(problem)


def here() -> Location | None:
    """The line outside this package that is building an object."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        # Dataclasses build their __init__ from text, so its frames have no file.
        if not file.startswith(("<", _PACKAGE)) or file.startswith("<ipython"):
            return Location(file, frame.f_lineno)
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


def check_name(name: str, *, object: str, location: Location | None) -> None:  # noqa: A002  (the word of Problem)
    """Refuse a name that semantics 7 does not allow."""
    if not isinstance(name, str) or not is_name(name):
        report(
            f"{name!r} is not a name: use lower-case letters, digits and single underscores, a letter first, at most 63 characters.",
            object=object,
            location=location,
        )


def taken_tags(tags: Any, *, object: str, location: Location | None) -> dict[str, str]:  # noqa: A002  (the word of Problem)
    """Tags as a plain dict; what is none is a problem."""
    if isinstance(tags, Mapping):
        return dict(tags)
    report(f"tags={tags!r} is not a mapping: write tags={{'domain': 'weather'}}.", object=object, location=location)
    return {}
