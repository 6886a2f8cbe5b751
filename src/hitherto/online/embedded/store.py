"""LmdbOnlineStore: one environment per generation, in folders that say what they hold.

    <root>/<project>/<view>/<version>.<generation>/    the rows of a generation
    <root>/<project>/<view>/state/                     the view's fencing token and sequence

A write holds the write transaction of `state` around its own, so that the token is checked atomically, across processes.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from hitherto.errors import FencedError, OnlineStoreError
from hitherto.online.batches import (
    ascending,
    chosen,
    column,
    distinct_keys,
    pieces,
    require_values,
    texts,
    values_of,
    winners,
)
from hitherto.online.embedded.environment import ERRORS, OPEN, Environment, explain, store_errors
from hitherto.online.store import Place, Read, decide

if TYPE_CHECKING:
    import lmdb
    import pyarrow as pa

_LONGEST_KEY = 511
_HASHED = b"\xff"
_LOAD_ROWS, _WRITE_ROWS = 2_000, 5_000
_TOKEN, _SEQUENCE = b"token", b"sequence"
_STATE = "state"
_LOADING = ".loading-"


class LmdbOnlineStore:
    """Rows in LMDB environments under a folder. Any number of processes may read while one writes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[Place, Path] = {}
        self._environments: dict[Place, Environment] = {}

    def __repr__(self) -> str:
        return f"LmdbOnlineStore({str(self._root)!r})"

    def read(self, place: Place, keys: Sequence[bytes]) -> list[bytes | None]:
        """See OnlineStore.read."""
        environment = self._environments.get(place)
        try:
            if environment is None or environment.closed or monotonic() >= environment.trusted_until:
                environment = OPEN.find(self._folder(place))
                if environment is None:
                    return [None] * len(keys)
                self._environments[place] = environment
            longest = len(keys[0]) if len(keys) == 1 else max(map(len, keys), default=0)
            if longest <= _LONGEST_KEY:
                return environment.get_many(keys)
            found = environment.get_many([_stored_key(key) for key in keys])
            return [_stored_value(key, value) for key, value in zip(keys, found, strict=True)]
        except ERRORS as error:
            raise explain(error, self._folder(place)) from error

    def read_many(self, reads: Sequence[Read]) -> list[list[bytes | None]]:
        """See OnlineStore.read_many."""
        return [self.read(place, keys) for place, keys in reads]

    async def read_async(self, place: Place, keys: Sequence[bytes]) -> list[bytes | None]:
        """See OnlineStore.read_async: microseconds, so the event loop is not left."""
        return self.read(place, keys)

    async def read_many_async(self, reads: Sequence[Read]) -> list[list[bytes | None]]:
        """See OnlineStore.read_many_async."""
        return self.read_many(reads)

    def ask(self, reads: Sequence[Read], done: Callable[[list[list[bytes | None]] | Exception], None]) -> None:
        """See OnlineStore.ask."""
        done([self.read(place, keys) for place, keys in reads])

    def next_sequence(self, place: Place) -> int:
        """See OnlineStore.next_sequence."""

        def count(transaction: lmdb.Transaction) -> int:
            number = int(transaction.get(_SEQUENCE) or 0) + 1
            transaction.put(_SEQUENCE, b"%d" % number)
            return number

        with store_errors(self._root):
            return self._state(place).update(count)

    def token(self, place: Place) -> int:
        """See OnlineStore.token."""
        with store_errors(self._root):
            state = OPEN.find(self._view_folder(place) / _STATE)
            return int(state.get_many([_TOKEN])[0] or 0) if state else 0

    def raise_token(self, place: Place, token: int) -> None:
        """See OnlineStore.raise_token."""

        def set_token(transaction: lmdb.Transaction) -> None:
            _check_token(transaction, place, token)
            transaction.put(_TOKEN, b"%d" % token)

        with store_errors(self._root):
            self._state(place).update(set_token)

    def load(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int) -> int:
        """See OnlineStore.load: sorted appends into a folder that is renamed when it is complete and durable."""
        with store_errors(self._root), self._new_folder(place, token) as folder:
            environment = Environment(folder, durable=False)
            try:
                rows = 0
                for batch in pieces(batches, rows=_LOAD_ROWS):
                    require_values(batch)
                    rows += _append(environment, batch)
                environment.flush()
            finally:
                environment.close()
            self._under_token(place, token, lambda: self._move(folder, self._folder(place)))
        return rows

    def write(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int, sequence: int) -> int:
        """See OnlineStore.write."""
        return self._change(place, batches, token=token, sequence=b"%016x" % sequence)

    def push(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int) -> int:
        """See OnlineStore.push."""
        return self._change(place, batches, token=token, sequence=None)

    def drop(self, place: Place) -> None:
        """See OnlineStore.drop."""
        folder = self._folder(place)
        with store_errors(folder):
            OPEN.close(folder)
            shutil.rmtree(folder, ignore_errors=True)

    def places(self, project: str, view: str) -> tuple[Place, ...]:
        """See OnlineStore.places."""
        found = []
        with store_errors(self._root):
            folder = self._root / project / view
            for path in folder.iterdir() if folder.is_dir() else ():
                version, dot, generation = path.name.partition(".")
                if dot and version.isdecimal() and generation.isdecimal():
                    found.append(Place(project, view, int(version), int(generation)))
        return tuple(sorted(found))

    def warnings(self) -> tuple[str, ...]:
        """See OnlineStore.warnings: a file loses nothing."""
        return ()

    def ping(self) -> None:
        """See OnlineStore.ping: the folder can be listed, or made."""
        with store_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            next(self._root.iterdir(), None)

    def close(self) -> None:
        """See OnlineStore.close."""
        OPEN.close_under(self._root)

    def _view_folder(self, place: Place) -> Path:
        return self._root / place.project / place.view

    def _folder(self, place: Place) -> Path:
        folder = self._folders.get(place)
        if folder is None:
            folder = self._view_folder(place) / f"{place.version}.{place.generation}"
            self._folders[place] = folder
        return folder

    def _state(self, place: Place) -> Environment:
        return OPEN.open(self._view_folder(place) / _STATE)

    def _under_token(self, place: Place, token: int, change: Callable[[], int]) -> int:
        def checked(transaction: lmdb.Transaction) -> int:
            _check_token(transaction, place, token)
            return change()

        return self._state(place).update(checked)

    def _change(self, place: Place, batches: Iterable[pa.RecordBatch], *, token: int, sequence: bytes | None) -> int:
        changed = 0
        with store_errors(self._root):
            for batch in pieces(batches, rows=_WRITE_ROWS):
                if sequence is None:
                    require_values(batch)
                change = _change_of(batch, sequence)
                changed += self._under_token(place, token, lambda change=change: self._update(place, change))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        return changed

    def _update(self, place: Place, change: Callable[[lmdb.Transaction], int]) -> int:
        return OPEN.open(self._folder(place)).update(change)

    @contextmanager
    def _new_folder(self, place: Place, token: int) -> Iterator[Path]:
        parent = self._view_folder(place)
        parent.mkdir(parents=True, exist_ok=True)
        self._under_token(place, token, lambda: _clear_abandoned(parent, token))
        folder = parent / f"{_LOADING}{token}-{uuid.uuid4().hex}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _move(self, new: Path, folder: Path) -> int:
        OPEN.close(folder)
        if folder.exists():
            # A folder cannot be renamed over another one; nobody reads a generation that is being loaded.
            old = new.with_name(new.name + "-old")
            folder.rename(old)
            new.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            new.rename(folder)
        return 0


