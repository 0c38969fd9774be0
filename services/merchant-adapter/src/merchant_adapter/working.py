"""Workers: take jobs, do them, give them back. One task looks for what is due; each job runs in a task of its own."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from prometheus_client import Counter, Gauge

from merchant_adapter.calling import Caller
from merchant_adapter.core_reader import CoreReader, CoreUnavailable
from merchant_adapter.operations.deliver import deliver
from merchant_adapter.operations.push_campaign import push_campaign
from merchant_adapter.operations.sync_users import sync_users
from merchant_adapter.storage import jobs
from merchant_adapter.storage.jobs import Job, LeaseLost
from messaging.not_now import backoff_seconds, database_is_away
from process import logs
from process.database import Pool

LOOK_SECONDS = 0.2
CORE_AWAY_SECONDS = 2.0
BUG_SECONDS = 60.0
DRAIN_SECONDS = 10.0

logger = structlog.get_logger()
_running = Gauge("scrip_adapter_jobs_running", "Jobs worked on in this process.")
_open = Gauge("scrip_adapter_jobs_open", "Jobs that are not done.")
_oldest = Gauge("scrip_adapter_oldest_due_job_seconds", "For how long the longest waiting due job has been due.")
_failed = Counter("scrip_adapter_job_bugs", "Jobs that ended with an error nobody foresaw.", ["kind"])


class Workers:
    """At most `count` jobs at a time, on one pool."""

    def __init__(self, pool: Pool, caller: Caller, core: CoreReader, count: int, lease_seconds: float) -> None:
        self._pool = pool
        self._caller = caller
        self._core = core
        self._free = asyncio.Semaphore(count)
        self._lease_seconds = lease_seconds
        self._in_hand: dict[asyncio.Task[None], Job] = {}
        self._ended = asyncio.Event()
        self._trouble: str | None = None

    def reasons(self) -> list[str]:
        """Why jobs are not worked on; for /readyz."""
        return [self._trouble] if self._trouble else []

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; a job still under way `DRAIN_SECONDS` later is given back."""
        renewing = asyncio.create_task(self._renew())
        try:
            await self._look(stop)
            if self._in_hand:
                await asyncio.wait(self._in_hand, timeout=DRAIN_SECONDS)
        finally:
            renewing.cancel()
            left = dict(self._in_hand)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
        with contextlib.suppress(Exception):  # else they rest until their leases end
            async with self._pool.acquire() as connection:
                for job in left.values():
                    await jobs.postpone(connection, job, 0, failed=False)

    async def _look(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            seconds = LOOK_SECONDS
            try:
                while not stop.is_set() and not self._free.locked():
                    self._ended.clear()
                    async with self._pool.acquire() as connection:
                        job = await jobs.take(connection, self._lease_seconds)
                        if job is None:
                            number, oldest = await jobs.open_jobs(connection)
                            _open.set(number)
                            _oldest.set(oldest)
                    failures, self._trouble = 0, None
                    if job is None:
                        break
                    await self._begin(job)
            except Exception as error:
                if not database_is_away(error):
                    raise
                failures += 1
                self._trouble = "The database does not answer."
                seconds = backoff_seconds(failures)
            await self._pause(stop, seconds)

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        """Until a job ended (another of its merchant may be due), `stop`, or the time is over."""
        waits = [asyncio.create_task(event.wait()) for event in (stop, self._ended)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _begin(self, job: Job) -> None:
        await self._free.acquire()
        task = asyncio.create_task(self._do(job))
        self._in_hand[task] = job
        _running.set(len(self._in_hand))
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._in_hand[task]
        _running.set(len(self._in_hand))
        self._free.release()
        self._ended.set()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 4)
            if self._in_hand:
                with contextlib.suppress(Exception):  # the database away: the leases end, others take over
                    async with self._pool.acquire() as connection:
                        await jobs.renew(connection, list(self._in_hand.values()))

    async def _do(self, job: Job) -> None:
        """One job. What goes wrong with it stays with it: the jobs of other merchants go on."""
        logs.bind(merchant=str(job.merchant))  # of this task, and so of every line about this job
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
            await self._give_back(job, CORE_AWAY_SECONDS, failed=False)
        except Exception as error:
            if database_is_away(error):
                logger.info("A job waits for the database.", action="job_held", kind=job.kind)
                return
            _failed.labels(job.kind).inc()
            logger.exception("A job failed by a fault of ours.", action="job_failed", kind=job.kind)
            await self._give_back(job, BUG_SECONDS, failed=True)

    async def _give_back(self, job: Job, seconds: float, *, failed: bool) -> None:
        with contextlib.suppress(Exception):  # then it rests until its lease ends
            async with self._pool.acquire() as connection:
                await jobs.postpone(connection, job, seconds, failed=failed)
