"""The loop: what is due becomes a tick, once, however many schedulers run and die."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge

from contracts.identifiers import tick_id
from contracts.schedules import TaskDue
from contracts.topics import SCHEDULE_EVENTS
from messaging.not_now import backoff_seconds, database_is_away
from messaging.outbox import Connection, enqueue
from process.database import Pool
from process.failpoints import declare, failpoint
from scheduler import storage
from scheduler.storage import Task
from scheduler.times import latest_until, next_after

ROW_WRITTEN = declare("scheduler.row_written")
SENT = declare("scheduler.committed")
LONGEST_WAIT_SECONDS = 1.0
SKIP_AFTER = timedelta(minutes=1)
MOST_TICKS = 1_000
"""Of one task in one transaction, when it catches up."""

_ticks = Counter("scrip_scheduler_ticks", "Ticks that happened.")
_late = Gauge("scrip_scheduler_late_seconds", "How late the latest tick was.")
logger = structlog.get_logger()


class DueLoop:
    """Looks for due tasks until stopped."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._trouble: str | None = None

    def reasons(self) -> list[str]:
        """Why ticks do not happen; for /readyz."""
        return [self._trouble] if self._trouble else []

    async def run(self, stop: asyncio.Event) -> None:
        """Let happen what is due, task after task; waits through outages of the database."""
        failures = 0
        while not stop.is_set():
            try:
                async with self._pool.acquire() as connection:
                    while not stop.is_set() and await let_happen(connection, datetime.now(UTC)):
                        failpoint(SENT)
                    due = await storage.earliest_due(connection)
                failures, self._trouble = 0, None
                wait = LONGEST_WAIT_SECONDS if due is None else (due - datetime.now(UTC)).total_seconds()
            except Exception as error:
                if not database_is_away(error):
                    raise
                failures += 1
                self._trouble = "The database does not answer."
                wait = backoff_seconds(failures)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(wait, 0.01), LONGEST_WAIT_SECONDS)):
                    await stop.wait()


async def let_happen(connection: Connection, now: datetime) -> bool:
    """One task that is due at `now`: its ticks and their events in one transaction. False: nothing is due."""
    async with connection.transaction():
        task = await storage.claim_due(connection, now)
        if task is None:
            return False
        ticks, following = ticks_due(task, now)
        for due in ticks:
            tick = tick_id(task.id, due.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))
            if await storage.add_tick(connection, task.id, due, tick):
                event = TaskDue(id=tick, task=task.id, due=due, action=task.action)
                key = str(task.id).encode()
                await enqueue(connection, SCHEDULE_EVENTS.name, key, event.model_dump_json().encode())
                failpoint(ROW_WRITTEN)
        await storage.move_on(connection, task.id, following)
    if ticks:
        _ticks.inc(len(ticks))
        _late.set((now - ticks[-1]).total_seconds())
        logger.info("A timed task was due.", action="task_due", task=str(task.id), ticks=len(ticks))
    return True


def ticks_due(task: Task, now: datetime) -> tuple[list[datetime], datetime | None]:
    """Due times to let happen now, and the next one.

    Of due times that passed while nothing ran, `all` lets each happen, `once` the latest, `skip` none (the latest
    still happens when it is not more than a minute late).
    """
    first = task.next_due
    if first is None or first > now:
        return [], first
    if task.catch_up == "all":
        due = [first]
        following = next_after(task.schedule, first)
        while following is not None and following <= now and len(due) < MOST_TICKS:
            due.append(following)
            following = next_after(task.schedule, following)
        return due, following  # what is left of many is for the next transaction
    latest = latest_until(task.schedule, first, now)
    happens = task.catch_up == "once" or now - latest <= SKIP_AFTER
    return [latest] if happens else [], next_after(task.schedule, latest)
