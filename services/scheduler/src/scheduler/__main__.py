"""`python -m scheduler` runs the service; `python -m scheduler migrate` brings its schema up to date."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from contracts.topics import SCHEDULE_COMMANDS, SCHEDULE_DEAD_LETTERS
from messaging.outbox import OutboxRelay
from messaging.sending import Sender, own_writer
from messaging.subscribing import Subscriber, Subscription
from messaging.trusting import Trust
from process import logs
from process.database import check_current, migrate, open_pool
from process.health import health_app, serve
from process.lifecycle import run
from process.settings import Secrets, read_settings
from scheduler import api, filing
from scheduler.due import DueLoop
from scheduler.settings import SchedulerSettings

MIGRATIONS = Path(__file__).parent / "migrations"
SCHEMA = "scheduler"
COMMANDS = Subscription(
    topic=SCHEDULE_COMMANDS,
    decode=filing.read_command,
    handle=filing.on_schedule_command,
    dead_letters=SCHEDULE_DEAD_LETTERS,
    # Tools are not heard here: what rights a tool has only coupon-core knows.
    writers=frozenset({"gateway"}),
    command_id=lambda command: str(command.id),
    not_after=lambda command: command.notafter,
    key=lambda command: str(command.task),
)


async def serve_scheduler(stop: asyncio.Event) -> None:
    """Run until `stop`."""
    settings = read_settings(SchedulerSettings)
    secrets = Secrets(settings.secrets_dir)
    pool = await open_pool(settings.database_url, application_name="scrip-scheduler", max_size=8)
    await check_current(pool, MIGRATIONS, SCHEMA)
    sender = Sender(settings.kafka_bootstrap, own_writer(secrets, "scheduler"))
    relay = OutboxRelay(pool, sender)
    loop = DueLoop(pool, settings.poll_seconds)
    subscriber = Subscriber(
        settings.kafka_bootstrap, pool, Trust(secrets), [COMMANDS], service="scheduler", instance=settings.instance
    )

    async def ready() -> list[str]:
        async with pool.acquire(timeout=1) as connection:
            await connection.fetchval("SELECT 1")
        return [*subscriber.reasons(), *loop.reasons(), *relay.reasons()]

    app = health_app(ready, extra_routes=api.routes(pool, secrets.service_token()), stop=stop)
    nothing_more = asyncio.Event()
    try:
        async with serve(app, settings.http_host, settings.http_port), asyncio.TaskGroup() as group:
            group.create_task(relay.run(nothing_more))
            async with asyncio.TaskGroup() as workers:
                workers.create_task(loop.run(stop))
                workers.create_task(subscriber.run(stop))
            nothing_more.set()  # what the workers wrote last is still sent
    finally:
        await sender.stop()
        await pool.close()


def main() -> None:
    """Entry point."""
    if sys.argv[1:] == ["migrate"]:
        logs.configure("scheduler", 0)
        asyncio.run(migrate(os.environ["SCRIP_DATABASE_URL"], MIGRATIONS, SCHEMA))
        return
    if sys.argv[1:]:
        sys.exit("usage: python -m scheduler [migrate]")
    settings = read_settings(SchedulerSettings)
    logs.configure("scheduler", settings.instance, settings.log_format)
    run(serve_scheduler)


if __name__ == "__main__":
    main()
