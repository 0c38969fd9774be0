"""All SQL of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from contracts.schedules import FileTask, Schedule, SyncUsersAction
from messaging.outbox import Connection
from scheduler.times import AnySchedule

SCHEDULE: TypeAdapter[AnySchedule] = TypeAdapter(Schedule)


@dataclass(frozen=True, slots=True)
class Task:
    """A timed task; `next_due` None: no more ticks."""

    id: UUID
    name: str
    schedule: AnySchedule
    action: SyncUsersAction
    catch_up: str
    actor: str
    filed_at: datetime
    next_due: datetime | None
    cancelled: bool


COLUMNS = "id, name, schedule, action, catch_up, actor, filed_at, next_due, cancelled"


def _task(row: Any) -> Task:
    return Task(
        row["id"],
        row["name"],
        SCHEDULE.validate_json(row["schedule"]),
        SyncUsersAction.model_validate_json(row["action"]),
        row["catch_up"],
        row["actor"],
        row["filed_at"],
        row["next_due"],
        row["cancelled"],
    )


FILE = """
INSERT INTO task (id, name, schedule, action, catch_up, actor, filed_at, next_due)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, schedule = excluded.schedule, action = excluded.action,
    catch_up = excluded.catch_up, actor = excluded.actor, filed_at = excluded.filed_at,
    next_due = excluded.next_due, cancelled = false
"""


async def file_task(connection: Connection, task: FileTask, filed_at: datetime, next_due: datetime | None) -> None:
    """File a task, or replace the one with its id; ticks that happened stay."""
    await connection.execute(
        FILE,
        task.task,
        task.name,
        SCHEDULE.dump_json(task.schedule).decode(),
        task.action.model_dump_json(),
        task.catch_up,
        task.actor,
        filed_at,
        next_due,
    )


CANCEL = "UPDATE task SET cancelled = true, next_due = NULL WHERE id = $1"


async def cancel_task(connection: Connection, task: UUID) -> None:
    """No more ticks; an unknown task is no fault."""
    await connection.execute(CANCEL, task)


CLAIM = f"""
SELECT {COLUMNS} FROM task WHERE next_due <= $1 ORDER BY next_due LIMIT 1 FOR UPDATE SKIP LOCKED
"""


async def claim_due(connection: Connection, at: datetime) -> Task | None:
    """The task longest overdue at this moment, locked until the transaction ends; others skip it."""
    row = await connection.fetchrow(CLAIM, at)
    return None if row is None else _task(row)


TICK = "INSERT INTO tick (task, due, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id"


async def add_tick(connection: Connection, task: UUID, due: datetime, tick: UUID) -> bool:
    """Whether the tick had not happened yet."""
    return await connection.fetchval(TICK, task, due, tick) is not None


MOVE = "UPDATE task SET next_due = $2 WHERE id = $1"


async def move_on(connection: Connection, task: UUID, next_due: datetime | None) -> None:
    """When the task is due next."""
    await connection.execute(MOVE, task, next_due)


NEXT = "SELECT min(next_due) FROM task"


async def earliest_due(connection: Connection) -> datetime | None:
    """When anything is due next."""
    found: datetime | None = await connection.fetchval(NEXT)
    return found


TASKS = f"SELECT {COLUMNS} FROM task WHERE id > $1 ORDER BY id LIMIT $2"


async def tasks_after(connection: Connection, after: UUID, limit: int) -> list[Task]:
    """Tasks by id."""
    return [_task(row) for row in await connection.fetch(TASKS, after, limit)]


TASK = f"SELECT {COLUMNS} FROM task WHERE id = $1"


async def find_task(connection: Connection, task: UUID) -> Task | None:
    """One task."""
    row = await connection.fetchrow(TASK, task)
    return None if row is None else _task(row)


TICKS = "SELECT id, due, made_at FROM tick WHERE task = $1 ORDER BY due DESC LIMIT $2"


async def latest_ticks(connection: Connection, task: UUID, limit: int) -> list[dict[str, Any]]:
    """Ticks of a task, latest first."""
    return [dict(row) for row in await connection.fetch(TICKS, task, limit)]
