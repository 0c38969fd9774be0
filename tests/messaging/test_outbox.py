"""The outbox: everything committed is sent, per key in the order of commits, by one process at a time."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest

from contracts.topics import MAX_RECORD_BYTES
from messaging.not_now import database_is_away
from messaging.outbox import OutboxRelay, enqueue, enqueue_all
from messaging.sending import OutgoingRecord, RecordTooLarge, Sender
from process.database import Pool
from process.settings import Secrets
from tests.messaging.support import Trial, read_all, until
from tests.support.databases import FreshDatabase

KEYS = 6
LEDGER = """
CREATE TABLE counter (key text PRIMARY KEY, n int NOT NULL);
CREATE TABLE ledger (key text, n int, value text)"""
NEXT = "INSERT INTO counter VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET n = counter.n + 1 RETURNING n"


@asynccontextmanager
async def relaying(pool: Pool, sender: Sender, **options: float) -> AsyncIterator[OutboxRelay]:
    relay = OutboxRelay(pool, sender, **options)
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    try:
        yield relay
    finally:
        stop.set()
        await running


async def nothing_unsent(pool: Pool) -> bool:
    return not await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")


class GivenUp(Exception):
    """A writer that rolls back."""


async def write_in_disorder(pool: Pool, topic: str, writer: int, transactions: int) -> int:
    """Transactions that enqueue first, then take the key's number, dawdle, and sometimes roll back."""
    chance = random.Random(writer)
    written = 0
    for number in range(transactions):
        key = f"key-{chance.randrange(KEYS)}"
        value = f"{writer}/{number}"
        try:
            async with pool.acquire(timeout=30) as connection, connection.transaction():
                if chance.random() < 0.5:
                    await asyncio.sleep(chance.random() * 0.01)
                await enqueue(connection, topic, key.encode(), value.encode())
                n = await connection.fetchval(NEXT, key)
                await connection.execute("INSERT INTO ledger VALUES ($1, $2, $3)", key, n, value)
                await asyncio.sleep(chance.random() * 0.004)
                if chance.random() < 0.1:
                    raise GivenUp
                written += 1
        except GivenUp:
            pass
    return written


async def test_24_writers_some_rolled_back_lose_nothing_and_keep_each_keys_order(
    pool: Pool, trial: Trial, adapter: Sender
) -> None:
    await pool.execute(LEDGER)
    async with relaying(pool, adapter):
        writers = (write_in_disorder(pool, trial.commands.name, writer, 40) for writer in range(24))
        written = sum(await asyncio.gather(*writers))
        await until(lambda: nothing_unsent(pool))
    records = await read_all(trial.bootstrap, trial.commands)
    assert len(records) == written > 700
    by_key: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_key[record.key.decode()].append(record.value.decode())
    for key, values in by_key.items():
        committed = await pool.fetch("SELECT value FROM ledger WHERE key = $1 ORDER BY n", key)
        assert values == [row["value"] for row in committed], key


async def test_a_record_needs_a_transaction_and_a_size_that_fits(pool: Pool) -> None:
    async with pool.acquire() as connection:
        with pytest.raises(RuntimeError, match="transaction"):
            await enqueue(connection, "t", b"k", b"v")
        async with connection.transaction():
            with pytest.raises(RecordTooLarge, match=r"921,601 bytes.*921,600"):
                await enqueue(connection, "t", b"k", b"x" * MAX_RECORD_BYTES)


async def test_large_rows_are_sent_in_small_batches(pool: Pool, trial: Trial, adapter: Sender) -> None:
    big = b"x" * (800 * 1024)
    async with pool.acquire() as connection, connection.transaction():
        await enqueue_all(connection, [OutgoingRecord(trial.commands.name, b"k", b"%d" % n + big) for n in range(25)])
    async with relaying(pool, adapter):
        await until(lambda: nothing_unsent(pool))
    records = await read_all(trial.bootstrap, trial.commands)
    assert [record.value[:2].strip(b"x") for record in records] == [b"%d" % n for n in range(25)]


async def test_a_partition_that_is_named_is_used(pool: Pool, trial: Trial, adapter: Sender) -> None:
    async with relaying(pool, adapter):
        async with pool.acquire() as connection, connection.transaction():
            for partition in (0, 1):
                await enqueue(connection, trial.commands.name, b"same", b"%d" % partition, partition)
        await until(lambda: nothing_unsent(pool))
    records = await read_all(trial.bootstrap, trial.commands)
    assert [(record.partition, record.value) for record in records] == [(0, b"0"), (1, b"1")]


async def test_sent_rows_are_trimmed_after_a_while(pool: Pool, trial: Trial, adapter: Sender) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await enqueue_all(connection, [OutgoingRecord(trial.commands.name, b"k", b"v")] * 3)
    async with relaying(pool, adapter):
        await until(lambda: nothing_unsent(pool))
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 3
    async with relaying(pool, adapter, keep_sent_seconds=0.0):

        async def trimmed() -> bool:
            return bool(await pool.fetchval("SELECT count(*) = 0 FROM outbox"))

        await until(trimmed)


