"""Core processes die, sleep, come and go under load; afterwards nothing is lost and nothing happened twice.

One platform with two processes lives through all of it, and the checker reads everything since its beginning.
"""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

import coupon_core.lanes.loop  # noqa: F401  declares core's fail points
from process import failpoints
from tests.failures.checker import check
from tests.failures.load import Load
from tests.support.core import CorePlatform, CoreProcess, running_core
from tests.support.databases import Databases
from tests.support.figures import show
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
FAULT_SECONDS = 60.0


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
    show(f"{len(load.client.journal)} commands asked: {len(found)} differences")
    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)


async def epochs(platform: CorePlatform) -> dict[int, int]:
    """How often each lane was taken over."""
    connection = await asyncpg.connect(platform.database.url("core"))
    try:
        rows = await connection.fetch("SELECT partition, epoch FROM lane ORDER BY partition")
    finally:
        await connection.close()
    return {row["partition"]: row["epoch"] for row in rows}


async def taken_over(platform: CorePlatform, before: dict[int, int]) -> dict[int, int]:
    """The epochs once every lane has another one than before."""
    async with asyncio.timeout(FAULT_SECONDS):
        while True:
            now = await epochs(platform)
            if all(now[lane] > epoch for lane, epoch in before.items()):
                return now
            await asyncio.sleep(0.1)


def tenures(platform: CorePlatform) -> dict[int, list[tuple[int, int]]]:
    """Under which gift of the group each lane was held, in order: the process and which of its gifts it was.

    A lane may be taken over twice in one tenure (a broker that did not acknowledge in time); a process that steals a
    lane back goes on with a tenure that had ended."""
    taken: list[tuple[int, int, int, int]] = []
    for log in platform.folder.glob("core-*.log"):
        instance = int(log.stem.removeprefix("core-"))
        given = 0
        for line in log.read_text().splitlines():
            if '"lanes_given"' in line:
                given += 1
            elif '"lane_taken"' in line:
                said = json.loads(line)
                taken.append((said["partition"], said["epoch"], instance, given))
    held: dict[int, list[tuple[int, int]]] = {}
    for lane, _, instance, given in sorted(taken):
        if held.setdefault(lane, [])[-1:] != [(instance, given)]:
            held[lane].append((instance, given))
    return held


async def died(process: CoreProcess, point: str) -> None:
    async with asyncio.timeout(FAULT_SECONDS):
        while process.process.poll() is None:
            await asyncio.sleep(0.02)
    assert process.process.returncode == -9, f"{point}: it ended with {process.process.returncode}"


async def all_ready(platform: CorePlatform) -> None:
    for instance, process in platform.processes.items():
        if process.process.poll() is not None:
            platform.start_process(instance)
        await platform.wait_ready(instance)


# --- what happens to them


async def kill(load: Load, kills: list[tuple[str, int]], hits: Path) -> set[str]:
    """Let a process die at each of these points under load; the points that were reached."""
    platform = load.platform
    await all_ready(platform)
    load.start()
    for number, (point, hit) in enumerate(kills):
        instance = number // 2 % 2  # each dies twice in a row, so that the second death meets the first one's remains
        platform.processes[instance].kill()
        environment = {"SCRIP_FAILPOINTS": f"{point}=kill@{hit}", "SCRIP_FAILPOINT_LOG": str(hits)}
        await died(platform.start_process(instance, **environment), point)
        if number % 2:
            platform.start_process(instance)
    await all_ready(platform)
    await load.until(100)
    await load.finish()
    lines = (await asyncio.to_thread(hits.read_text)).splitlines()
    return {line.split()[0] for line in lines if line.split()[2] == "kill"}


async def sleep(load: Load, instance: int, seconds: float = 0) -> None:
    """SIGSTOP until the others have its lanes and decide in them, and so many seconds at least; then SIGCONT.

    Each lane changes hands once when it is taken, and once when the process that woke up is given lanes again.
    """
    platform = load.platform
    await all_ready(platform)
    load.start()
    await load.until(50)
    before, held = await epochs(platform), tenures(platform)
    platform.processes[instance].signal(signal.SIGSTOP)
    asleep = asyncio.get_running_loop().time()
    meanwhile = await taken_over(platform, before)
    await load.until(50)
    await asyncio.sleep(asleep + seconds - asyncio.get_running_loop().time())
    platform.processes[instance].signal(signal.SIGCONT)
    await taken_over(platform, meanwhile)
    await all_ready(platform)
    await load.until(100)
    await load.finish()
    since = {lane: all_held[len(held[lane]) :] for lane, all_held in tenures(platform).items()}
    assert {lane: [holder for holder, _ in new[:-1]] for lane, new in since.items()} == {
        lane: [1 - instance] for lane in before
    }, since


async def come_and_go(load: Load, times: int) -> None:
    """A third process joins, gets lanes, is told to stop, and leaves in order."""
    platform = load.platform
    await all_ready(platform)
    load.start()
    held = tenures(platform)
    for _ in range(times):
        before = await epochs(platform)
        third = platform.start_process(2)
        meanwhile = await taken_over(platform, before)
        await platform.wait_ready(2)
        await load.until(50)
        assert await asyncio.to_thread(third.stop) == 0
        del platform.processes[2]
        await taken_over(platform, meanwhile)
    await all_ready(platform)
    await load.until(50)
    await load.finish()
    since = {lane: all_held[len(held[lane]) :] for lane, all_held in tenures(platform).items()}
    assert {lane: len(new) for lane, new in since.items()} == dict.fromkeys(held, 2 * times), since


# --- short, at every change


async def test_a_quiet_run_shows_no_difference(load: Load) -> None:
    load.start()
    await load.until(400)
    await load.finish()
    await assert_nothing_differs(load)


async def test_kill_9_at_every_fail_point_loses_nothing_and_doubles_nothing(load: Load, tmp_path: Path) -> None:
    reached = await kill(load, list(KILLS), tmp_path / "hits")
    show(f"killed at {', '.join(sorted(reached))}")
    assert reached == POINTS
    await assert_nothing_differs(load)


async def test_a_process_that_slept_through_its_session_steals_no_lane_back(load: Load) -> None:
    await sleep(load, 0)
    await assert_nothing_differs(load)


async def test_a_process_that_joins_and_leaves_moves_each_lane_once(load: Load) -> None:
    await come_and_go(load, 1)
    await assert_nothing_differs(load)


# --- long


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(6))
async def test_kill_9_again_and_again_at_random_hits(load: Load, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    kills = [(point, hit if hit < 3 else chance.randint(1, 60)) for point, hit in KILLS] * 3
    chance.shuffle(kills)
    reached = await kill(load, kills, tmp_path / "hits")
    assert reached == POINTS
    await assert_nothing_differs(load)


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [15, 30])
async def test_a_process_that_slept_long_steals_no_lane_back(load: Load, seconds: float) -> None:
    for instance in (0, 1):
        await sleep(load, instance, seconds)
    await assert_nothing_differs(load)


@pytest.mark.soak
async def test_processes_that_come_and_go_again_and_again_move_each_lane_once_each_time(load: Load) -> None:
    await come_and_go(load, 8)
    await assert_nothing_differs(load)
