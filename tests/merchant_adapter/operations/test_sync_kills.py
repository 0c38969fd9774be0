"""Fetching users while adapters are killed and put to sleep: nobody twice, nobody missed, no page by a zombie."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from contracts.merchants import UsersSynced
from tests.merchant_adapter.operations.conftest import Demo
from tests.support.adapter import running_adapter
from tests.support.databases import Databases
from tests.support.figures import show
from tests.support.servers import local_backend
from tests.support.services import until


async def test_two_processes_killed_at_every_page_fetch_everybody_once(
    databases: Databases, topics: str, tmp_path: Path, demo: Demo
) -> None:
    shop = demo("--users", "600")
    async with running_adapter(databases, topics, tmp_path, processes=2) as adapter:
        merchant = await adapter.add_merchant(shop, page_size=20)
        for process in adapter.service.processes.values():
            process.kill()
        for instance in (0, 1):
            adapter.service.start(instance, SCRIP_FAILPOINTS="adapter.page_answered=kill@4")
        await adapter.service.wait_ready(0)
        run = await adapter.order_sync(merchant)
        died = 0
        while died < 3:
            for instance, process in list(adapter.service.processes.items()):
                if process.process.poll() == -signal.SIGKILL:
                    died += 1
                    adapter.service.start(instance, SCRIP_FAILPOINTS="adapter.page_answered=kill@4")
            await asyncio.sleep(0.1)
        for instance, process in list(adapter.service.processes.items()):
            process.kill()
            adapter.service.start(instance)
        await adapter.service.wait_ready(0)
        report = await adapter.ended(run, 120)
        assert [report[name] for name in ("status", "pages", "seen", "new", "gone")] == ["done", 30, 600, 600, 0]
        died = sum(" kill " in line for line in adapter.service.failpoints_hit())
        show(f"killed {died} times at adapter.page_answered, and both once anywhere")
        again = int(shop.counts()["users_served"]) - 600
        assert died * 20 <= again <= (died + 2) * 40, "only the pages in hand at a kill were fetched again"
        reports = [event for event in await adapter.events(merchant) if isinstance(event, UsersSynced)]
        assert len(reports) == 1


async def test_a_worker_that_slept_through_its_lease_writes_nothing(
    databases: Databases, topics: str, tmp_path: Path, demo: Demo
) -> None:
    shop = demo("--users", "200")
    async with running_adapter(databases, topics, tmp_path) as adapter:
        merchant = await adapter.add_merchant(shop, page_size=20)
        adapter.service.processes[0].kill()
        zombie = adapter.service.start(0, SCRIP_FAILPOINTS="adapter.page_answered=stop@3")
        await adapter.service.wait_ready(0)
        run = await adapter.order_sync(merchant)
        await asyncio.to_thread(os.waitid, os.P_PID, zombie.process.pid, os.WSTOPPED | os.WNOWAIT)
        adapter.service.start(1)
        await adapter.service.wait_ready(1)

        async def done() -> bool:
            return bool(await adapter.fetch("SELECT FROM sync_run WHERE id = $1 AND status = 'done'", run))

        await until(done, 90)
        before = await adapter.fetch("SELECT * FROM sync_run WHERE id = $1", run)
        zombie.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(2)
        assert await adapter.fetch("SELECT * FROM sync_run WHERE id = $1", run) == before
        assert (before[0]["pages"], before[0]["seen"], before[0]["new"]) == (10, 200, 200)


async def test_stopped_in_the_middle_it_exits_in_order_and_another_goes_on_at_once(
    databases: Databases, topics: str, tmp_path: Path, demo: Demo
) -> None:
    shop = demo("--users", "300")
    async with running_adapter(databases, topics, tmp_path, processes=2) as adapter:
        merchant = await adapter.add_merchant(shop, page_size=10, requests_per_second=10)
        run = await adapter.order_sync(merchant)

        async def begun() -> bool:
            return bool(await adapter.fetch("SELECT FROM sync_run WHERE id = $1 AND pages > 2", run))

        await until(begun)
        shop.plant("users", "drip", nth=1)
        assert await asyncio.to_thread(adapter.service.processes[0].stop) == 0
        report = await adapter.ended(run)
        assert [report[name] for name in ("status", "seen", "new")] == ["done", 300, 300]


async def test_the_database_killed_in_the_middle_costs_a_pause_only(topics: str, tmp_path: Path, demo: Demo) -> None:
    shop = demo("--users", "300")
    with local_backend(kafka=False) as server:
        databases = Databases(server.admin_url)
        async with running_adapter(databases, topics, tmp_path) as adapter:
            merchant = await adapter.add_merchant(shop, page_size=10, requests_per_second=20)
            run = await adapter.order_sync(merchant)

            async def begun() -> bool:
                return bool(await adapter.fetch("SELECT FROM sync_run WHERE id = $1 AND pages > 2", run))

            await until(begun)
            await asyncio.to_thread(server.kill, "postgres")
            await asyncio.to_thread(server.wait_ready, "postgres")
            report = await adapter.ended(run)
            assert [report[name] for name in ("status", "seen", "new")] == ["done", 300, 300]
            assert adapter.service.processes[0].process.poll() is None, "it did not have to be started again"
            await adapter.service.wait_ready(0)
