"""The audit: does the ledger add up, is no sequence number missing or used twice, are the events the ones written?

Reads all tables as of one moment in a read-only transaction and holds up no lane. `python -m coupon_core audit`
prints what `GET /audit` answers, and ends with 1 when something differs. `continual_audit.py` does the same for
ever, a little at a time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import cramjam

from coupon_core.model.chain import linked
from coupon_core.storage import Connection, chains
from coupon_core.storage.auditing import (
    STATEMENT_SECONDS,
    Difference,
    check_campaigns,
    check_lanes,
    counts,
    number_of,
    one_moment,
)
from coupon_core.storage.chains import ChainedRow
from process.database import open_pool

CAMPAIGNS_AT_ONCE = 500
ROWS_AT_ONCE = 10
"""Journal rows followed in one thread's turn: some 10,000 events at most."""


async def audit(connection: Connection, campaign: UUID | None = None) -> dict[str, Any] | None:
    """`{"checked": {what: how many}, "differences": [...], "seconds"}`; None: there is no such campaign."""
    started = time.monotonic()
    async with one_moment(connection, whole_tables=True):
        numbers: list[int] | None = None
        if campaign is not None:
            number = await number_of(connection, campaign)
            if number is None:
                return None
            numbers = [number]
        checked = await counts(connection, numbers)
        differences = await check_campaigns(connection, numbers)
        if campaign is not None:
            async for found in follow_chain(connection, campaign):
                differences += found
        else:
            differences += await check_lanes(connection)
            differences += await _check_all_chains(connection)
    return {
        "checked": checked,
        "differences": [item(difference) for difference in differences],
        "seconds": round(time.monotonic() - started, 3),
    }


def item(difference: Difference) -> dict[str, Any]:
    """A difference as it is told."""
    where = "" if difference.lane is None else f"lane {difference.lane}: "
    return {
        "campaign": None if difference.campaign is None else str(difference.campaign),
        "what": where + difference.what,
        "expected": difference.expected,
        "found": difference.found,
    }


async def _check_all_chains(connection: Connection) -> list[Difference]:
    differences: list[Difference] = []
    last = -1
    while campaigns := await chains.campaigns_after(connection, last, None, CAMPAIGNS_AT_ONCE):
        for campaign in campaigns:
            async for found in follow_chain(connection, campaign.id):
                differences += found
        last = campaigns[-1].number
    return differences


async def follow_chain(connection: Connection, campaign: UUID) -> AsyncIterator[list[Difference]]:
    """Where the campaign's chain does not follow from its events, page by page; rows are only ever appended."""
    first_seq, before = 0, None
    while rows := await chains.rows_after(connection, campaign, first_seq, before, ROWS_AT_ONCE):
        yield await asyncio.to_thread(broken_links, rows)
        first_seq, before = rows[-1].first_seq, rows[-1].chain


def broken_links(rows: Sequence[ChainedRow]) -> list[Difference]:
    """Rows whose events do not lead from the value before them to the value stored with them."""
    differences: list[Difference] = []
    for row in rows:
        last = row.first_seq + row.count - 1
        try:
            lines = bytes(cramjam.zstd.decompress(row.body)).split(b"\n")
        except cramjam.DecompressionError as error:
            what = f"events {row.first_seq} to {last}"
            differences.append(Difference(row.campaign, None, what, "readable", str(error)[:200]))
            continue
        if len(lines) != row.count:
            what = f"events in the journal row from {row.first_seq} on"
            differences.append(Difference(row.campaign, None, what, str(row.count), str(len(lines))))
        found = linked(row.before or row.campaign.bytes, lines)
        if found != row.chain:
            stored = "none" if row.chain is None else row.chain.hex()
            what = f"chain of events {row.first_seq} to {last}"
            differences.append(Difference(row.campaign, None, what, stored, found.hex()))
    return differences


async def print_audit(database_url: str) -> bool:
    """Print the audit of a database as JSON; whether nothing differs."""
    pool = await open_pool(
        database_url,
        application_name="scrip-core-audit",
        max_size=1,
        statement_timeout_seconds=STATEMENT_SECONDS,
        command_timeout_seconds=STATEMENT_SECONDS,
    )
    try:
        async with pool.acquire() as connection:
            report = await audit(connection)
    finally:
        await pool.close()
    if report is None:
        raise RuntimeError("an audit of everything always has a report")
    print(json.dumps(report, ensure_ascii=False, indent=2))
    return not report["differences"]
