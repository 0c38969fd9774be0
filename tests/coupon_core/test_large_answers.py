"""An answer that is too large for the log takes none of the others with it."""

import asyncio

import pytest

from contracts.commands import ClaimCoupon, IssueCoupons, IssueRow
from tests.support.campaigns import generated
from tests.support.core import CorePlatform, NoReply, core_at

core = core_at("2026-03-02T00:00:00Z")


async def test_the_others_are_answered_and_its_outcome_can_be_asked_for(core: CorePlatform) -> None:
    nobody = {"expression": f"user == '{'ü' * 480}'"}  # told twice in each of 500 refusals: a megabyte
    strict = await generated(core, "strict", eligibility=nobody)
    plain = await generated(core, "plain")
    rows = tuple(IssueRow(user=f"user {number}") for number in range(500))
    record = core.record(IssueCoupons(rows=rows), campaign=strict)

    async def claimed(user: str) -> str:
        return str((await core.done(ClaimCoupon(user=user), campaign=plain))["user"])

    for turn in range(2):
        large = asyncio.create_task(core.send(record, within=4.0))
        users = [f"{turn} {number}" for number in range(20)]
        assert await asyncio.gather(*map(claimed, users)) == users
        with pytest.raises(NoReply):
            await large
    assert (await core.read(f"/commands/{record.id}"))["result"]["refused"] == 500
