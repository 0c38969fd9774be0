"""Handlers of `schedule.commands`: file a task, cancel one."""

from __future__ import annotations

from datetime import datetime

from contracts.schedules import SCHEDULE_COMMAND, CancelTask, FileTask
from messaging.outbox import Connection
from scheduler import tasks, timing


def read_command(value: bytes) -> FileTask | CancelTask:
    """The command; raises ValueError, also for a schedule without ticks."""
    command = SCHEDULE_COMMAND.validate_json(value)
    if isinstance(command, FileTask):
        timing.check(command.schedule)
    return command


async def on_schedule_command(connection: Connection, command: FileTask | CancelTask, time: datetime) -> None:
    """Called in the transaction that takes the record; `time` is the record's."""
    if isinstance(command, CancelTask):
        await tasks.cancel_task(connection, command.task)
    else:
        await tasks.file_task(connection, command, time, timing.first_tick(command.schedule, time))
