"""Claims drained on one hot campaign: Kafka record → committed coupon + emitted event, one core process.

Limit: core's own load and write statements over the same records and batches, one connection, nothing else.
Rival: one transaction per claim (SELECT … FOR UPDATE, insert, update, outbox), 16 connections, same PostgreSQL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg

from benchmarks.measure import Figure, alternate
from benchmarks.platforms import Commands, commands_of, drain_rate, platform, terms
from contracts.commands import ClaimCoupon, GenerateCampaign, record_for
from contracts.fields import PLATFORM
from contracts.partitioner import partition_of
from contracts.topics import COUPON_EVENTS
from coupon_core.__main__ import LOOP_PLANNER, MIGRATIONS, SCHEMA
from coupon_core.codes.generated import GeneratedCodes
from coupon_core.decide import decide
from coupon_core.lanes.loading import load
from coupon_core.lanes.writing import write_rest, write_state
from coupon_core.model.lane import Facts, LaneState
from coupon_core.storage import lanes as lane_rows
from coupon_core.work import Entry, Work
from process.database import migrate
from scrip.databases import quoted, with_database
from scrip.platform import Platform

CLAIMS = 60_000
LIMIT_CLAIMS = 20_000
RIVAL_CLAIMS = 4_000
BATCH = 2_000
CONNECTIONS = 16
QUANTITY = 100_000_000


def run(campaigns: int = 1, name: str = "claim_hot") -> list[Figure]:
    """The figure in claims per second."""
    with platform() as running:
        figure = Figure(name, "claims/s")
        alternate(
            figure,
            ours=lambda number: asyncio.run(_ours(running, campaigns, number)),
            limit=lambda number: asyncio.run(_limit(running, campaigns, number)),
            rival=lambda number: asyncio.run(_rival(running, campaigns, number)),
        )
    return [figure]


async def _ours(running: Platform, campaigns: int, number: int) -> float:
    async with commands_of(running) as commands:
        ids = [uuid4() for _ in range(campaigns)]
        made = asyncio.create_task(drain_rate(running, COUPON_EVENTS.name, 3 * campaigns))
        await asyncio.sleep(0.2)
        for campaign in ids:
            await commands.append(campaign, [commands.value(_campaign(), campaign)])
        await made
        running.halt("coupon_core")
        await _backlog(commands, ids)
        drained = asyncio.create_task(drain_rate(running, COUPON_EVENTS.name, CLAIMS))
        await asyncio.sleep(0.2)
        running.resume("coupon_core")
        return await drained


async def _backlog(commands: Commands, ids: Sequence[UUID]) -> None:
    each = CLAIMS // len(ids)
    await asyncio.gather(
        *(
            commands.append(campaign, [commands.value(ClaimCoupon(user=f"user-{n}"), campaign) for n in range(each)])
            for campaign in ids
        )
    )


def _campaign() -> GenerateCampaign:
    return GenerateCampaign(terms=terms(), quantity=QUANTITY)


@dataclass
class _Lanes:
    """The lanes' rows as `decide` needs them, without a log behind them."""

    states: dict[int, LaneState]
    positions: dict[int, int]


async def _limit(running: Platform, campaigns: int, number: int) -> float:
    """Only the seconds spent in load, write and commit count."""
    database = f"limit_{uuid4().hex[:8]}"
    admin = await asyncpg.connect(running.database_admin_url)
    await admin.execute(f"CREATE DATABASE {quoted(database)}")
    await admin.close()
    url = with_database(running.database_admin_url, database)
    await migrate(url, MIGRATIONS, SCHEMA)
    connection = await asyncpg.connect(url, server_settings={**LOOP_PLANNER, "search_path": SCHEMA})
    try:
        codes = GeneratedCodes({1: bytes(range(32))})
        lanes = _Lanes({}, {})
        for partition in range(running.lanes):
            await lane_rows.take_over(connection, partition)
            lanes.states[partition] = LaneState(partition, None, 0, 0, 0, Facts())
            lanes.positions[partition] = 0
        ids = [uuid4() for _ in range(campaigns)]
        entries = [_entry(running.lanes, _campaign(), campaign) for campaign in ids]
        await _batch(connection, lanes, entries, codes, running.lanes)
        each = LIMIT_CLAIMS // campaigns
        claims = [
            _entry(running.lanes, ClaimCoupon(user=f"user-{n}"), campaign) for n in range(each) for campaign in ids
        ]
        spent = 0.0
        for start in range(0, len(claims), BATCH):
            spent += await _batch(connection, lanes, claims[start : start + BATCH], codes, running.lanes)
        return len(claims) / spent
    finally:
        await connection.close()


