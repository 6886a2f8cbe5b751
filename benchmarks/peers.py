"""The peers' environment, apart from ours: Feast and what it brings. `make bench-peers` makes it in .venv-peers.

    python -m benchmarks.peers

BENCH_PEERS names the python of an environment that is there already. Where none can be made, benchmarks leave Feast out and say why.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from benchmarks.data import BEGIN, END, feature_types

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".venv-peers"
PACKAGES = ["feast[redis,duckdb]==0.67.0"]
Kind = Literal["as-it-comes", "tuned"]


def python() -> Path | None:
    """The python that has Feast, if there is one. One that BENCH_PEERS names must be there: SystemExit if not."""
    given = os.environ.get("BENCH_PEERS")
    found = Path(given or FOLDER / "bin" / "python")
    if found.exists() and (found.parent / "feast").exists():
        return found
    if given:
        raise SystemExit(f"BENCH_PEERS={given}: there is no python with Feast. Name one, or unset it to have one made.")
    return None


def make() -> Path | None:
    """Make the environment if it is not there; None, with the reason printed, if that fails."""
    if (there := python()) is not None:
        return there
    print(f"making {FOLDER.name}: {' '.join(PACKAGES)}", flush=True)
    target = str(FOLDER / "bin" / "python")
    if shutil.which("uv"):
        steps = [["uv", "venv", str(FOLDER)], ["uv", "pip", "install", "--quiet", "--python", target, *PACKAGES]]
    else:
        steps = [[sys.executable, "-m", "venv", str(FOLDER)], [target, "-m", "pip", "install", "--quiet", *PACKAGES]]
    try:
        for step in steps:
            subprocess.run(step, check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"the peers' environment could not be made, so Feast is left out: {error}", file=sys.stderr)
        shutil.rmtree(FOLDER, ignore_errors=True)
    return python()


WITHOUT = "Feast is left out: its environment is not there; `make bench-peers` makes it"


class Feast:
    """A process with Feast in it. Each method waits for the answer; `seconds` are measured inside the process."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self.folder = process, folder
        self.peak_mb = 0

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "Feast's process has ended"}
        if "error" in answer:
            raise RuntimeError(f"Feast: {answer['error']}; its log is {self.folder / 'log'}")
        self.peak_mb = answer["peak_mb"]
        return answer

    def apply(self, views: Sequence[tuple[str, Path, int]]) -> None:
        """Views: a name, the events' file, how many features."""
        self.ask("apply", views=[_view(*one) for one in views])

    def train(self, entities: Path, features: Sequence[str], result: Path | None = None) -> float:
        """A training set as a pandas frame; written to a file too, untimed, if one is named."""
        to = str(result) if result else None
        return float(self.ask("train", entities=str(entities), features=list(features), result=to)["seconds"])

    def materialize(self, start: str = BEGIN.isoformat(), end: str = END.isoformat()) -> float:
        return float(self.ask("materialize", start=start, end=end)["seconds"])

    def lookup(self, requests: Sequence[Sequence[int]], features: Sequence[str]) -> float:
        """Seconds of one request, of several one after the other."""
        return float(self.ask("lookup", requests=requests, features=list(features))["seconds"])

    def values(self, users: Sequence[int], features: Sequence[str]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = self.ask("lookup", requests=[users], features=list(features), values=True)[
            "values"
        ]
        return found


def _view(name: str, path: Path, features: int) -> dict[str, Any]:
    kinds = {feature: str(kind) for feature, kind in feature_types(features).items()}
    return {"name": name, "path": str(path.absolute()), "features": kinds}


@contextmanager
def feast(folder: Path, kind: Kind, redis_port: int) -> Iterator[Feast]:
    """A new process with Feast over a project of its own."""
    found = python()
    assert found is not None, WITHOUT
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(found), str(Path(__file__).with_name("feast_peer.py")), str(folder), kind, str(redis_port)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield Feast(process, folder)
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(0 if make() else 1)
