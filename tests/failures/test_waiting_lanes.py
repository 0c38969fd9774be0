"""Lanes that wait for database, broker or clock: /metrics and /readyz say so, and all go on by themselves."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from contracts.commands import CommandRecord, IssueCoupons, IssueRow
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS
from contracts.writers import WRITER_HEADER, sign
from coupon_core.lanes import emitting
from coupon_core.storage.journal import REFUSALS, JournalRow
from scrip.backend import Backend
from tests.support.campaigns import generated
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.topics import take_the_senders_time

SPRING: dict[str, Any] = {"validity": {"starts": "2026-01-01", "ends": "2036-12-31"}}
IMPATIENT = """
import sys
from coupon_core.lanes import emitting
emitting.ACKNOWLEDGEMENT_SECONDS = 2.0
sys.argv = ["coupon_core"]
from coupon_core.__main__ import main
main()
"""
"""Gives a broker up after 2 s, not 30."""


@pytest.fixture
async def core(databases: Databases, fresh_broker: Backend, tmp_path: Path) -> AsyncIterator[CorePlatform]:
    async with running_core(databases, fresh_broker.bootstrap, tmp_path, told=False) as running:
        await asyncio.to_thread(running.processes[0].stop)
        running.program = ("-c", IMPATIENT)
        running.start_process(0)
        await running.wait_ready(0)
        for name in ("spring", "autumn"):
            await generated(running, name, **SPRING)
        assert lane_of(running, "spring") != lane_of(running, "autumn")
        yield running


def lane_of(core: CorePlatform, name: str) -> int:
    return partition_of(str(campaign_id(PLATFORM, name)).encode(), core.partitions)


def issuing(core: CorePlatform, name: str, user: str) -> CommandRecord:
    return core.record(IssueCoupons(rows=(IssueRow(user=user),)), campaign=campaign_id(PLATFORM, name))


async def metric(core: CorePlatform, name: str, **labels: str) -> float | None:
    text = (await core.http.get(f"{core.processes[0].url}/metrics")).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


async def lag(core: CorePlatform, name: str) -> float | None:
    return await metric(core, "scrip_core_lag_records", partition=str(lane_of(core, name)))


async def unsent_for(core: CorePlatform) -> float:
    return await metric(core, "scrip_core_oldest_not_emitted_seconds") or 0.0


async def status(core: CorePlatform, record: CommandRecord) -> str | None:
    answer = await core.get(f"/commands/{record.id}")
    return answer.json()["status"] if answer.status_code == 200 else None


async def reasons(core: CorePlatform) -> str:
    answer: httpx.Response = await core.http.get(f"{core.processes[0].url}/readyz")
    return answer.text if answer.status_code == 503 else ""


async def until(said: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 40) -> Any:
    """Ask until the answer is as wanted; that answer."""
    deadline = time.monotonic() + seconds
    while not wanted(found := await said()):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
    return found


async def test_what_waits_for_the_database_is_lag_and_what_waits_for_the_broker_grows_old(
    core: CorePlatform, fresh_broker: Backend
) -> None:
    await until(lambda: lag(core, "spring"), lambda found: found == 0)
    assert await unsent_for(core) == 0
    holder = await asyncpg.connect(core.database.url("core"))
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE campaign IN ACCESS EXCLUSIVE MODE")
            for user in ("a", "b", "c"):
                await core.append_record(issuing(core, "spring", user))
            await until(lambda: lag(core, "spring"), lambda found: found == 3)
            assert await lag(core, "autumn") == 0
            await asyncio.to_thread(fresh_broker.halt, "kafka")
    finally:
        await holder.close()
    # They are committed now, and the broker is given up twice and more while they wait.
    try:
        await until(lambda: unsent_for(core), lambda found: found > 7)
        assert "the Kafka broker does not answer" in await until(lambda: reasons(core), lambda found: "broker" in found)
    finally:
        await asyncio.to_thread(fresh_broker.resume, "kafka")
    await core.wait_ready(0)
    assert await unsent_for(core) == 0
    await until(lambda: lag(core, "spring"), lambda found: found == 0)


async def test_a_record_from_the_future_holds_its_lane_alone_until_the_clock_is_near_it(core: CorePlatform) -> None:
    take_the_senders_time(core.bootstrap)
    early = issuing(core, "spring", "before")
    future = issuing(core, "spring", "future")
    await core.append_record(early)
    await append_at(core, future, datetime.now(UTC) + timedelta(seconds=38))
    said = await until(lambda: reasons(core), bool)
    assert "more than 30 s ahead of this machine's clock" in said
    assert "goes on by itself" in said
    await until(lambda: status(core, early), lambda found: found == "done")
    assert (await core.send(issuing(core, "autumn", "meanwhile"))).status == "done"
    assert await status(core, future) is None
    assert (await core.send(issuing(core, "spring", "behind"))).status == "done"
    assert await status(core, future) == "done"
    await core.wait_ready(0)


async def append_at(core: CorePlatform, record: CommandRecord, moment: datetime) -> None:
    key, value = record.subject.encode(), record.model_dump_json(exclude_none=True).encode()
    signature = sign(core.writer(), COUPON_COMMANDS.name, key, value)
    producer = AIOKafkaProducer(bootstrap_servers=core.bootstrap, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(
            COUPON_COMMANDS.name,
            value,
            key=key,
            partition=partition_of(key, core.partitions),
            timestamp_ms=int(moment.timestamp() * 1000),
            headers=[(WRITER_HEADER, signature)],
        )
    finally:
        await producer.stop()


@pytest.mark.soak
async def test_a_producer_core_has_thrown_away_does_not_go_on_trying(
    core: CorePlatform, fresh_broker: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emitting, "ACKNOWLEDGEMENT_SECONDS", 2.0)
    before = sending_tasks()
    emitter = emitting.Emitter(core.bootstrap, core.writer("core"))
    await emitter.start()
    row = JournalRow(0, 1, REFUSALS, None, None, None, ['{"subject": "nothing"}'])
    await emitter.emit([row])
    assert len(sending_tasks() - before) == 1
    await asyncio.to_thread(fresh_broker.halt, "kafka")
    try:
        with pytest.raises(emitting.NotEmitted):
            await emitter.emit([row])
        async with asyncio.timeout(15):  # a request under way may end first
            while sending_tasks() - before:
                await asyncio.sleep(0.1)
    finally:
        await asyncio.to_thread(fresh_broker.resume, "kafka")


def sending_tasks() -> set[asyncio.Task[Any]]:
    """What aiokafka's producers of this process run."""
    return {task for task in asyncio.all_tasks() if "_sender_routine" in repr(task.get_coro())}
