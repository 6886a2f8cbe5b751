"""The example repo: where it is found, the copy that the demo works in, and the deliveries that come in there."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hitherto.config import Config
from hitherto.errors import HithertoError, StorageError, UsageError

PROJECT = "nyc_flights"
MARK = ".hitherto-demo"
"""A file that says that a folder is a demo's, so that no other folder is ever emptied."""
BROKEN_VISIBILITY = -9999.0
"""What some weather feeds write where nothing was measured."""
_MARK_TEXT = "Made by `hitherto demo`, which makes the whole folder anew each time.\n"
_LMDB = 'url = "lmdb:///.hitherto/online"'
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__")


def find() -> Path:
    """The example: in the installed package, or beside it in a checkout."""
    packaged = Path(str(files("hitherto")))
    for folder in (packaged / "_example", packaged.parents[1] / "feature_repo"):
        if (folder / "hitherto.toml").is_file():
            return folder
    raise HithertoError("The example repo is missing from this installation. Install Hitherto again.")


def lay_out(folder: Path) -> None:
    """A fresh copy of the example. The folder is made if it is not there, and emptied if it is an earlier demo's.

    Raises:
        UsageError: The folder holds something else.
        StorageError: It cannot be written.
    """
    with _writing(folder):
        _empty(folder)
        (folder / MARK).write_text(_MARK_TEXT, encoding="utf-8")
        shutil.copytree(find(), folder, ignore=_LEFT_OUT, dirs_exist_ok=True, copy_function=shutil.copyfile)


def lay_out_settings(folder: Path, *, url: str | None = None, project: str = PROJECT) -> Config:
    """Write a copy's hitherto.toml for an online store.

    Args:
        folder: The copy.
        url: The online store, without credentials; the example's LMDB folder if not given.
        project: The project's name.

    Returns:
        The settings as the file has them. HITHERTO_* is not asked: a demo must not write into anybody's store.
    """
    settings = folder / "hitherto.toml"
    with _writing(folder):
        text = settings.read_text(encoding="utf-8").replace(f'project = "{PROJECT}"', f'project = "{project}"')
        if url is not None:
            text = text.replace(_LMDB, f"url = {json.dumps(url)}")
        settings.write_text(text, encoding="utf-8")
    tables = tomllib.loads(text)
    tables.pop("env", None)
    return Config(**tables, repo_path=folder)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"The demo cannot write to {folder}: {error.strerror or error}. Name another folder with --keep DIR."
        ) from error


def _empty(folder: Path) -> None:
    if folder.is_dir() and (folder / MARK).is_file():
        shutil.rmtree(folder)
    elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not a demo's folder. Name another one with --keep DIR.")
    folder.mkdir(parents=True, exist_ok=True)


class WeatherFeed:
    """The file that the weather comes in, as its supplier replaces it."""

    def __init__(self, repo: Path) -> None:
        self._path = repo / "data" / "weather.parquet"
        self._good = self._path.read_bytes()

    def deliver_broken(self, since: datetime) -> int:
        """Replace the file by one in which no report from an instant on has a visibility; how many reports these are."""
        table = pq.read_table(self._path)
        late = pc.greater_equal(table["observed_at"], pa.scalar(since).cast(table.schema.field("observed_at").type))
        place = table.column_names.index("visib")
        values = pc.if_else(late, pa.scalar(BROKEN_VISIBILITY), table["visib"])
        self._replace(table.set_column(place, table.schema.field("visib"), values))
        return int(pc.sum(late).as_py() or 0)

    def deliver_again(self) -> None:
        """Replace the file by the good one."""
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(self._good)
        temporary.rename(self._path)

    def _replace(self, table: pa.Table) -> None:
        temporary = self._path.with_suffix(".tmp")
        pq.write_table(table, temporary)
        temporary.rename(self._path)