async def _batch(
    connection: asyncpg.Connection[asyncpg.Record],
    lanes: _Lanes,
    entries: Sequence[Entry],
    codes: GeneratedCodes,
    partitions: int,
) -> float:
    touched = sorted({entry.partition for entry in entries})
    work = Work({number: lanes.states[number].copy() for number in touched}, False, partitions, codes)
    started = time.perf_counter()
    transaction = connection.transaction()
    await transaction.start()
    held = [lanes.positions[number] for number in touched]
    moved = [position + len(entries) for position in held]
    await lane_rows.move_fenced(connection, touched, [1] * len(touched), held, moved, [0] * len(touched))
    await load(connection, work, entries)
    spent = time.perf_counter() - started
    for entry in entries:
        decide(work, entry)
    started = time.perf_counter()
    await write_state(connection, work)
    await write_rest(connection, work)
    await transaction.commit()
    spent += time.perf_counter() - started
    for number, position in zip(touched, moved, strict=True):
        lanes.states[number], lanes.positions[number] = work.lanes[number], position
    return spent


def _entry(partitions: int, command: ClaimCoupon | GenerateCampaign, campaign: UUID) -> Entry:
    now = datetime.now(UTC)
    record = record_for(
        command,
        id=uuid4(),
        source="/benchmark",
        subject=str(campaign),
        party=PLATFORM,
        actor="staff:benchmark",
        notafter=now,
    )
    key = str(campaign).encode()
    entry = Entry(partition_of(key, partitions), 0, now, key, b"", (), record, "gateway", 1)
    entry.campaign = campaign
    return entry


RIVAL_SCHEMA = """
CREATE TABLE rival_campaign (
    id uuid PRIMARY KEY, quantity bigint NOT NULL, issued bigint NOT NULL, seq bigint NOT NULL
);
CREATE TABLE rival_coupon (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, campaign uuid NOT NULL, user_id text NOT NULL,
    code text NOT NULL UNIQUE, state text NOT NULL, issued_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON rival_coupon (campaign, user_id);
CREATE TABLE rival_command (id uuid PRIMARY KEY, coupon bigint NOT NULL);
CREATE TABLE rival_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, campaign uuid NOT NULL, payload text NOT NULL
);
"""


async def claim_in_one_transaction(
    connection: asyncpg.Connection[asyncpg.Record], campaign: UUID, user: str, command: UUID
) -> str | None:
    """What one would write by hand: the code, or None when nothing is left or the user has one."""
    async with connection.transaction():
        if await connection.fetchval("SELECT 1 FROM rival_command WHERE id = $1", command):
            return None
        row = await connection.fetchrow(
            "SELECT quantity, issued, seq FROM rival_campaign WHERE id = $1 FOR UPDATE", campaign
        )
        if row is None or row["issued"] >= row["quantity"]:
            return None
        if await connection.fetchval("SELECT 1 FROM rival_coupon WHERE campaign = $1 AND user_id = $2", campaign, user):
            return None
        code = uuid4().hex[:12].upper()
        coupon = await connection.fetchval(
            "INSERT INTO rival_coupon (campaign, user_id, code, state) VALUES ($1, $2, $3, 'held') RETURNING id",
            campaign,
            user,
            code,
        )
        await connection.execute("UPDATE rival_campaign SET issued = issued + 1, seq = seq + 1 WHERE id = $1", campaign)
        await connection.execute("INSERT INTO rival_command (id, coupon) VALUES ($1, $2)", command, coupon)
        payload = f'{{"type":"coupon.issued","campaign":"{campaign}","seq":{row["seq"] + 1},"user":"{user}"}}'
        await connection.execute("INSERT INTO rival_outbox (campaign, payload) VALUES ($1, $2)", campaign, payload)
        return code


async def rival_tables(url: str, ids: Sequence[UUID]) -> None:
    """The rival's tables, new, with these campaigns."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP TABLE IF EXISTS rival_campaign, rival_coupon, rival_command, rival_outbox")
        await connection.execute(RIVAL_SCHEMA)
        await connection.executemany(
            "INSERT INTO rival_campaign VALUES ($1, $2, 0, 0)", [(campaign, QUANTITY) for campaign in ids]
        )
    finally:
        await connection.close()


async def _rival(running: Platform, campaigns: int, number: int) -> float:
    ids = [uuid4() for _ in range(campaigns)]
    await rival_tables(running.database_admin_url, ids)
    pool = await asyncpg.create_pool(running.database_admin_url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    numbers = iter(range(RIVAL_CLAIMS))

    async def claim() -> None:
        async with pool.acquire() as connection:
            for n in numbers:
                await claim_in_one_transaction(connection, ids[n % campaigns], f"user-{n}", uuid4())  # type: ignore[arg-type]

    started = time.perf_counter()
    await asyncio.gather(*(claim() for _ in range(CONNECTIONS)))
    rate = RIVAL_CLAIMS / (time.perf_counter() - started)
    await pool.close()
    return rate
