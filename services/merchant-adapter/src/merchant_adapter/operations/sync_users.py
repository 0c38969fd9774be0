"""Fetch a merchant's users: page after page, each with its cursor in one transaction."""

from __future__ import annotations

import structlog

from merchant_adapter.announcing import tell_run
from merchant_adapter.calling import Caller, NotCallable
from merchant_adapter.interfaces import (
    InterfaceFailure,
    MerchantMisbehaves,
    MerchantUnavailable,
    OutcomeUnknown,
    PagingCheck,
)
from merchant_adapter.storage import Connection, jobs, users
from merchant_adapter.storage.jobs import Job
from process.database import Pool
from process.failpoints import declare, failpoint

MERCHANT_ANSWERED = declare("adapter.page_answered")
MOST_FAILURES = 12

logger = structlog.get_logger()


async def sync_users(pool: Pool, caller: Caller, job: Job) -> None:
    """Work on one run until it ends or must wait.

    Goes on at the stored cursor after a crash. Raises LeaseLost when another worker took over.
    """
    async with pool.acquire() as connection:
        run = await users.find_run(connection, job.subject)
        if run is None or run.status in ("done", "failed"):
            await jobs.finish(connection, job)
            return
        try:
            interface, settings = await caller.open(connection, run.merchant)
        except NotCallable as error:
            await _end(connection, job, run, str(error))
            return
    check = PagingCheck()
    while True:
        try:
            page = await interface.list_users(run.cursor, settings.page_size)
            failpoint(MERCHANT_ANSWERED)
            async with pool.acquire() as connection, connection.transaction():
                await jobs.hold(connection, job)
                counts = await users.store_page(connection, run, users.page_of(page.users, settings.fields))
                check.page(run.cursor, page, counts.first_seen)
                await users.advance_run(connection, run.id, page.next_cursor, counts, len(page.refused))
                if page.next_cursor is None:
                    ended = await users.end_run(connection, run, detail=None)
                    await tell_run(connection, ended)
                    await jobs.finish(connection, job)
        except (MerchantUnavailable, OutcomeUnknown) as failure:
            if job.failures + 1 >= MOST_FAILURES:
                await _end_on(pool, job, run, f"gave up after {job.failures + 1} failures: {failure}")
                return
            pause = caller.pause(job.failures, failure)
            logger.info("A merchant's users wait.", action="sync_waits", run=str(run.id), reason=str(failure))
            async with pool.acquire() as connection:
                await jobs.postpone(connection, job, pause, failed=True)
            return
        except MerchantMisbehaves as failure:
            await _end_on(pool, job, run, str(failure))
            return
        except InterfaceFailure as failure:
            await _end_on(pool, job, run, f"{type(failure).__name__}: {failure}")
            return
        if page.next_cursor is None:
            logger.info(
                "A merchant's users were fetched.",
                action="users_synced",
                merchant_id=str(run.merchant),
                seen=ended.seen,
                new=ended.new,
                changed=ended.changed,
                gone=ended.gone,
            )
            return
        async with pool.acquire() as connection:
            again = await users.find_run(connection, run.id)
        if again is None:
            return
        run = again


async def _end_on(pool: Pool, job: Job, run: users.SyncRun, detail: str) -> None:
    async with pool.acquire() as connection:
        await _end(connection, job, run, detail)


async def _end(connection: Connection, job: Job, run: users.SyncRun, detail: str) -> None:
    """End the run as failed, with the sentence staff will read."""
    async with connection.transaction():
        await jobs.hold(connection, job)
        ended = await users.end_run(connection, run, detail=detail)
        await tell_run(connection, ended)
        await jobs.finish(connection, job)
    logger.warning("A merchant's users were not fetched.", action="sync_failed", run=str(run.id), reason=detail)
