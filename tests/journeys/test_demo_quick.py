"""`scrip demo --quick` from the outside: the whole story on a platform of its own, in a process of its own."""

import asyncio
import json
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from scrip.demo.report import fixed_lines
from scrip.platform import Platform
from tests.failures.evidence import read_tables
from tests.failures.rebuilds import rebuilding, rebuilt_differently
from tests.support.core import CorePlatform
from tests.support.databases import Databases, FreshDatabase

ROOT = Path(__file__).resolve().parents[2]
BEGINS = "```console\n$ make demo ARGS=--quick\n"
BATCHES = (7, 50, 1_000)
"""Most records of a transaction, over all lanes, when the year is decided again from its log."""
LONGEST_SECONDS = 600  # a stuck demo must end some time; how fast it is, is not asserted
KNOWN = {
    "campaigns": 58,
    "issued": 7_442,
    "redeemed": 45,
    "refused": 5,
    "refused_otherwise": 0,
    "expired": 7_397,
    "held": 0,
    "households": 2_469,
    "households_with_demographics": 801,
    "receipts": 2_469,
    "doubled": 0,
    "planted_500": 1,
    "planted_time_out": 1,
    "killed": 1,
    "gaps": 0,
    "audit": 0,
    "dead_letters": 0,
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("demo")
    command = [str(ROOT / "scrip"), "demo", "--quick", "--json", str(folder / "demo.json")]
    ended = subprocess.run(
        [*command, "--home", str(folder / "home")],
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    return ended, folder


def test_it_ends_well_with_every_figure_right(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    ended, folder = played
    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-3_000:]
    content = json.loads((folder / "demo.json").read_text())
    figures = {each["figure"]: each for each in content["figures"]}
    assert {name: figures[name]["counted"] for name in KNOWN} == KNOWN
    assert [each for each in content["figures"] if each["expected"] != each["counted"]] == []


def test_it_says_how_fast_it_was_and_how_much_memory_each_process_took(
    played: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    content = json.loads((played[1] / "demo.json").read_text())
    assert content["rates"]["issue"]["count"] == KNOWN["issued"]
    assert content["rates"]["expire"]["count"] == KNOWN["expired"]
    assert {"coupon_core", "gateway", "merchant_adapter", "scheduler", "postgres", "kafka"} <= set(content["memory"])
    assert all(size > 0 for size in content["memory"].values())


def test_the_readme_shows_what_it_prints(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """Only lines that say what was measured differ from run to run."""
    _, _, after = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGINS)
    transcript, _, _ = after.partition("\n```")
    assert fixed_lines(transcript) == fixed_lines(played[0].stdout.strip("\n"))


def test_it_leaves_nothing_running(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    home = played[1] / "home"
    status = subprocess.run(
        [str(ROOT / "scrip"), "status", "--json", "--home", str(home)], capture_output=True, text=True, check=False
    )
    assert json.loads(status.stdout)["running"] is False


async def test_its_log_decided_again_in_an_empty_database_gives_equal_rows_and_event_bytes(
    played: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    """Run last: the year's servers are started again, without any service."""
    folder = played[1]
    platform = Platform(folder / "home", told_time=True, services=(), report=print)
    await asyncio.to_thread(platform.start)
    databases = Databases(platform.admin_url)
    try:
        core = lived_core(platform, folder)
        lived = await read_tables(platform.database_url("core"))
        assert len(lived.coupon) > KNOWN["issued"]
        databases.drop(databases.fresh("core"))  # makes what the three are copied from
        async with AsyncExitStack() as stack:
            made = await asyncio.gather(
                *(stack.enter_async_context(rebuilding(core, databases, batch)) for batch in BATCHES)
            )
            for batch, rebuilt in zip(BATCHES, made, strict=True):
                found = rebuilt_differently(lived, await read_tables(rebuilt.database.url("core")))
                if found:
                    pytest.fail(f"batches of {batch}:\n" + "\n".join(map(str, found)), pytrace=False)
    finally:
        await asyncio.to_thread(databases.close)
        await asyncio.to_thread(platform.stop)


def lived_core(platform: Platform, folder: Path) -> CorePlatform:
    """The demo's core as the rebuild knows one: where its log is, and the secrets it read."""
    shutil.copytree(platform.home.secrets / "coupon_core", folder / "core" / "secrets")
    database = FreshDatabase(platform.database_name, platform.database_admin_url, {})
    return CorePlatform(database, platform.bootstrap, folder / "core", True, platform.lanes, {})
