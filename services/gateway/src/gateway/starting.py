"""Builds the parts of a gateway, runs them side by side, and takes them down in order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from contracts.topics import COUPON_COMMANDS, MERCHANT_COMMANDS, SCHEDULE_COMMANDS
from gateway.access import merchants as life
from gateway.access.applicants import ApplicantLimit
from gateway.application import gateway_app
from gateway.bulk import Bulk
from gateway.catalogue.offers import Offers
from gateway.clock import ClockControl
from gateway.commanding import Commanding
from gateway.core_client import CoreClient
from gateway.dead_letters import DeadLetters
from gateway.guessing import WrongCodes
from gateway.identity.front_door import FrontDoor
from gateway.identity.staff import StaffDoor
from gateway.identity.watching import Watch
from gateway.lanes import Lanes
from gateway.live_stream import LiveStream
from gateway.once import KEPT_DAYS
from gateway.parts import Parts
from gateway.service_client import ServiceClient
from gateway.settings import GatewaySettings
from gateway.storage import bulks, tokens
from gateway.user_attributes import UserAttributes
from messaging.not_now import database_is_away
from messaging.outbox import OutboxRelay
from messaging.replies import ReplyReader
from messaging.sending import Sender, own_writer
from messaging.topics_admin import check_topics
from process.database import Pool, check_current, open_pool
from process.health import health_routes, serve
from process.settings import Secrets, read_settings

MIGRATIONS = Path(__file__).parent / "migrations"
SCHEMA = "gateway"
POOL_CONNECTIONS = 12
TIDY_SECONDS = 3_600.0
DRAIN_SECONDS = 10

logger = structlog.get_logger()


class Gateway:
    """One running gateway process."""

    def __init__(self, settings: GatewaySettings, pool: Pool) -> None:
        secrets = Secrets(settings.secrets_dir)
        bootstrap, token = settings.kafka_bootstrap, secrets.service_token()
        self.settings = settings
        self.pool = pool
        self.sender = Sender(bootstrap, own_writer(secrets, "gateway"))
        self.bulk_sender = Sender(bootstrap, own_writer(secrets, "gateway"))
        self.replies = ReplyReader(bootstrap, settings.instance)
        self.watch = Watch(pool)
        self.relay = OutboxRelay(pool, self.bulk_sender)
        self.services = {
            "core": ServiceClient("core", settings.core_url, token),
            "adapter": ServiceClient("adapter", settings.adapter_url, token),
            "scheduler": ServiceClient("scheduler", settings.scheduler_url, token),
        }
        core = CoreClient(self.services["core"])
        attributes = UserAttributes(core, self.services["adapter"])
        commanding = Commanding(self.sender, self.replies, core, attributes, settings.partitions, settings.instance)
        keys = secrets.key_encryption_keys()
        lanes = Lanes(pool, commanding, life.became_known)
        live = LiveStream(bootstrap, settings.partitions, settings.stream_connections)
        by_topic = {
            COUPON_COMMANDS.name: self.services["core"],
            MERCHANT_COMMANDS.name: self.services["adapter"],
            SCHEDULE_COMMANDS.name: self.services["scheduler"],
        }
        self.parts = Parts(
            settings=settings,
            pool=pool,
            sender=self.sender,
            commanding=commanding,
            bulk=Bulk(commanding, pool),
            clock=ClockControl(commanding, pool),
            lanes=lanes,
            live=live,
            core=core,
            adapter=self.services["adapter"],
            scheduler=self.services["scheduler"],
            front_door=FrontDoor(pool, keys, self.watch),
            staff_door=StaffDoor(pool, secrets.admin_token(), self.watch),
            applicants=ApplicantLimit(settings.access_requests_per_minute),
            wrong_codes=WrongCodes(settings.wrong_codes_per_minute),
            offers=Offers(core),
            dead_letters=DeadLetters(by_topic, self.sender, settings.partitions),
            keys=keys,
            tool_master=secrets.tool_master(),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then drain. Raises what stops a part from doing its work."""
        # Replies are read before the first command can be sent.
        await self.replies.start()
        await self.sender.start()
        ending = asyncio.Event()
        health = health_routes(self.why_not_ready, stop)
        app = gateway_app(self.parts, health)
        work: tuple[Coroutine[Any, Any, None], ...] = (
            self.watch.run(ending),
            self.relay.run(ending),
            self.parts.lanes.run(ending),
            self.parts.live.run(stop),
            self._tidy(ending),
        )
        async with serve(
            app,
            self.settings.http_host,
            self.settings.http_port,
            drain_seconds=DRAIN_SECONDS,
            concurrency_limit=self.settings.connections,
        ) as port:
            logger.info("The gateway serves.", action="gateway_serving", port=port)
            tasks = [asyncio.create_task(each) for each in work]
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            failed = next((task for task in tasks if task.done() and task.exception()), None)
            if failed is None:
                await asyncio.sleep(self.settings.linger_seconds)
        stopping.cancel()
        ending.set()
        await asyncio.wait(tasks, timeout=5)
        for task in tasks:
            task.cancel()
        await self._close()
        if failed is not None:
            failed.result()

    async def why_not_ready(self) -> list[str]:
        """Reasons for which no work can be done now."""
        reasons = [*self.replies.reasons(), *self.relay.reasons()]
        try:
            async with asyncio.timeout(1.0):
                await self.replies.ask_broker()
        except (KafkaError, TimeoutError):
            reasons.append("The Kafka broker does not answer.")
        if not self.watch.listening:
            reasons.append("Changes of merchants are not heard of: the database is away.")
        try:
            async with self.pool.acquire(timeout=1.0) as connection:
                await connection.fetchval("SELECT 1")
        except Exception as error:
            if not database_is_away(error):
                raise
            reasons.append("The database does not answer.")
        return reasons

    async def _close(self) -> None:
        await self.replies.stop()
        await self.sender.stop()
        await self.bulk_sender.stop()
        for service in self.services.values():
            await service.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await self.pool.close()

    async def _tidy(self, stop: asyncio.Event) -> None:
        """Forget answers and bulk requests nobody will ask for again."""
        while not stop.is_set():
            try:
                await tokens.forget_older(self.pool, KEPT_DAYS)
                await bulks.forget_older(self.pool, KEPT_DAYS)
            except Exception as error:
                if not database_is_away(error):
                    raise
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TIDY_SECONDS):
                    await stop.wait()


async def run_gateway(stop: asyncio.Event) -> None:
    """Start, serve until `stop`, take down."""
    started = time.monotonic()
    settings = read_settings(GatewaySettings)
    pool = await open_pool(
        settings.database_url,
        application_name=f"scrip-gateway-{settings.instance}",
        min_size=2,
        max_size=POOL_CONNECTIONS,
        jsonb=True,
    )
    await check_current(pool, MIGRATIONS, SCHEMA)
    await check_topics(settings.kafka_bootstrap, settings.partitions)
    gateway = Gateway(settings, pool)
    logger.info("The gateway is built.", action="gateway_built", seconds=round(time.monotonic() - started, 2))
    await gateway.run(stop)
