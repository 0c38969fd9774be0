"""Taking a lane over: check that row and log belong together, raise the epoch, emit what the old owner left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiokafka import AIOKafkaConsumer

from coupon_core.lanes.belonging import Belonging
from coupon_core.lanes.emitting import Emitter
from coupon_core.lanes.lane import Lane
from coupon_core.model.lane import LaneState
from coupon_core.storage import Connection, journal
from coupon_core.storage import lanes as lane_rows
from process.failpoints import declare, failpoint

AFTER_EPOCH = declare("core.after_epoch")
MID_DRAIN = declare("core.mid_drain")
DRAIN_ROWS = 50


async def take_over_lane(
    connection: Connection,
    consumer: AIOKafkaConsumer,
    emitter: Emitter,
    belonging: Belonging,
    partition: int,
    found_unsent: Callable[[int, datetime | None], None],
) -> Lane:
    """The lane, ready to be consumed from its position; everything committed before is emitted.

    Blocks while the old owner's transaction is open (its row lock). `found_unsent` is told the lane and the time of
    what was committed and not emitted, before it is sent.

    Raises:
        LaneDamaged: its row, its log and the events told do not belong together; nothing was taken or sent.
        NotEmitted: the broker does not acknowledge.
    """
    # First: who stands before another cluster's log must not take lanes away from their owners, again and again.
    await belonging.check(connection, consumer, partition)
    row = await lane_rows.take_over(connection, partition)
    failpoint(AFTER_EPOCH)
    emitted = row.emitted_lane_seq
    while True:
        rows = await journal.rows_after(connection, partition, emitted, DRAIN_ROWS)
        if not rows:
            break
        found_unsent(partition, rows[0].at)
        await emitter.emit(rows)
        emitted = rows[-1].lane_seq
        await lane_rows.mark_emitted(connection, partition, row.epoch, emitter.emitted_up_to(partition, emitted))
        failpoint(MID_DRAIN)
    facts = await lane_rows.facts_of(connection, partition)
    due = await lane_rows.next_due(connection, partition)
    state = LaneState(partition, row.clock, row.lane_seq, row.campaigns, row.blocks, facts, due)
    return Lane(partition, row.epoch, row.position, state, emitter.emitted_up_to(partition, emitted))
