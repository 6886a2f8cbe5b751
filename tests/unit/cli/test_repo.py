from __future__ import annotations

import shutil

import pytest

from hitherto.cli import faults


def test_init_tells_three_commands_that_work(hitherto, tmp_path):
    made = hitherto("init", "--json", repo=tmp_path / "my sensors").document
    assert len(made["next"]) == 3
    assert made["features"] == ["temperature", "humidity", "battery_low"]
    for command in (
        "apply",
        "materialize",
        "get-online-features --features readings:temperature --entity sensor=attic",
    ):
        assert f"hitherto --repo '{tmp_path / 'my sensors'}' {command}" in made["next"]
        assert hitherto(*command.split(), repo=tmp_path / "my sensors").code == 0


def test_init_shows_what_it_wrote(hitherto, tmp_path):
    told = hitherto("init", repo=tmp_path / "new")
    assert told.code == 0
    assert "definitions.py" in told.out
    assert "Next:" in told.out


def test_check_says_how_much_is_well(hitherto, materialized):
    told = hitherto("check", repo=materialized)
    assert (told.code, told.out.strip()) == (
        0,
        "No problems: 1 entities, 1 sources, 1 feature views, 0 on demand feature views, 0 feature services.",
    )
    assert hitherto("check", "--json", repo=materialized).document == {
        "ok": True,
        "entities": 1,
        "sources": 1,
        "feature_views": 1,
        "on_demand_feature_views": 0,
        "feature_services": 0,
    }


def test_check_finds_what_only_the_source_knows(hitherto, repo, edit):
    edit('Field("humidity", Int16)', 'Field("humidity", Int16, source_column="humidty")')
    told = hitherto("check", repo=repo)
    assert told.code == faults.USAGE
    assert "'humidty'" in told.err
    assert "definitions.py:" in told.err


def test_check_tells_every_missing_column_of_a_view_at_once_also_of_one_with_a_transform(hitherto, repo, edit):
    edit("    source=source,", '    source=source,\n    transform="select * from source",')
    written = (repo / "definitions.py").read_text()
    time = (
        written.split("timestamp_field=", 1)[1] if "timestamp_field=" in written else written.split('.parquet",', 1)[1]
    )
    column = time.split('"')[1]
    edit(f'"{column}"', f'"{column}_gone"')
    told = hitherto("check", repo=repo)
    assert told.code == faults.USAGE
    assert f"there is no column '{column}_gone'. Did you mean '{column}'?" in told.err
    edit('    transform="select * from source",\n', "")
    edit(
        'Field("humidity", Int16)',
        'Field("humidity", Int16, source_column="humidty", expect=[expect.sql("nothing > 1")])',
    )
    edit("import Entity", "import expect, Entity")
    told = hitherto("check", repo=repo)
    assert all(name in told.err for name in (f"'{column}_gone'", "'humidty'", "'nothing'"))


def test_problems_come_one_by_one_in_json(hitherto, repo, edit):
    edit('"sensor", join_keys', '"Sensor", join_keys')
    edit('    # ttl="7d"', '    ttl="-7d"  # ')
    error = hitherto("check", "--json", repo=repo).document["error"]
    assert error["type"] == "DefinitionError"
    assert len(error["problems"]) >= 2
    assert all(problem["file"].endswith("definitions.py") and problem["line"] > 1 for problem in error["problems"])


def test_check_writes_nothing(hitherto, repo):
    shutil.rmtree(repo / ".hitherto")
    assert hitherto("check", repo=repo).code == 0
    assert not (repo / ".hitherto").exists()


def test_plan_check_is_four_where_there_are_changes_and_zero_where_there_are_none(hitherto, repo, edit):
    assert hitherto("plan", "--check", repo=repo).code == 0
    edit('    # ttl="7d"', '    ttl="7d"')
    told = hitherto("plan", "--check", repo=repo)
    assert told.code == faults.CHANGES
    assert "ttl: none -> 7d" in told.out
    assert hitherto("plan", repo=repo).code == 0
    assert hitherto("plan", "--check", "--json", repo=repo).document["has_changes"] is True


def test_apply_does_what_plan_shows_and_says_what_is_next(hitherto, repo, edit):
    edit(
        'Field("humidity", Int16)',
        'Field("humidity", Int16, source_column="humidity"), Field("moisture", Int16, source_column="humidity")',
    )
    told = hitherto("apply", repo=repo)
    assert told.code == 0
    assert "version 2" in told.out
    assert "materialize-incremental" in told.out
    again = hitherto("apply", "--json", repo=repo).document
    assert again["applied"] is False


def test_apply_removes_what_has_data_only_when_it_may(hitherto, repo):
    (repo / "definitions.py").write_text(
        "from hitherto import Entity\nfrom hitherto.types import String\n\nentity = Entity('sensor', join_keys={'sensor': String})\n"
    )
    told = hitherto("apply", repo=repo)
    assert told.code == faults.USAGE
    assert "--allow-remove" in told.err
    assert hitherto("apply", "--allow-remove", repo=repo).code == 0


@pytest.mark.parametrize("command", ["check", "plan", "apply"])
def test_a_repo_that_is_not_python_is_a_problem_with_its_line(command, hitherto, repo):
    (repo / "definitions.py").write_text("view = (\n")
    told = hitherto(command, repo=repo)
    assert told.code == faults.USAGE
    assert "definitions.py:1" in told.err
