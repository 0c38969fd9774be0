"""Void by filter on a running core: what PostgreSQL finds, window by window, and what is seen of it afterwards."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from contracts.commands import (
    CouponFilter,
    CouponReference,
    ExportCodes,
    RedeemCoupon,
    ReserveCoupon,
    StopCampaign,
    VoidCampaign,
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
    assert await core.done(matching(**fields), campaign=campaign) == told
    after = await core.read(f"/campaigns/{campaign}")
    assert after["voided"] - before == told["accepted"]
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
    assert await core.done(leaked, campaign=campaign, party=OWNER) == told
    seen = await core.read(f"/campaigns/{campaign}")
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


async def test_a_void_of_thousands_tells_all_of_them_whoever_asks_and_whatever_is_killed(
    core: CorePlatform, tmp_path: Path
) -> None:
    for name, command in (("all", VoidCampaign(reason="r")), ("by filter", matching(states=["held"]))):
        campaign = await generated(core, name, 20_000)
        for first in range(0, 12_000, 500):
            await issue(core, campaign, [f"u{number}" for number in range(first, first + 500)])
        told = await core.done(command, campaign=campaign, dryrun=True)
        assert (told["accepted"], told["held"], told["more"]) == (12_000, 12_000, False)
        assert (await core.done(StopCampaign(reason="r"), campaign=campaign, dryrun=True))["voided"] == 12_000

        hits = tmp_path / f"hits {name}"
        core.processes[0].stop()
        killed = "core.between_slice_and_continuation=kill@1"
        core.start_process(0, SCRIP_FAILPOINTS=killed, SCRIP_FAILPOINT_LOG=str(hits))
        await core.wait_ready(0)
        record = core.record(command, campaign=campaign)
        await core.append_record(record)
        await asyncio.to_thread(core.processes[0].process.wait, 60)
        assert " kill " in hits.read_text()
        core.start_process(0)
        await core.wait_ready(0)

        for _ in range(300):
            found = await core.get(f"/commands/{record.id}")
            if found.status_code == 200:
                break
            assert found.json()["code"] == "command_running"
            await asyncio.sleep(0.1)
        assert found.json()["result"] == told
        again = await core.send(record)
        assert (again.replayed, again.result) == (True, told)
        why = await core.read(f"/commands/{record.id}/why")
        assert (why["answered"]["result"], why["answered"]["event_count"]) == (told, 5_000)
        assert (why["again"]["status"], why["again"]["event_count"], why["differences"]) == ("running", 5_000, [])
        seen = await core.read(f"/campaigns/{campaign}")
        assert (seen["held"], seen["voided"]) == (0, 12_000)
    assert await audit_of(core) == []


async def test_what_is_overdue_is_counted_as_it_will_be_by_then(core: CorePlatform) -> None:
    campaign = await generated(
        core, "lasting", 1_000, validity={"starts": "2026-03-01", "ends": "2026-03-31", "days_after_issue": 2}
    )
    await issue(core, campaign, ["ann", "bob", "cid"])
    for number, seconds in ((1, 86_000), (2, 60)):
        hold = ReserveCoupon(coupon=CouponReference(number=number), order="A", seconds=seconds)
        await core.done(hold, campaign=campaign)
    for at, held, reserved in (
        ("2026-03-10T12:00:59Z", 1, 2),
        ("2026-03-10T12:01:00Z", 2, 1),
        ("2026-03-12T00:00:00Z", 0, 0),
    ):
        told = await core.done(VoidCampaign(reason="r"), campaign=campaign, dryrun=True, at=at)
        assert (told["held"], told["reserved"]) == (held, reserved)
        stopped = await core.done(StopCampaign(reason="r"), campaign=campaign, dryrun=True, at=at)
        assert stopped["voided"] == held + reserved == told["accepted"]
    assert await core.done(VoidCampaign(reason="r"), campaign=campaign, at=at) == told


async def audit_of(core: CorePlatform) -> list[Any]:
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        report = await audit(connection)
    finally:
        await connection.close()
    assert report is not None
    return list(report["differences"])
