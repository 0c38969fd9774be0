"""Kafka and PostgreSQL are killed under load and come back; core lives on, and nothing is lost or doubled."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest

from scrip import supervisor
from scrip.backend import Backend
from tests.failures.load import Load
from tests.failures.test_processes import assert_nothing_differs
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.servers import local_backend


@pytest.fixture(scope="module")
def servers() -> Iterator[Backend]:
    """PostgreSQL and Kafka of this module's own, because it kills them.

    What dies often is started again later and later, after up to half a minute; here always after a second.
    """
    with pytest.MonkeyPatch.context() as patch, local_backend() as backend:
        patch.setattr(supervisor, "LONGEST_RESTART_SECONDS", supervisor.FIRST_RESTART_SECONDS)
        yield backend


@pytest.fixture(scope="module")
async def platform(servers: Backend, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CorePlatform]:
    databases = Databases(servers.admin_url)
    folder = tmp_path_factory.mktemp("servers")
    async with running_core(databases, servers.bootstrap, folder, told=False, processes=2) as core:
        yield core


@pytest.fixture(scope="module")
async def load(platform: CorePlatform) -> AsyncIterator[Load]:
    load = Load(platform)
    async with load.client:
        await load.prepare(12)
        yield load


async def strike(load: Load, servers: Backend, name: str, number: signal.Signals, times: int) -> None:
    """Kill a server under load, so often; each time it comes back, and so does the work."""
    pids = {process.process.pid for process in load.platform.processes.values()}
    load.start()
    for _ in range(times):
        await load.until(60)
        await asyncio.to_thread(servers.kill, name, number)
        await asyncio.to_thread(servers.wait_ready, name)
        await load.until(60, within=90)
    await load.finish()
    assert {process.process.pid for process in load.platform.processes.values()} == pids
    assert all(process.process.poll() is None for process in load.platform.processes.values())
    await assert_nothing_differs(load)


async def test_kafka_killed_and_restarted_loses_nothing_acknowledged(load: Load, servers: Backend) -> None:
    await strike(load, servers, "kafka", signal.SIGKILL, 1)


async def test_postgresql_stopped_immediately_and_restarted_skips_no_record(load: Load, servers: Backend) -> None:
    await strike(load, servers, "postgres", signal.SIGQUIT, 2)


@pytest.mark.soak
async def test_kafka_killed_again_and_again(load: Load, servers: Backend) -> None:
    await strike(load, servers, "kafka", signal.SIGKILL, 8)


@pytest.mark.soak
async def test_an_outage_longer_than_any_deadline_leaves_nothing_behind(load: Load, servers: Backend) -> None:
    """Core throws its producer away after 30 s; the one thrown away must not live on."""
    before = connections_to_kafka(load)
    for _ in range(2):
        load.start()
        await load.until(60)
        await asyncio.to_thread(servers.halt, "kafka")
        await asyncio.sleep(45)
        await asyncio.to_thread(servers.resume, "kafka")
        await load.until(60, within=120)
        await load.finish()
    await assert_nothing_differs(load)
    assert connections_to_kafka(load) <= before + 2


def connections_to_kafka(load: Load) -> int:
    """Of all core processes."""
    port = int(load.platform.bootstrap.rpartition(":")[2])
    return sum(
        connection.raddr.port == port
        for process in load.platform.processes.values()
        for connection in psutil.Process(process.process.pid).net_connections("tcp")
        if connection.raddr
    )


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL, signal.SIGINT])
async def test_postgresql_stopped_in_every_way_again_and_again(
    load: Load, servers: Backend, number: signal.Signals
) -> None:
    await strike(load, servers, "postgres", number, 8)
