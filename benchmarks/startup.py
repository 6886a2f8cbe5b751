"""What a start costs: `import hitherto` and `hitherto --help` against a bare Python, as seconds on top of it.

python -m benchmarks.startup
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.pairs import seconds, summarise, write

BARE = ["-c", "pass"]
WAYS = {
    "import hitherto": ["-c", "import hitherto"],
    "hitherto --help": ["-c", "from hitherto.cli import main; main(['--help'])"],
    "hitherto version": ["-c", "from hitherto.cli import main; main(['version'])"],
    "from hitherto import FeatureStore": ["-c", "from hitherto import FeatureStore"],
}


def start(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def run(*, pairs: int, ways: Mapping[str, list[str]] = WAYS) -> Path:
    found, added = [], {}
    for name, arguments in ways.items():
        start(arguments)
        times = []
        for number in range(pairs):
            order = (arguments, BARE) if number % 2 == 0 else (BARE, arguments)
            took = [seconds(partial(start, way)) for way in order]
            times.append((took[0], took[1]) if number % 2 == 0 else (took[1], took[0]))
        found.append(summarise(name, times, against="python -c pass"))
        added[name] = median(ours - bare for ours, bare in times)
        print(f"{name}: {added[name] * 1e3:.0f} ms more than a bare Python")
    return write("startup", {}, found, seconds_added=added)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=11)
    run(pairs=options.parse_args().pairs)


if __name__ == "__main__":
    main()
