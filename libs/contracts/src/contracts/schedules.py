"""Timed tasks across process borders: `schedule.commands` and `schedule.events`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, TypeAdapter

from contracts.campaigns import Zone
from contracts.fields import Contract, Fact, Instant, Text
from contracts.merchants import MerchantCommand


class CronSchedule(Contract):
    """Five cron fields in a time zone; a wall time in a gap fires once at its end, in an overlap once, at first."""

    kind: Literal["cron"] = "cron"
    expression: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    zone: Zone = "UTC"


class IntervalSchedule(Contract):
    """Every so many seconds from `start`."""

    kind: Literal["interval"] = "interval"
    seconds: Annotated[int, Field(ge=1, le=31_536_000, strict=True)]
    start: Instant


class OnceSchedule(Contract):
    """One time."""

    kind: Literal["once"] = "once"
    at: Instant


Schedule = Annotated[CronSchedule | IntervalSchedule | OnceSchedule, Field(discriminator="kind")]


class SyncUsersAction(Contract):
    """What a tick does: fetch the merchant's users."""

    kind: Literal["sync_users"] = "sync_users"
    merchant: UUID


class FileTask(MerchantCommand):
    """File a timed task, or replace the one with this id."""

    type: Literal["scrip.command.FileTask.v1"] = "scrip.command.FileTask.v1"
    task: UUID
    name: Text
    schedule: Schedule
    action: SyncUsersAction
    catch_up: Literal["skip", "once", "all"] = "once"
    """What becomes of ticks missed while nothing ran."""


class CancelTask(MerchantCommand):
    """No more ticks of this task."""

    type: Literal["scrip.command.CancelTask.v1"] = "scrip.command.CancelTask.v1"
    task: UUID


SCHEDULE_COMMAND: TypeAdapter[FileTask | CancelTask] = TypeAdapter(
    Annotated[FileTask | CancelTask, Field(discriminator="type")]
)


class TaskDue(Fact):
    """A tick. `id` is UUIDv5(task, due): repeats carry the same id and have no effect."""

    type: Literal["scrip.schedule.task_due.v1"] = "scrip.schedule.task_due.v1"
    id: UUID
    task: UUID
    due: datetime
    action: SyncUsersAction
