from __future__ import annotations

import errno
import os
from pathlib import Path

import duckdb
import pytest

from hitherto.errors import StorageError, UsageError
from hitherto.offline.duckdb.connection import Limits, connect, storage_errors


def setting(con: duckdb.DuckDBPyConnection, name: str) -> object:
    return con.execute(f"select current_setting('{name}')").fetchall()[0][0]


def test_a_connection_is_in_utc_with_the_limits_asked_for(tmp_path: Path) -> None:
    with connect(Limits(memory="123MB", threads=1, temp_directory=tmp_path / "a" / "b")) as con:
        assert (setting(con, "TimeZone"), setting(con, "threads")) == ("UTC", 1)
        assert setting(con, "temp_directory") == str(tmp_path / "a" / "b")
        assert str(setting(con, "memory_limit")).startswith("117.")  # MiB
    assert (tmp_path / "a" / "b").is_dir()


def test_an_asof_join_never_becomes_a_nested_loop_by_an_estimate() -> None:
    with connect(Limits()) as con:
        assert setting(con, "asof_loop_join_threshold") == 0


def test_a_temporary_directory_that_cannot_be_made_says_which_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"temporary directory .*file/tmp cannot be made.*offline.temp_directory"):
        connect(Limits(temp_directory=tmp_path / "file" / "tmp"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "The disk is full: free some space"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), "Make the directory writable"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Writing it: Input/output error."),
        (duckdb.OutOfMemoryException("no room\nand more"), "Raise offline.memory_limit.*no room"),
        (duckdb.IOException("cannot\nand more"), "Writing it: cannot$"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_the_engine_and_the_system_become_ours_with_a_remedy(error: Exception, said: str) -> None:
    with pytest.raises(StorageError, match=said), storage_errors("Writing it"):
        raise error


def test_our_own_errors_pass_as_they_are() -> None:
    with pytest.raises(UsageError, match="mine"), storage_errors("Writing it"):
        raise UsageError("mine")
