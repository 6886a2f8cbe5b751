"""What holds for every test: Hypothesis without a stopwatch, no settings of the person who runs the tests, and coverage of
what tests aim at.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings

# Several workers share the cores, so a slow example says nothing.
settings.register_profile("hitherto", deadline=None, print_blob=True)
settings.load_profile("hitherto")

for name in [name for name in os.environ if name.upper().startswith("HITHERTO_")]:
    del os.environ[name]

# Folders of tests lie in memory where the system has such a place: the suite waits for the disk a sixth of its time.
IN_MEMORY = Path("/dev/shm")
if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))

TESTS = Path(__file__).parent
# These go through everything many times, or are about the example and the benchmarks: that a line ran in them says little. Tracing
# took 85 of the 230 seconds of processor time of the properties. The threshold of coverage has to hold without them.
UNMEASURED = ("properties", "journeys", "documentation", "interop", "unit/benchmarks", "unit/example")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Pause coverage, where it is measured, for a test and its fixtures."""
    coverage = Coverage.current()
    if coverage is None or not any(item.path.is_relative_to(TESTS / one) for one in UNMEASURED):
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()


def pytest_collection_finish() -> None:
    """What was collected stays to the end: the collector of garbage need not look through it (half a second) again and again."""
    gc.collect()
    gc.freeze()
