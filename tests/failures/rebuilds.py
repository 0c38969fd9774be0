"""A database made anew from the command log, and whether two that were made from one log are the same."""

import asyncio
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg

from contracts.topics import COUPON_COMMANDS
from tests.failures.checker import COMMANDS, EVENTS, REFUSALS, Difference
from tests.failures.evidence import Tables, read_to_end
from tests.support.core import CorePlatform
from tests.support.databases import Databases

REBUILD_SECONDS = 120.0

NOT_COMPARED: dict[str, tuple[str, ...]] = {
    "lane": ("epoch", "lane_seq", "emitted_lane_seq"),
    "lane_fact": (),
    "lane_fact_history": (),
    "campaign": (),
    "coupon": (),
    "period_count": (),
    "redemption": (),
    "uploaded_code": (),
    "exported_range": (),
    "voided_range": (),
    "code_block": (),
    "outcome": (),
    "refusal": (),
    "dead_letter": ("redriven_at",),
}
"""Tables that follow from the log alone, with the columns that do not."""


def rebuilt_differently(one: Tables, other: Tables) -> list[Difference]:
    """How two databases made from one log differ, the journal's grouping excepted."""
    result: list[Difference] = []
    for name, not_compared in NOT_COMPARED.items():
        left, right = (
            [{column: value for column, value in row.items() if column not in not_compared} for row in rows]
            for rows in (getattr(one, name), getattr(other, name))
        )
        if len(left) != len(right):
            result.append(Difference(name, f"{len(left)} rows and {len(right)} rows"))
        unequal = [(a, b) for a, b in zip(left, right, strict=False) if a != b]
        result += [Difference(name, f"{a} became {b}") for a, b in unequal[:5]]
    for kind, what in ((EVENTS, "event bytes"), (REFUSALS, "refusal bytes"), (COMMANDS, "continuation bytes")):
        left_lines, right_lines = (_lines_by_campaign(tables, kind) for tables in (one, other))
        for key in sorted(left_lines.keys() | right_lines.keys()):
            a, b = left_lines.get(key, []), right_lines.get(key, [])
            if a != b:
                at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
                result.append(Difference(what, f"{key}: {len(a)} and {len(b)} lines, other from line {at + 1} on"))
    return result


def _lines_by_campaign(tables: Tables, kind: int) -> dict[str, list[str]]:
    """Event lines by campaign; lines of other kinds by lane (each lane's are in order)."""
    lines: dict[str, list[str]] = defaultdict(list)
    rows = [row for row in tables.journal if row["kind"] == kind]
    for row in sorted(rows, key=lambda row: (row["partition"], row["lane_seq"])):
        lines[f"lane {row['partition']}" if row["campaign"] is None else str(row["campaign"])] += row["lines"]
    return lines


@asynccontextmanager
async def rebuilding(
    platform: CorePlatform, databases: Databases, batch_records: int = 1_000
) -> AsyncIterator[CorePlatform]:
    """A new database filled from the platform's log by a process that has stopped; ready to be started on it.

    Nothing else may write to the log meanwhile.
    """
    folder = platform.folder / f"rebuilt-{batch_records}-{uuid4()}"
    await asyncio.to_thread(shutil.copytree, platform.secrets_folder, folder / "secrets")
    database = await asyncio.to_thread(databases.fresh, "core")
    settings = {"SCRIP_REBUILD": "1", "SCRIP_BATCH_RECORDS": str(batch_records)}
    rebuilt = CorePlatform(database, platform.bootstrap, folder, platform.told, platform.partitions, settings)
    try:
        await rebuilt.open()
        await _rebuild(rebuilt)
        del rebuilt.environment["SCRIP_REBUILD"]
        yield rebuilt
    finally:
        await rebuilt.close()
        await asyncio.to_thread(databases.drop, database)


async def _rebuild(rebuilt: CorePlatform) -> None:
    ends, _ = await read_to_end(rebuilt.bootstrap, [COUPON_COMMANDS])
    wanted = {place.partition: end for place, end in ends.items() if end > 0}
    process = rebuilt.start_process(0)
    async with asyncio.timeout(REBUILD_SECONDS):
        while not wanted.items() <= (await _positions(rebuilt.database.url("core"))).items():
            if process.process.poll() is not None:
                raise RuntimeError(f"the rebuild ended with {process.process.returncode}\n{process.log_end()}")
            await asyncio.sleep(0.1)
    code = await asyncio.to_thread(process.stop)
    if code != 0:
        raise RuntimeError(f"the rebuild ended with {code}\n{process.log_end()}")


async def _positions(database_url: str) -> dict[int, int]:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("SELECT partition, position FROM lane")
    finally:
        await connection.close()
    return {row["partition"]: row["position"] for row in rows}
