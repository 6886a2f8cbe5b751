from __future__ import annotations

from pathlib import Path

from hitherto.cli.output import Output
from hitherto.cli.session import Session
from hitherto.timeline import to_datetime


def test_the_clock_stands_at_now_and_is_the_systems_without_it():
    standing = Session(Path(), None, 1_000_000, Output()).clock
    assert standing is not None
    assert standing() == standing() == to_datetime(1_000_000)
    assert Session(Path(), None, None, Output()).clock is None


def test_a_command_to_run_next_names_repo_and_environment():
    assert (
        Session(Path("my repo"), "prod", None, Output()).command("apply")
        == "hitherto --repo 'my repo' --env prod apply"
    )
    assert Session(Path(), None, None, Output()).command("plan") == "hitherto plan"
