"""Fetch a merchant's users: page after page, each with its cursor in one transaction."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from contracts.merchants import InterfaceSettings
from merchant_adapter.announcing import tell_run
from merchant_adapter.calling import Caller, NotCallable
from merchant_adapter.interfaces import (
    InterfaceFailure,
    MerchantInterface,
    MerchantMisbehaves,
    MerchantRefused,
    MerchantUnavailable,
    OutcomeUnknown,
    PagingCheck,
    UserPage,
)
from merchant_adapter.storage import jobs, users
from merchant_adapter.storage.jobs import Job
from merchant_adapter.storage.users import SyncRun
from process.database import Pool
from process.failpoints import declare, failpoint

MERCHANT_ANSWERED = declare("adapter.page_answered")
PROFILE_GRACE = timedelta(seconds=15)
"""A run may be ordered before the merchant's profile has arrived, which comes by another topic."""
LOOK_AGAIN_SECONDS = 1.0

logger = structlog.get_logger()


class _PageAhead:
    """The next page, asked for while this one is stored: nearly twice as fast. It is used only if nothing changed."""

    def __init__(self) -> None:
        self._task: asyncio.Task[UserPage] | None = None
        self._asked: tuple[str | None, InterfaceSettings] | None = None

    def ask(self, interface: MerchantInterface, settings: InterfaceSettings, cursor: str) -> None:
        self._asked = (cursor, settings)
        self._task = asyncio.create_task(interface.list_users(cursor, settings.page_size))

    async def page(self, interface: MerchantInterface, settings: InterfaceSettings, cursor: str | None) -> UserPage:
        task, self._task = self._task, None
        if task is not None and self._asked == (cursor, settings):
            return await task
        _drop(task)
        return await interface.list_users(cursor, settings.page_size)

    def drop(self) -> None:
        _drop(self._task)


def _drop(task: asyncio.Task[UserPage] | None) -> None:
    if task is not None:
        task.cancel()
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def sync_users(pool: Pool, caller: Caller, job: Job) -> None:
    """Work on one run until it ends or must wait.

    Goes on at the stored cursor after a crash. Raises LeaseLost when another worker took over.
    """
    async with pool.acquire() as connection:
        run = await users.find_run(connection, job.subject)
        if run is None or run.ended_at is not None:
            await jobs.finish(connection, job)
            return
    ahead = _PageAhead()
    try:
        await _fetch_all(pool, caller, job, run, ahead)
    finally:
        ahead.drop()


async def _fetch_all(pool: Pool, caller: Caller, job: Job, run: SyncRun, ahead: _PageAhead) -> None:
    check = PagingCheck()
    while run.ended_at is None:
        try:
            interface, settings = await _open(pool, caller, run)
            page = await ahead.page(interface, settings, run.cursor)
            failpoint(MERCHANT_ANSWERED)
            if page.next_cursor is not None:
                ahead.ask(interface, settings, page.next_cursor)
            job, run = await _store_page(pool, page, settings, job, run, check)
        except NotCallable as error:
            if error.may_pass and datetime.now(UTC) - run.made_at < PROFILE_GRACE:
                await _postpone(pool, job, LOOK_AGAIN_SECONDS, failed=False)
                return
            run = await _fail(pool, job, run, str(error))
        except (MerchantUnavailable, OutcomeUnknown) as failure:
            if job.failures + 1 < caller.settings.most_failures:
                logger.info("A merchant's users wait.", action="sync_waits", run=str(run.id), reason=str(failure))
                await _postpone(pool, job, caller.pause(job.failures, failure), failed=True)
                return
            run = await _fail(pool, job, run, f"gave up after {job.failures + 1} failures in a row: {failure}")
        except MerchantRefused as refusal:
            if refusal.code == "invalid_cursor" and run.cursor is not None:
                run, check = await _begin_anew(pool, job, run), PagingCheck()
            else:
                run = await _fail(pool, job, run, f"the merchant refused: {refusal.code}: {refusal.reason}"[:500])
        except MerchantMisbehaves as failure:
            run = await _fail(pool, job, run, str(failure))
        except InterfaceFailure as failure:
            run = await _fail(pool, job, run, f"{type(failure).__name__}: {failure}")


async def _open(pool: Pool, caller: Caller, run: SyncRun) -> tuple[MerchantInterface, InterfaceSettings]:
    """Looked up for every page, so that a suspension and new settings count at once."""
    async with pool.acquire() as connection:
        return await caller.open(connection, run.merchant)


async def _store_page(
    pool: Pool, page: UserPage, settings: InterfaceSettings, job: Job, run: SyncRun, check: PagingCheck
) -> tuple[Job, SyncRun]:
    """One page's users and its cursor; the last one ends the run."""
    found = users.page_of(page.users, settings.fields)
    async with pool.acquire() as connection, connection.transaction():
        job = await jobs.progress(connection, job)
        counts = await users.store_page(connection, run, found)
        check.page(run.cursor, page, counts.first_seen)
        run = await users.advance_run(connection, run, page.next_cursor, counts, len(page.refused))
        if page.next_cursor is None:
            run = await users.end_run(connection, run, detail=None)
            await tell_run(connection, run)
            await jobs.finish(connection, job)
    if run.ended_at is not None:
        logger.info(
            "A merchant's users were fetched.",
            action="users_synced",
            seen=run.seen,
            new=run.new,
            changed=run.changed,
            gone=run.gone,
        )
    return job, run


async def _begin_anew(pool: Pool, job: Job, run: SyncRun) -> SyncRun:
    async with pool.acquire() as connection, connection.transaction():
        await jobs.hold(connection, job)
        logger.info("A merchant takes a cursor no more.", action="sync_restarted", run=str(run.id))
        return await users.restart_run(connection, run)


async def _postpone(pool: Pool, job: Job, seconds: float, *, failed: bool) -> None:
    async with pool.acquire() as connection:
        await jobs.postpone(connection, job, seconds, failed=failed)


async def _fail(pool: Pool, job: Job, run: SyncRun, detail: str) -> SyncRun:
    """End the run as failed, with the sentence staff will read."""
    async with pool.acquire() as connection, connection.transaction():
        await jobs.hold(connection, job)
        ended = await users.end_run(connection, run, detail=detail)
        await tell_run(connection, ended)
        await jobs.finish(connection, job)
    logger.warning("A merchant's users were not fetched.", action="sync_failed", run=str(run.id), reason=detail)
    return ended
