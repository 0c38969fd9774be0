"""Push a campaign to a merchant: order coupons for all its users where asked, then list what is to be delivered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from contracts.commands import IssueCoupons, IssueRow, record_for
from contracts.fields import PLATFORM
from contracts.identifiers import chunk_id
from contracts.topics import COUPON_COMMANDS
from merchant_adapter.core_reader import PAGE, CoreReader
from merchant_adapter.storage import deliveries, jobs
from merchant_adapter.storage.deliveries import Push
from merchant_adapter.storage.jobs import Job
from messaging.outbox import enqueue
from process.database import Pool
from process.failpoints import declare, failpoint

CHUNK = 500
ISSUE_LIFE = timedelta(days=7)
LISTED = declare("adapter.coupons_listed")


async def push_campaign(pool: Pool, core: CoreReader, job: Job) -> None:
    """Bring the deliveries up to what core has issued. Taken up again whenever a coupon of it is issued.

    Raises CoreUnavailable, LeaseLost.
    """
    async with pool.acquire() as connection:
        push = await deliveries.find_push(connection, job.subject)
    if push is None:
        raise RuntimeError("a push that was filed is gone")
    if push.ended:
        async with pool.acquire() as connection:
            await jobs.finish(connection, job)
        return
    while push.issuing:
        push = await _issue_chunk(pool, job, push)
    listed_to, found = push.listed_to, PAGE
    while found == PAGE:
        page = await core.coupons(push.campaign, listed_to)
        found = len(page)
        failpoint(LISTED)
        async with pool.acquire() as connection, connection.transaction():
            await jobs.hold(connection, job)
            held = [(coupon.number, coupon.user) for coupon in page if coupon.state == "held" and coupon.user]
            listed_to = page[-1].number if page else listed_to
            await deliveries.list_deliveries(connection, push, held, listed_to)
            if held:
                await jobs.want(connection, "deliver", push.merchant, push.merchant)
            if found < PAGE:
                await jobs.finish(connection, job)


async def _issue_chunk(pool: Pool, job: Job, push: Push) -> Push:
    """Order coupons for the next users; the command, who it is for and the cursor are one transaction."""
    async with pool.acquire() as connection, connection.transaction():
        await jobs.hold(connection, job)
        fresh, up_to = await deliveries.next_users(connection, push, CHUNK)
        if fresh:
            record = record_for(
                IssueCoupons(rows=tuple(IssueRow(user=user) for user in fresh)),
                id=chunk_id(push.id, push.issue_chunks),
                source="/merchant-adapter",
                subject=str(push.campaign),
                party=PLATFORM,
                actor="service:adapter",
                notafter=datetime.now(UTC) + ISSUE_LIFE,
            )
            value = record.model_dump_json(exclude_none=True).encode()
            await enqueue(connection, COUPON_COMMANDS.name, str(push.campaign).encode(), value)
        await deliveries.note_issued(connection, push.id, up_to, chunks=int(bool(fresh)))
        again = await deliveries.find_push(connection, push.id)
    if again is None:
        raise RuntimeError("a push that was filed is gone")
    return again
