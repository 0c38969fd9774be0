"""Workers: take jobs, do them, give them back. Woken by NOTIFY, and by the clock."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from merchant_adapter.calling import Caller
from merchant_adapter.core_reader import CoreReader, CoreUnavailable
from merchant_adapter.operations.deliver import deliver
from merchant_adapter.operations.push_campaign import push_campaign
from merchant_adapter.operations.sync_users import sync_users
from merchant_adapter.storage import jobs
from merchant_adapter.storage.jobs import Job, LeaseLost
from messaging.not_now import backoff_seconds, database_is_away
from process.database import Pool

LONGEST_WAIT_SECONDS = 2.0
CORE_AWAY_SECONDS = 2.0

logger = structlog.get_logger()


class Workers:
    """Some workers on one pool."""

    def __init__(self, pool: Pool, caller: Caller, core: CoreReader, count: int) -> None:
        self._pool = pool
        self._caller = caller
        self._core = core
        self._count = count
        self._trouble: str | None = None

    def reasons(self) -> list[str]:
        """Why jobs are not worked on; for /readyz."""
        return [self._trouble] if self._trouble else []

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; a job under way is then given up and taken again after its lease."""
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._work(stop)) for _ in range(self._count)]
            await stop.wait()
            _, busy = await asyncio.wait(workers, timeout=10)
            for worker in busy:
                worker.cancel()

    async def _work(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            try:
                async with self._pool.acquire() as connection:
                    job = await jobs.take(connection)
                    seconds = LONGEST_WAIT_SECONDS if job else await jobs.seconds_to_next(connection)
                self._trouble = None
                failures = 0
                if job is not None:
                    await self._do(job)
                    continue
            except Exception as error:
                if not database_is_away(error):
                    raise
                failures += 1
                self._trouble = "The database does not answer."
                seconds = backoff_seconds(failures)
            wait = LONGEST_WAIT_SECONDS if seconds is None else min(max(seconds, 0.05), LONGEST_WAIT_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait, 0.5)):
                    await stop.wait()

    async def _do(self, job: Job) -> None:
        try:
            if job.kind == "sync":
                await sync_users(self._pool, self._caller, job)
            elif job.kind == "push":
                await push_campaign(self._pool, self._core, job)
            else:
                await deliver(self._pool, self._caller, self._core, job)
        except LeaseLost:
            logger.warning("Another worker has this job now.", action="lease_lost", kind=job.kind)
        except CoreUnavailable as error:
            logger.info("A job waits for coupon-core.", action="core_away", kind=job.kind, reason=str(error))
            async with self._pool.acquire() as connection:
                await jobs.postpone(connection, job, CORE_AWAY_SECONDS, failed=False)
