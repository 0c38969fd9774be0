"""What is due: each tick of each task becomes one row and one `TaskDue`, in one transaction.

Any number of processes may run this. A task is locked while its ticks are written, the row of a tick is unique, and
its event goes out with the outbox of the same transaction: a process killed anywhere leaves the tick either for the
next one or written whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from contracts.identifiers import tick_id
from contracts.schedules import TaskDue
from contracts.topics import SCHEDULE_EVENTS
from messaging.not_now import backoff_seconds, database_is_away
from messaging.outbox import enqueue_all
from messaging.sending import OutgoingRecord
from process.database import Pool
from process.failpoints import declare, failpoint
from scheduler import tasks
from scheduler.tasks import Task
from scheduler.timing import latest_tick, next_tick, ticks_between

BEFORE_COMMIT = declare("scheduler.before_commit")
ROW_WRITTEN = declare("scheduler.row_written")
TASKS_AT_ONCE = 50
TICKS_AT_ONCE = 200
"""Of one task in one transaction; after a long pause `catch_up=all` takes several."""
MISSED_AFTER = timedelta(seconds=60)
"""A tick that is later than this was missed: `catch_up` says what becomes of it."""

logger = structlog.get_logger()
_ticks = Counter("scrip_ticks_written", "Ticks written.")
_skipped = Counter("scrip_ticks_skipped", "Tasks whose missed ticks were skipped.", ["catch_up"])
_late = Gauge("scrip_scheduler_late_seconds", "How late the latest tick was written.")


async def due(pool: Pool, at: datetime) -> int:
    """Write the ticks that are due at `at`; returns for how many tasks. More may be left when that is many."""
    async with pool.acquire() as connection, connection.transaction():
        claimed = await tasks.claim_due(connection, at, TASKS_AT_ONCE)
        if not claimed:
            return 0
        wanted: dict[UUID, tuple[Task, datetime]] = {}
        for task in claimed:
            ticks, following = _plan(task, at)
            for tick in ticks:
                wanted[tick_id(task.id, _text(tick))] = (task, tick)
            await tasks.move_task(connection, task.id, following)
        rows = [(name, task.id, tick) for name, (task, tick) in wanted.items()]
        written = await tasks.write_ticks(connection, rows)
        fresh = [(name, *wanted[name]) for name in wanted if name in written]
        await enqueue_all(connection, [_event(name, task, tick) for name, task, tick in fresh])
        failpoint(BEFORE_COMMIT)
    failpoint(ROW_WRITTEN)
    for name, task, tick in fresh:
        logger.info("A task is due.", action="task_due", tick=str(name), task=str(task.id), due=_text(tick))
        _late.set((at - tick).total_seconds())
    _ticks.inc(len(fresh))
    return len(claimed)


def _plan(task: Task, now: datetime) -> tuple[list[datetime], datetime | None]:
    """The ticks to write of a task that is due, and when it is due next."""
    first = task.next_due
    if first is None or first > now:
        raise RuntimeError("a task was claimed that is not due")
    if task.catch_up == "all":
        ticks = ticks_between(task.schedule, first, now, TICKS_AT_ONCE)
    else:
        latest = latest_tick(task.schedule, first, now)
        missed = latest > first or now - latest > MISSED_AFTER
        ticks = [latest] if task.catch_up == "once" or now - latest <= MISSED_AFTER else []
        if missed:
            _skipped.labels(task.catch_up).inc()
        return ticks, next_tick(task.schedule, latest)
    return ticks, next_tick(task.schedule, ticks[-1])


def _event(name: UUID, task: Task, tick: datetime) -> OutgoingRecord:
    event = TaskDue(id=name, task=task.id, due=tick, action=task.action)
    return OutgoingRecord(SCHEDULE_EVENTS.name, str(task.id).encode(), event.model_dump_json().encode())


def _text(tick: datetime) -> str:
    return tick.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class DueLoop:
    """Calls `due` whenever something is, by the clock of this process."""

    def __init__(self, pool: Pool, poll_seconds: float) -> None:
        self._pool = pool
        self._poll_seconds = poll_seconds
        self._trouble: str | None = None

    def reasons(self) -> list[str]:
        """Why no ticks are written at present; for /readyz."""
        return [self._trouble] if self._trouble else []

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; waits while the database is away."""
        failures = 0
        while not stop.is_set():
            try:
                while await due(self._pool, datetime.now(UTC)) and not stop.is_set():
                    pass
                seconds = await self._seconds_to_next()
                failures, self._trouble = 0, None
            except Exception as error:
                if not database_is_away(error):
                    raise
                failures += 1
                self._trouble = "Ticks wait: the database is away."
                seconds = backoff_seconds(failures)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stop.wait()

    async def _seconds_to_next(self) -> float:
        async with self._pool.acquire() as connection:
            due = await tasks.earliest_due(connection)
        if due is None:
            return self._poll_seconds
        return min(self._poll_seconds, max(0.01, (due - datetime.now(UTC)).total_seconds()))
