"""The audit finds nothing on what the lanes wrote, and each planted corruption by name."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import structlog.testing

from contracts.commands import ClaimCoupon
from coupon_core.audit import audit
from coupon_core.continual_audit import FEW_EVENTS, ContinualAudit
from coupon_core.storage import auditing
from coupon_core.storage.journal import packed, unpacked
from process.database import Pool, open_pool
from tests.coupon_core.corruptions import CORRUPTIONS, CORRUPTIONS_OF_LANES, STRAY_COUPON
from tests.coupon_core.everything import OWNER, everything_once, until
from tests.support.campaigns import generated, issue
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.figures import show
from tests.support.servers import Servers


@dataclass
class Ledger:
    """A platform on which everything has happened once, by name of campaign."""

    core: CorePlatform
    campaigns: dict[str, UUID]


@pytest.fixture(scope="module")
async def ledger(
    databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Ledger]:
    folder = tmp_path_factory.mktemp("core")
    async with running_core(
        databases, backend.bootstrap, folder, told=True, processes=2, environment={"SCRIP_AUDIT_SHARE": "0.3"}
    ) as core:
        await core.tell_time("2026-03-01T00:00:00Z")
        await core.set_merchant(OWNER)
        yield Ledger(core, await everything_once(core))


FOUND_WITHIN_SECONDS = 10.0
"""What the platform promises of so small a ledger; its two processes share this machine with the tests."""
CHECKS = "campaign_ledger", "campaign_counters", "campaign_quantity", "campaign_budget"


async def audited(core: CorePlatform, statement: str, *arguments: object) -> list[dict[str, Any]]:
    """The differences an audit finds after this statement, which is then undone."""
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        change = connection.transaction(isolation="repeatable_read")
        await change.start()
        # A hand that changes tables past the program may meet no constraint either.
        for check in CHECKS:
            await connection.execute(f"ALTER TABLE campaign DROP CONSTRAINT {check}")
        await connection.execute("ALTER TABLE lane DROP CONSTRAINT lane_check")
        await connection.execute("ALTER TABLE journal DISABLE TRIGGER journal_is_append_only")
        changed = await connection.execute(statement, *arguments)
        assert not changed.endswith(" 0"), f"{statement} changed nothing"
        report = await audit(connection)
        await change.rollback()
    finally:
        await connection.close()
    assert report is not None
    differences: list[dict[str, Any]] = report["differences"]
    return differences


async def number_of(core: CorePlatform, campaign: UUID) -> tuple[int, int]:
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        row = await connection.fetchrow("SELECT number, partition FROM campaign WHERE id = $1", campaign)
    finally:
        await connection.close()
    assert row is not None
    return row["number"], row["partition"]


async def test_what_the_lanes_wrote_adds_up(ledger: Ledger) -> None:
    for instance in (0, 1):
        answer = await ledger.core.get("/audit", instance=instance)
        report = answer.json()
        assert report["differences"] == []
        checked = report["checked"]
        assert checked["campaigns"] == 10
        assert checked["lanes"] == 8
        assert checked["coupons"] == 3 * 21 + 3 + 2 + 2 + 9 + 2 * 4 + 1
        assert checked["events"] == sum(
            [(await ledger.core.read(f"/campaigns/{campaign}"))["seq"] for campaign in ledger.campaigns.values()]
        )


@pytest.mark.parametrize(("name", "statement", "what"), CORRUPTIONS, ids=[f"{c[0]}: {c[2]}" for c in CORRUPTIONS])
async def test_a_corrupted_campaign_is_found(ledger: Ledger, name: str, statement: str, what: str) -> None:
    campaign = ledger.campaigns[name]
    number, _ = await number_of(ledger.core, campaign)
    differences = await audited(ledger.core, statement, number)
    found = [difference for difference in differences if difference["campaign"] == str(campaign)]
    assert any(difference["what"].startswith(what) for difference in found), differences
    assert all(difference["expected"] != difference["found"] for difference in differences)


@pytest.mark.parametrize(("statement", "what"), CORRUPTIONS_OF_LANES)
async def test_a_corrupted_lane_is_found(ledger: Ledger, statement: str, what: str) -> None:
    _, partition = await number_of(ledger.core, ledger.campaigns["generated"])
    differences = await audited(ledger.core, statement, partition)
    assert f"lane {partition}: {what}" in {difference["what"] for difference in differences}


async def test_coupons_of_no_campaign_are_found(ledger: Ledger) -> None:
    statement, what = STRAY_COUPON
    assert [difference["what"] for difference in await audited(ledger.core, statement)] == [what]


def test_every_check_has_a_corruption_of_which_it_tells() -> None:
    told = [row[-1] for row in (*CORRUPTIONS, *CORRUPTIONS_OF_LANES, STRAY_COUPON)]
    for check in (*auditing.OF_CAMPAIGNS, *auditing.OF_LANES):
        words = [each.strip() for each in re.findall(r"'([a-z]+ [a-z ]*)'", check)]
        assert any(what.startswith(each) for what in told for each in words), check


async def test_one_campaign_can_be_audited_alone_and_committed_corruption_is_seen_everywhere(ledger: Ledger) -> None:
    core, campaigns = ledger.core, ledger.campaigns
    number, _ = await number_of(core, campaigns["shared"])
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        change = "UPDATE coupon SET state = $2 WHERE campaign = $1 AND number = 1"
        await connection.execute(change, number, 4)
        try:
            expected = [
                {"campaign": str(campaigns["shared"]), "what": "counter held", "expected": "1", "found": "2"},
                {"campaign": str(campaigns["shared"]), "what": "counter burned", "expected": "1", "found": "0"},
            ]
            for query in ({"campaign": str(campaigns["shared"])}, {}):
                assert (await core.read("/audit", **query))["differences"] == expected
            assert (await core.read("/audit", campaign=str(campaigns["given"])))["differences"] == []
            code, report = await asyncio.to_thread(run_audit, core)
            assert (code, report["differences"]) == (1, expected)
        finally:
            await connection.execute(change, number, 1)
    finally:
        await connection.close()
    code, report = await asyncio.to_thread(run_audit, core)
    assert (code, report["differences"]) == (0, [])


def run_audit(core: CorePlatform) -> tuple[int, dict[str, Any]]:
    """`python -m coupon_core audit`: exit code and what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "coupon_core", "audit"],
        env={**os.environ, "SCRIP_DATABASE_URL": core.database.url("core")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout)


