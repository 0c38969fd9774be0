"""`python -m coupon_core` runs the service.

`python -m coupon_core migrate` brings its schema up to date, `python -m coupon_core audit` checks what the tables
hold and ends with 1 when something differs; both read SCRIP_DATABASE_URL alone. `python -m coupon_core accept-log-loss
LANE` (or `all`) lets a damaged lane go on with the log as it is; it reads SCRIP_KAFKA_BOOTSTRAP too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from uuid import uuid4

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from coupon_core.audit import print_audit
from coupon_core.codes.generated import GeneratedCodes
from coupon_core.continual_audit import ContinualAudit
from coupon_core.lanes.belonging import Belonging, accept_log_loss
from coupon_core.lanes.emitting import Emitter
from coupon_core.lanes.looking_up import CommandLog
from coupon_core.lanes.loop import Core
from coupon_core.lanes.reading import Reader
from coupon_core.lanes.rebuilding import Continuations, RebuildingReader, SilentEmitter
from coupon_core.queries import QueryApi
from coupon_core.readiness import why_not_ready
from coupon_core.settings import CoreSettings
from coupon_core.storage import Connection
from coupon_core.storage.codes import wrong_code_keys
from coupon_core.storage.lanes import any_lane
from coupon_core.storage.platform import platform_identity
from messaging.header_names import read_any_header_name
from messaging.sending import own_writer
from process import logs
from process.database import check_current, migrate, open_pool
from process.health import health_app, serve
from process.lifecycle import run
from process.settings import Secrets, read_settings

MIGRATIONS = Path(__file__).parent / "migrations"
SCHEMA = "core"
LOOP_PLANNER = {
    # The loop's joins always go from a small unnest to an index; a generic plan made on empty tables, or a hash
    # or sequential join chosen without statistics, costs twenty times as much.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "idle_in_transaction_session_timeout": "5000",
    "statement_timeout": "60000",
    "lock_timeout": "15000",
}
QUERY_PLANNER = {
    # Filters that are not given fold away only when a statement is planned with its arguments. The rest: a question
    # looks up few rows, also in tables without statistics.
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
}
QUERY_TIMEOUT_SECONDS = 5.0
"""Whoever asks the read API gives up after as long."""

logger = structlog.get_logger()


class WrongPlatform(Exception):
    """Database, broker and settings do not belong together; the message says which."""


async def cluster_id(bootstrap: str) -> str:
    """The broker's own cluster id."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def check_platform(connection: Connection, settings: CoreSettings, cluster: str, codes: GeneratedCodes) -> None:
    """The first process ever stores what its database belongs to.

    Raises:
        WrongPlatform: this process's settings or keys are not the database's own.
    """
    if settings.rebuild and await any_lane(connection):
        raise WrongPlatform("SCRIP_REBUILD fills an empty database, and this one has lanes: begin with a new one")
    told = settings.clock == "told"
    known = await platform_identity(connection, settings.partitions, cluster, told)
    if (known[0], known[2]) != (settings.partitions, told):
        raise WrongPlatform(
            f"this database belongs to {known[0]} lanes, told time {known[2]}; "
            f"the settings say {settings.partitions}, {told}: give it its own settings"
        )
    missing, others = await wrong_code_keys(connection, codes.fingerprints())
    if missing or others:
        raise WrongPlatform(
            f"code-keys.json lacks the versions {missing} and has other keys under {others} than this database has "
            "met: codes made under them could not be read; put the keys back"
        )


def consumer_of(settings: CoreSettings, group: str, member: str) -> AIOKafkaConsumer:
    """The loop's consumer, not started; `member` keeps its lanes through a quick restart."""
    milliseconds = int(settings.session_timeout_seconds * 1000)
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap.split(","),
        client_id=f"scrip-core-{settings.instance}",
        group_id=group,
        group_instance_id=member,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=milliseconds,
        heartbeat_interval_ms=max(300, milliseconds // 4),
        rebalance_timeout_ms=milliseconds,
        max_partition_fetch_bytes=4 * 1024 * 1024,
        fetch_max_wait_ms=100,
    )


