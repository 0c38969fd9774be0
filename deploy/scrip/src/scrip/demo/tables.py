"""Counts from the tables of core and the adapter, and what their own audit says."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from scrip.platform import Platform
from scrip.waiting import run_coroutine

STATES = {1: "held", 2: "reserved", 3: "redeemed", 4: "burned", 5: "voided", 6: "expired"}


@dataclass(frozen=True)
class Ledger:
    """What an owner's campaigns say of themselves: the sums of their counters."""

    campaigns: int
    issued: int
    held: int
    redeemed: int
    expired: int


LEDGER = """
SELECT count(*), coalesce(sum(issued), 0)::bigint, coalesce(sum(held), 0)::bigint,
    coalesce(sum(redeemed), 0)::bigint, coalesce(sum(expired), 0)::bigint
FROM campaign WHERE owner = $1
"""
COUPONS = """
SELECT coupon.state, count(*) FROM coupon JOIN campaign ON campaign.number = coupon.campaign
WHERE campaign.owner = $1 GROUP BY coupon.state
"""
USERS = """
SELECT count(*), count(*) FILTER (WHERE attributes::jsonb <> '{}'::jsonb) FROM merchant_user
WHERE merchant = $1::uuid AND NOT gone
"""
DELIVERIES = "SELECT count(*) FILTER (WHERE state = 'confirmed' AND receipt IS NOT NULL), count(*) FROM delivery"


class Tables:
    """Reads with the services' own roles. Blocking."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def ledger(self, owner: str) -> Ledger:
        """The counters of all campaigns of an owner, added up."""
        return Ledger(*(int(value) for value in self._rows("core", LEDGER, owner)[0]))

    def coupons(self, owner: str) -> dict[str, int]:
        """The coupons themselves by state, counted one by one."""
        return {STATES[row[0]]: int(row[1]) for row in self._rows("core", COUPONS, owner)}

    def users(self, merchant: str) -> tuple[int, int]:
        """Users fetched from a merchant, and those of them with attributes."""
        row = self._rows("adapter", USERS, merchant)[0]
        return int(row[0]), int(row[1])

    def deliveries(self) -> tuple[int, int]:
        """Deliveries confirmed by a receipt, and all."""
        row = self._rows("adapter", DELIVERIES)[0]
        return int(row[0]), int(row[1])

    def _rows(self, schema: str, statement: str, *values: object) -> list[asyncpg.Record]:
        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self._platform.database_url(schema))
            try:
                return list(await connection.fetch(statement, *values, timeout=60))
            finally:
                await connection.close()

        return run_coroutine(ask())