async def test_of_two_relays_one_sends(pool: Pool, trial: Trial, adapter: Sender, secrets: Secrets) -> None:
    async with relaying(pool, adapter), relaying(pool, adapter):
        for n in range(200):
            async with pool.acquire() as connection, connection.transaction():
                await enqueue(connection, trial.commands.name, b"k", b"%d" % n)
        await until(lambda: nothing_unsent(pool))
        assert await pool.fetchval("SELECT epoch FROM outbox_lease") == 1
    records = await read_all(trial.bootstrap, trial.commands)
    assert [record.value for record in records] == [b"%d" % n for n in range(200)]


@pytest.fixture
def start_relay(
    database: FreshDatabase, trial: Trial, secrets: Secrets, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(failpoints: str = "") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.messaging.relay_program"),
                *(database.url("adapter"), trial.bootstrap, str(secrets.directory)),
            ],
            env=os.environ | {"SCRIP_FAILPOINTS": failpoints, "SCRIP_FAILPOINT_LOG": str(tmp_path / "failpoints.log")},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_a_relay_killed_between_sending_and_marking_repeats_the_same_bytes(
    pool: Pool, trial: Trial, start_relay: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await enqueue_all(
            connection,
            [OutgoingRecord(trial.commands.name, b"k%d" % (n % 3), b"%d" % n) for n in range(1_200)],
        )
    killed = start_relay("outbox.before_mark=kill@2")
    await asyncio.to_thread(killed.wait, 30)
    assert killed.returncode == -signal.SIGKILL
    assert "outbox.before_mark 2 kill" in (tmp_path / "failpoints.log").read_text()
    start_relay()
    await until(lambda: nothing_unsent(pool))
    by_key: dict[bytes, list[bytes]] = defaultdict(list)
    total = 0
    headers: dict[bytes, set[bytes]] = defaultdict(set)
    for record in await read_all(trial.bootstrap, trial.commands):
        total += 1
        headers[record.value].add(dict(record.headers)["scrip-writer"])
        if record.value not in by_key[record.key]:
            by_key[record.key].append(record.value)
    assert total == 1_200 + 500, "the second batch stands in the log twice"
    assert all(len(signatures) == 1 for signatures in headers.values())
    for remainder in range(3):
        assert by_key[b"k%d" % remainder] == [b"%d" % n for n in range(remainder, 1_200, 3)]


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def test_a_relay_that_slept_through_its_lease_marks_nothing(
    pool: Pool, trial: Trial, start_relay: Callable[..., subprocess.Popen[bytes]], adapter: Sender
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await enqueue_all(connection, [OutgoingRecord(trial.commands.name, b"k", b"%d" % n) for n in range(3)])
    zombie = start_relay("outbox.before_mark=stop@1")
    await asyncio.to_thread(os.waitid, os.P_PID, zombie.pid, os.WSTOPPED | os.WNOWAIT)
    assert not await nothing_unsent(pool)
    async with relaying(pool, adapter):
        await until(lambda: nothing_unsent(pool))
        epoch = await pool.fetchval("SELECT epoch FROM outbox_lease")
        marked = await pool.fetch("SELECT id, sent_at FROM outbox ORDER BY id")
        zombie.send_signal(signal.SIGCONT)
        for n in range(3, 50):
            async with pool.acquire() as connection, connection.transaction():
                await enqueue(connection, trial.commands.name, b"k", b"%d" % n)
            await asyncio.sleep(0.02)
        await until(lambda: nothing_unsent(pool))
        assert await pool.fetchval("SELECT epoch FROM outbox_lease") == epoch == 2
        assert await pool.fetch("SELECT id, sent_at FROM outbox WHERE id <= 3 ORDER BY id") == marked
    first = list(dict.fromkeys(r.value for r in await read_all(trial.bootstrap, trial.commands)))
    assert first == [b"%d" % n for n in range(50)]


async def test_the_relay_goes_on_after_the_database_dropped_it(
    pool: Pool, trial: Trial, adapter: Sender, database: FreshDatabase
) -> None:
    admin = await asyncpg.connect(database.admin_url)
    try:
        async with relaying(pool, adapter) as relay:
            for n in range(5):
                async with pool.acquire() as connection, connection.transaction():
                    await enqueue(connection, trial.commands.name, b"k", b"%d" % n)
                await admin.fetch(END_ALL_CONNECTIONS)
                await until(lambda: answers(pool))
            await until(lambda: nothing_unsent(pool))
            assert relay.reasons() == []
    finally:
        await admin.close()
    first = list(dict.fromkeys(r.value for r in await read_all(trial.bootstrap, trial.commands)))
    assert first == [b"%d" % n for n in range(5)]


END_ALL_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


async def answers(pool: Pool) -> bool:
    try:
        return await pool.fetchval("SELECT true") is True
    except Exception as error:
        if database_is_away(error):
            return False
        raise
