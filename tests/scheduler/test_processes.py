"""Schedulers as processes, two at a time, killed: each tick once, on the topic too."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.schedules import CancelTask, FileTask, TaskDue
from contracts.topics import SCHEDULE_COMMANDS, SCHEDULE_EVENTS
from messaging.sending import Sender
from process.database import Pool
from tests.support.bad_commands import all_dead, send_bad_commands
from tests.support.figures import show
from tests.support.services import Service, logs_of, until


def filing(task: UUID, seconds: int, start: datetime, **changes: Any) -> FileTask:
    return FileTask.model_validate(
        {
            "id": uuid4(),
            "actor": "staff:test",
            "notafter": datetime.now(UTC) + timedelta(hours=1),
            "task": task,
            "name": "every so often",
            "schedule": {"kind": "interval", "seconds": seconds, "start": start},
            "action": {"merchant": uuid4()},
            "catch_up": "all",
        }
        | changes
    )


async def file_task(gateway: Sender, seconds: int, start: datetime, **changes: Any) -> UUID:
    task = uuid4()
    command = filing(task, seconds, start, **changes)
    await gateway.send(SCHEDULE_COMMANDS.name, str(task).encode(), command.model_dump_json().encode())
    return task


async def events_of(bootstrap: str, tasks: set[UUID]) -> dict[UUID, list[TaskDue]]:
    """First occurrences of the tasks' events on the topic, in its order; repeats are the same bytes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    partitions = [TopicPartition(SCHEDULE_EVENTS.name, number) for number in range(SCHEDULE_EVENTS.partitions or 0)]
    await consumer.start()
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    await consumer.seek_to_beginning(*partitions)
    found: dict[UUID, list[TaskDue]] = defaultdict(list)
    seen: dict[UUID, bytes] = {}
    try:
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    event = TaskDue.model_validate_json(record.value)
                    if event.task in tasks and event.id not in seen:
                        found[event.task].append(event)
                    assert seen.setdefault(event.id, record.value) == record.value
    finally:
        await consumer.stop()
    return found


async def test_two_schedulers_killed_at_every_point_let_each_tick_happen_once(
    schedulers: Service, gateway: Sender, pool: Pool
) -> None:
    schedulers.start(0)
    schedulers.start(1)
    await schedulers.wait_ready(0)
    await schedulers.wait_ready(1)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    tasks = {await file_task(gateway, 1, start) for _ in range(5)}
    points = ("scheduler.row_written", "scheduler.committed", "outbox.before_mark", "subscriber.after_commit")
    late: set[UUID] = set()
    for number, point in enumerate(points):
        await asyncio.sleep(1.0)
        for instance in (0, 1):
            schedulers.processes[instance].kill()
        dying = schedulers.start(number % 2, SCRIP_FAILPOINTS=f"{point}=kill@1")
        if point == "subscriber.after_commit":
            late = {await file_task(gateway, 1, start) for _ in range(3)}
        assert await asyncio.to_thread(dying.process.wait, 40) == -signal.SIGKILL, logs_of([schedulers])
        for instance in (0, 1):
            schedulers.start(instance)
    await schedulers.wait_ready(0)
    await schedulers.wait_ready(1)
    reached = {line.split()[0] for line in schedulers.failpoints_hit() if " kill " in line}
    show(f"killed at {', '.join(sorted(reached))}")
    assert reached == set(points)

    async def caught_up() -> bool:
        due = await pool.fetchval("SELECT min(next_due) FROM task")
        unsent = await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        return due is not None and due > datetime.now(UTC) - timedelta(seconds=1) and unsent == 0

    await until(caught_up, 30)
    for task in tasks | late:
        cancel = CancelTask(id=uuid4(), actor="staff:test", notafter=datetime.now(UTC) + timedelta(hours=1), task=task)
        await gateway.send(SCHEDULE_COMMANDS.name, str(task).encode(), cancel.model_dump_json().encode())

    async def settled() -> bool:
        open_tasks = await pool.fetchval("SELECT count(*) FROM task WHERE next_due IS NOT NULL")
        unsent = await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        return int(open_tasks) + int(unsent) == 0

    await until(settled, 30)
    found = await events_of(schedulers.bootstrap, tasks | late)
    for task in tasks | late:
        rows = await pool.fetch("SELECT due FROM tick WHERE task = $1 ORDER BY due", task)
        dues = [row["due"] for row in rows]
        assert len(dues) >= (10 if task in tasks else 1)
        assert dues == [dues[0] + timedelta(seconds=n) for n in range(len(dues))], "no tick missing, none twice"
        assert [event.due for event in found[task]] == dues, "on the topic as well, in order"


