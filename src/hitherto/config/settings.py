"""The settings, their defaults and their meaning: one typed, frozen Config.

Each field's description is what the manual says about it; `known_settings` lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from hitherto.config import memory
from hitherto.config.problems import explain, refuse
from hitherto.errors import ConfigError, InstantError
from hitherto.timeline import duration
from hitherto.types import is_name

ONLINE_SCHEMES = ("lmdb", "redis", "rediss", "unix")
MEMORY_SHARE = 60
_SHARE = re.compile(r"(\d{1,3})\s*%")


def _seconds(value: Any) -> Any:
    """A number of seconds, or a duration such as "500ms"."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9.]+", value.strip()):
        try:
            return duration(value) / timedelta(seconds=1)
        except InstantError:
            raise ValueError('it is a number of seconds or a text such as "500ms" or "2s"') from None
    return value


def _memory(value: str | None) -> str | None:
    share = _SHARE.fullmatch(value) if value else None
    if share and not 1 <= int(share[1]) <= 100:
        raise ValueError("a share of the memory is 1 % to 100 %")
    if value and not share:
        try:
            size = TypeAdapter(ByteSize).validate_python(value)
        except ValidationError:
            raise ValueError('it is a size such as "2GB" or "512MiB", or a share such as "50%"') from None
        if size < 2**24:
            raise ValueError("below 16 MiB nothing can be computed")
    return value


def _project(value: str) -> str:
    if not is_name(value):
        raise ValueError(
            "a project's name is lower-case letters, digits and single underscores, a letter first, at most 63 characters"
        )
    return value


def _registry_url(value: str) -> str:
    return _file_url(value, "sqlite")


def _file_url(value: str, scheme: str) -> str:
    """`sqlite:///x` is relative to the repo, with four slashes absolute."""
    if not value.startswith(f"{scheme}:///") or not value.removeprefix(f"{scheme}:///").strip("/"):
        raise ValueError(f"it is {scheme}:///PATH, relative to the repo, or {scheme}:////PATH, absolute")
    return value


