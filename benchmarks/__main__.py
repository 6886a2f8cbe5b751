"""All benchmarks, one after the other, each in a process of its own, and then the report.

    python -m benchmarks --size small
    python -m benchmarks --size full lookup serving    # only these, and the report of all that lies in results

Made data stay in benchmarks/.data; projects are made in a temporary folder that goes at the end. A benchmark that fails does not
stop the others; the exit code tells. All of it ends within so many minutes: what is running then is ended, the rest is left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

from benchmarks import peers, report
from benchmarks.record import SIZES, end_well_when_told_to

# What the targets name comes first, and memory_limit before training_growth, which uses its projects again.
PROGRAMS = (
    "startup",
    "training_set",
    "hot_key",
    "windows",
    "taxi",
    "materialization",
    "push",
    "lookup",
    "on_demand",
    "windowed_lookups",
    "serving",
    "publishing",
    "memory_limit",
    "training_times",
    "training_growth",
)


def run(name: str, size: str, folder: str, until: float) -> bool:
    """One benchmark; whether it came to its end."""
    left = until - time.monotonic()
    if left <= 0:
        print(f"== {name}: left out, the time is over", flush=True)
        return False
    line = [sys.executable, "-m", f"benchmarks.{name}", "--size", size]
    with subprocess.Popen(line, env={**os.environ, "BENCH_WORK": folder}) as process:
        try:
            return process.wait(timeout=left) == 0
        except subprocess.TimeoutExpired:
            print(f"== {name}: ended, the time is over", flush=True)
            return False
        finally:
            process.terminate()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=SIZES, default="small")
    options.add_argument("--minutes", type=float, default=60, help="the longest that all may take; 60 if not given")
    options.add_argument(
        "programs", nargs="*", metavar="benchmark", help=f"of {', '.join(PROGRAMS)}; all if none is named"
    )
    given = options.parse_args()
    end_well_when_told_to()
    if unknown := set(given.programs) - set(PROGRAMS):
        options.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    peers.make()
    failed, until = [], time.monotonic() + 60 * given.minutes
    folder = tempfile.mkdtemp(prefix="hitherto-bench-")
    try:
        for name in given.programs or PROGRAMS:
            if not run(name, given.size, folder, until):
                failed.append(name)
            print(f"-- {(until - time.monotonic()) / 60:.1f} of {given.minutes:g} minutes left", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.run(given.size)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
