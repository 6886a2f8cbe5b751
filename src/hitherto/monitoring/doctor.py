"""The doctor: whether this machine, these settings and these stores can do the work, and what to do where they cannot.

It looks and touches nothing: no registry is made, no run is recovered. Whatever fails is a line of the report.
"""

from __future__ import annotations

import html
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from hitherto.config import Config, memory
from hitherto.config.origins import Setting, settings_in_force
from hitherto.errors import HithertoError
from hitherto.online.store import OnlineStore
from hitherto.registry import migrations
from hitherto.registry.sqlite import Registry
from hitherto.timeline import rfc3339

State = Literal["ok", "warning", "problem"]
_MARKS: dict[State, str] = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}
_LIBRARIES = ("duckdb", "pyarrow", "numpy", "lmdb", "msgspec", "pydantic", "redis", "hiredis", "fastapi", "uvicorn", "pandas", "polars")
_NEEDED = ("duckdb", "pyarrow", "numpy", "lmdb", "msgspec", "pydantic")
_LITTLE_DISK, _NO_DISK = 1 << 30, 100 << 20
_MOST_MEMORY = 0.9
_SHOWN = 5