async def test_a_scheduler_stops_in_order_and_its_read_api_tells_tasks_and_ticks(
    schedulers: Service, gateway: Sender
) -> None:
    schedulers.start(0)
    await schedulers.wait_ready(0)
    start = datetime.now(UTC).replace(microsecond=0)
    task = await file_task(gateway, 1, start)

    async def ticked() -> bool:
        answer = await schedulers.get(f"/tasks/{task}/ticks")
        return answer.status_code == 200 and len(answer.json()["ticks"]) >= 2

    await until(ticked, why=lambda: logs_of([schedulers]))
    told = await schedulers.read(f"/tasks/{task}")
    assert (told["name"], told["catch_up"]) == ("every so often", "all")
    assert task in {UUID(each["id"]) for each in (await schedulers.read("/tasks"))["tasks"]}
    assert (await schedulers.get(f"/tasks/{uuid4()}")).status_code == 404
    assert (await schedulers.get("/tasks/not-an-id")).status_code == 400
    assert (await schedulers.get("/dead-letters", reason="\0")).status_code == 400
    assert (await schedulers.get("/tasks", token="wrong")).status_code == 401
    async with httpx.AsyncClient(trust_env=False) as http:
        metrics = (await http.get(f"{schedulers.processes[0].url}/metrics")).text
    assert "scrip_outbox_oldest_unsent_seconds" in metrics
    assert "scrip_scheduler_late_seconds" in metrics
    began = time.monotonic()
    assert await asyncio.to_thread(schedulers.processes[0].stop) == 0
    assert time.monotonic() - began < 15


async def test_a_bad_command_is_a_dead_letter_and_the_next_one_is_filed(schedulers: Service, gateway: Sender) -> None:
    schedulers.start(0)
    await schedulers.wait_ready(0)
    key = str(uuid4()).encode()
    await gateway.send(SCHEDULE_COMMANDS.name, key, b"{}")
    never = await file_task(
        gateway, 1, datetime.now(UTC), schedule={"kind": "cron", "expression": "0 0 30 2 *", "zone": "UTC"}
    )
    good = await file_task(gateway, 3_600, datetime.now(UTC))

    async def filed() -> bool:
        return (await schedulers.get(f"/tasks/{good}")).status_code == 200

    await until(filed, why=lambda: logs_of([schedulers]))

    async def both_dead() -> bool:
        keys = {letter["key"] for letter in (await schedulers.read("/dead-letters"))["dead_letters"]}
        return len(keys) >= 2

    await until(both_dead)
    letters = (await schedulers.read("/dead-letters", reason="unreadable"))["dead_letters"]
    assert any("cron expression" in letter["detail"] for letter in letters)
    assert (await schedulers.get(f"/tasks/{never}")).status_code == 404


async def test_commands_nobody_may_send_are_dead_letters_with_the_reason_and_file_no_task(
    schedulers: Service, gateway: Sender
) -> None:
    schedulers.start(0)
    await schedulers.wait_ready(0)

    def make(task: UUID, notafter: datetime) -> bytes:
        return filing(task, 3_600, datetime.now(UTC), notafter=notafter).model_dump_json().encode()

    expected = await send_bad_commands(schedulers, SCHEDULE_COMMANDS, make)
    good = await file_task(gateway, 3_600, datetime.now(UTC))
    await all_dead(schedulers, expected)

    async def filed() -> bool:
        return (await schedulers.get(f"/tasks/{good}")).status_code == 200

    await until(filed, why=lambda: logs_of([schedulers]))
    assert [task["id"] for task in (await schedulers.read("/tasks"))["tasks"]] == [str(good)]
