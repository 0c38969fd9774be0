"""What the adapter tells the world: `merchant.events`, through the outbox of the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from contracts.merchants import DeliveryChanged, DeliveryState, UsersSynced
from contracts.topics import MERCHANT_EVENTS
from merchant_adapter.storage import Connection
from merchant_adapter.storage.deliveries import DeliveryRow
from merchant_adapter.storage.users import SyncRun
from messaging.outbox import enqueue, enqueue_all
from messaging.sending import OutgoingRecord

TOLD_STATES = frozenset({"confirmed", "unknown", "dead", "recalled"})


async def tell_run(connection: Connection, run: SyncRun) -> None:
    """`UsersSynced`, the report of a run that ended."""
    event = UsersSynced(
        id=f"sync:{run.id}",
        merchant=run.merchant,
        time=run.ended_at or run.made_at,
        run=run.id,
        task=run.task,
        status="done" if run.status == "done" else "failed",
        pages=run.pages,
        seen=run.seen,
        new=run.new,
        changed=run.changed,
        gone=run.gone,
        refused=run.refused,
        detail=run.detail,
    )
    await enqueue(connection, MERCHANT_EVENTS.name, str(run.merchant).encode(), event.model_dump_json().encode())


async def tell_deliveries(connection: Connection, rows: Sequence[DeliveryRow]) -> None:
    """`DeliveryChanged` of those that reached a state that matters."""
    records = []
    for row in rows:
        if row.state in TOLD_STATES:
            event = DeliveryChanged(
                id=f"delivery:{row.id}:{row.changes}",
                merchant=row.merchant,
                time=row.changed_at,
                delivery=row.id,
                coupon=row.coupon,
                state=cast("DeliveryState", row.state),
                attempts=row.attempts,
                receipt=row.receipt,
                reason=row.reason,
            )
            key = str(row.merchant).encode()
            records.append(OutgoingRecord(MERCHANT_EVENTS.name, key, event.model_dump_json().encode()))
    if records:
        await enqueue_all(connection, records)
