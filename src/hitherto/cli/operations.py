"""Commands for operating: verify, serve, token, doctor, version."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from hitherto.cli import faults
from hitherto.cli.output import facts, printable, styled
from hitherto.cli.session import session
from hitherto.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console

SCOPES = ("read", "write", "admin")


def verify(
    context: typer.Context,
    *,
    sample: Annotated[int, typer.Option(metavar="N", min=1, help="How many keys of each view to look up.")] = 1000,
    instants: Annotated[int, typer.Option(metavar="N", min=1, help="At how many instants to compare.")] = 5,
) -> None:
    """Compare lookups with retrieval.

    Values and statuses, at several instants; and what is stored with its hashes. The exit code is 1 if anything differs.
    """
    here = session(context)
    with here.open_store() as store:
        report = store.verify(sample=sample, instants=instants)
    here.output.show(report.to_json(), lambda console: _print_report(console, report))
    if not report.ok:
        raise typer.Exit(faults.SAID_NO)


def serve(
    context: typer.Context,
    *,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Address to bind; beyond this machine only with tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="Port; 0 takes a free one.")] = 6566,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes.")] = 1,
    insecure: Annotated[bool, typer.Option("--insecure", help="Bind beyond this machine without tokens.")] = False,
    allow_changed_functions: Annotated[
        bool,
        typer.Option(
            "--allow-changed-functions",
            help="Serve functions of on-demand feature views that are not the applied ones.",
        ),
    ] = False,
) -> None:
    """Answer lookups over HTTP.

    In Feast's own JSON, until it is told to stop (Ctrl-C). Routes: POST /get-online-features, GET /health, /ready, /metrics and /docs. With --now the clock stands there: for data of
    the past.
    """
    from hitherto.serving.server import run
    from hitherto.timeline import rfc3339

    here = session(context)
    now = None if here.now is None else rfc3339(here.now)
    with contextlib.suppress(KeyboardInterrupt):  # it is how a server is ended
        run(
            here.repo,
            env=here.env,
            host=host,
            port=port,
            workers=workers,
            now=now,
            insecure=insecure,
            allow_changed_functions=allow_changed_functions,
        )


def create_token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use it: so that you know what to take away.")],
    *,
    scope: Annotated[
        str, typer.Option(metavar="read|write|admin", help="read: look up; write: push; admin: everything.")
    ] = "read",
) -> None:
    """Create a bearer token for the server.

    It is shown once; the file of tokens (server.tokens_file) keeps only its hash.
    """
    from hitherto.config import Config
    from hitherto.serving import auth

    here = session(context)
    if scope not in SCOPES:
        raise UnknownNameError("scope", scope, SCOPES)
    path = Config.load(here.repo, env=here.env).tokens_path
    if path is None:
        raise ConfigError(
            'There is no file for tokens. Add to hitherto.toml: [server] and, below it, tokens_file = ".hitherto/tokens.json".'
        )
    token = auth.create_token(path, name, cast("Literal['read', 'write', 'admin']", scope))

    def render(console: Console) -> None:
        console.print(styled(token), soft_wrap=True)
        here.output.messages.print(
            styled(f"Keep it: only its hash is in {path}. Send it as: Authorization: Bearer TOKEN", "dim")
        )

    here.output.show({"name": name, "scope": scope, "token": token, "file": path}, render)


def doctor(context: typer.Context) -> None:
    """Examine the installation and the project.

    Settings, registry, folders, online store, freshness; what is wrong, and what to do. Secrets are not shown.
    """
    here = session(context)
    with here.open_store() as store:
        report = store.doctor()
    here.output.show(report.to_json(), lambda console: _print_report(console, report))
    if not report.ok:
        raise typer.Exit(faults.ENVIRONMENT)


def version(context: typer.Context) -> None:
    """Print versions, for a report."""
    import platform

    from hitherto import __version__

    versions = {"hitherto": __version__, "python": platform.python_version(), **_libraries()}
    session(context).output.show(versions, lambda console: console.print(facts(versions.items())))


def _libraries() -> dict[str, str]:
    """The installed ones among those that matter for a report of a fault; read from their metadata, nothing is loaded."""
    from importlib import metadata

    found: dict[str, str] = {}
    for name in ("duckdb", "pyarrow", "lmdb", "redis", "fastapi", "uvicorn", "typer"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _print_report(console: Console, report: Any) -> None:
    for line in printable(str(report)).splitlines():
        console.print(styled(line), soft_wrap=True)
