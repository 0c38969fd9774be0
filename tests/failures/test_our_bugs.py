"""A decision that breaks, or that PostgreSQL refuses, is our bug: a dead letter, and a line that names its command."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

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

issue = decide.OPERATIONS[IssueCoupons]

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
