"""A decision that breaks, or that PostgreSQL refuses, is our bug: a dead letter, and a line that names its command."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from contracts.commands import IssueCoupons, IssueRow
from tests.support.campaigns import generated
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.servers import Servers
from tests.support.services import until

NOW = "2026-03-10T12:00:00Z"
WITH_BUGS = """
import sys
from contracts.commands import IssueCoupons
from coupon_core import decide
from coupon_core.__main__ import main

issue, answer_again = decide.OPERATIONS[IssueCoupons], decide._answer_again

def not_again(work, entry, first, now):
    if isinstance(entry.record.data, IssueCoupons) and entry.record.data.rows[0].user == "repeated":
        raise RuntimeError("planted")
    answer_again(work, entry, first, now)

decide._answer_again = not_again

def with_bugs(call):
    answer, user = issue(call), call.command.rows[0].user
    if user == "raises":
        raise RuntimeError("planted")
    if user == "miscounts":  # the table's CHECK refuses it
        call.own_campaign().issued += 1
    return answer

decide.OPERATIONS[IssueCoupons] = with_bugs
sys.argv = ["coupon_core"]
main()
"""


@pytest.fixture
async def core(databases: Databases, backend: Servers, tmp_path: Path) -> AsyncIterator[CorePlatform]:
    async with running_core(databases, backend.bootstrap, tmp_path, processes=0) as running:
        running.program = ("-c", WITH_BUGS)
        running.start_process(0)
        await running.wait_ready(0)
        await running.tell_time(NOW)
        yield running


def issuing(user: str) -> IssueCoupons:
    return IssueCoupons(rows=(IssueRow(user=user),))


async def letter(core: CorePlatform, command: UUID) -> dict[str, Any]:
    async def found() -> Any:
        letters = (await core.read("/dead-letters", reason="our_bug"))["dead_letters"]
        return next((each for each in letters if each["command"] == str(command)), None)

    kept: dict[str, Any] = await until(found, why=core.log_ends)
    return kept


async def status_of(core: CorePlatform, command: UUID) -> Any:
    """None while there is no outcome yet."""
    response = await core.get(f"/commands/{command}")
    return response.json()["status"] if response.status_code == 200 else None


@pytest.mark.parametrize(("user", "action"), [("raises", "decision_broke"), ("miscounts", "write_refused")])
async def test_our_bug_is_one_dead_letter_and_a_line_that_names_command_and_campaign_and_the_rest_goes_on(
    core: CorePlatform, user: str, action: str
) -> None:
    campaign = await generated(core, "spring")
    first, bad, last = (core.record(issuing(each), campaign=campaign) for each in ("first", user, "last"))
    for record in (first, bad):
        await core.append_record(record)
    assert (await core.send(last)).status == "done"
    await letter(core, bad.id)
    assert (await core.read(f"/commands/{first.id}"))["status"] == "done"
    assert (await core.read(f"/campaigns/{campaign}"))["issued"] == 2
    lines = [json.loads(line) for line in core.processes[0].log.read_text().splitlines() if line.startswith("{")]
    (told,) = [line for line in lines if line.get("action") == action]
    assert (told["command"], told["campaign"], told["party"]) == (str(bad.id), str(campaign), "platform")


async def test_a_fault_of_the_databases_storage_is_waited_for(core: CorePlatform) -> None:
    """PostgreSQL cannot write for a moment: what came meanwhile is not to blame."""
    campaign = await generated(core, "spring")
    admin = await asyncpg.connect(core.database.admin_url)
    try:
        await admin.execute(BROKEN_STORAGE)
        waiting = asyncio.create_task(core.send(issuing("patient"), campaign=campaign))
        await until(lambda: away(core), why=core.log_ends)
        await admin.execute("DROP TRIGGER broken ON core.coupon")
    finally:
        await admin.close()
    assert (await waiting).status == "done"
    assert (await core.read("/dead-letters"))["dead_letters"] == []


BROKEN_STORAGE = """
CREATE FUNCTION core.broken() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not write block 7: Input/output error' USING ERRCODE = '58030'; END $$;
CREATE TRIGGER broken BEFORE INSERT ON core.coupon FOR EACH ROW EXECUTE FUNCTION core.broken()"""


async def away(core: CorePlatform) -> bool:
    return "database_away" in core.processes[0].log.read_text()


async def test_a_repeat_that_dies_of_our_bug_leaves_the_first_ones_outcome(core: CorePlatform) -> None:
    campaign = await generated(core, "spring")
    record = core.record(issuing("repeated"), campaign=campaign)
    await core.append_record(record)
    await until(lambda: status_of(core, record.id), why=core.log_ends)
    await core.append_record(record)
    await letter(core, record.id)
    assert await status_of(core, record.id) == "done"
    assert (await core.read(f"/campaigns/{campaign}"))["issued"] == 1