async def first_row_shaded(core: CorePlatform, campaign: UUID) -> tuple[int, int, bytes, bytes]:
    """A campaign's first events: number of the first, how many, as they are stored, and with one word changed.

    They are packed as the lane packs them, all counts and numbers stay: nothing but the chain tells.
    """
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        select = "SELECT first_seq, count, body FROM journal WHERE kind = 1 AND campaign = $1 ORDER BY first_seq"
        (first, count, body), *following = await connection.fetch(select, campaign)
    finally:
        await connection.close()
    assert following, "events after the one that is changed"
    lines = unpacked(body)
    assert '"name":"audit ' in lines[0]
    return first, count, body, packed([lines[0].replace('"name":"audit ', '"name":"shade '), *lines[1:]])


async def test_a_word_changed_in_an_old_event_is_found_and_only_that_row_is_named(ledger: Ledger) -> None:
    core, campaign = ledger.core, ledger.campaigns["shared"]
    first, count, _, changed = await first_row_shaded(core, campaign)
    differences = await audited(
        core,
        "UPDATE journal SET body = $3 WHERE kind = 1 AND campaign = $1 AND first_seq = $2",
        campaign,
        first,
        changed,
    )
    assert [(d["campaign"], d["what"]) for d in differences] == [
        (str(campaign), f"chain of events {first} to {first + count - 1}")
    ]


async def test_an_answer_that_names_a_nul_is_audited_as_any_other(ledger: Ledger) -> None:
    rule = {"expression": "city == 'Rome'", "attributes": {"city": "string"}}
    campaign = await generated(ledger.core, "audit of a NUL", quantity=10, eligibility=rule)
    claim = ledger.core.record(ClaimCoupon(user="u", attributes={"city": "a\0b"}), campaign=campaign)
    assert await ledger.core.refused(claim) == "not_eligible"
    assert (await ledger.core.read("/audit"))["differences"] == []
    differences = await audited(ledger.core, "DELETE FROM refusal WHERE command = $1", claim.id)
    assert [difference["what"] for difference in differences] == [f"refusal of command {claim.id}"]


