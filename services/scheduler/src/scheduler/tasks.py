"""The scheduler's tables: tasks and their ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from contracts.schedules import FileTask, Schedule, SyncUsersAction
from messaging.outbox import Connection

SCHEDULE: TypeAdapter[Schedule] = TypeAdapter(Schedule)


@dataclass(frozen=True, slots=True)
class Task:
    """A timed task. `next_due` None: it has no tick any more, or was cancelled."""

    id: UUID
    name: str
    schedule: Schedule
    action: SyncUsersAction
    catch_up: str
    active: bool
    filed_at: datetime
    filed_by: str
    next_due: datetime | None


COLUMNS = "id, name, schedule, action, catch_up, active, filed_at, filed_by, next_due"
FILE = """
INSERT INTO task (id, name, schedule, action, catch_up, active, filed_at, filed_by, next_due)
VALUES ($1, $2, $3, $4, $5, true, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, schedule = excluded.schedule, action = excluded.action,
    catch_up = excluded.catch_up, active = true, filed_at = excluded.filed_at, filed_by = excluded.filed_by,
    next_due = excluded.next_due
"""


async def file_task(connection: Connection, command: FileTask, filed_at: datetime, next_due: datetime | None) -> None:
    """File the task, or replace the one with this id."""
    await connection.execute(
        FILE,
        command.task,
        command.name,
        command.schedule.model_dump_json(),
        command.action.model_dump_json(),
        command.catch_up,
        filed_at,
        command.actor,
        next_due,
    )


CANCEL = "UPDATE task SET active = false, next_due = NULL WHERE id = $1"


async def cancel_task(connection: Connection, task: UUID) -> None:
    """No more ticks; an unknown task is none that ticks."""
    await connection.execute(CANCEL, task)


CLAIM = f"SELECT {COLUMNS} FROM task WHERE next_due <= $1 ORDER BY next_due LIMIT $2 FOR UPDATE SKIP LOCKED"


async def claim_due(connection: Connection, now: datetime, most: int) -> list[Task]:
    """Tasks with a tick at or before `now`, locked until the transaction ends; others' locked ones are left out."""
    return [_task(row) for row in await connection.fetch(CLAIM, now, most)]


NEXT_DUE = "SELECT min(next_due) FROM task"


async def earliest_due(connection: Connection) -> datetime | None:
    """When the next tick of all is."""
    due: datetime | None = await connection.fetchval(NEXT_DUE)
    return due


TICK = """
INSERT INTO tick (id, task, due) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
ON CONFLICT DO NOTHING RETURNING id
"""
MOVE = "UPDATE task SET next_due = $2 WHERE id = $1"


async def write_ticks(connection: Connection, ticks: Sequence[tuple[UUID, UUID, datetime]]) -> set[UUID]:
    """Write ticks (id, task, due); returns the ids of those that were not there before."""
    ids, tasks, dues = ([tick[place] for tick in ticks] for place in range(3))
    return {row["id"] for row in await connection.fetch(TICK, ids, tasks, dues)}


async def move_task(connection: Connection, task: UUID, next_due: datetime | None) -> None:
    """Set when the task is due next."""
    await connection.execute(MOVE, task, next_due)


LIST = f"SELECT {COLUMNS} FROM task WHERE ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2"
ONE = f"SELECT {COLUMNS} FROM task WHERE id = $1"
TICKS = """
SELECT id, due, made_at FROM tick WHERE task = $1 AND ($2::timestamptz IS NULL OR due < $2)
ORDER BY due DESC LIMIT $3
"""


async def list_tasks(connection: Connection, after: UUID | None, limit: int) -> list[Task]:
    """Tasks by id, cancelled ones too."""
    return [_task(row) for row in await connection.fetch(LIST, after, limit)]


async def find_task(connection: Connection, task: UUID) -> Task | None:
    """One task."""
    row = await connection.fetchrow(ONE, task)
    return None if row is None else _task(row)


async def ticks_of(connection: Connection, task: UUID, before: datetime | None, limit: int) -> list[dict[str, Any]]:
    """A task's ticks before a moment, latest first."""
    return [dict(row) for row in await connection.fetch(TICKS, task, before, limit)]


def _task(row: Any) -> Task:
    return Task(
        row["id"],
        row["name"],
        SCHEDULE.validate_json(row["schedule"]),
        SyncUsersAction.model_validate_json(row["action"]),
        row["catch_up"],
        row["active"],
        row["filed_at"],
        row["filed_by"],
        row["next_due"],
    )
