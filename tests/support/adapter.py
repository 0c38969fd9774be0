"""merchant-adapter as its own processes beside real merchants, a real broker and a real database.

async with running_adapter(databases, bootstrap, folder) as adapter:
    merchant = await adapter.add_merchant(demo)
    run = await adapter.sync(merchant)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.merchants import (
    MERCHANT_EVENT,
    DeliveryChanged,
    MerchantCommand,
    MerchantProfile,
    PushCampaign,
    RecallCoupons,
    RedriveDeliveries,
    SyncUsers,
    UsersSynced,
)
from contracts.topics import MERCHANT_COMMANDS, MERCHANT_EVENTS, MERCHANT_PROFILES
from messaging.sending import Sender
from process.secrets import seal
from process.settings import Secrets
from tests.support.core import CorePlatform
from tests.support.databases import Databases, migrate
from tests.support.demo_merchants import TOKEN, DemoMerchant
from tests.support.services import Service, logs_of, make_secrets, sending_as, until

QUICK = {
    "SCRIP_ALLOWED_LOOPBACK": "1",
    "SCRIP_CALL_DEADLINE_SECONDS": "3",
    "SCRIP_FIRST_RETRY_SECONDS": "0.2",
    "SCRIP_LONGEST_RETRY_SECONDS": "1",
    "SCRIP_MOST_FAILURES": "4",
    "SCRIP_MOST_ATTEMPTS": "4",
    "SCRIP_LEASE_SECONDS": "3",
}


@dataclass
class Adapter:
    """Adapter processes, and a gateway's way to talk to them."""

    service: Service
    gateway: Sender
    database_url: str
    versions: dict[UUID, int] = field(default_factory=dict)

    async def set_profile(
        self, merchant: UUID, demo: DemoMerchant | None, state: str = "active", token: str = TOKEN, **interface: Any
    ) -> None:
        """Tell the adapter a merchant's profile, as the gateway does."""
        self.versions[merchant] = self.versions.get(merchant, 0) + 1
        settings = None
        if demo is not None:
            keys = Secrets(self.service.secrets_folder).key_encryption_keys()
            sealed = seal(1, keys[1], token.encode(), f"interface:{merchant}".encode())
            settings = {
                "base_url": demo.address,
                "auth": "bearer",
                "sealed_secret": sealed,
                "page_size": 50,
            } | interface
        profile = MerchantProfile.model_validate(
            {
                "merchant": merchant,
                "name": "A merchant",
                "version": self.versions[merchant],
                "state": state,
                "dialect": "scrip",
                "interface": settings,
            }
        )
        key = str(merchant).encode()
        await self.gateway.send(MERCHANT_PROFILES.name, key, profile.model_dump_json().encode())

    async def add_merchant(self, demo: DemoMerchant | None, **settings: Any) -> UUID:
        """A new merchant whose interface is the demo merchant; known when this returns."""
        merchant = uuid4()
        await self.set_profile(merchant, demo, **settings)
        await self.knows(merchant)
        return merchant

    async def knows(self, merchant: UUID) -> None:
        async def known() -> bool:
            rows = await self.fetch("SELECT version FROM merchant WHERE id = $1", merchant)
            return bool(rows) and rows[0]["version"] == self.versions[merchant]

        await until(known, why=self.logs)

    async def command(self, kind: type[MerchantCommand], merchant: UUID, **fields: Any) -> None:
        """Order something of the adapter."""
        life = datetime.now(UTC) + timedelta(hours=1)
        command = kind.model_validate(
            {"id": uuid4(), "actor": "staff:test", "notafter": life, "merchant": merchant} | fields
        )
        await self.gateway.send(MERCHANT_COMMANDS.name, str(merchant).encode(), command.model_dump_json().encode())

    async def order_sync(self, merchant: UUID) -> UUID:
        run = uuid4()
        await self.command(SyncUsers, merchant, run=run)
        return run

    async def ended(self, run: UUID, seconds: float = 60) -> dict[str, Any]:
        """The run's report, when it has ended."""

        async def report() -> dict[str, Any] | None:
            with contextlib.suppress(httpx.TransportError, StopIteration):  # killed, or just starting
                answer = await self.service.get(f"/sync-runs/{run}", instance=self.alive())
                body: dict[str, Any] = answer.json()
                return body if answer.status_code == 200 and body["status"] in ("done", "failed") else None
            return None

        found: dict[str, Any] = await until(report, seconds, why=self.logs)
        return found

    async def sync(self, merchant: UUID, seconds: float = 60) -> dict[str, Any]:
        return await self.ended(await self.order_sync(merchant), seconds)

    async def push(self, merchant: UUID, campaign: UUID, audience: str = "all_users") -> None:
        await self.command(PushCampaign, merchant, campaign=campaign, audience=audience)

    async def recall(self, merchant: UUID, campaign: UUID, reason: str = "withdrawn") -> None:
        await self.command(RecallCoupons, merchant, campaign=campaign, reason=reason)

    async def redrive(self, merchant: UUID, delivery: UUID | None = None) -> None:
        await self.command(RedriveDeliveries, merchant, delivery=delivery)

    async def counts(self, campaign: UUID) -> dict[str, int]:
        answer = await self.service.get("/deliveries/counts", instance=self.alive(), campaign=str(campaign))
        counts: dict[str, int] = answer.json()["counts"]
        return counts

    async def until_counts(self, campaign: UUID, seconds: float = 60, **expected: int) -> None:
        """Wait until the deliveries of a campaign stand like this, and no others."""

        async def reached() -> bool:
            return await self.counts(campaign) == expected

        async def now() -> str:
            return str(await self.counts(campaign))

        try:
            await until(reached, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {await now()}\n{self.logs()}") from None

    def alive(self) -> int:
        return next(n for n, each in self.service.processes.items() if each.process.poll() is None)

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        """Rows of the adapter's tables."""
        connection = await asyncpg.connect(self.database_url)
        try:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows
        finally:
            await connection.close()

    async def events(self, merchant: UUID) -> list[UsersSynced | DeliveryChanged]:
        """First occurrences of the merchant's events on the topic; a repeat must be the same bytes."""

        async def all_sent() -> bool:
            return not await self.fetch("SELECT FROM outbox WHERE sent_at IS NULL LIMIT 1")

        await until(all_sent, why=self.logs)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.service.bootstrap, group_id=None, auto_offset_reset="earliest"
        )
        places = [TopicPartition(MERCHANT_EVENTS.name, n) for n in range(MERCHANT_EVENTS.partitions or 0)]
        await consumer.start()
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        seen: dict[str, bytes] = {}
        try:
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        if record.key == str(merchant).encode():
                            name = json.loads(record.value)["id"]
                            assert seen.setdefault(name, record.value) == record.value, "a repeat differs"
        finally:
            await consumer.stop()
        found = [MERCHANT_EVENT.validate_json(value) for value in seen.values()]
        return [event for event in found if isinstance(event, UsersSynced | DeliveryChanged)]

    def logs(self) -> str:
        return logs_of([self.service])


@asynccontextmanager
async def running_adapter(
    databases: Databases,
    bootstrap: str,
    folder: Path,
    *,
    core: CorePlatform | None = None,
    processes: int = 1,
    environment: dict[str, str] | None = None,
) -> AsyncIterator[Adapter]:
    """Adapter processes, ready; beside a core (on its database, with its secrets) or on a database of their own."""
    database = core.database if core is not None else await asyncio.to_thread(databases.fresh, "adapter")
    if core is not None:
        await asyncio.to_thread(migrate, "merchant_adapter", database.url("adapter"))
    secrets = make_secrets(core.secrets_folder if core is not None else folder / "secrets")
    settings = QUICK | (environment or {})
    if core is not None:
        settings |= {"SCRIP_CORE_URL": core.processes[0].url}
    service = Service("merchant_adapter", database.url("adapter"), bootstrap, folder, secrets, settings)
    try:
        for instance in range(processes):
            service.start(instance)
        for instance in range(processes):
            await service.wait_ready(instance)
        async with sending_as("gateway", bootstrap, secrets) as gateway:
            yield Adapter(service, gateway, database.url("adapter"))
    finally:
        await asyncio.to_thread(service.close)
        if core is None:
            await asyncio.to_thread(databases.drop, database)
