"""A lane that does not belong to its log stands still and names the operator's command; the others go on."""

import asyncio
import base64
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from contracts.commands import IssueCoupons, IssueRow, SetMerchant
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from contracts.partitioner import partition_of
from scrip.databases import ServiceDatabase, quoted
from tests.failures.checker import check
from tests.support.campaigns import generated
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases, execute
from tests.support.deciding import MERCHANT
from tests.support.servers import Servers
from tests.support.topics import reset_topics

SPRING: dict[str, Any] = {"validity": {"starts": "2026-01-01", "ends": "2036-12-31"}}
HURT, WELL = "spring", "autumn"
"""Campaigns in two lanes."""


@pytest.fixture
async def core(databases: Databases, backend: Servers, tmp_path: Path) -> AsyncIterator[CorePlatform]:
    async with running_core(databases, backend.bootstrap, tmp_path, told=False) as running:
        for name in (HURT, WELL):
            await generated(running, name, **SPRING)
        assert lane_of(running, HURT) != lane_of(running, WELL)
        yield running


def lane_of(core: CorePlatform, name: str) -> int:
    return partition_of(str(campaign_id(PLATFORM, name)).encode(), core.partitions)


async def issue(core: CorePlatform, name: str, user: str) -> None:
    await core.done(IssueCoupons(rows=(IssueRow(user=user),)), campaign=campaign_id(PLATFORM, name))


async def stop(core: CorePlatform) -> None:
    assert await asyncio.to_thread(core.processes[0].stop) == 0


async def reasons(core: CorePlatform, wanted: str) -> str:
    """Start core; what its readiness says, once it says this."""
    process = core.start_process(0)
    text = ""
    async with asyncio.timeout(60):
        while wanted not in text:
            with contextlib.suppress(httpx.TransportError):
                answer = await core.http.get(f"{process.url}/readyz")
                text = answer.text if answer.status_code == 503 else ""
            await asyncio.sleep(0.1)
    return text


async def operator(core: CorePlatform, lane: str) -> subprocess.CompletedProcess[str]:
    """The operator's command, as `scrip lane accept-log-loss` runs it."""
    environment = {"SCRIP_DATABASE_URL": core.database.url("core"), "SCRIP_KAFKA_BOOTSTRAP": core.bootstrap}
    command = [sys.executable, "-m", "coupon_core", "accept-log-loss", lane]
    return await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True)


async def change(core: CorePlatform, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def epochs(core: CorePlatform) -> dict[int, int]:
    """Every lane's epoch; each take-over raises it."""
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        return {row["partition"]: row["epoch"] for row in await connection.fetch("SELECT partition, epoch FROM lane")}
    finally:
        await connection.close()


async def test_a_position_outside_the_log_stops_that_lane_alone_until_the_operator_has_spoken(
    core: CorePlatform,
) -> None:
    await stop(core)
    lane = lane_of(core, HURT)
    await change(core, "UPDATE lane SET position = 1000000 WHERE partition = $1", lane)
    before = await epochs(core)
    said = await reasons(core, "1000000")
    assert f"`scrip lane accept-log-loss {lane}`" in said
    assert (await epochs(core))[lane] == before[lane], "to look at a lane is not to take it"
    await issue(core, WELL, "meanwhile")
    done = await operator(core, str(lane))
    assert done.returncode == 0, done.stderr
    assert f"lane {lane} moves from 1000000 to offset" in done.stdout
    await core.wait_ready(0)
    await issue(core, HURT, "afterwards")


async def test_events_ahead_of_the_database_stop_their_lane_and_are_decided_again_byte_for_byte(
    core: CorePlatform, databases: Databases
) -> None:
    await stop(core)
    lived = core.database
    older = f"{lived.name}_older"
    await execute(databases.server_url, f"CREATE DATABASE {quoted(older)} TEMPLATE {quoted(lived.name)}")
    core.start_process(0)
    await core.wait_ready(0)
    await issue(core, HURT, "forgotten")
    await stop(core)
    services = {
        name: ServiceDatabase(each.schema, each.role, each.url.replace(lived.name, older))
        for name, each in lived.services.items()
    }
    for each in services.values():
        await execute(databases.server_url, f"GRANT CONNECT ON DATABASE {quoted(older)} TO {quoted(each.role)}")
    core.database = replace(lived, name=older, services=services)
    lane = lane_of(core, HURT)
    said = await reasons(core, "older than the log")
    assert f"lane {lane} has told event {campaign_id(PLATFORM, HURT)}:" in said
    assert f"`scrip lane accept-log-loss {lane}`" in said
    await issue(core, WELL, "meanwhile")
    assert (await operator(core, str(lane))).returncode == 0
    await core.wait_ready(0)
    found = await check(core.bootstrap, core.database.url("core"), {}, core.partitions)
    assert not found, found


async def test_another_cluster_stops_all_lanes_and_only_all_can_be_accepted(core: CorePlatform) -> None:
    await stop(core)
    await change(core, "UPDATE platform SET cluster_id = 'another'")
    before = await epochs(core)
    said = await reasons(core, "cluster another")
    assert await epochs(core) == before, "who reads another cluster's log must not take lanes from their owners"
    assert "`scrip lane accept-log-loss all`" in said
    refused = await operator(core, "3")
    assert refused.returncode != 0
    assert "for all lanes at once" in refused.stderr
    assert (await operator(core, "all")).returncode == 0
    await core.wait_ready(0)
    await issue(core, HURT, "afterwards")
    found = await check(core.bootstrap, core.database.url("core"), {}, core.partitions)
    assert not found, found


async def test_in_a_replaced_log_a_place_used_again_is_the_new_records(core: CorePlatform) -> None:
    lane = lane_of(core, HURT)

    async def tell(value: bytes, version: int) -> tuple[int, dict[str, Any]]:
        """A dead letter, and behind it a fact of the lane; the place, and the dead letter there."""
        at = await core.append(b"nobody", value, partition=lane)
        await core.done(
            SetMerchant.model_validate({"partition": lane, "merchant": MERCHANT, "version": version, "state": "active"})
        )
        return at, await core.read(f"/dead-letters/coupon.commands-{lane}-{at}")

    place, _ = await tell(b"of the first log", 1)
    await core.close()
    await asyncio.to_thread(reset_topics, core.bootstrap, core.partitions)
    await core.open()
    said = await reasons(core, f"`scrip lane accept-log-loss {lane}`")
    assert "the log was cut or replaced" in said
    assert (await operator(core, "all")).returncode == 0
    await core.wait_ready(0)
    for _ in range(place):
        await core.append(b"nobody", b"another", partition=lane)
    again, letter = await tell(b"of the second log", 2)
    assert again == place
    assert base64.b64decode(letter["value"]) == b"of the second log"
    await issue(core, HURT, "afterwards")
