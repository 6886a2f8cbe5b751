"""Bearer tokens: 256 random bits each, kept as SHA-256 in a JSON file, compared in constant time.

A token reads `hitherto_<id>_<secret>`. The id finds the token and is no secret; of the rest only the hash is kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from hitherto.errors import ConfigError, StorageError, UsageError, did_you_mean
from hitherto.serving.problems import Refusal

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
READ: Scope = "read"
WRITE: Scope = "write"
ADMIN: Scope = "admin"
FORMAT = 1
_PREFIX = "hitherto"
_ID_BYTES, _SECRET_BYTES = 6, 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_ID = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOBODY = "0" * 64
_BEARER = b"bearer "
logger = logging.getLogger("hitherto.serving")


@dataclass(frozen=True)
class Token:
    """One token as the file keeps it: everything but the token."""

    id: str
    name: str
    scope: Scope
    sha256: str

    def allows(self, scope: Scope | None) -> bool:
        """Whether this token may do what needs a scope; admin may do all, write does not include read. None: any token."""
        return scope is None or self.scope in (scope, ADMIN)


def create_token(path: Path, name: str, scope: Scope) -> str:
    """Add a token to the file, which only its owner may read; made if it is not there.

    Args:
        path: The file.
        name: Who will use the token: for people, to know what to take away.
        scope: "read" (lookups, registry), "write" (push) or "admin" (everything).

    Returns:
        The token. It is shown this once and cannot be recovered.

    Raises:
        UsageError: The name is taken or no name, or the scope is none.
        ConfigError: The file is not a file of tokens.
        StorageError: The file cannot be written.
    """
    if scope not in SCOPES:
        raise UsageError(f"{scope!r} is not a scope.{did_you_mean(scope, SCOPES)}")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a token: letters, digits, '_', '.' and '-', at most 63 of them.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the file, which is replaced as a whole: two commands at once lose no token.
        with path.with_name(path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = load_tokens(path) if path.exists() else {}
            if any(token.name == name for token in known.values()):
                raise UsageError(f"There is a token {name!r} in {path} already. Take another name, or remove that one.")
            token_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
            text = f"{_PREFIX}_{token_id}_{secret}"
            _save(path, [*known.values(), Token(token_id, name, scope, _digest(text.encode()))])
    except OSError as error:
        raise StorageError(f"The file of tokens {path} cannot be written: {error.strerror or error}.") from error
    return text


def load_tokens(path: Path) -> Mapping[str, Token]:
    """The tokens of a file, by id. Raises ConfigError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"server.tokens_file: there is no file {path}. Create a token, or unset tokens_file."
        ) from None
    except OSError as error:
        raise ConfigError(f"server.tokens_file: {path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise ConfigError(f"server.tokens_file: {path} is not JSON in UTF-8. Create the tokens again.") from None
    listed = document.get("tokens") if isinstance(document, dict) and document.get("format") == FORMAT else None
    if not isinstance(listed, list):
        raise ConfigError(f"server.tokens_file: {path} is not a file of tokens of format {FORMAT}.")
    tokens = [_token(path, number, one) for number, one in enumerate(listed, start=1)]
    return {token.id: token for token in tokens}


class Tokens:
    """The tokens that a server accepts: the file's, read again whenever it changes.

    Args:
        path: The file; without one there are no tokens, and everything is allowed to everybody.

    Raises:
        ConfigError: The file cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen = _identity(path)
        self._tokens: Mapping[str, Token] = load_tokens(path) if path else {}
        self._problem: str | None = None

    @property
    def needed(self) -> bool:
        """Whether requests need a token."""
        return self._path is not None

    @property
    def problem(self) -> str | None:
        """Why the tokens in use are older than the file, if they are."""
        return self._problem

    @property
    def current(self) -> Mapping[str, Token]:
        """The tokens in use, by id: another object whenever the file was read again."""
        return self._tokens

    def __len__(self) -> int:
        return len(self._tokens)

    def reload(self) -> None:
        """Read the file again if it has changed. One that cannot be read leaves the tokens as they were, and is logged."""
        seen = _identity(self._path)
        if self._path is None or seen == self._seen:
            return
        self._seen = seen
        try:
            self._tokens, self._problem = load_tokens(self._path), None
        except ConfigError as error:
            self._problem = "the file of tokens cannot be read; the tokens are those of before"
            logger.error("The tokens stay as they were: %s", error)
        else:
            logger.info("Read %d tokens.", len(self._tokens))

    def check(self, authorization: bytes | None, scope: Scope | None) -> None:
        """Refuse a request whose Authorization header does not allow a scope; None: any token will do. Raises Refusal."""
        if not self.needed:
            return
        token = self.find(authorization)
        if token is None:
            raise Refusal(
                401,
                "unauthorized",
                "Send a token of this server: authorization: Bearer hitherto_...",
                headers={"www-authenticate": "Bearer"},
            )
        if not token.allows(scope):
            raise Refusal(
                403,
                "forbidden",
                f"The token has the scope {token.scope}; this needs {scope}.",
                headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )

    def find(self, authorization: bytes | None) -> Token | None:
        """The token of an Authorization header, or None if it is not one of ours."""
        if authorization is None or authorization[:7].lower() != _BEARER:
            return None
        text = authorization[7:].strip()
        parts = text.split(b"_", 2)
        token = self._tokens.get(parts[1].decode("latin-1")) if len(parts) == 3 else None
        # An unknown id takes as long as a wrong secret.
        same = hmac.compare_digest(token.sha256 if token else _NOBODY, _digest(text))
        return token if same else None


def _digest(text: bytes) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(text).hexdigest()


def _identity(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found else None


def _token(path: Path, number: int, entry: Any) -> Token:
    known = entry if isinstance(entry, dict) else {}
    token_id, name, scope, sha256 = (known.get(key) for key in ("id", "name", "scope", "sha256"))
    fits = isinstance(token_id, str) and isinstance(name, str) and isinstance(sha256, str) and scope in SCOPES
    if not fits or not _ID.fullmatch(str(token_id)) or not _SHA256.fullmatch(str(sha256)):
        raise ConfigError(
            f"server.tokens_file: entry {number} of {path} needs an id, a name, a scope ({', '.join(SCOPES)}) and a sha256."
        )
    return Token(str(token_id), str(name), scope, str(sha256))  # type: ignore[arg-type]  # it is one of SCOPES


def _save(path: Path, tokens: list[Token]) -> None:
    document = {"format": FORMAT, "tokens": [vars(token) for token in tokens]}
    # mkstemp makes it readable by its owner only, before a byte is in it.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
