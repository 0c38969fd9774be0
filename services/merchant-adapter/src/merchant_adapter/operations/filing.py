"""Handlers of commands and events: each files work in the transaction that takes the record; none calls anybody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from contracts.events import EventRecord
from contracts.merchants import (
    MerchantProfile,
    PushCampaign,
    RecallCoupons,
    RedriveDeliveries,
    SyncUsers,
)
from contracts.schedules import TaskDue
from merchant_adapter.announcing import tell_deliveries, tell_run
from merchant_adapter.storage import Connection, deliveries, jobs, merchants, users

ANOTHER_WAITS = "not needed: an earlier run over this merchant's users has not begun yet"
MerchantCommands = SyncUsers | PushCampaign | RecallCoupons | RedriveDeliveries


async def on_merchant_command(connection: Connection, command: MerchantCommands, time: datetime) -> None:
    """What staff ordered through the gateway."""
    match command:
        case SyncUsers(merchant=merchant, run=run):
            await users.file_run(connection, run, merchant, None)
            await jobs.want(connection, "sync", run, merchant)
        case PushCampaign(merchant=merchant, campaign=campaign, audience=audience):
            push = await deliveries.file_push(connection, merchant, campaign, audience)
            await jobs.want(connection, "push", push, merchant)
        case RecallCoupons(merchant=merchant, campaign=campaign, reason=reason):
            await deliveries.end_push(connection, merchant, campaign)
            await _recall(connection, campaign, None, reason, merchant)
        case RedriveDeliveries(merchant=merchant, delivery=delivery):
            await deliveries.redrive(connection, merchant, delivery)
            await jobs.want(connection, "deliver", merchant, merchant, at_once=True)


async def on_task_due(connection: Connection, tick: TaskDue, time: datetime) -> None:
    """A timed task is due: the tick's id is the run's id, so that a repeat changes nothing.

    While a run that has not begun waits for a merchant who is down, further ticks add nothing but more listings.
    """
    merchant = tick.action.merchant
    await users.file_run(connection, tick.id, merchant, tick.task)
    if await users.another_waits(connection, merchant, tick.id):
        run = await users.find_run(connection, tick.id)
        if run is not None and run.status == "queued":
            await tell_run(connection, await users.end_run(connection, run, detail=ANOTHER_WAITS))
    else:
        await jobs.want(connection, "sync", tick.id, merchant)


async def on_profile(connection: Connection, profile: MerchantProfile, time: datetime) -> None:
    """The latest profile of a merchant."""
    await merchants.store_profile(connection, profile)
    if profile.state == "active":
        await jobs.want(connection, "deliver", profile.merchant, profile.merchant, at_once=True)


async def on_coupon_event(connection: Connection, event: EventRecord, time: datetime) -> None:
    """Of a pushed campaign: a coupon issued is to be delivered, one voided to be recalled."""
    campaign = UUID(event.stream.partition("/")[0])
    if event.type == "scrip.coupon.issued.v1":
        await jobs.want_pushes(connection, campaign)
    elif event.type == "scrip.coupon.voided.v1":
        await _recall(connection, campaign, event.data.coupon, event.data.reason, None)


async def campaigns_that_matter(connection: Connection, keys: Sequence[bytes]) -> set[bytes]:
    """Which of these record keys are campaigns that go to some merchant."""
    texts = [key.decode("ascii", "replace") for key in keys]
    return {campaign.encode() for campaign in await deliveries.pushed_among(connection, texts)}


async def _recall(
    connection: Connection, campaign: UUID, number: int | None, reason: str, merchant: UUID | None
) -> None:
    changed = await deliveries.recall(connection, campaign, number, reason, merchant)
    await tell_deliveries(connection, changed)
    for concerned in {row.merchant for row in changed}:
        await jobs.want(connection, "deliver", concerned, concerned, at_once=True)
