"""`python -m scheduler` runs the service; `python -m scheduler migrate` brings its schema up to date."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from contracts.schedules import SCHEDULE_COMMAND, CancelTask, FileTask
from contracts.topics import SCHEDULE_COMMANDS, SCHEDULE_DEAD_LETTERS
from messaging.outbox import Connection, OutboxRelay
from messaging.sending import Sender, own_writer
from messaging.subscribing import Subscriber, Subscription
from messaging.trusting import Trust
from process import logs
from process.database import check_current, migrate, open_pool
from process.health import health_app, serve
from process.lifecycle import run
from process.settings import Secrets, ServiceSettings, read_settings
from scheduler import api, storage
from scheduler.due import DueLoop
from scheduler.times import first_due

MIGRATIONS = Path(__file__).parent / "migrations"
SCHEMA = "scheduler"

logger = structlog.get_logger()


def decode(value: bytes) -> FileTask | CancelTask:
    """A command, its schedule tried: one that cannot be used is unreadable (ScheduleUnusable is a ValueError)."""
    command = SCHEDULE_COMMAND.validate_json(value)
    if isinstance(command, FileTask):
        first_due(command.schedule, command.notafter)
    return command


async def on_command(connection: Connection, command: FileTask | CancelTask, time: datetime) -> None:
    """File or cancel a task; `time` is the record's, from which its first due time is counted."""
    if isinstance(command, CancelTask):
        await storage.cancel_task(connection, command.task)
    else:
        await storage.file_task(connection, command, time, first_due(command.schedule, time))
    logger.info("A timed task was filed or cancelled.", action="task_filed", task=str(command.task))


def subscription() -> Subscription[Any]:
    """What the service listens to."""
    return Subscription(
        topic=SCHEDULE_COMMANDS,
        decode=decode,
        handle=on_command,
        dead_letters=SCHEDULE_DEAD_LETTERS,
        writers=frozenset({"gateway"}),
        command_id=lambda command: str(command.id),
        not_after=lambda command: command.notafter,
        key=lambda command: str(command.task),
    )


async def serve_scheduler(stop: asyncio.Event) -> None:
    """Run until `stop`."""
    settings = read_settings(ServiceSettings)
    secrets = Secrets(settings.secrets_dir)
    pool = await open_pool(settings.database_url, application_name="scrip-scheduler", min_size=1, max_size=8)
    await check_current(pool, MIGRATIONS, SCHEMA)
    loop = DueLoop(pool)
    sender = Sender(settings.kafka_bootstrap, own_writer(secrets, "scheduler"))
    relay = OutboxRelay(pool, sender)
    subscriber = Subscriber(
        settings.kafka_bootstrap,
        pool,
        Trust(secrets),
        [subscription()],
        service="scheduler",
        instance=settings.instance,
    )

    async def ready() -> list[str]:
        async with pool.acquire(timeout=1) as connection:
            await connection.fetchval("SELECT 1")
        return [*subscriber.reasons(), *relay.reasons(), *loop.reasons()]

    app = health_app(ready, extra_routes=api.routes(pool, secrets.service_token()), stop=stop)
    try:
        async with serve(app, settings.http_host, settings.http_port), asyncio.TaskGroup() as group:
            nothing_follows = asyncio.Event()
            group.create_task(relay.run(nothing_follows))
            async with asyncio.TaskGroup() as workers:
                workers.create_task(subscriber.run(stop))
                workers.create_task(loop.run(stop))
            nothing_follows.set()  # what they wrote last is still sent
    finally:
        await sender.stop()
        await pool.close()


def main() -> None:
    """Entry point."""
    if sys.argv[1:] == ["migrate"]:
        logs.configure("scheduler", 0, "json")
        asyncio.run(migrate(os.environ["SCRIP_DATABASE_URL"], MIGRATIONS, SCHEMA))
        return
    if sys.argv[1:]:
        sys.exit("usage: python -m scheduler [migrate]")
    settings = read_settings(ServiceSettings)
    logs.configure("scheduler", settings.instance, settings.log_format)
    run(serve_scheduler)


if __name__ == "__main__":
    main()