@pytest.mark.parametrize(
    "statement", ["UPDATE journal SET count = count", "DELETE FROM journal", "TRUNCATE journal"], ids=lambda s: s[:6]
)
async def test_the_journal_is_append_only_for_core_itself(ledger: Ledger, statement: str) -> None:
    connection = await asyncpg.connect(ledger.core.database.url("core"))
    try:
        with pytest.raises(asyncpg.RaiseError, match="the journal is append-only"):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_an_audit_holds_up_no_lane(ledger: Ledger) -> None:
    core = ledger.core
    campaign = await generated(core, "while audited", 2_000, validity=until("2026-06-30"))
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            before = await audit(connection)
            # The audit's snapshot is still open: commands are decided all the same, and it goes on seeing its moment.
            await issue(core, campaign, [f"u{number}" for number in range(500)])
            after = await audit(connection)
    finally:
        await connection.close()
    assert before is not None
    assert after is not None
    assert before["differences"] == after["differences"] == []
    assert before["checked"] == after["checked"]
    assert (await core.read("/audit"))["differences"] == []


async def test_one_audit_at_a_time_runs_in_a_process(ledger: Ledger) -> None:
    core = ledger.core
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        lock = connection.transaction()
        await lock.start()
        await connection.execute("LOCK TABLE exported_range IN ACCESS EXCLUSIVE MODE")
        waiting = asyncio.create_task(core.get("/audit"))
        while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.02)
        second = await core.get("/audit")
        await lock.rollback()
    finally:
        await connection.close()
    assert (second.status_code, second.json()["code"]) == (503, "audit_running")
    assert second.headers["retry-after"] == "2"
    assert (await waiting).json()["differences"] == []


async def metrics(core: CorePlatform) -> dict[str, float]:
    """The audit's own figures, over all processes."""
    figures: dict[str, float] = {}
    for process in core.processes.values():
        text = (await core.http.get(f"{process.url}/metrics")).text
        for line in text.splitlines():
            if line.startswith("scrip_core_audit_"):
                name, value = line.split()
                figures[name] = figures.get(name, 0.0) + float(value)
    return figures


async def differences_standing(core: CorePlatform, wanted: bool) -> float:
    """Seconds until the metric says that something differs, or that nothing does."""
    started = time.monotonic()
    while ((await metrics(core))["scrip_core_audit_differences"] > 0) is not wanted:
        assert time.monotonic() - started < 60, await metrics(core)
        await asyncio.sleep(0.2)
    return time.monotonic() - started


async def test_what_somebody_changes_is_found_by_itself_logged_and_gone_when_mended(ledger: Ledger) -> None:
    core = ledger.core
    number, _ = await number_of(core, ledger.campaigns["stopped"])
    await differences_standing(core, False)
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        change = "UPDATE coupon SET state = $2 WHERE campaign = $1 AND number = 7"
        await connection.execute(change, number, 6)
        found_after = await differences_standing(core, True)
        await connection.execute(change, number, 5)
        gone_after = await differences_standing(core, False)
    finally:
        await connection.close()
    assert found_after < FOUND_WITHIN_SECONDS
    lines = [line for process in core.processes.values() for line in process.log.read_text().splitlines()]
    told = [line for line in lines if "audit_difference" in line and str(ledger.campaigns["stopped"]) in line]
    assert [line for line in told if "counter expired" in line], told
    assert [line for line in told if "is gone" in line], told
    figures = await metrics(core)
    show(f"found after {found_after:.1f} s, gone after {gone_after:.1f} s; {figures}")
    assert figures["scrip_core_audit_campaigns_total"] > 0
    assert figures["scrip_core_audit_events_total"] > 0
    assert figures["scrip_core_audit_full_pass_age_seconds"] < 2 * FOUND_WITHIN_SECONDS