def _online_url(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if scheme == "lmdb":
        return _file_url(value, "lmdb")
    if scheme not in ONLINE_SCHEMES or not rest:
        raise ValueError(f"it begins with one of {', '.join(f'{known}://' for known in ONLINE_SCHEMES)}")
    try:
        _ = urlsplit(value).port
    except ValueError:
        raise ValueError(f"it is {scheme}://HOST:PORT/DB, and the port a number up to 65535") from None
    return value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Memory = Annotated[str, AfterValidator(_memory)]


class _Table(BaseModel):
    """A table of settings: frozen, without names that mean nothing, silent about values."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RegistrySettings(_Table):
    """`[registry]`."""

    url: Annotated[str, AfterValidator(_registry_url)] = Field(
        default="sqlite:///.hitherto/registry.db", description="The registry: sqlite:///PATH."
    )


class OfflineSettings(_Table):
    """`[offline]`."""

    path: Path = Field(default=Path(".hitherto/offline"), description="Folder of the segments.")
    memory_limit: Memory | None = Field(
        default=None,
        description=f'What DuckDB may use: "2GB", or a share of the container\'s memory, "50%". Default: {MEMORY_SHARE}%.',
    )
    threads: int | None = Field(default=None, ge=1, le=1024, description="DuckDB's threads. Default: one per core.")
    temp_directory: Path | None = Field(
        default=None, description="Where DuckDB spills what does not fit. Default: tmp/ in the folder of the segments."
    )


class OnlineSettings(_Table):
    """`[online]`. A password in the URL is moved out of it, so that the URL can be shown."""

    url: Annotated[str, AfterValidator(_online_url)] = Field(
        default="lmdb:///.hitherto/online",
        description="The online store: lmdb:///PATH, redis://HOST:PORT/DB, rediss:// (TLS) or unix:///SOCKET.",
    )
    username: str | None = Field(default=None, description="User name at the store.")
    password: SecretStr | None = Field(
        default=None, description="Password at the store. Meant for the environment; in a file, password_file is safer."
    )
    password_file: Path | None = Field(
        default=None, description="File that holds the password at the store, and nothing else."
    )
    timeout: Seconds = Field(
        default=2.0, description='How long to wait for the store: seconds, or a text such as "500ms". Default: 2s.'
    )

    @model_validator(mode="before")
    @classmethod
    def _credentials(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("url"), str):
            return data
        table = dict(data)
        table["url"], found = split_credentials(table["url"])
        for name, value in found.items():
            if table.get(name) is not None:
                raise ValueError(f"the url holds a {name}, and {name} is set beside it: leave one of them out")
            table[name] = value
        return table

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("a password and a password_file are both given: leave one of them out")
        return self


class ServerSettings(_Table):
    """`[server]`: what `hitherto serve` allows."""

    max_body_bytes: ByteSize = Field(
        default=ByteSize(2**20), gt=0, description="Largest body of a request, in bytes. Larger ones are answered 413."
    )
    max_entities: int = Field(default=5_000, gt=0, description="Most entity rows of one lookup. More are answered 413.")
    max_features: int = Field(default=500, gt=0, description="Most features of one lookup. More are answered 413.")
    tokens_file: Path | None = Field(
        default=None, description="File of hashed bearer tokens. Without it there are none."
    )
    poll_seconds: Seconds = Field(default=0.25, description="How often a server asks the registry for a publish.")
    request_timeout: Seconds = Field(
        default=1.0, description="How long a lookup may wait for the online store before it is answered 503."
    )


class Settings(_Table):
    """What hitherto.toml and the environment may say."""

    project: Annotated[str, AfterValidator(_project)] = Field(description="The project's name.")
    registry: RegistrySettings = Field(default=RegistrySettings(), description="Where the registry is.")
    offline: OfflineSettings = Field(
        default=OfflineSettings(), description="Where segments are, and what DuckDB may use."
    )
    online: OnlineSettings = Field(default=OnlineSettings(), description="Where lookups are answered from.")
    server: ServerSettings = Field(default=ServerSettings(), description="What the server allows.")


class Config(Settings):
    """The settings of one repo. Build it with `Config.load(repo_path)`, or by hand.

    Args:
        project: The project's name.
        repo_path: The folder that relative paths start from; the working directory if not given.
        env: Name of the environment whose tables were laid over the others, if any.
        registry, offline, online, server: Tables as in hitherto.toml.

    Raises:
        ConfigError: With every setting that is wrong, and what to do.

    >>> Config(project="flights", repo_path="/srv/flights").registry_path.as_posix()
    '/srv/flights/.hitherto/registry.db'
    """

    repo_path: Path = Path()
    env: str | None = None

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            refuse(explain(error, type(self)))

    @classmethod
    def load(cls, repo_path: Path | str = ".", *, env: str | None = None) -> Config:
        """The settings of a repo: hitherto.toml, its `[env.NAME]` tables if an environment is chosen, HITHERTO_*.

        Args:
            repo_path: The folder with hitherto.toml.
            env: An environment; HITHERTO_ENV if not given.

        Raises:
            ConfigError: With every setting that is wrong, where it stands, and what to do.
        """
        from hitherto.config.loading import load

        return load(Path(repo_path), env=env)

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        # Frozen, so set below the model: a later chdir must not move the repo.
        object.__setattr__(self, "repo_path", self.repo_path.expanduser().absolute())
        return self

    def resolve(self, path: Path | str) -> Path:
        """A path of the settings, as an absolute one."""
        return self.repo_path / Path(path).expanduser()

    @property
    def registry_path(self) -> Path:
        """The registry's file."""
        return self.resolve(unquote(self.registry.url.removeprefix("sqlite:///")))

    @property
    def offline_path(self) -> Path:
        """The folder of the segments."""
        return self.resolve(self.offline.path)

    @property
    def temp_path(self) -> Path:
        """The folder where DuckDB spills."""
        return self.resolve(self.offline.temp_directory or self.offline.path / "tmp")

    @property
    def tokens_path(self) -> Path | None:
        """The file of hashed bearer tokens, if there is one."""
        return self.resolve(self.server.tokens_file) if self.server.tokens_file else None

    @property
    def online_url(self) -> str:
        """The online store's URL without credentials; the path of lmdb:// made absolute."""
        scheme, _, rest = self.online.url.partition(":///")
        if scheme != "lmdb":
            return self.online.url
        return f"lmdb:///{quote(self.resolve(unquote(rest)).as_posix())}"

    @property
    def memory_limit(self) -> int:
        """What DuckDB may use, in bytes."""
        limit = self.offline.memory_limit or f"{MEMORY_SHARE}%"
        share = _SHARE.fullmatch(limit)
        if share:
            return memory.available() * int(share[1]) // 100
        return int(TypeAdapter(ByteSize).validate_python(limit))

    def online_password(self) -> SecretStr | None:
        """The password at the online store, read from its file if that is where it is. Raises ConfigError."""
        if self.online.password_file is None:
            return self.online.password
        path = self.resolve(self.online.password_file)
        try:
            text = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(
                f"online.password_file: {path} cannot be read: {reason}. Write the password there, or set HITHERTO_ONLINE__PASSWORD."
            ) from None
        if not text:
            raise ConfigError(f"online.password_file: {path} is empty. Write the password there.")
        return SecretStr(text)


def known_settings(model: type[BaseModel] = Settings, *, table: str = "") -> Iterator[tuple[str, str]]:
    """Every setting by its dotted name, with its description: `online.url`, ...

    >>> dict(known_settings())["registry.url"]
    'The registry: sqlite:///PATH.'
    """
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from known_settings(inner, table=f"{table}{name}.")
        else:
            yield f"{table}{name}", info.description or ""


def split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """A URL without user name and password, and those it had.

    >>> split_credentials("redis://me:secret@host:6379/0")
    ('redis://host:6379/0', {'username': 'me', 'password': 'secret'})
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, {}
    if parts.scheme == "lmdb":
        return url, {}
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    found = {"username": unquote(name), "password": unquote(password)}
    query = []
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key in found:
            found[key] = value
        else:
            query.append((key, value))
    clean = urlunsplit((parts.scheme, host, parts.path, urlencode(query), ""))
    # urlunsplit drops an empty host's slashes for schemes it does not know.
    if not clean.startswith(f"{parts.scheme}://"):
        clean = f"{parts.scheme}://" + clean.removeprefix(f"{parts.scheme}:")
    return clean, {key: value for key, value in found.items() if value}
