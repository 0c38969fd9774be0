"""`python -m merchant_adapter` runs the service; `python -m merchant_adapter migrate` brings its schema up to date."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from contracts.events import EVENT_RECORD, EventRecord
from contracts.merchants import MERCHANT_COMMAND, MerchantProfile
from contracts.schedules import TaskDue
from contracts.topics import (
    COUPON_EVENTS,
    MERCHANT_COMMANDS,
    MERCHANT_DEAD_LETTERS,
    MERCHANT_PROFILES,
    SCHEDULE_EVENTS,
)
from merchant_adapter import api
from merchant_adapter.calling import Caller
from merchant_adapter.core_reader import CoreReader
from merchant_adapter.interfaces import AddressPolicy, HttpLimits, Outbound
from merchant_adapter.operations import filing
from merchant_adapter.settings import AdapterSettings
from merchant_adapter.working import Workers
from messaging.outbox import OutboxRelay
from messaging.sending import Sender, own_writer
from messaging.subscribing import Subscriber, Subscription
from messaging.trusting import Trust
from process import logs
from process.database import check_current, migrate, open_pool
from process.health import health_app, serve
from process.lifecycle import run
from process.settings import Secrets, read_settings

MIGRATIONS = Path(__file__).parent / "migrations"
SCHEMA = "adapter"


def subscriptions() -> list[Subscription[Any]]:
    """What the service listens to."""
    return [
        Subscription(
            topic=MERCHANT_COMMANDS,
            decode=MERCHANT_COMMAND.validate_json,
            handle=filing.on_merchant_command,
            dead_letters=MERCHANT_DEAD_LETTERS,
            writers=frozenset({"gateway"}),
            command_id=lambda command: str(command.id),
            not_after=lambda command: command.notafter,
            key=lambda command: str(command.merchant),
        ),
        Subscription(
            topic=SCHEDULE_EVENTS,
            decode=TaskDue.model_validate_json,
            handle=filing.on_task_due,
            dead_letters=MERCHANT_DEAD_LETTERS,
            writers=frozenset({"scheduler"}),
            command_id=lambda tick: str(tick.id),
        ),
        Subscription(
            topic=MERCHANT_PROFILES,
            decode=MerchantProfile.model_validate_json,
            handle=filing.on_profile,
            dead_letters=MERCHANT_DEAD_LETTERS,
            writers=frozenset({"gateway"}),
        ),
        Subscription(
            topic=COUPON_EVENTS,
            decode=_event,
            handle=filing.on_coupon_event,
            dead_letters=MERCHANT_DEAD_LETTERS,
            writers=None,
            interesting=filing.campaigns_that_matter,
        ),
    ]


def _event(value: bytes) -> EventRecord:
    return EVENT_RECORD.validate_json(value)


async def serve_adapter(stop: asyncio.Event) -> None:
    """Run until `stop`."""
    settings = read_settings(AdapterSettings)
    secrets = Secrets(settings.secrets_dir)
    # A job holds a connection only while it writes, not while it waits for a merchant.
    pool = await open_pool(settings.database_url, application_name="scrip-adapter", min_size=2, max_size=16)
    await check_current(pool, MIGRATIONS, SCHEMA)
    outbound = Outbound(
        AddressPolicy(allow_local=settings.allowed_loopback),
        HttpLimits(deadline_seconds=settings.call_deadline_seconds),
    )
    core = CoreReader(settings.core_url or "http://127.0.0.1", secrets.service_token())
    caller = Caller(outbound, secrets.key_encryption_keys(), settings)
    workers = Workers(pool, caller, core, settings.workers, settings.lease_seconds)
    sender = Sender(settings.kafka_bootstrap, own_writer(secrets, "adapter"))
    relay = OutboxRelay(pool, sender)
    subscriber = Subscriber(
        settings.kafka_bootstrap,
        pool,
        Trust(secrets),
        subscriptions(),
        service="merchant-adapter",
        instance=settings.instance,
    )

    async def ready() -> list[str]:
        async with pool.acquire(timeout=1) as connection:
            await connection.fetchval("SELECT 1")
        return [*subscriber.reasons(), *relay.reasons(), *workers.reasons()]

    app = health_app(ready, extra_routes=api.routes(pool, secrets.service_token()), stop=stop)
    try:
        async with serve(app, settings.http_host, settings.http_port), asyncio.TaskGroup() as group:
            nothing_follows = asyncio.Event()
            group.create_task(relay.run(nothing_follows))
            async with asyncio.TaskGroup() as writing:
                writing.create_task(subscriber.run(stop))
                writing.create_task(workers.run(stop))
            nothing_follows.set()  # what they wrote last is still sent
    finally:
        await sender.stop()
        await core.aclose()
        await outbound.aclose()
        await pool.close()


def main() -> None:
    """Entry point."""
    if sys.argv[1:] == ["migrate"]:
        logs.configure("merchant-adapter", 0, "json")
        asyncio.run(migrate(os.environ["SCRIP_DATABASE_URL"], MIGRATIONS, SCHEMA))
        return
    if sys.argv[1:]:
        sys.exit("usage: python -m merchant_adapter [migrate]")
    settings = read_settings(AdapterSettings)
    logs.configure("merchant-adapter", settings.instance, settings.log_format)
    run(serve_adapter)


if __name__ == "__main__":
    main()
