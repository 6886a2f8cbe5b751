"""The memory that may be used, on made-up control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hitherto.config import memory

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def group(root: Path, *, lines: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_control_groups_it_is_the_machine(tmp_path: Path):
    assert memory.available(root=tmp_path) == MACHINE


@pytest.mark.parametrize("path", ["/", "/docker/abc"])
def test_version_2_limits_count(tmp_path: Path, path: str):
    root = group(tmp_path, lines=f"0::{path}\n", files={"memory.max": "1000000\n"})
    assert memory.available(root=root) == 1_000_000


def test_the_lowest_limit_on_the_way_up_counts(tmp_path: Path):
    files = {"a/b/memory.max": "3000000", "a/memory.max": "2000000", "memory.max": "max"}
    assert memory.available(root=group(tmp_path, lines="0::/a/b\n", files=files)) == 2_000_000


def test_version_1_limits_count(tmp_path: Path):
    files = {"memory/docker/x/memory.limit_in_bytes": "5000000", "memory/memory.limit_in_bytes": "9223372036854771712"}
    root = group(tmp_path, lines="12:pids:/docker/x\n7:cpu,memory:/docker/x\n", files=files)
    assert memory.available(root=root) == 5_000_000


@pytest.mark.parametrize("text", ["max", "", "9223372036854771712", "rubbish"])
def test_no_limit_is_the_machine(tmp_path: Path, text: str):
    assert memory.available(root=group(tmp_path, lines="0::/\n", files={"memory.max": text})) == MACHINE


def test_a_system_that_does_not_tell_gets_a_modest_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def unknown(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", unknown)
    assert memory.available(root=tmp_path) == 4 * 2**30
