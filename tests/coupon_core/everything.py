"""A story in which everything happens once, for tests that look back at what was stored of it."""

from uuid import UUID, uuid4

from contracts.commands import (
    CouponFilter,
    CouponReference,
    ExportCodes,
    RedeemCoupon,
    ReserveCoupon,
    ReturnCoupon,
    StopCampaign,
    UploadCodes,
    VoidCoupons,
    VoidMatching,
)
from tests.support.campaigns import generated, issue, published, redeem
from tests.support.core import CorePlatform

OWNER = str(uuid4())
"""Must be known to the platform."""
GIFT_CARD = {"kind": "gift_card", "balance": 5_000}


async def everything_once(core: CorePlatform) -> dict[str, UUID]:
    """Every operation, every supply, an end, a stop, refusals and a dead letter."""
    made = {
        "generated": await generated(core, "audit generated", 500, validity=until("2026-06-30")),
        "ended": await generated(core, "audit ended", 100, validity=until("2026-03-10")),
        "stopped": await generated(core, "audit stopped", 100, validity=until("2026-06-30")),
        "printed": await generated(core, "audit printed", 100, validity=until("2026-06-30")),
        "lasting": await generated(
            core,
            "audit lasting",
            100,
            per_day_limit=9,
            per_month_limit=90,
            validity=until("2026-06-30") | {"days_after_issue": 3, "zone": "Asia/Shanghai"},
        ),
        "shared": await published(core, "audit shared", {"kind": "shared", "code": "AUDIT"}, party=OWNER),
        "given": await published(core, "audit given", {"kind": "given"}, party=OWNER),
        "uploaded": await published(core, "audit uploaded", {"kind": "uploaded"}, party=OWNER, quantity=10),
    }
    # A gift card's parts, several uses with a budget that is spent, freed, reserved, exported and given back.
    made["cards"] = await generated(core, "audit cards", 10, discount=GIFT_CARD, validity=until("2026-06-30"))
    made["uses"] = await generated(core, "audit uses", 10, uses=3, budget=15_000, validity=until("2026-06-30"))
    for name in ("cards", "uses"):
        await issue(core, made[name], ["a", "b", "c", "d"])
        for number in (1, 1, 2):
            await redeem(core, f"{made[name]}.{number}", order="parts")
        part = ReturnCoupon(coupon=CouponReference(number=1), redemption=1, reason="x")
        await core.done(part.model_copy(update={"amount": 700 if name == "cards" else None}), campaign=made[name])
        hold = ReserveCoupon(coupon=CouponReference(number=3), order="hold", seconds=86_400)
        await core.done(hold.model_copy(update={"amount": 900 if name == "cards" else None}), campaign=made[name])
        await core.done(VoidCoupons(coupons=(CouponReference(number=2),), reason="x"), campaign=made[name])
        await core.done(ExportCodes(count=2), campaign=made[name])
    for name in ("generated", "ended", "stopped"):
        campaign = made[name]
        await issue(core, campaign, [f"u{number}" for number in range(20)])
        exported = (await core.done(ExportCodes(count=30), campaign=campaign))["codes"]
        bearer = CouponReference(code=exported[7]["code"])
        await core.done(RedeemCoupon(coupon=bearer, amount=600), campaign=campaign)
        await redeem(core, f"{campaign}.1", order="o-1")
        await redeem(core, f"{campaign}.2", order="o-2")
        await core.done(ReturnCoupon(coupon=CouponReference(number=2), reason="x"), campaign=campaign)
        await core.done(VoidCoupons(coupons=(CouponReference(number=3),), reason="x"), campaign=campaign)
        for number in (4, 5):
            hold = ReserveCoupon(coupon=CouponReference(number=number), order=f"hold {number}", seconds=86_400)
            await core.done(hold, campaign=campaign)
        await core.refused(RedeemCoupon(coupon=CouponReference(number=3)), campaign=campaign)
    printed = (await core.done(ExportCodes(count=30), campaign=made["printed"]))["codes"]
    await core.done(RedeemCoupon(coupon=CouponReference(code=printed[6]["code"])), campaign=made["printed"])
    stolen = VoidMatching(matching=CouponFilter(first=5, last=20), reason="stolen")
    assert (await core.done(stolen, campaign=made["printed"]))["exported"] == 15
    await core.refused(RedeemCoupon(coupon=CouponReference(code=printed[7]["code"])), campaign=made["printed"])
    budget = VoidMatching(matching=CouponFilter(states=("exported",), last=5), reason="stolen")
    assert (await core.done(budget, campaign=made["uses"]))["exported"] == 1
    await issue(core, made["lasting"], [f"u{number}" for number in range(5)])
    await core.done(ExportCodes(count=2), campaign=made["lasting"])
    await core.done(UploadCodes(codes=("A1", "A2", "A3", "A4")), campaign=made["uploaded"], party=OWNER)
    await issue(core, made["uploaded"], ["a", "b"], party=OWNER)
    used = RedeemCoupon(coupon=CouponReference(code="a4"), amount=700)
    await core.done(used, campaign=made["uploaded"], party=OWNER)
    await issue(core, made["given"], ["a", "b"], party=OWNER, codes=["G1", "G2"])
    await issue(core, made["shared"], ["a", "b"], party=OWNER)
    await core.append(str(made["shared"]).encode(), b"poison", writer=core.writer())
    await core.done(StopCampaign(reason="x"), campaign=made["stopped"])
    # Past the end of one campaign: reserved coupons expire with the held ones.
    await core.tell_time("2026-03-11T00:00:00Z")
    assert (await core.read(f"/campaigns/{made['lasting']}"))["expired"] == 5
    await issue(core, made["lasting"], [f"u{number}" for number in range(4)])
    hold = ReserveCoupon(coupon=CouponReference(number=9), order="still", seconds=86_400)
    await core.done(hold, campaign=made["generated"])
    assert (await core.read(f"/campaigns/{made['ended']}"))["state"] == "ended"
    return made


def until(day: str) -> dict[str, str]:
    """The validity of a campaign of the story."""
    return {"starts": "2026-03-01", "ends": day}
