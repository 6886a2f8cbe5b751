from __future__ import annotations

from pathlib import Path

import pytest

from hitherto.demo.stage import DAYS, DELIVERY, HISTORY_END, stage
from hitherto.errors import UnknownNameError


def quiet(text: str) -> None:
    """Nobody listens."""


def test_the_story_goes_forward_in_time():
    instants = [HISTORY_END, DELIVERY, *DAYS]
    assert instants == sorted(set(instants))


@pytest.mark.parametrize("online", ["", "sqlite", "lmdb:///data", "redis", "http://localhost/", "ledis://localhost/0"])
def test_an_online_store_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, online: str):
    with pytest.raises(UnknownNameError, match="no online store"), stage(tmp_path / "d", online=online, progress=quiet):
        raise AssertionError("it was opened")
    assert not (tmp_path / "d").exists()


def test_a_refused_url_does_not_show_its_password(tmp_path: Path):
    with pytest.raises(UnknownNameError) as caught, stage(tmp_path, online="http://me:geheim@host/0", progress=quiet):
        raise AssertionError("it was opened")
    assert "geheim" not in str(caught.value)


def test_a_password_stays_out_of_the_folder_and_is_asked_for_afterwards(tmp_path: Path):
    with stage(tmp_path, online="redis://me:geheim@localhost:1/0", progress=quiet) as made:
        password = made.store.config.online_password()
        assert password is not None
        assert password.get_secret_value() == "geheim"
        assert made.preparation == "export HITHERTO_ONLINE__USERNAME=... HITHERTO_ONLINE__PASSWORD=..."
        assert made.online.startswith("localhost:1, keys nyc_flights_demo_")
        assert made.store.config.project in made.online
    texts = [path.read_text(encoding="utf-8") for path in tmp_path.glob("*.toml")]
    assert texts
    assert not any("geheim" in text for text in texts)


def test_demos_in_one_server_do_not_meet(tmp_path: Path):
    projects = set()
    for _ in range(3):
        with stage(tmp_path, online="redis://localhost:1/0", progress=quiet) as made:
            projects.add(made.store.config.project)
    assert len(projects) == 3


def test_the_clock_stands_where_it_is_set(tmp_path: Path):
    with stage(tmp_path, online="lmdb", progress=quiet) as made:
        assert made.store.clock() == HISTORY_END
        made.clock.now = DELIVERY
        assert made.store.clock() == DELIVERY
        assert made.preparation == ""
