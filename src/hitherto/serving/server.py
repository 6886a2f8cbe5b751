"""Running the server: uvicorn with uvloop and httptools, in this process, in a thread or in several workers."""

from __future__ import annotations

import gc
import ipaddress
import json
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from hitherto.config import Config
from hitherto.errors import HithertoError, UsageError
from hitherto.feature_store import FeatureStore
from hitherto.serving.direct import DirectProtocol
from hitherto.serving.functions import ServedFunctions
from hitherto.timeline import Clock, instant, to_datetime

if TYPE_CHECKING:
    from fastapi import FastAPI

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 6566
# Not HITHERTO_*: those are settings, and this is none.
_HANDOVER = "_HITHERTO_WORKER"
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_START_SECONDS = 30.0
_HIGHEST_PORT = 65_535
logger = logging.getLogger("hitherto.serving")
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}},
    "loggers": {
        name: {"handlers": ["stderr"], "level": "INFO", "propagate": False} for name in ("hitherto", "uvicorn")
    },
}
_UVICORN: dict[str, Any] = {
    # Requests are counted by /metrics; a line for each would cost more than the lookup.
    "access_log": False,
    "http": DirectProtocol,
    "server_header": False,
    "proxy_headers": False,
    "ws": "none",
    "lifespan": "on",
    "timeout_keep_alive": 75,
    "timeout_graceful_shutdown": 10,
}


def run(
    repo_path: str | Path,
    *,
    env: str | None = None,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    workers: int = 1,
    now: str | None = None,
    insecure: bool = False,
    allow_changed_functions: bool = False,
) -> None:
    """Serve a repo until a signal ends it.

    Args:
        repo_path: The folder with hitherto.toml.
        env: Environment whose settings are laid over the others.
        host, port: Where to listen; port 0 takes a free one.
        workers: Processes that answer. Each polls the registry itself; /metrics is their sum.
        now: An instant at which the clock stands still: for data of the past. The system's clock if not given.
        allow_changed_functions: Whether functions of on-demand feature views may differ from those that were applied.
        insecure: Whether to listen beyond loopback without tokens, where anybody may then read and write features.

    Raises:
        UsageError: No token protects an address beyond loopback, or the address cannot be listened at.
        InstantError: `now` is no instant.
        ConfigError, RegistryError: The settings are wrong, or the registry does not answer.
        FunctionError: A function of an on-demand feature view is not there, or not the one that was applied.
    """
    clock = clock_at(now)
    if workers < 1:
        raise UsageError(f"workers={workers}: at least one process must answer.")
    store = FeatureStore(repo_path, env=env, clock=clock)
    check_exposure(store.config, host, insecure=insecure)
    with _listening(host, port) as listener:
        if workers == 1:
            _run_here(store, listener, allow_changed_functions=allow_changed_functions)
        else:
            # Opened once before there are workers: interrupted runs are finished, and what is wrong is said by one.
            with store:
                snapshot = store.registry.snapshot()
                ServedFunctions(store.functions, snapshot, allow_changed=allow_changed_functions)
            told = {"repo_path": str(Path(repo_path).absolute()), "env": env, "now": now}
            _run_workers(store.config, listener, workers, {**told, "allow_changed_functions": allow_changed_functions})


@contextmanager
def running(store: FeatureStore, *, host: str = DEFAULT_HOST, port: int = 0) -> Iterator[str]:
    """Serve a store from a thread of this process meanwhile; gives the server's URL.

    Raises:
        UsageError: The address cannot be listened at, or is beyond loopback and no token protects it.
    """
    from hitherto.serving.app import create_app

    check_exposure(store.config, host, insecure=False)
    app = create_app(store)
    with _listening(host, port) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, **_UVICORN))
        thread = threading.Thread(target=server.run, args=([listener],), name="hitherto-server", daemon=True)
        thread.start()
        try:
            _wait_for(server, thread)
            yield _url(listener)
        finally:
            server.should_exit = True
            thread.join(timeout=_START_SECONDS)


def worker_app() -> FastAPI:
    """The app of one worker process: what uvicorn calls there."""
    from hitherto.serving.app import create_app
    from hitherto.serving.metrics import forget_dead_workers

    # A worker that is started again takes the place of one that died.
    forget_dead_workers()
    told = json.loads(os.environ[_HANDOVER])
    store = FeatureStore(told["repo_path"], env=told["env"], clock=clock_at(told["now"]))
    app = create_app(store, close_store=True, allow_changed_functions=told["allow_changed_functions"])
    _spare_the_collector()
    return app


def clock_at(now: str | None) -> Clock | None:
    """A clock that stands at an instant; None, the system's, if there is none. Raises InstantError."""
    if now is None:
        return None
    moment = to_datetime(instant(now, what="--now"))
    return lambda: moment


def check_exposure(config: Config, host: str, *, insecure: bool) -> None:
    """Refuse an address beyond loopback that no token protects. Raises UsageError, ConfigError."""
    from hitherto.serving.auth import Tokens

    tokens = Tokens(config.tokens_path)
    if insecure or len(tokens) or _is_loopback(host):
        return
    lacking = "server.tokens_file is not set" if not tokens.needed else "the file of tokens has none"
    raise UsageError(
        f"{host} can be reached from elsewhere, and {lacking}: anybody could read and write features. "
        "Create a token, serve at 127.0.0.1, or say --insecure if something else protects it."
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens; bound by us, so that what is wrong is an error of ours and no exit."""
    if not 0 <= port <= _HIGHEST_PORT:
        # getaddrinfo would take the rest of a division.
        raise UsageError(f"port={port} is no port: they go from 0, which takes a free one, to {_HIGHEST_PORT}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"The server cannot listen at {host}, port {port}: {reason}. Give another --host or --port."
        ) from None
    listener.set_inheritable(True)
    with listener:
        yield listener


def _run_here(store: FeatureStore, listener: socket.socket, *, allow_changed_functions: bool) -> None:
    from hitherto.serving.app import create_app

    app = create_app(store, close_store=True, allow_changed_functions=allow_changed_functions)
    _spare_the_collector()
    server = uvicorn.Server(uvicorn.Config(app, log_config=_LOGGING, **_UVICORN))
    _announce(store.config, listener)
    server.run(sockets=[listener])


def _run_workers(config: Config, listener: socket.socket, workers: int, told: dict[str, Any]) -> None:
    folder = tempfile.mkdtemp(prefix="hitherto-metrics-")
    os.environ[_HANDOVER], os.environ[_METRICS_FOLDER] = json.dumps(told), folder
    try:
        target = f"{__name__}:{worker_app.__name__}"
        shared = uvicorn.Config(target, factory=True, workers=workers, log_config=_LOGGING, **_UVICORN)
        _announce(config, listener)
        Multiprocess(shared, sockets=[listener]).run()
    finally:
        del os.environ[_HANDOVER], os.environ[_METRICS_FOLDER]
        shutil.rmtree(folder, ignore_errors=True)


def _spare_the_collector() -> None:
    """Hide what is there now, which stays as long as the process, from the garbage collector.

    A full collection goes through 90,000 objects of modules, routes and models: 60 to 200 milliseconds in which no request
    is answered. Without them it takes 0.05.
    """
    gc.collect()
    gc.freeze()


def _announce(config: Config, listener: socket.socket) -> None:
    logger.info("Serving %s at %s", config.project, _url(listener))
    if config.tokens_path is None and not _is_loopback(listener.getsockname()[0]):
        logger.warning("There are no tokens: whoever reaches this address can read and write features.")


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise HithertoError("The server did not start. Its log says why.")
        time.sleep(0.005)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
