"""LMDB's own traps: growth, other processes, forks, folders that are replaced, removed or not writable."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pyarrow as pa
import pytest

from hitherto.encoding.row_codec import encode_value
from hitherto.errors import FencedError, OnlineStoreError, StorageError
from hitherto.online.embedded import environment
from hitherto.online.embedded.store import LmdbOnlineStore
from hitherto.online.store import Place

PLACE = Place("demo", "weather", 1, 1)
KEY = b"s3:JFK"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbOnlineStore]:
    opened = LmdbOnlineStore(tmp_path / "online")
    yield opened
    opened.close()


def row(payload: bytes, *, event: int = 1) -> bytes:
    return encode_value(payload, event=event, available=event, sequence=1)


def batch(rows: dict[bytes, bytes]) -> pa.RecordBatch:
    return pa.record_batch({"key": list(rows), "value": list(rows.values())})


def in_another_process(folder: Path, code: str) -> str:
    script = (
        "import sys; from pathlib import Path; import pyarrow as pa\n"
        "from hitherto.online.embedded.store import LmdbOnlineStore; from hitherto.online.store import Place\n"
        "from hitherto.encoding.row_codec import encode_value\n"
        f"store, place, key = LmdbOnlineStore(Path({str(folder)!r})), Place('demo', 'weather', 1, 1), {KEY!r}\n{code}"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_the_map_grows_as_rows_come(store: LmdbOnlineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_SIZE", 64 << 10)
    rows = {b"i%06d;" % number: row(b"x" * 1000) for number in range(2000)}
    assert store.load(PLACE, [batch(rows)], token=1) == 2000
    newer = {key: row(b"y" * 3000, event=2) for key in rows}
    assert store.push(PLACE, [batch(newer)], token=1) == 2000
    assert store.read(PLACE, list(rows)) == list(newer.values())


def test_a_reader_follows_the_growth_that_another_process_made(store: LmdbOnlineStore, tmp_path: Path) -> None:
    store.push(PLACE, [batch({KEY: row(b"1")})], token=1)
    assert store.read(PLACE, [KEY]) == [row(b"1")]
    big = environment.FIRST_MAP_SIZE
    grow = (
        f"rows = [encode_value(b'z' * {big // 4}, event=9, available=9, sequence=1)] * 8\n"
        "keys = [b'i%d;' % number for number in range(7)] + [key]\n"
        "print(store.push(place, [pa.record_batch({'key': keys, 'value': rows})], token=1))"
    )
    assert in_another_process(tmp_path / "online", grow) == "8"
    assert store.read(PLACE, [KEY]) == [row(b"z" * (big // 4), event=9)]
    assert store.push(PLACE, [batch({KEY: row(b"2", event=10)})], token=1) == 1
    assert in_another_process(tmp_path / "online", "print(store.read(place, [key])[0][-1:])") == "b'2'"


def test_a_forked_child_opens_its_own_handles(store: LmdbOnlineStore) -> None:
    store.load(PLACE, [batch({KEY: row(b"1")})], token=1)
    assert store.read(PLACE, [KEY]) == [row(b"1")]
    child = os.fork()
    if child == 0:
        ok = (
            store.read(PLACE, [KEY]) == [row(b"1")]
            and store.push(PLACE, [batch({KEY: row(b"2", event=2)})], token=1) == 1
        )
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.read(PLACE, [KEY]) == [row(b"2", event=2)]


def test_a_folder_that_another_process_replaced_or_removed_is_seen(store: LmdbOnlineStore, tmp_path: Path) -> None:
    store.load(PLACE, [batch({KEY: row(b"1")})], token=1)
    assert store.read(PLACE, [KEY]) == [row(b"1")]
    reload = "value = encode_value(b'2', event=1, available=1, sequence=1)\nstore.load(place, [pa.record_batch({'key': [key], 'value': [value]})], token=1)"
    in_another_process(tmp_path / "online", reload)
    assert store.read(PLACE, [KEY]) == [row(b"2")]
    in_another_process(tmp_path / "online", "store.drop(place)")
    assert store.read(PLACE, [KEY]) == [None]


def test_a_dropped_generation_gives_its_disk_space_back(store: LmdbOnlineStore, tmp_path: Path) -> None:
    store.load(PLACE, [batch({KEY: row(b"1")})], token=1)
    store.read(PLACE, [KEY])
    in_another_process(tmp_path / "online", "store.drop(place)")
    following = Place("demo", "weather", 1, 2)
    store.load(following, [batch({KEY: row(b"2")})], token=1)
    assert store.read(following, [KEY]) == [row(b"2")]
    held = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]
    assert not [path for path in held if "/weather/1.1/" in path]


def test_two_store_objects_of_one_process_share_their_handles(store: LmdbOnlineStore, tmp_path: Path) -> None:
    other = LmdbOnlineStore(tmp_path / "online")
    store.load(PLACE, [batch({KEY: row(b"1")})], token=1)
    assert store.read(PLACE, [KEY]) == other.read(PLACE, [KEY]) == [row(b"1")]
    other.close()
    assert store.read(PLACE, [KEY]) == [row(b"1")]


def test_a_failed_load_leaves_nothing_and_changes_nothing(store: LmdbOnlineStore, tmp_path: Path) -> None:
    store.load(PLACE, [batch({KEY: row(b"1")})], token=1)

    def broken() -> Iterator[pa.RecordBatch]:
        yield batch({KEY: row(b"2")})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.load(PLACE, broken(), token=1)
    assert store.read(PLACE, [KEY]) == [row(b"1")]
    assert sorted(path.name for path in (tmp_path / "online/demo/weather").iterdir()) == ["1.1", "state"]


def test_what_a_killed_load_left_is_cleared_by_the_next_writer(store: LmdbOnlineStore, tmp_path: Path) -> None:
    store.raise_token(PLACE, 2)
    abandoned, newer = (tmp_path / "online/demo/weather" / f".loading-{token}-x" for token in (1, 9))
    for folder in (abandoned, newer):
        folder.mkdir()
    store.load(PLACE, [], token=2)
    assert (abandoned.exists(), newer.exists()) == (False, True)


def test_a_load_that_was_overtaken_does_not_become_visible(store: LmdbOnlineStore) -> None:
    def overtaken() -> Iterator[pa.RecordBatch]:
        yield batch({KEY: row(b"1")})
        store.raise_token(PLACE, 7)

    with pytest.raises(FencedError, match="token is 7, ours 1"):
        store.load(PLACE, overtaken(), token=1)
    assert store.read(PLACE, [KEY]) == [None]
    assert store.places("demo", "weather") == ()


def test_unsorted_batches_are_loaded_all_the_same(store: LmdbOnlineStore) -> None:
    rows = {key: row(key) for key in (b"i3;", b"i1;", b"i2;")}
    assert store.load(PLACE, [batch(rows), batch({b"i0;": row(b"0")})], token=1) == 4
    twice = pa.record_batch({"key": [KEY, KEY], "value": [row(b"1"), row(b"2")]})
    with pytest.raises(OnlineStoreError, match="a key twice"):
        store.load(Place("demo", "weather", 1, 9), [twice], token=1)
    assert store.read(PLACE, [b"i0;", *rows]) == [row(b"0"), *rows.values()]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = LmdbOnlineStore(tmp_path / "file")
    for call in (
        store.ping,
        lambda: store.push(PLACE, [batch({KEY: row(b"1")})], token=1),
        lambda: store.load(PLACE, [], token=1),
    ):
        with pytest.raises(StorageError, match="cannot be used: .*It must be writable"):
            call()


def test_a_file_that_is_no_environment_is_an_error_of_the_store(store: LmdbOnlineStore, tmp_path: Path) -> None:
    folder = tmp_path / "online/demo/weather/1.1"
    folder.mkdir(parents=True)
    (folder / "data.mdb").write_bytes(b"no" * 5000)
    with pytest.raises(OnlineStoreError, match="The online store at"):
        store.read(PLACE, [KEY])


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Free some space"), environment.store_errors(tmp_path):
        raise lmdb.DiskError("No space left on device")


@pytest.mark.parametrize("moment", ["looking", "trusting"])
def test_an_environment_that_another_thread_closes_meanwhile_is_not_trusted(
    store: LmdbOnlineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store.load(PLACE, [batch({b"a": row(b"1")})], token=1)
    assert store.read(PLACE, [b"a"]) == [row(b"1")]
    folder = store._folder(PLACE)
    opened = environment.OPEN._open[folder]
    opened.trusted_until = 0.0
    name = {"looking": "identity_of", "trusting": "monotonic"}[moment]
    real = getattr(environment, name)

    def closing(*given: Path) -> object:
        found = real(*given)
        if not opened.closed:
            environment.OPEN.close(folder)
        return found

    monkeypatch.setattr(environment, name, closing)
    if moment == "trusting":
        # It is closed between the look and its use; from then on nobody uses it.
        with pytest.raises(OnlineStoreError):
            store.read(PLACE, [b"a"])
    assert store.read(PLACE, [b"a"]) == [row(b"1")]
