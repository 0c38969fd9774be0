"""The audit: does the ledger add up, and is no sequence number missing or used twice?

Reads all tables as of one moment in a read-only transaction and holds up no lane. `python -m coupon_core audit`
prints what `GET /audit` answers, and ends with 1 when something differs.
"""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import UUID

from coupon_core.storage import Connection
from coupon_core.storage.auditing import STATEMENT_SECONDS, Difference, check_tables
from process.database import open_pool


async def audit(connection: Connection, campaign: UUID | None = None) -> dict[str, Any] | None:
    """`{"checked": {what: how many}, "differences": [...], "seconds"}`; None: there is no such campaign."""
    started = time.monotonic()
    checked = await check_tables(connection, campaign)
    if checked is None:
        return None
    counts, differences = checked
    return {
        "checked": counts,
        "differences": [_item(difference) for difference in differences],
        "seconds": round(time.monotonic() - started, 3),
    }


def _item(difference: Difference) -> dict[str, Any]:
    where = "" if difference.lane is None else f"lane {difference.lane}: "
    return {
        "campaign": None if difference.campaign is None else str(difference.campaign),
        "what": where + difference.what,
        "expected": difference.expected,
        "found": difference.found,
    }


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
