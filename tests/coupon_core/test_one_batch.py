"""Commands that wait for a core that sleeps are decided in one batch: each meets what those before it left."""

import asyncio
import signal
from pathlib import Path

import asyncpg

from contracts.commands import ClaimCoupon, CouponReference, RedeemCoupon, ReturnCoupon, VoidCampaign
from contracts.fields import Contract
from tests.support.campaigns import generated, issue, redeem
from tests.support.core import running_core
from tests.support.databases import Databases
from tests.support.servers import Servers


async def test_a_redemption_is_known_behind_a_slice_that_came_between(
    databases: Databases, backend: Servers, tmp_path: Path
) -> None:
    """The claim brings all coupons of its user into the view, the void is written by itself, then one is returned."""
    async with running_core(databases, backend.bootstrap, tmp_path) as core:
        await core.tell_time("2026-03-02T00:00:00Z")
        campaign = await generated(core, "spring", per_user_limit=9)
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
        process = core.processes[0]
        process.signal(signal.SIGSTOP)
        try:
            waiting = []
            for command in commands:
                waiting.append(asyncio.create_task(core.send(command, campaign=campaign)))
                await asyncio.sleep(0.1)  # in this order, and in the log before it wakes
        finally:
            process.signal(signal.SIGCONT)
        claimed, voided, repeated, returned, again = await asyncio.gather(*waiting)
        assert [reply.status for reply in (claimed, voided, returned, again)] == ["done"] * 4
        assert repeated.refusal is not None
        assert repeated.refusal.facts == {"coupon": f"{campaign}.1", "redeemed_at": "2026-03-02T00:00:00Z"}
        assert again.result is not None
        assert again.result["redemption"] == 2
        assert (await core.read("/dead-letters"))["dead_letters"] == []


async def test_dry_runs_see_what_came_before_and_leave_nothing_to_what_follows(
    databases: Databases, backend: Servers, tmp_path: Path
) -> None:
    async with running_core(databases, backend.bootstrap, tmp_path) as core:
        await core.tell_time("2026-03-02T00:00:00Z")
        campaign = await generated(core, "spring", quantity=2)
        seq = (await core.read(f"/campaigns/{campaign}"))["seq"]
        tries: list[tuple[Contract, bool]] = [
            (ClaimCoupon(user="tried"), True),
            (ClaimCoupon(user="u"), False),
            (ClaimCoupon(user="tried"), True),
            (ClaimCoupon(user="v"), False),
            (ClaimCoupon(user="tried"), True),
            (VoidCampaign(reason="tried"), True),
            (RedeemCoupon(coupon=CouponReference(number=2), amount=2_000), False),
        ]
        process = core.processes[0]
        process.signal(signal.SIGSTOP)
        try:
            waiting = []
            for command, dry in tries:
                waiting.append(asyncio.create_task(core.send(command, campaign=campaign, dryrun=dry)))
                await asyncio.sleep(0.1)  # in this order, and in the log before it wakes
        finally:
            process.signal(signal.SIGCONT)
        first, one, second, two, third, void, redeemed = await asyncio.gather(*waiting)
        numbers = [reply.result["coupon"] for reply in (first, one, second, two) if reply.result is not None]
        assert numbers == [f"{campaign}.1", f"{campaign}.1", f"{campaign}.2", f"{campaign}.2"]
        assert [reply.dry_run for reply in (first, one, second, two, third, void)] == [dry for _, dry in tries[:6]]
        assert third.refusal is not None
        assert third.refusal.code == "campaign_exhausted"
        assert void.result is not None
        assert void.result["accepted"] == 2
        assert redeemed.status == "done"
        seen = await core.read(f"/campaigns/{campaign}")
        assert (seen["seq"], seen["issued"], seen["held"], seen["redeemed"]) == (seq + 4, 2, 1, 1)
        connection = await asyncpg.connect(core.database.admin_url)
        try:
            assert await connection.fetchval("SELECT count(*) FROM core.refusal") == 0
            told = [reply.command for reply in (first, second, third, void)]
            assert await connection.fetchval("SELECT count(*) FROM core.outcome WHERE command = ANY($1)", told) == 0
        finally:
            await connection.close()