async def past_the_trigger(core: CorePlatform) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection of somebody who may change the journal."""
    connection = await asyncpg.connect(core.database.admin_url, server_settings={"search_path": "core"})
    await connection.execute("SET session_replication_role = replica")
    return connection


@asynccontextmanager
async def looking(core: CorePlatform) -> AsyncIterator[tuple[Pool, list[Any]]]:
    """One more continual audit, of all lanes, in this process: its one connection, and what it logs.

    What was appended before it began it meets in its pass over everything alone.
    """
    pool = await open_pool(core.database.url("core"), application_name="looking", max_size=1)
    with structlog.testing.capture_logs() as logs:
        audit = asyncio.create_task(ContinualAudit(pool, lambda: range(core.partitions), 1.0).run())
        try:
            yield pool, logs
        finally:
            audit.cancel()
            await asyncio.gather(audit, return_exceptions=True)
            await pool.close()


async def until_told(logs: list[Any], *what: tuple[UUID | None, str]) -> None:
    """Wait until these differences were logged: of which campaign, and how the difference begins."""
    deadline = time.monotonic() + 60
    while True:
        told = [(log["campaign"], log["what"]) for log in logs if log.get("action") == "audit_difference"]
        missing = [
            (campaign, begins)
            for campaign, begins in what
            if not any(of == (campaign and str(campaign)) and said.startswith(begins) for of, said in told)
        ]
        if not missing:
            return
        assert time.monotonic() < deadline, (missing, logs)
        await asyncio.sleep(0.05)


CHANGE = "UPDATE journal SET body = $3 WHERE kind = 1 AND campaign = $1 AND first_seq = $2"


async def test_changed_events_of_a_short_and_a_long_campaign_and_a_changed_lane_are_found_in_the_pass(
    ledger: Ledger,
) -> None:
    core, short = ledger.core, ledger.campaigns["shared"]
    long = await generated(core, "audit a long chain", 300, validity=until("2026-06-30"))
    await issue(core, long, [f"u{number}" for number in range(FEW_EVENTS + 1)])
    assert (await core.read(f"/campaigns/{short}"))["seq"] <= FEW_EVENTS
    _, lane = await number_of(core, short)
    rows = {campaign: await first_row_shaded(core, campaign) for campaign in (short, long)}
    connection = await past_the_trigger(core)
    try:
        for campaign, (first, _, _, changed) in rows.items():
            await connection.execute(CHANGE, campaign, first, changed)
        await connection.execute("UPDATE lane SET blocks = blocks + 1 WHERE partition = $1", lane)
        async with looking(core) as (_, logs):
            chains = [(campaign, f"chain of events {first} to ") for campaign, (first, *_) in rows.items()]
            await until_told(logs, *chains, (None, f"lane {lane}: blocks of codes"))
    finally:
        for campaign, (first, _, body, _) in rows.items():
            await connection.execute(CHANGE, campaign, first, body)
        await connection.execute("UPDATE lane SET blocks = blocks - 1 WHERE partition = $1", lane)
        await connection.close()
    await differences_standing(core, False)


async def test_events_are_followed_as_soon_as_they_are_appended(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks has one connection, which is ours while an event is appended and changed."""
    looked = asyncio.Event()

    async def no_pass(self: ContinualAudit, lanes: object) -> bool:
        looked.set()
        await asyncio.sleep(0.02)
        return False

    monkeypatch.setattr(ContinualAudit, "_go_on_with_the_pass", no_pass)
    core, campaign = ledger.core, ledger.campaigns["generated"]
    latest = "SELECT first_seq, body FROM journal WHERE kind = 1 AND campaign = $1 ORDER BY first_seq DESC"
    connection = await past_the_trigger(core)
    try:
        async with looking(core) as (pool, logs):
            await asyncio.wait_for(looked.wait(), 60)  # from here on it looks at what is appended
            async with pool.acquire():
                await issue(core, campaign, ["late"])
                (row, *_) = await connection.fetch(latest, campaign)
                first, body = row
                changed = [line.replace('"user":"late"', '"user":"lame"') for line in unpacked(body)]
                assert changed != unpacked(body)
                await connection.execute(CHANGE, campaign, first, packed(changed))
            try:
                await until_told(logs, (campaign, f"chain of events {first} to "))
            finally:
                await connection.execute(CHANGE, campaign, first, body)
    finally:
        await connection.close()
    await differences_standing(core, False)
