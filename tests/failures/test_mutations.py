"""Each safeguard of the lane, taken out, turns a named check red; with all of them there, the same run is clean."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.failures.checker import check
from tests.failures.client import Unanswered
from tests.failures.load import Load
from tests.failures.test_processes import all_ready, died, epochs
from tests.support.core import CorePlatform, CoreProcess, running_core
from tests.support.databases import Databases
from tests.support.servers import Servers

pytestmark = pytest.mark.soak

MUTANT = Path(__file__).with_name("mutant.py")
ASKED_SECONDS = 1.0
AWAKE_SECONDS = 3.0
"""Shorter than a session: the group gives the process that woke up no lane before."""


@asynccontextmanager
async def mutated(
    databases: Databases, backend: Servers, folder: Path, mutation: str, *, users: int = 24
) -> AsyncIterator[tuple[CorePlatform, Load]]:
    """A platform of mutants and a load on it; the first process runs."""
    async with running_core(databases, backend.bootstrap, folder, told=False, processes=0) as core:
        core.program = ("-P", str(MUTANT), mutation)
        core.start_process(0)
        await core.wait_ready(0)
        load = Load(core, users=users)
        async with load.client:
            await load.prepare(16)
            yield core, load


async def checks_red(load: Load) -> set[str]:
    """The names of the checks that find something."""
    platform = load.platform
    found = await check(platform.bootstrap, platform.database.url("core"), load.client.journal, platform.partitions)
    print("\n".join(map(str, found[:12])))
    return {difference.check for difference in found}


async def finished(load: Load) -> None:
    """The end of a run that may have gone wrong."""
    load.client.stopping.set()
    with contextlib.suppress(Unanswered):
        await load.finish(within=15)


@pytest.mark.parametrize(("mutation", "red"), [("uneven", set()), ("two_chains", {"numbers"})])
async def test_two_emit_chains_in_one_lane_are_seen_in_the_numbers(
    databases: Databases, backend: Servers, tmp_path: Path, mutation: str, red: set[str]
) -> None:
    async with mutated(databases, backend, tmp_path, mutation) as (_, load):
        load.start()
        await load.until(500)
        await finished(load)
        found = await checks_red(load) & {"numbers", "repeats", "effects", "states", "ledger"}
        assert red <= found, found  # events out of their order may look wrong to the other checks, too
        assert bool(found) == bool(red), found


@pytest.mark.parametrize(("mutation", "red"), [("nothing", set()), ("no_drain", {"numbers", "journal"})])
async def test_a_take_over_that_does_not_drain_is_seen_in_numbers_and_journal(
    databases: Databases, backend: Servers, tmp_path: Path, mutation: str, red: set[str]
) -> None:
    async with mutated(databases, backend, tmp_path, mutation) as (core, load):
        load.start()
        core.processes[0].kill()
        await died(core.start_process(0, SCRIP_FAILPOINTS="core.after_commit=kill@15"), "core.after_commit")
        await all_ready(core)
        await load.until(100)
        await finished(load)
        assert red <= await checks_red(load)


async def moved_while_their_owner_slept(core: CorePlatform, load: Load, point: str) -> set[int]:
    """One process falls asleep after some small batches, with more at hand; a second takes its lanes over and
    falls asleep at `point`; the first wakes up and goes on before it hears of anything.

    The lanes whose epoch the second has raised are its own: nobody else may decide anything in them, and none
    should have moved when this returns. The second process is still asleep then.
    """
    await load.finish()
    core.processes[0].kill()
    load.start()
    await asyncio.sleep(ASKED_SECONDS)
    sleeper = core.start_process(0, SCRIP_FAILPOINTS="core.after_commit=stop@3", SCRIP_BATCH_RECORDS="4")
    await fell_asleep(sleeper)
    before = await epochs(core)
    await fell_asleep(core.start_process(1, SCRIP_FAILPOINTS=f"{point}=stop@1"))
    taken = await taken_lanes(core, before)
    positions = await positions_of(core)
    sleeper.signal(signal.SIGCONT)
    await asyncio.sleep(AWAKE_SECONDS)
    now = await positions_of(core)
    return {lane for lane in taken if now[lane] != positions[lane]}


async def fell_asleep(process: CoreProcess) -> None:
    async with asyncio.timeout(60):
        while psutil.Process(process.process.pid).status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0.05)


async def taken_lanes(core: CorePlatform, before: dict[int, int]) -> set[int]:
    """Lanes with another epoch than before; under a mutant that raises none, those it was taking."""
    now = await epochs(core)
    return {lane for lane in now if now[lane] != before[lane]} or set(now)


async def positions_of(core: CorePlatform) -> dict[int, int]:
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        return {row["partition"]: row["position"] for row in await connection.fetch("SELECT * FROM lane")}
    finally:
        await connection.close()


@pytest.mark.parametrize("mutation", ["nothing", "no_epoch"])
async def test_without_epochs_a_process_that_slept_decides_in_lanes_of_another(
    databases: Databases, backend: Servers, tmp_path: Path, mutation: str
) -> None:
    async with mutated(databases, backend, tmp_path, mutation, users=120) as (core, load):
        moved = await moved_while_their_owner_slept(core, load, "core.after_epoch")
        core.processes[1].signal(signal.SIGCONT)
        assert bool(moved) == (mutation == "no_epoch"), f"moved while their owner slept: {moved}"
        await all_ready(core)
        await finished(load)
        assert mutation != "nothing" or not await checks_red(load)


@pytest.mark.parametrize(("mutation", "red"), [("nothing", set()), ("no_fence", {"journal", "lanes"})])
async def test_without_the_fence_the_journal_contradicts_its_lane(
    databases: Databases, backend: Servers, tmp_path: Path, mutation: str, red: set[str]
) -> None:
    """The taker has decided when it falls asleep; the first process decides the same anew from what it remembers."""
    async with mutated(databases, backend, tmp_path, mutation, users=120) as (core, load):
        await moved_while_their_owner_slept(core, load, "core.after_commit")
        core.processes[1].kill()
        with contextlib.suppress(RuntimeError):  # what is left of a lane may not be taken over any more
            await core.wait_ready(0, within=20)
        await finished(load)
        found = await checks_red(load)
        assert red <= found if red else not found
