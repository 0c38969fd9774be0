"""Ready means: work can be done now."""

from __future__ import annotations

import time

from coupon_core.lanes.loop import Core
from process.database import Pool

LONGEST_SILENCE_SECONDS = 30.0


async def why_not_ready(core: Core, pool: Pool) -> list[str]:
    """Reasons why commands are not being decided here; none when they are."""
    reasons = [f"lane {partition}: {problem}" for partition, problem in core.problems.items()]
    reasons += [f"lane {lane.partition} stands still: {lane.stopped}" for lane in core.lanes.values() if lane.stopped]
    assigned = {tp.partition for tp in core.consumer.assignment()}
    if not assigned:
        reasons.append("no lane is assigned to this process yet")
    waiting = sorted(assigned - core.lanes.keys() - core.problems.keys())
    if waiting:
        reasons.append(f"lanes {waiting} are being taken over")
    if time.monotonic() - core.intake.last_read > LONGEST_SILENCE_SECONDS:
        reasons.append("nothing was read from Kafka for 30 s")
    if core.watch.broker_away:
        reasons.append("the Kafka broker does not answer")
    if core.database_away:
        reasons.append("the database does not answer")
    else:
        async with pool.acquire(timeout=1) as connection:
            await connection.fetchval("SELECT 1")
    return reasons
