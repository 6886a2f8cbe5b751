"""Which store a URL means: one visible dict of small loaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hitherto.errors import ConfigError, MissingExtraError, did_you_mean
from hitherto.online.store import OnlineStore, Place
from hitherto.registry.snapshot import Snapshot


def open_store(
    url: str,
    *,
    root: Path,
    username: str | None = None,
    password: str | None = None,
    timeout: float = 2.0,
) -> OnlineStore:
    """The online store of a URL. Nothing is connected to before the first use.

    Args:
        url: `lmdb:///folder` (relative to root), `lmdb:////folder` (absolute), `redis://host:port/db`, `rediss://...`,
            `unix:///path/to/socket?db=0`.
        root: The folder that relative paths start from.
        username, password: Of the Redis or Valkey server, if it asks for them.
        timeout: Seconds that a connection, and a reply, may take.

    Raises:
        ConfigError: The URL means no store.
        MissingExtraError: The store's client is not installed.

    >>> open_store("lmdb:///.hitherto/online", root=Path("/repo"))
    LmdbOnlineStore('/repo/.hitherto/online')
    """
    scheme = urlsplit(url).scheme
    if scheme not in LOADERS:
        # Not the URL itself: it may hold a password.
        raise ConfigError(
            f"The online store's url begins with {scheme or 'no scheme'!r}, which is no store.{did_you_mean(scheme, LOADERS)}"
        )
    return LOADERS[scheme](url, root, username, password, timeout)


def unfilled(store: OnlineStore, snapshot: Snapshot) -> tuple[str, ...]:
    """The views that are served online and that this store has nothing of: it is another one now, or was emptied.

    Raises:
        OnlineStoreError: The store does not answer.
    """
    return tuple(
        name
        for name, view in sorted(snapshot.views.items())
        if view.definition.online
        and view.generation
        and Place(snapshot.project, name, view.version, view.generation) not in store.places(snapshot.project, name)
    )


def _lmdb(url: str, root: Path, username: str | None, password: str | None, timeout: float) -> OnlineStore:
    from hitherto.online.embedded.store import LmdbOnlineStore

    parts = urlsplit(url)
    if parts.netloc or not parts.path.strip("/"):
        raise ConfigError(
            "The online store's url needs a folder: lmdb:///folder (relative to the repo) or lmdb:////folder."
        )
    return LmdbOnlineStore(root / unquote(parts.path[1:]))


def _redis(url: str, root: Path, username: str | None, password: str | None, timeout: float) -> OnlineStore:
    try:
        from hitherto.online.redis.store import RedisOnlineStore
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("redis", "hiredis"):
            raise
        raise MissingExtraError("redis", "redis") from None
    return RedisOnlineStore(url, username=username, password=password, timeout=timeout)


LOADERS: Mapping[str, Callable[[str, Path, str | None, str | None, float], OnlineStore]] = {
    "lmdb": _lmdb,
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
}
