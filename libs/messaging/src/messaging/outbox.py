"""Records that follow from a change in a service's own tables: a row in the transaction, one sender after it.

**Order.** Per key, records reach the topic in the order in which their transactions committed. For that
`enqueue` takes a lock on the key (an advisory one, until the transaction ends) *before* the row takes its id:
of two transactions that write under one key, the later gets its lock, and so its id, after the earlier has
committed. Different keys do not wait for each other. Unsent is what exists and is not marked; there is no
watermark on a sequence, which loses rows that commit late (measured: 30 %), and none on transaction ids,
which reorders rows.

**Once or more.** A row is marked after the broker's acknowledgement: a sender that dies in between sends it
again, the same bytes. Ids in the value are derived, so a reader can tell.

**One sender.** Any number of processes may run a relay; a lease row says which one sends. Each change of
hands raises its epoch, and a mark carries the epoch, so a sender that slept through the end of its lease
marks nothing and stops. What it had in hand it may send once more: repeats, never a first occurrence out of
order.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from messaging.not_now import backoff_seconds, database_is_away
from messaging.sending import OutgoingRecord, Sender, refuse_too_large
from process.database import Pool
from process.failpoints import declare, failpoint

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

BEFORE_MARK = declare("outbox.before_mark")
LEASE_SECONDS = 6.0
SEND_SECONDS = 4.0  # shorter than the lease, so that a slow broker does not hand it on
POLL_SECONDS = 1.0
BATCH_ROWS = 500
BATCH_BYTES = 8 * 1024 * 1024
KEEP_SENT_SECONDS = 3_600.0
KEEP_INBOX_SECONDS = 35 * 86_400.0  # as long as the topics of commands are kept
TRIM_SECONDS = 60.0
TRIM_ROWS = 10_000
_LOCK_CLASS = 0x5C21  # of our advisory locks with two numbers

logger = structlog.get_logger()
_unsent = Gauge("scrip_outbox_unsent", "Rows of the outbox that are not sent (counted up to 1,000).")
_age = Gauge("scrip_outbox_oldest_unsent_seconds", "Age of the oldest row of the outbox that is not sent.")
_leading = Gauge("scrip_outbox_leading", "1 while this process is the one that sends.")
_fenced = Counter("scrip_outbox_fenced", "Times this process found that another one had taken over.")

# One lock per schema, topic and key; in an order, so that two transactions with several keys do not deadlock.
_LOCK_KEYS_AND_WAKE = """
SELECT pg_advisory_xact_lock($1, number), pg_notify('outbox_' || current_schema(), '')
FROM (SELECT DISTINCT hashtext(current_schema() || ' ' || topic || ' ' || encode(record_key, 'hex')) AS number
      FROM unnest($2::text[], $3::bytea[]) AS wanted (topic, record_key) ORDER BY number) AS locks"""
_INSERT = """
INSERT INTO outbox (id, topic, record_key, partition, value)
SELECT nextval('outbox_id'), topic, record_key, partition, value
FROM unnest($1::text[], $2::bytea[], $3::int[], $4::bytea[]) WITH ORDINALITY
     AS made (topic, record_key, partition, value, number)
ORDER BY number"""


async def enqueue(connection: Connection, topic: str, key: bytes, value: bytes, partition: int | None = None) -> None:
    """Send this record if, and after, the caller's transaction commits. See `enqueue_all`."""
    await enqueue_all(connection, [OutgoingRecord(topic, key, value, partition)])


async def enqueue_all(connection: Connection, records: Sequence[OutgoingRecord]) -> None:
    """Send these records, in this order, if and after the caller's transaction commits.

    Call it late in a transaction, and once: until its end others that write under the same keys wait, and two
    calls with several keys may meet another's in a deadlock. Headers are not kept: the sender signs.
    Raises RecordTooLarge.
    """
    if not records:
        return
    if not connection.is_in_transaction():
        raise RuntimeError("a record for the outbox belongs into the transaction of what it tells")
    for record in records:
        refuse_too_large(record)
    topics = [record.topic for record in records]
    keys = [record.key for record in records]
    await connection.fetch(_LOCK_KEYS_AND_WAKE, _LOCK_CLASS, topics, keys)
    partitions = [record.partition for record in records]
    await connection.execute(_INSERT, topics, keys, partitions, [record.value for record in records])