def _check_token(transaction: lmdb.Transaction, place: Place, token: int) -> None:
    held = int(transaction.get(_TOKEN) or 0)
    if held > token:
        raise FencedError(
            f"A newer run or writer of {place.project}/{place.view} has taken over (its fencing token is {held}, ours {token}): nothing of ours is written from here on."
        )


def _append(environment: Environment, batch: pa.RecordBatch) -> int:
    keys, values = column(batch, "key"), column(batch, "value")
    if _are_plain(keys) and ascending(keys):
        names, cells = texts(keys), texts(values)
    else:
        # Hashed keys begin with a byte that no other key has, so they sort behind all others.
        rows = sorted(
            (_stored_key(key), _wrap(key, value)) for key, value in zip(texts(keys), texts(values), strict=True)
        )
        names, cells = [name for name, _ in rows], [value for _, value in rows]

    def append(transaction: lmdb.Transaction) -> int:
        with transaction.cursor() as cursor:
            behind = not cursor.last() or bytes(cursor.key()) < names[0]
            # An iterator: 8,000 tuples that live at once cost a tenth of a load.
            return cursor.putmulti(zip(names, cells, strict=True), append=behind)[1]

    if environment.update(append) != len(names):
        raise OnlineStoreError("A load has a key twice: each key may come once.")
    return len(names)


