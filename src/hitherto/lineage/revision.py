"""What made a result: the definition's SQL, the repo's git revision, the versions of the libraries."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hitherto.definitions.feature_view import FeatureView

LIBRARIES = ("hitherto", "duckdb", "pyarrow", "numpy")


def provenance(view: FeatureView, root: Path) -> dict[str, Any]:
    """Lineage of a run beyond its files: sources, transform, revision, libraries."""
    sources = view.all_sources.values()
    return {
        "source": ", ".join(dict.fromkeys(source.name for source in sources)),
        "path": ", ".join(dict.fromkeys(source.path for source in sources)),
        "transform": view.sql,
        "git_revision": git_revision(root),
        "libraries": libraries(),
    }


@lru_cache
def libraries() -> dict[str, str]:
    """Installed versions of what results depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[name] = "unknown"
    return found


@lru_cache
def git_revision(root: Path) -> str | None:
    """The commit that the repo stands on, with `+changes` if files differ from it; None outside git."""
    here = root.resolve()
    if "GIT_DIR" not in os.environ and not any((folder / ".git").exists() for folder in (here, *here.parents)):
        return None  # without asking git, which takes a process
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=5)
    return done.stdout.strip()
