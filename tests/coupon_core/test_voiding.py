"""Void by filter on a running core: what PostgreSQL finds, window by window, and what is seen of it afterwards."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg

from contracts.commands import (
    CouponFilter,
    CouponReference,
    ExportCodes,
    RedeemCoupon,
    ReserveCoupon,
    VoidMatching,
)
from coupon_core.audit import audit
from tests.support.campaigns import generated, issue
from tests.support.core import CorePlatform, core_at

OWNER = str(uuid4())

core = core_at("2026-03-10T12:00:00Z", OWNER)


def matching(**fields: Any) -> VoidMatching:
    return VoidMatching(matching=CouponFilter.model_validate(fields), reason="leaked")


async def void(core: CorePlatform, campaign: UUID, **fields: Any) -> dict[str, int]:
    """What a dry run tells by state, after it was compared with what then became void."""
    told = await core.done(matching(**fields), campaign=campaign, dryrun=True)
    before = (await core.read(f"/campaigns/{campaign}"))["voided"]
    done = await core.done(matching(**fields), campaign=campaign)
    for _ in range(100):
        if (await core.read(f"/campaigns/{campaign}"))["voided"] - before >= told["accepted"]:
            break
    after = await core.read(f"/campaigns/{campaign}")
    assert after["voided"] - before == told["accepted"]
    if not done["more"]:
        assert done == told
    return {state: told[state] for state in ("held", "reserved", "exported")}


async def test_each_filter_finds_what_it_says(core: CorePlatform) -> None:
    campaign = await generated(core, "filters", 1_000)
    await issue(core, campaign, ["ann", "bob", "anton", "cid"])
    await issue(core, campaign, ["bob"])
    for number, seconds in ((2, 60), (4, 86_000)):
        hold = ReserveCoupon(coupon=CouponReference(number=number), order="A", seconds=seconds)
        await core.done(hold, campaign=campaign)
    at = "2026-03-10T13:00:00Z"  # told by the commands themselves: what is overdue is still as it was
    hold = ReserveCoupon(coupon=CouponReference(number=1), order="B", seconds=30)
    await core.done(hold, campaign=campaign)
    counted = await core.done(matching(states=["held"]), campaign=campaign, dryrun=True, at=at)
    assert counted["held"] == 4  # 1 and 2 are held again by then
    assert await void(core, campaign, users=["bob", "zoe", "bob"]) == {"held": 1, "reserved": 1, "exported": 0}
    assert await void(core, campaign, user_prefix="an", first=2) == {"held": 1, "reserved": 0, "exported": 0}
    assert await void(core, campaign, issued_before="2026-03-10T12:00:00Z") == dict.fromkeys(
        ("held", "reserved", "exported"), 0
    )
    assert await void(core, campaign, issued_from="2026-03-10T12:00:00Z", states=["reserved"]) == {
        "held": 0,
        "reserved": 2,
        "exported": 0,
    }
    assert await audit_of(core) == []


async def test_ranges_of_codes_are_void_as_a_whole_and_seen_as_such(core: CorePlatform) -> None:
    campaign = await generated(core, "print run", 100_000, party=OWNER)
    first = await core.done(ExportCodes(count=1_000), campaign=campaign, party=OWNER)
    await issue(core, campaign, ["ann"], party=OWNER)
    second = await core.done(ExportCodes(count=20_000), campaign=campaign, party=OWNER)
    assert (first["first"], second["first"], second["last"]) == (1, 1_002, 21_001)
    codes = {int(each["coupon"].rpartition(".")[2]): each["code"] for each in first["codes"]}
    await core.done(RedeemCoupon(coupon=CouponReference(code=codes[500])), campaign=campaign, party=OWNER)
    leaked = matching(first=400, last=15_000)
    told = await core.done(leaked, campaign=campaign, party=OWNER, dryrun=True)
    assert {name: told[name] for name in ("held", "reserved", "exported")} == {
        "held": 1,
        "reserved": 0,
        "exported": 14_599,
    }
    done = await core.done(leaked, campaign=campaign, party=OWNER)
    assert done["more"]
    for _ in range(200):
        seen = await core.read(f"/campaigns/{campaign}")
        if seen["voided"] == 14_600:
            break
    assert (seen["voided"], seen["issued"], seen["redeemed"]) == (14_600, 14_601, 1)
    assert seen["exported"] == 21_000 - 14_599 - 1

    refused = await core.send(RedeemCoupon(coupon=CouponReference(code=codes[450])), campaign=campaign, party=OWNER)
    assert refused.refusal is not None
    assert (refused.refusal.code, refused.refusal.facts) == ("coupon_voided", {"coupon": f"{campaign}.450"})
    found = (await core.read("/coupons", code=codes[450], party=OWNER))["coupons"]
    assert [(coupon["id"], coupon["state"]) for coupon in found] == [(f"{campaign}.450", "voided")]
    page = (await core.read(f"/campaigns/{campaign}/codes", after=398, limit=3))["codes"]
    assert [each["state"] for each in page] == ["exported", "voided", "voided"]
    question = {"party": OWNER, "campaign": None, "code": codes[451], "amount": 900}
    asked = (await core.post("/validate", question)).json()
    assert [reason["code"] for reason in asked["reasons"]] == ["coupon_voided"]
    again = await core.done(leaked, campaign=campaign, party=OWNER, dryrun=True)
    assert again["accepted"] == 0
    was = await core.read(f"/campaigns/{campaign}/as-of", seq=seen["seq"])
    assert (was["voided"], was["exported"]) == (seen["voided"], seen["exported"])
    assert await audit_of(core) == []


async def audit_of(core: CorePlatform) -> list[Any]:
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        report = await audit(connection)
    finally:
        await connection.close()
    assert report is not None
    return list(report["differences"])
