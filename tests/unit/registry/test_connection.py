"""One file, many threads and processes; what is wrong with the file is said, and nothing foreign is raised."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import pytest

from hitherto.errors import FencedError, RegistryConflict, RegistryError, RegistryFormatError
from hitherto.registry import connection, migrations
from hitherto.registry.migrations import Migration
from hitherto.registry.records import FileObservation, SourceFile
from hitherto.registry.sqlite import Registry
from unit.registry.samples import EVERYTHING, VIEW, days, definitions

SOURCE = Path(connection.__file__).parents[2]
TESTS = Path(__file__).parents[2]


def open_registry(path: Path) -> Registry:
    return Registry(path, project="flights")


def test_the_folder_is_created(tmp_path):
    open_registry(tmp_path / "a" / "b" / "registry.db").close()
    assert (tmp_path / "a" / "b" / "registry.db").is_file()


def test_every_commit_is_synced_and_readers_do_not_block(registry):
    with registry._connection.read() as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert opened.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_reader_sees_one_state_while_others_write(registry):
    with open_registry(registry.path) as other, registry._connection.read() as opened:
        assert opened.execute("SELECT count(*) FROM definitions").fetchone()[0] == 0
        other.apply(definitions(VIEW), expected_serial=0, now=1)
        assert opened.execute("SELECT count(*) FROM definitions").fetchone()[0] == 0
    assert registry.serial() == 1


def test_a_registry_of_a_newer_format_is_refused(registry):
    with sqlite3.connect(registry.path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(RegistryFormatError, match=r"storage format 99; this Hitherto knows formats up to \d+.*Upgrade"):
        open_registry(registry.path)


def test_an_older_registry_is_brought_up_and_keeps_what_it_has(registry, monkeypatch):
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    registry.close()
    newest = migrations.MIGRATIONS[-1].version
    step = Migration(newest + 1, "a column", ("ALTER TABLE runs ADD COLUMN mood TEXT",))
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, step))
    with open_registry(registry.path) as upgraded, upgraded._connection.read() as opened:
        assert [row[0] for row in opened.execute("SELECT version FROM migrations")] == list(range(1, newest + 2))
        assert opened.execute("PRAGMA user_version").fetchone()[0] == newest + 1
        assert upgraded.deployed() == definitions(VIEW)


def test_files_of_the_first_format_are_of_the_one_source_that_every_view_had(registry, monkeypatch, tmp_path):
    old = tmp_path / "old.db"
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
        open_registry(old).close()
    with sqlite3.connect(old) as raw:
        raw.execute(
            "INSERT INTO file_observations VALUES (1, 'weather', 1, 'w.parquet', 10, '1', 'f', 5, 1, 2, 1, NULL)"
        )
    raw.close()
    with open_registry(old) as upgraded:
        (seen,) = upgraded.observations("weather", 1)
    assert seen == FileObservation(SourceFile("w.parquet", 10, "1", "f", 5, 1, 2, source="source"), 1)


def test_a_migration_that_fails_leaves_the_old_format(registry, monkeypatch):
    newest = migrations.MIGRATIONS[-1].version
    step = Migration(newest + 1, "broken", ("CREATE TABLE fine (x)", "INSERT INTO missing VALUES (1)"))
    registry.close()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, step))
        with pytest.raises(RegistryError, match="no such table"):
            open_registry(registry.path)
    with open_registry(registry.path) as again, again._connection.read() as opened:
        assert opened.execute("PRAGMA user_version").fetchone()[0] == newest
        assert opened.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'fine'").fetchone()[0] == 0


def test_migrations_are_numbered_without_gaps():
    assert [one.version for one in migrations.MIGRATIONS] == list(range(1, len(migrations.MIGRATIONS) + 1))


def test_the_registry_of_another_project_is_refused(registry):
    with pytest.raises(RegistryError, match=r"belongs to project 'flights', not to 'trains'.*\[registry\] url"):
        Registry(registry.path, project="trains")


@pytest.mark.parametrize("content", [b"this is a text file, no database" * 40, b"x"])
def test_a_file_that_is_no_database_is_refused(tmp_path, content):
    path = tmp_path / "registry.db"
    path.write_bytes(content)
    with pytest.raises(RegistryError, match="damaged or no SQLite database"):
        open_registry(path)
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "registry.db"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE theirs (x)")
    raw.commit()
    raw.close()
    before = path.read_bytes()
    with pytest.raises(RegistryError, match="no registry of Hitherto"):
        open_registry(path)
    assert path.read_bytes() == before


def test_a_damaged_registry_says_so(registry):
    registry.apply(definitions(VIEW, EVERYTHING), expected_serial=0, now=1)
    registry.close()
    data = bytearray(registry.path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    registry.path.write_bytes(bytes(data))
    with pytest.raises(RegistryError, match="damaged.*backup"):
        open_registry(registry.path).deployed()


def test_a_folder_that_cannot_be_made_is_a_registry_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RegistryError, match=r"folder of the registry .* cannot be created.*\[registry\] url"):
        open_registry(tmp_path / "file" / "registry.db")


def test_a_folder_in_the_place_of_the_file_is_a_registry_error(tmp_path):
    (tmp_path / "registry.db").mkdir()
    with pytest.raises(RegistryError, match="cannot be opened"):
        open_registry(tmp_path / "registry.db")


def test_a_registry_that_is_gone_says_so_and_is_not_made_again(registry):
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    for name in ("registry.db", "registry.db-wal", "registry.db-shm"):
        (registry.path.parent / name).unlink(missing_ok=True)
    for _ in range(2):
        with pytest.raises(RegistryError, match="is gone"):
            registry.serial()
    assert not registry.path.exists()


def test_a_registry_that_was_replaced_is_read_anew(registry, tmp_path):
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    with open_registry(tmp_path / "other.db") as other:
        other.apply(definitions(VIEW), expected_serial=0, now=1)
        other.apply(definitions(VIEW, EVERYTHING), expected_serial=1, now=2)
    registry.close()
    registry.serial()
    for name in ("registry.db-wal", "registry.db-shm"):
        (registry.path.parent / name).unlink(missing_ok=True)
    os.replace(tmp_path / "other.db", registry.path)
    assert registry.serial() == 2


def test_a_closed_registry_opens_again(registry):
    registry.close()
    registry.close()
    assert registry.serial() == 0


def test_a_registry_held_by_another_process_says_so(registry, monkeypatch):
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    with open_registry(registry.path) as impatient:
        raw = sqlite3.connect(registry.path, isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(RegistryError, match="held by another process"):
                impatient.apply(definitions(VIEW), expected_serial=0, now=1)
            assert impatient.serial() == 0  # reading goes on
        finally:
            raw.close()
        impatient.apply(definitions(VIEW), expected_serial=0, now=1)


def test_a_full_disk_changes_nothing_and_says_so(registry):
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    with registry._connection.read() as opened:
        pages = opened.execute("PRAGMA page_count").fetchone()[0]
        # SQLite answers a file at its largest size as it answers a full disk.
        opened.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RegistryError, match="disk is full"):
        registry.save_training_set("big", "", 1, "h", 1, {"text": "x" * 1_000_000})
    assert registry.training_sets() == ()
    assert registry.deployed() == definitions(VIEW)


def test_an_error_in_a_transaction_rolls_it_back(registry):
    def fail() -> None:
        with registry._connection.write() as opened:
            opened.execute("UPDATE meta SET value = 99 WHERE key = 'serial'")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert registry.serial() == 0


def test_threads_share_one_registry(registry):
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    runs, errors = [], []

    def work() -> None:
        try:
            for _ in range(10):
                runs.append(registry.begin_run(VIEW.name, 1, days(1, 2), began_at=1))
                registry.snapshot()
        except RegistryError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({run.token for run in runs}) == 40


def run_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(TESTS)])}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    found = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        found.append(out.strip())
    return found


def test_of_processes_that_apply_on_one_plan_exactly_one_succeeds(tmp_path):
    # They also create the file at the same moment.
    code = """
        import sys
        from pathlib import Path
        from dataclasses import replace
        from hitherto.errors import RegistryConflict
        from hitherto.registry.sqlite import Registry
        from unit.registry.samples import VIEW, definitions
        with Registry(Path(sys.argv[1]), project="flights") as registry:
            try:
                mine = replace(VIEW, description=sys.argv[2])
                registry.apply(definitions(mine), expected_serial=0, now=1)
                print("done")
            except RegistryConflict:
                print("conflict")
    """
    path = tmp_path / "new" / "registry.db"
    assert sorted(outputs([run_python(code, path, number) for number in range(4)])) == ["conflict"] * 3 + ["done"]
    with open_registry(path) as registry:
        assert registry.serial() == 1
        assert len(registry.definition_changes(VIEW.name)) == 1


def test_processes_that_publish_fence_each_other_and_lose_nothing(registry):
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    code = """
        import sys
        from pathlib import Path
        from hitherto.errors import FencedError
        from hitherto.registry.sqlite import Registry
        from unit.registry.samples import VIEW, day, days, segment, source_file
        published = 0
        with Registry(Path(sys.argv[1]), project="flights") as registry:
            for number in range(15):
                run = registry.begin_run(VIEW.name, 1, days(number + 1, number + 2), began_at=1)
                try:
                    registry.update_run(run.run_id, state="pushing")
                    registry.publish(run, segment=segment(run.run_id, run), files=[source_file()], published_at=day(50), generation=1)
                    published += 1
                except FencedError:
                    pass
        print(published)
    """
    published = sum(int(text) for text in outputs([run_python(code, registry.path) for _ in range(2)]))
    runs = registry.runs()
    assert len({run.token for run in runs}) == 30
    entries = registry.publications(VIEW.name, 1)
    assert len(entries) == len(registry.segments(VIEW.name, 1)) == published
    assert {entry.run_id for entry in entries} == {run.run_id for run in runs if run.state == "published"}
    assert registry.serial() == 1 + published
    with pytest.raises(FencedError):
        registry.update_run(runs[-1].run_id, rows_read=1)


def test_a_process_that_dies_in_a_transaction_leaves_nothing_of_it(registry):
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    code = """
        import os, sys
        from pathlib import Path
        from hitherto.registry.sqlite import Registry
        registry = Registry(Path(sys.argv[1]), project="flights")
        with registry._connection.write() as opened:
            opened.execute("DELETE FROM definitions")
            opened.execute("UPDATE meta SET value = 99 WHERE key = 'serial'")
            os.kill(os.getpid(), 9)
    """
    process = run_python(code, registry.path)
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert registry.serial() == 1
    assert registry.deployed() == definitions(VIEW)
    registry.apply(definitions(VIEW, EVERYTHING), expected_serial=1, now=2)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_forked_child_opens_a_connection_of_its_own(registry):
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    code = """
        import os, sys
        from pathlib import Path
        from hitherto.registry.sqlite import Registry
        registry = Registry(Path(sys.argv[1]), project="flights")
        before = registry._connection._sqlite
        child = os.fork()
        if child == 0:
            run = registry.begin_run("airport_weather", 1, __import__("unit.registry.samples", fromlist=["x"]).days(1, 2), began_at=1)
            fine = registry._connection._sqlite is not before and run.token > 0
            registry.close()
            os._exit(0 if fine else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert registry._connection._sqlite is before
        print(len(registry.runs()))
    """
    assert outputs([run_python(code, registry.path)]) == ["1"]


READ_ONLY = """
    import os, sys
    from pathlib import Path
    from hitherto.errors import RegistryError
    from hitherto.registry.sqlite import Registry
    from unit.registry.samples import definitions
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)  # root may write everywhere
    try:
        with Registry(Path(sys.argv[1]), project="flights") as registry:
            print(registry.serial(), *registry.snapshot().views)
            registry.apply(definitions(), expected_serial=None, now=1)
    except RegistryError as error:
        print(error)