def _change_of(batch: pa.RecordBatch, sequence: bytes | None) -> Callable[[lmdb.Transaction], int]:
    """What changes the keys of a batch, to be run in a write transaction; it returns the number of keys changed."""
    keys = column(batch, "key")
    if _are_plain(keys) and distinct_keys(batch):
        return _change_in_bulk(keys, column(batch, "value"), sequence)
    return _change_one_by_one(texts(keys), values_of(batch), sequence)


def _change_in_bulk(keys: pa.Array, values: pa.Array, sequence: bytes | None) -> Callable[[lmdb.Transaction], int]:
    names = texts(keys)

    def change(transaction: lmdb.Transaction) -> int:
        with transaction.cursor() as cursor:
            get = cursor.get
            # A cursor looks near its last key first: 0.5 microseconds a row, against 0.8 with transaction.get.
            stored: list[Any] = [get(name) for name in names]
            setting, removing = winners(values, stored, sequence=sequence)
            sets, removals = texts(chosen(keys, setting)), texts(chosen(keys, removing))
            cursor.putmulti(zip(sets, texts(chosen(values, setting)), strict=True))
        for name in removals:
            transaction.delete(name)
        return len(sets) + len(removals)

    return change


def _change_one_by_one(
    keys: Sequence[bytes], values: Sequence[bytes | None], sequence: bytes | None
) -> Callable[[lmdb.Transaction], int]:
    def change(transaction: lmdb.Transaction) -> int:
        changed = 0
        for key, value in zip(keys, values, strict=True):
            name = _stored_key(key)
            found: Any = transaction.get(name)
            if not decide(_stored_value(key, found), value, sequence=sequence):
                continue
            changed += 1
            if value is None:
                transaction.delete(name)
            else:
                transaction.put(name, _wrap(key, value))
        return changed

    return change


def _are_plain(keys: pa.Array) -> bool:
    """Whether all keys are short enough to be stored as they are."""
    import pyarrow.compute as pc

    return (pc.max(pc.binary_length(keys)).as_py() or 0) <= _LONGEST_KEY


def _stored_key(key: bytes) -> bytes:
    return key if len(key) <= _LONGEST_KEY else _HASHED + sha256(key).digest()


def _wrap(key: bytes, value: bytes) -> bytes:
    return value if len(key) <= _LONGEST_KEY else b"%d:%b%b" % (len(key), key, value)


def _stored_value(key: bytes, stored: bytes | None) -> bytes | None:
    if stored is None or len(key) <= _LONGEST_KEY:
        return stored
    prefix = _wrap(key, b"")
    return stored[len(prefix) :] if stored.startswith(prefix) else None


def _clear_abandoned(parent: Path, token: int) -> int:
    # What a killed load left behind, also one of this run that is finished now; a newer writer's folder has a higher token.
    for path in parent.glob(f"{_LOADING}*"):
        number = path.name.removeprefix(_LOADING).partition("-")[0]
        if number.isdecimal() and int(number) <= token:
            shutil.rmtree(path, ignore_errors=True)
    return 0
