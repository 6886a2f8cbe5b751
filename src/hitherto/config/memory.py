"""How much memory there is: what the container may use, else what the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# A limit of version 1 that is not set reads as a number near 2**63.
_UNLIMITED = 2**60
_FALLBACK = 4 * 2**30


def available(*, root: Path = Path("/")) -> int:
    """Bytes: the lowest of the machine's memory and every limit of the control groups above this process."""
    return min([*_limits(root), _physical()])


def _limits(root: Path) -> Iterator[int]:
    """The limits of control groups, version 2 (`0::/path`) and version 1 (`7:memory:/path`)."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield from _upwards(root / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _upwards(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")


def _upwards(mount: Path, path: str, file: str) -> Iterator[int]:
    """The limits of a group and of all above it. Inside a container the mount may itself be the group."""
    group = mount / path.strip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            break
        limit = _read(folder / file)
        if limit is not None:
            yield limit


def _read(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdecimal() and 0 < int(text) < _UNLIMITED else None


def _physical() -> int:
    """What the machine has; a modest guess where the system does not tell."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return _FALLBACK
    return size if size > 0 else _FALLBACK
