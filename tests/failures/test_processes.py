"""Core processes die, sleep, come and go under load; afterwards nothing is lost and nothing happened twice."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import coupon_core.lanes.loop  # noqa: F401  declares core's fail points
from process import failpoints
from tests.failures.checker import check
from tests.failures.load import Load
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.servers import Servers

KILLS = (
    ("core.before_commit", 15),
    ("core.after_commit", 15),
    ("core.mid_drain", 1),
    ("core.mid_emit", 15),
    ("core.after_epoch", 2),
    ("core.before_reply", 15),
    ("core.between_slice_and_continuation", 1),
)
"""Fail points with the hit at which the process dies. Each death leaves something for the next start to drain."""


POINTS = {point for point in failpoints.declared() if point.startswith("core.")}
"""All that core declares."""


@pytest.fixture(scope="module")
async def platform(
    databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[CorePlatform]:
    folder = tmp_path_factory.mktemp("processes")
    async with running_core(databases, backend.bootstrap, folder, told=False, processes=2) as core:
        yield core


@pytest.fixture(scope="module")
async def load(platform: CorePlatform) -> AsyncIterator[Load]:
    load = Load(platform)
    async with load.client:
        await load.prepare()
        yield load


async def assert_nothing_differs(load: Load) -> None:
    platform = load.platform
    found = await check(platform.bootstrap, platform.database.url("core"), load.client.journal, platform.partitions)
    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)


async def test_a_quiet_run_shows_no_difference(load: Load) -> None:
    load.start()
    await load.until(400)
    await load.finish()
    await assert_nothing_differs(load)


async def test_kill_9_at_every_fail_point_loses_nothing_and_doubles_nothing(load: Load, tmp_path: Path) -> None:
    platform, hits = load.platform, tmp_path / "hits"
    load.start()
    for number, (point, hit) in enumerate(KILLS):
        instance = number // 2 % 2  # each dies twice in a row, so that the second death meets the first one's remains
        platform.processes[instance].kill()
        process = platform.start_process(
            instance, SCRIP_FAILPOINTS=f"{point}=kill@{hit}", SCRIP_FAILPOINT_LOG=str(hits)
        )
        await died(process.process, point)
        if number % 2:
            platform.start_process(instance)
    for instance, process in platform.processes.items():
        if process.process.poll() is not None:
            platform.start_process(instance)
    await load.until(100)
    await load.finish()
    reached = {line.split()[0] for line in hits.read_text().splitlines() if line.split()[2] == "kill"}
    print("killed at", ", ".join(sorted(reached)))
    assert reached == POINTS
    await assert_nothing_differs(load)


async def died(process: subprocess.Popen[bytes], point: str, within: float = 40.0) -> None:
    async with asyncio.timeout(within):
        while process.poll() is None:
            await asyncio.sleep(0.02)
    assert process.returncode == -9, f"{point}: it ended with {process.returncode}"