_HOLD = """
UPDATE outbox_lease
SET epoch = CASE WHEN holder = $1 AND held_until > clock_timestamp() THEN epoch ELSE epoch + 1 END,
    holder = $1, held_until = clock_timestamp() + make_interval(secs => $2)
WHERE holder = $1 OR held_until <= clock_timestamp()
RETURNING epoch"""
_RELEASE = "UPDATE outbox_lease SET held_until = '-infinity' WHERE holder = $1"
_OLDEST = """
SELECT count(*) AS unsent, coalesce(extract(epoch FROM clock_timestamp() - min(made_at)), 0)::float AS age
FROM (SELECT made_at FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT 1000) AS head"""
# As many as fit into the bytes allowed, and one at least.
_UNSENT = """
SELECT id, topic, record_key, partition, value
FROM (SELECT head.*, sum(octet_length(value)) OVER (ORDER BY id) - octet_length(value) AS before
      FROM (SELECT id, topic, record_key, partition, value FROM outbox
            WHERE sent_at IS NULL ORDER BY id LIMIT $1) AS head) AS sized
WHERE before < $2 ORDER BY id"""
_MARK = """
UPDATE outbox SET sent_at = now()
WHERE id = ANY ($1::bigint[]) AND EXISTS (SELECT FROM outbox_lease WHERE epoch = $2)"""
_TRIM_OUTBOX = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox WHERE sent_at < now() - make_interval(secs => $1) ORDER BY sent_at LIMIT $2)"""
_TRIM_INBOX = """
DELETE FROM inbox WHERE (topic, id) IN (
    SELECT topic, id FROM inbox WHERE taken_at < now() - make_interval(secs => $1)
    ORDER BY taken_at LIMIT $2)"""
_CHANNEL = "SELECT 'outbox_' || current_schema()"


class OutboxRelay:
    """Sends a service's outbox; holds one connection of the pool while it runs."""

    def __init__(
        self,
        pool: Pool,
        sender: Sender,
        *,
        lease_seconds: float = LEASE_SECONDS,
        keep_sent_seconds: float = KEEP_SENT_SECONDS,
    ) -> None:
        self._pool = pool
        self._sender = sender
        self._lease_seconds = lease_seconds
        self._keep_sent_seconds = keep_sent_seconds
        self._holder = str(uuid.uuid4())
        self._wake = asyncio.Event()
        self._epoch: int | None = None
        self._next_trim = 0.0
        self._trouble: str | None = None

    def reasons(self) -> list[str]:
        """Why records of the outbox do not go out at present; for /readyz."""
        return [self._trouble] if self._trouble else []

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set, then send what is left, once, and hand the lease on.

        Waits and tries again while the database or the broker is away; other errors are raised.
        """
        failures = 0
        while True:
            try:
                async with self._pool.acquire() as connection:
                    failures = 0
                    await self._relay(connection, stop)
                    return
            except Exception as error:
                if not database_is_away(error):
                    raise
                failures += 1
                self._lead(None)
                self._trouble = "The outbox cannot be read: the database is away."
                if failures == 1:
                    logger.warning(
                        "The outbox waits for the database.", action="outbox_held", reason=type(error).__name__
                    )
                if stop.is_set():
                    return
                await _wait(stop, backoff_seconds(failures))

    async def _relay(self, connection: Connection, stop: asyncio.Event) -> None:
        channel = await connection.fetchval(_CHANNEL)
        await connection.add_listener(channel, self._woken)
        failures = 0
        stopping = False
        try:
            while not stopping:
                stopping = stop.is_set()
                self._wake.clear()
                outcome = await self._pass(connection)
                if outcome == "not acknowledged":
                    failures += 1
                    await _wait(stop, backoff_seconds(failures))
                    continue
                failures = 0
                if outcome == "drained":
                    await self._wait_for_work(stop)
            await connection.execute(_RELEASE, self._holder)
        finally:
            self._lead(None)
            await _stop_listening(connection, channel, self._woken)

    async def _pass(self, connection: Connection) -> str:
        """One batch: `more`, `drained` (nothing left, or another process sends), or `not acknowledged`."""
        (oldest,) = await connection.fetch(_OLDEST)
        _unsent.set(oldest["unsent"])
        _age.set(oldest["age"])
        self._lead(await connection.fetchval(_HOLD, self._holder, self._lease_seconds))
        if self._epoch is None:
            self._trouble = None
            return "drained"
        await self._trim(connection)
        rows = await connection.fetch(_UNSENT, BATCH_ROWS, BATCH_BYTES) if oldest["unsent"] else []
        if not rows:
            self._trouble = None
            return "drained"
        records = [OutgoingRecord(row["topic"], row["record_key"], row["value"], row["partition"]) for row in rows]
        offsets = await self._sender.send_all(records, deadline_seconds=SEND_SECONDS)
        failpoint(BEFORE_MARK)
        sent = [row["id"] for row, offset in zip(rows, offsets, strict=True) if offset is not None]
        if sent and await connection.execute(_MARK, sent, self._epoch) == "UPDATE 0":
            _fenced.inc()
            logger.warning("Another process took over the outbox.", action="outbox_fenced", epoch=self._epoch)
            self._lead(None)
            return "drained"
        if len(sent) < len(rows):
            self._trouble = "The outbox is not sent: the broker does not acknowledge."
            return "not acknowledged"
        self._trouble = None
        return "more"

    async def _trim(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._next_trim:
            return
        await connection.execute(_TRIM_OUTBOX, self._keep_sent_seconds, TRIM_ROWS)
        await connection.execute(_TRIM_INBOX, KEEP_INBOX_SECONDS, TRIM_ROWS)
        self._next_trim = now + TRIM_SECONDS

    def _lead(self, epoch: int | None) -> None:
        if epoch is not None and self._epoch != epoch:
            logger.info("This process sends the outbox.", action="outbox_leading", epoch=epoch)
        self._epoch = epoch
        _leading.set(epoch is not None)

    def _woken(self, *_: Any) -> None:
        self._wake.set()

    async def _wait_for_work(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        woken = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait([stopping, woken], timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            woken.cancel()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def _stop_listening(connection: Connection, channel: str, woken: Callable[..., None]) -> None:
    """The pool complains of a connection that still listens, and a broken one cannot be told to stop."""
    with contextlib.suppress(asyncpg.InterfaceError):  # the pool has taken the broken one out already
        try:
            await connection.remove_listener(channel, woken)
        except Exception:
            connection.terminate()
        if connection.is_closed():
            connection.terminate()
