"""The rival: what one would write by hand. One transaction per claim or redemption, fsync on, an outbox for events.

The best simple version: the row that decides is locked, the answer is kept under the command's id, and only then is
it committed. Expiry is a sweep per campaign that is over, one statement each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg

from coupon_core.storage import Connection

CONNECTIONS = 16
QUANTITY = 100_000_000
SCHEMA = """
CREATE TABLE rival_campaign (
    id uuid PRIMARY KEY, quantity bigint NOT NULL, issued bigint NOT NULL, seq bigint NOT NULL
);
CREATE TABLE rival_coupon (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, campaign uuid NOT NULL, user_id text NOT NULL,
    code text NOT NULL UNIQUE, state text NOT NULL, issued_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON rival_coupon (campaign, user_id);
CREATE TABLE rival_redemption (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, coupon bigint NOT NULL, order_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE rival_command (id uuid PRIMARY KEY, coupon bigint NOT NULL);
CREATE TABLE rival_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, campaign uuid NOT NULL, payload text NOT NULL
);
"""
TABLES = "rival_campaign, rival_coupon, rival_redemption, rival_command, rival_outbox"
EXPIRE = """
WITH over AS (
    UPDATE rival_coupon SET state = 'expired' WHERE campaign = $1 AND state = 'held' RETURNING id
), numbered AS (
    UPDATE rival_campaign SET seq = seq + (SELECT count(*) FROM over) WHERE id = $1
)
INSERT INTO rival_outbox (campaign, payload)
SELECT $1, format('{"type":"coupon.expired","coupon":%s}', id) FROM over
"""

Item = TypeVar("Item")


async def claim(connection: Connection, campaign: UUID, user: str, command: UUID) -> str | None:
    """The code, or None when nothing is left, the user has one or the command was decided before."""
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


async def redeem(connection: Connection, campaign: UUID, user: str, order: str, command: UUID) -> bool:
    """Whether the user's coupon was taken; False when there is none or it was used before."""
    async with connection.transaction():
        if await connection.fetchval("SELECT 1 FROM rival_command WHERE id = $1", command):
            return False
        row = await connection.fetchrow(
            "SELECT id, state FROM rival_coupon WHERE campaign = $1 AND user_id = $2 FOR UPDATE", campaign, user
        )
        if row is None or row["state"] != "held":
            return False
        await connection.execute("UPDATE rival_coupon SET state = 'redeemed' WHERE id = $1", row["id"])
        await connection.execute("INSERT INTO rival_redemption (coupon, order_id) VALUES ($1, $2)", row["id"], order)
        await connection.execute("INSERT INTO rival_command (id, coupon) VALUES ($1, $2)", command, row["id"])
        seq = await connection.fetchval("UPDATE rival_campaign SET seq = seq + 1 WHERE id = $1 RETURNING seq", campaign)
        payload = f'{{"type":"coupon.redeemed","campaign":"{campaign}","seq":{seq},"user":"{user}"}}'
        await connection.execute("INSERT INTO rival_outbox (campaign, payload) VALUES ($1, $2)", campaign, payload)
        return True


async def new_tables(url: str, campaigns: Sequence[UUID]) -> None:
    """The rival's tables, new, with these campaigns."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"DROP TABLE IF EXISTS {TABLES}")
        await connection.execute(SCHEMA)
        await connection.executemany(
            "INSERT INTO rival_campaign VALUES ($1, $2, 0, 0)", [(campaign, QUANTITY) for campaign in campaigns]
        )
    finally:
        await connection.close()


async def each(url: str, act: Callable[[Connection, Item], Awaitable[object]], items: Iterable[Item]) -> float:
    """Let 16 connections do `act` with every item, as fast as they can; the seconds it took."""
    waiting = iter(items)
    async with asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:

        async def work() -> None:
            async with pool.acquire() as connection:
                for item in waiting:
                    await act(connection, item)

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        return time.perf_counter() - started