"""


@pytest.fixture
def read_only_folder():
    # Not pytest's own folder, which another user cannot enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("served", [True, False])
def test_a_registry_that_may_only_be_read_is_read(read_only_folder, served):
    registry = open_registry(read_only_folder / "registry.db")
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    if not served:
        registry.close()  # the last one to close takes the side files of WAL away
    for file in read_only_folder.iterdir():
        file.chmod(0o444)
    read_only_folder.chmod(0o555)
    (text,) = outputs([run_python(READ_ONLY, read_only_folder / "registry.db")])
    first, second = text.splitlines()
    assert first == "1 airport_weather"
    assert "read-only" in second
    registry.close()


FOLLOWS = """
    import os, sys
    from pathlib import Path
    from hitherto.registry.sqlite import Registry
    from unit.registry.samples import definitions
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    registry = Registry(Path(sys.argv[1]), project="flights")
    print(registry.serial(), flush=True)
    sys.stdin.readline()
    print(registry.serial(), *registry.snapshot().views, flush=True)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="another user than the reader has to write")
def test_a_reader_that_may_not_write_follows_the_writer(read_only_folder):
    path = read_only_folder / "registry.db"
    registry = open_registry(path)
    registry.close()
    read_only_folder.chmod(0o755)
    reader = run_python(FOLLOWS, path)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "0\n"
    registry.apply(definitions(VIEW), expected_serial=0, now=1)
    registry.close()
    out, err = reader.communicate("go\n", timeout=60)
    assert (out, err) == ("1 airport_weather\n", "")


def test_a_registry_cannot_be_made_in_a_folder_that_is_read_only(read_only_folder):
    read_only_folder.chmod(0o555)
    (text,) = outputs([run_python(READ_ONLY, read_only_folder / "registry.db")])
    assert "does not exist, and its folder cannot be written" in text


def test_a_foreign_error_never_leaves(registry):
    with pytest.raises(RegistryError, match="refused a statement"), registry._connection.write() as opened:
        opened.execute("SELECT nothing")
    with pytest.raises(RegistryConflict):
        registry.apply(definitions(VIEW), expected_serial=5, now=1)
