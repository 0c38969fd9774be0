"""Commands that wait for a core that sleeps are decided in one batch: each meets what those before it left."""

import asyncio
import signal
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from contracts.answers import Reply
from contracts.commands import AmendCampaign, ClaimCoupon, CouponReference, RedeemCoupon, ReturnCoupon, VoidCampaign
from contracts.fields import Contract
from tests.support.campaigns import generated, issue, redeem
from tests.support.core import CorePlatform, core_at

core = core_at("2026-03-02T00:00:00Z")

APART = 0.1
"""Seconds between two commands, so that they stand in the log in this order."""


async def in_one_batch(
    core: CorePlatform, campaign: UUID, commands: Sequence[Contract], *, dry: Sequence[int] = ()
) -> list[Reply]:
    """Send these while core sleeps, those of the places in `dry` as dry runs; the replies."""
    process = core.processes[0]
    process.signal(signal.SIGSTOP)
    try:
        waiting = []
        for place, command in enumerate(commands):
            waiting.append(asyncio.create_task(core.send(command, campaign=campaign, dryrun=place in dry)))
            await asyncio.sleep(APART)
    finally:
        process.signal(signal.SIGCONT)
    return await asyncio.gather(*waiting)


async def test_a_redemption_is_known_behind_a_slice_that_came_between(core: CorePlatform) -> None:
    """The claim brings all coupons of its user into the view, the void is written by itself, then one is returned."""
    campaign = await generated(core, "redeemed before", per_user_limit=9)
    await issue(core, campaign, ["u"])
    await redeem(core, f"{campaign}.1")
    first = CouponReference(number=1)
    commands: list[Contract] = [
        ClaimCoupon(user="u"),
        VoidCampaign(reason="all that are held"),
        RedeemCoupon(coupon=first, amount=2_000),
        ReturnCoupon(coupon=first, reason="unwanted"),
        RedeemCoupon(coupon=first, amount=2_000),
    ]
    claimed, voided, repeated, returned, again = await in_one_batch(core, campaign, commands)
    assert [reply.status for reply in (claimed, voided, returned, again)] == ["done"] * 4
    assert repeated.refusal is not None
    assert repeated.refusal.facts == {"coupon": f"{campaign}.1", "redeemed_at": "2026-03-02T00:00:00Z"}
    assert again.result is not None
    assert again.result["redemption"] == 2
    assert (await core.read("/dead-letters"))["dead_letters"] == []


async def test_a_limit_that_was_amended_counts_what_its_user_already_holds(core: CorePlatform) -> None:
    """While nobody is limited, nothing of its users is loaded; from the amendment on it must be."""
    campaign = await generated(core, "limited now")
    await issue(core, campaign, ["u"])
    commands: list[Contract] = [
        ClaimCoupon(user="x"),
        AmendCampaign.model_validate({"terms": {"per_user_limit": 1}}),
        ClaimCoupon(user="u"),
        ClaimCoupon(user="v"),
    ]
    other, amended, second, new = await in_one_batch(core, campaign, commands)
    assert [reply.status for reply in (other, amended, new)] == ["done"] * 3
    assert second.refusal is not None, second
    assert second.refusal.code == "user_limit_reached"
    assert (await core.read(f"/campaigns/{campaign}"))["issued"] == 3


async def test_dry_runs_see_what_came_before_and_leave_nothing_to_what_follows(core: CorePlatform) -> None:
    campaign = await generated(core, "tried", quantity=2)
    seq = (await core.read(f"/campaigns/{campaign}"))["seq"]
    connection = await asyncpg.connect(core.database.admin_url)
    try:
        refusals = await connection.fetchval("SELECT count(*) FROM core.refusal")
        commands: list[Contract] = [
            ClaimCoupon(user="tried"),
            ClaimCoupon(user="u"),
            ClaimCoupon(user="tried"),
            ClaimCoupon(user="v"),
            ClaimCoupon(user="tried"),
            VoidCampaign(reason="tried"),
            RedeemCoupon(coupon=CouponReference(number=2), amount=2_000),
        ]
        first, one, second, two, third, void, redeemed = await in_one_batch(core, campaign, commands, dry=(0, 2, 4, 5))
        numbers = [reply.result["coupon"] for reply in (first, one, second, two) if reply.result is not None]
        assert numbers == [f"{campaign}.1", f"{campaign}.1", f"{campaign}.2", f"{campaign}.2"]
        answered = [reply.dry_run for reply in (first, one, second, two, third, void)]
        assert answered == [True, False, True, False, True, True]
        assert third.refusal is not None
        assert third.refusal.code == "campaign_exhausted"
        assert void.result is not None
        assert void.result["accepted"] == 2
        assert redeemed.status == "done"
        seen = await core.read(f"/campaigns/{campaign}")
        assert (seen["seq"], seen["issued"], seen["held"], seen["redeemed"]) == (seq + 4, 2, 1, 1)
        assert await connection.fetchval("SELECT count(*) FROM core.refusal") == refusals
        told = [reply.command for reply in (first, second, third, void)]
        assert await connection.fetchval("SELECT count(*) FROM core.outcome WHERE command = ANY($1)", told) == 0
    finally:
        await connection.close()