async def serve_core(stop: asyncio.Event) -> None:
    """Run until `stop`."""
    settings = read_settings(CoreSettings)
    secrets = Secrets(settings.secrets_dir)
    pool = await open_pool(
        settings.database_url,
        application_name="scrip-core-queries",
        min_size=1,
        max_size=6,
        statement_timeout_seconds=QUERY_TIMEOUT_SECONDS,
        server_settings=QUERY_PLANNER,
    )
    await check_current(pool, MIGRATIONS, SCHEMA)
    cluster, codes = await cluster_id(settings.kafka_bootstrap), GeneratedCodes(secrets.code_keys())
    async with pool.acquire() as connection:
        await check_platform(connection, settings, cluster, codes)

    async def connect() -> Connection:
        return await asyncpg.connect(settings.database_url, timeout=5, command_timeout=70, server_settings=LOOP_PLANNER)

    writer, keys = own_writer(secrets, "core"), (secrets.writer_keys(), secrets.tool_master())
    emitter, reader = Emitter(settings.kafka_bootstrap, writer), Reader(settings.partitions, *keys)
    belonging = Belonging(settings.kafka_bootstrap, cluster, look_at_events=not settings.rebuild)
    group, member = "coupon-core", f"coupon-core-{settings.instance}"
    if settings.rebuild:
        continuations = Continuations()
        emitter = SilentEmitter(settings.kafka_bootstrap, writer, continuations)
        reader = RebuildingReader(settings.partitions, *keys, continuations)
        group = member = f"coupon-core-rebuild-{uuid4()}"  # all lanes, whoever else is reading the log
    await emitter.start()
    read_any_header_name()
    consumer = consumer_of(settings, group, member)
    core = Core(
        consumer=consumer,
        emitter=emitter,
        reader=reader,
        connect=connect,
        codes=codes,
        partitions=settings.partitions,
        told=settings.clock == "told",
        batch_records=settings.batch_records,
        batch_effects=settings.batch_effects,
        belonging=belonging,
    )
    log = CommandLog(settings.kafka_bootstrap, Reader(settings.partitions, *keys))
    queries = QueryApi(pool, codes, core, log, secrets.service_token())
    app = health_app(lambda: why_not_ready(core, pool), extra_routes=queries.routes(), stop=stop)
    continual = ContinualAudit(pool, lambda: core.lanes, settings.audit_share)
    async with serve(app, settings.http_host, settings.http_port):
        await consumer.start()
        auditing = None
        if settings.audit_share > 0 and not settings.rebuild:
            auditing = asyncio.create_task(continual.run(), name="audit")
        try:
            await core.run(stop)
        finally:
            if auditing is not None:
                auditing.cancel()
                await asyncio.gather(auditing, return_exceptions=True)
            await asyncio.wait_for(consumer.stop(), 5)
            await emitter.stop()
            await belonging.stop()
            await log.close()
            await pool.close()


async def print_accepted(database_url: str, bootstrap: str, lane: str) -> None:
    """`accept-log-loss`: an operator's word that lanes go on with the log as it is."""
    connection = await asyncpg.connect(database_url, timeout=5)
    try:
        partition = None if lane == "all" else int(lane)
        for said in await accept_log_loss(connection, bootstrap, await cluster_id(bootstrap), partition):
            print(said)
    except LookupError as error:
        sys.exit(f"nothing was changed: {error}")
    finally:
        await connection.close()


def main() -> None:
    """Entry point."""
    settings = read_settings(CoreSettings) if len(sys.argv) == 1 else None
    if sys.argv[1:] == ["migrate"]:
        logs.configure("coupon-core", 0, "json")
        asyncio.run(migrate(os.environ["SCRIP_DATABASE_URL"], MIGRATIONS, SCHEMA))
        return
    if sys.argv[1:] == ["audit"]:
        logs.configure("coupon-core", 0, "json")
        sys.exit(0 if asyncio.run(print_audit(os.environ["SCRIP_DATABASE_URL"])) else 1)
    if sys.argv[1:2] == ["accept-log-loss"] and (sys.argv[2:] == ["all"] or (sys.argv[2:3] and sys.argv[2].isdigit())):
        environment = os.environ
        asyncio.run(
            print_accepted(environment["SCRIP_DATABASE_URL"], environment["SCRIP_KAFKA_BOOTSTRAP"], sys.argv[2])
        )
        return
    if settings is None:
        sys.exit("usage: python -m coupon_core [migrate | audit | accept-log-loss LANE|all]")
    logs.configure("coupon-core", settings.instance, settings.log_format)
    run(serve_core)


if __name__ == "__main__":
    main()
