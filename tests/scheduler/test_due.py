"""What is due becomes ticks: each once, missed ones as the task says. Time is an argument."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.identifiers import tick_id
from contracts.schedules import FileTask, TaskDue
from process.database import Pool
from scheduler.__main__ import decode, on_command
from scheduler.due import MOST_TICKS, let_happen

START = datetime(2026, 1, 1, tzinfo=UTC)


async def file(pool: Pool, schedule: dict[str, Any], catch_up: str = "once", task: UUID | None = None) -> UUID:
    task = task or uuid4()
    command = FileTask.model_validate(
        {
            "id": uuid4(),
            "actor": "staff:test",
            "notafter": START + timedelta(days=1),
            "task": task,
            "name": "test",
            "schedule": schedule,
            "action": {"merchant": uuid4()},
            "catch_up": catch_up,
        }
    )
    async with pool.acquire() as connection, connection.transaction():
        await on_command(connection, command, START)
    return task


async def happen(pool: Pool, at: datetime) -> None:
    async with pool.acquire() as connection:
        while await let_happen(connection, at):
            pass


async def ticks(pool: Pool, task: UUID) -> list[float]:
    """Seconds after START of the task's ticks; each has one event, with the derived id."""
    rows = await pool.fetch("SELECT id, due FROM tick WHERE task = $1 ORDER BY due", task)
    sent = await pool.fetch("SELECT value FROM outbox WHERE record_key = $1 ORDER BY id", str(task).encode())
    events = [TaskDue.model_validate_json(row["value"]) for row in sent]
    assert sorted((event.id, event.due) for event in events) == sorted((row["id"], row["due"]) for row in rows)
    for row in rows:
        assert row["id"] == tick_id(task, row["due"].isoformat(timespec="seconds").replace("+00:00", "Z"))
    return [(row["due"] - START).total_seconds() for row in rows]


EVERY_MINUTE = {"kind": "interval", "seconds": 60, "start": START.isoformat()}


async def test_nothing_happens_before_it_is_due_and_then_it_does_once(pool: Pool) -> None:
    task = await file(pool, {"kind": "once", "at": (START + timedelta(hours=1)).isoformat()})
    await happen(pool, START + timedelta(minutes=59))
    assert await ticks(pool, task) == []
    for late in (0, 1, 3_600):
        await happen(pool, START + timedelta(hours=1, seconds=late))
    assert await ticks(pool, task) == [3_600]


async def test_an_interval_ticks_at_its_own_times_however_late_it_is_looked_at(pool: Pool) -> None:
    task = await file(pool, EVERY_MINUTE)
    for second in (61, 125, 180, 199):
        await happen(pool, START + timedelta(seconds=second))
    assert await ticks(pool, task) == [60, 120, 180]


@pytest.mark.parametrize(
    ("catch_up", "late_seconds", "expected"),
    [
        ("all", 30, [60.0 * n for n in range(1, 601)]),
        ("once", 30, [36_000.0]),
        ("skip", 30, [36_000.0]),
    ],
)
async def test_after_a_pause_missed_ticks_go_as_the_task_says(
    pool: Pool, catch_up: str, late_seconds: int, expected: list[float]
) -> None:
    task = await file(pool, EVERY_MINUTE, catch_up)
    await happen(pool, START + timedelta(hours=10, seconds=late_seconds))
    assert await ticks(pool, task) == expected
    await happen(pool, START + timedelta(hours=10, seconds=61))
    assert (await ticks(pool, task))[-1] == 36_060


async def test_a_missed_tick_that_is_skipped_leaves_the_next_one(pool: Pool) -> None:
    hourly = {"kind": "cron", "expression": "0 * * * *", "zone": "Europe/Berlin"}
    task = await file(pool, hourly, "skip")
    await happen(pool, START + timedelta(hours=5, minutes=30))
    assert await ticks(pool, task) == []
    await happen(pool, START + timedelta(hours=6, seconds=2))
    assert await ticks(pool, task) == [6 * 3_600]


async def test_very_many_missed_ticks_come_in_several_transactions(pool: Pool) -> None:
    every_second = {"kind": "interval", "seconds": 1, "start": START.isoformat()}
    task = await file(pool, every_second, "all")
    async with pool.acquire() as connection:
        assert await let_happen(connection, START + timedelta(seconds=MOST_TICKS + 500))
    assert len(await ticks(pool, task)) == MOST_TICKS
    await happen(pool, START + timedelta(seconds=MOST_TICKS + 500))
    assert await ticks(pool, task) == [float(n) for n in range(1, MOST_TICKS + 501)]


async def test_a_year_of_missed_minutes_does_not_hold_the_others_up(pool: Pool) -> None:
    cron = {"kind": "cron", "expression": "* * * * *", "zone": "America/New_York"}
    task = await file(pool, cron)
    async with asyncio.timeout(20):
        await happen(pool, START + timedelta(days=365, seconds=5))
    assert await ticks(pool, task) == [365 * 86_400.0]


async def test_ten_at_once_write_each_tick_once(pool: Pool) -> None:
    tasks = [await file(pool, EVERY_MINUTE) for _ in range(20)]
    for minute in range(1, 6):
        await asyncio.gather(*(happen(pool, START + timedelta(minutes=minute, milliseconds=n)) for n in range(10)))
    for task in tasks:
        assert await ticks(pool, task) == [60, 120, 180, 240, 300]


async def test_replaced_it_follows_the_new_schedule_and_a_tick_that_was_is_not_repeated(pool: Pool) -> None:
    task = await file(pool, EVERY_MINUTE)
    await happen(pool, START + timedelta(seconds=130))
    await file(pool, {**EVERY_MINUTE, "seconds": 120}, task=task)
    await happen(pool, START + timedelta(seconds=250))
    assert await ticks(pool, task) == [120, 240]


def test_a_schedule_that_cannot_be_used_is_unreadable() -> None:
    command = FileTask.model_validate(
        {
            "id": uuid4(),
            "actor": "staff:test",
            "notafter": START,
            "task": uuid4(),
            "name": "test",
            "schedule": {"kind": "cron", "expression": "61 * * * *"},
            "action": {"merchant": uuid4()},
        }
    )
    with pytest.raises(ValueError, match="cron expression"):
        decode(command.model_dump_json().encode())
