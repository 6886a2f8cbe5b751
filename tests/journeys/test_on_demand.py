"""A repo with on-demand features from check to serve, on the command line and over a server of its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hitherto.cli import main
from unit.serving.servers import NOW, Client, wait_until
from unit.serving.test_on_demand import FEATURES, write_repo
from unit.serving.test_server import free_port


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return write_repo(tmp_path / "repo")


def run(capsys: pytest.CaptureFixture[str], repo: Path, *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["--repo", str(repo), "--now", NOW, *arguments])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_from_check_to_lookup_on_the_command_line(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")

    def ran(*arguments: str, code: int = 0) -> str:
        found, said = run(capsys, repo, *arguments)
        assert found == code, said
        return said

    ran("check")
    assert "+ on-demand feature view  headroom" in ran("plan")
    ran("apply")
    ran("materialize")
    assert "no run computes it" in ran("materialize", "--view", "headroom", code=2)
    assert "features:headroom" in ran("list", "on-demand-feature-views")
    described = ran("describe", "on-demand-feature-view", "twice")
    assert "source of the function" in described
    assert "over of headroom" in described or "over" in described
    assert json.loads(ran("describe", "on-demand-view", "twice", "--json"))["import_path"] == "features:twice"
    asked = ("get-online-features", "--features", "headroom:over,headroom:length,twice:twice", "--json")
    found = json.loads(ran(*asked, "--entity", "station=JFK", "--entity", "limit=1", "--entity", "label=ab"))
    assert "38.02" in json.dumps(found)
    assert "ERROR" in ran(*asked, "--entities", '[{"station": "JFK", "limit": 1.0, "label": null}]')
    assert "The request field 'limit' is Float64" in ran(
        *asked, "--entity", "station=JFK", "--entity", "limit=much", "--entity", "label=ab", code=2
    )
    assert "headroom" in ran("lineage", "weather")
    assert "request source trip" in ran("lineage", "twice")
    assert "All is well" in ran("verify")
    times = "1.0 as \"limit\", 'ab' as label, timestamp '2013-01-01 12:30:00' as event_timestamp"
    rows = f"select station, {times} from weather where station = 'JFK'"
    assert "38.02" in ran("get-historical-features", "--entities", rows, "--features", "headroom:over")


def test_a_change_of_a_function_is_planned_and_refused_until_it_is_applied(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("apply", "materialize"):
        assert run(capsys, repo, command)[0] == 0
    write_repo(repo, FEATURES.replace("over * 2", "over * 3"))
    code, said = run(capsys, repo, "plan", "--check")
    assert code == 4
    assert "source of the function: sha256" in said
    asked = (
        "get-online-features",
        "--features",
        "twice:twice",
        "--entities",
        '[{"station": "JFK", "limit": 0, "label": ""}]',
    )
    code, said = run(capsys, repo, *asked)
    assert code == 2
    assert "is not the one that was applied" in said
    code, said = run(capsys, repo, "serve", "--port", "0")
    assert code == 2
    assert "Run hitherto apply, or install the repo that was applied" in said
    assert run(capsys, repo, "apply")[0] == 0
    assert run(capsys, repo, *asked)[0] == 0


def test_a_circle_is_refused_with_its_place(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    circle = """

def back(twice: float | None) -> float | None:
    return twice


headroom = on_demand_feature_view(sources=[twice], schema=[Field("over", Float64)], name="headroom")(back)
"""
    write_repo(repo, FEATURES + circle)
    code, said = run(capsys, repo, "plan")
    assert code == 2
    assert (
        "on-demand feature view 'headroom': it is built on itself: headroom -> twice -> headroom. Break the circle."
        in said
    )
    assert "features.py:" in said


def lookup(client: Client, features: list[str], **entities: list[Any]) -> Any:
    return client.lookup(features, **entities).json


def test_a_server_of_two_workers_computes_with_changed_functions_only_if_it_is_told_to(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("apply", "materialize"):
        assert run(capsys, repo, command)[0] == 0
    write_repo(repo, FEATURES.replace("over * 2", "over * 3"))
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "hitherto",
        "--repo",
        str(repo),
        "--now",
        NOW,
        "serve",
        "--port",
        str(port),
        "--workers",
        "2",
    ]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "is not the one that was applied" in refused.stderr
    client = Client(f"http://127.0.0.1:{port}")
    with (repo / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--allow-changed-functions"], stderr=log, env=dict(os.environ))
    try:

        def ready() -> bool:
            assert server.poll() is None, (repo / "log").read_text()
            try:
                return client.get("/ready").status == 200
            except OSError:
                return False

        wait_until(ready, seconds=60)
        for _ in range(4):
            found = lookup(
                client, ["twice:twice", "headroom:length"], station=["JFK", "JFK"], limit=[0, 0], label=["x", None]
            )
            assert found["results"][3]["values"] == [39.02 * 3, None]
            assert found["results"][4]["statuses"] == ["PRESENT", "ERROR"]
    finally:
        server.terminate()
        server.wait(20)
    log_text = (repo / "log").read_text()
    assert "raised TypeError at" in log_text
    assert "Traceback" not in log_text
