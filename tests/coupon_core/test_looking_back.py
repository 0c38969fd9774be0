"""As it was: folding the events up to now gives what the tables hold, and up to a moment what they held then."""

from typing import Any
from uuid import uuid4

from contracts.commands import PauseCampaign, RedeemCoupon
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from tests.coupon_core.everything import OWNER, everything_once
from tests.support.campaigns import generated, issue, redeem
from tests.support.core import CorePlatform, core_at
from tests.support.deciding import by_number

core = core_at("2026-03-01T00:00:00Z", OWNER)


def without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in names}


async def test_up_to_now_every_campaign_and_coupon_of_a_story_is_what_the_tables_hold(core: CorePlatform) -> None:
    for campaign in (await everything_once(core)).values():
        now = await core.read(f"/campaigns/{campaign}")
        folded = await core.read(f"/campaigns/{campaign}/as-of", seq=now["seq"])
        assert without(folded, "as_of", "caused_by") == without(now, "as_of", "periods")
        (last,) = (await core.read(f"/campaigns/{campaign}/events", after_seq=now["seq"] - 1))["events"]
        assert folded["caused_by"] == {
            "seq": now["seq"],
            "event": last["type"],
            "command": last["causationid"],
            "actor": last["actor"],
            "at": last["time"],
        }
        assert without(await core.read(f"/campaigns/{campaign}/as-of", at=now["as_of"]), "as_of") == without(
            folded, "as_of"
        )
        coupons = (await core.read(f"/campaigns/{campaign}/coupons", limit=1_000))["coupons"]
        assert coupons
        for listed in coupons:
            held = await core.read(f"/coupons/{listed['id']}", codes="1")
            folded = await core.read(f"/coupons/{listed['id']}/as-of", seq=now["seq"], codes="1")
            assert without(folded, "as_of", "caused_by") == held
            events = (await core.read(f"/coupons/{listed['id']}/history"))["events"]
            assert folded["caused_by"]["seq"] == events[-1]["seq"]


async def test_at_each_moment_of_its_life_a_coupon_and_its_campaign_are_as_they_were(core: CorePlatform) -> None:
    campaign = await generated(core, "a life", 10, validity={"starts": "2026-03-01", "ends": "2026-06-30"})
    await core.tell_time("2026-03-12T08:00:00Z")
    await issue(core, campaign, ["ann", "bob"])
    await core.tell_time("2026-03-12T09:00:00Z")
    await redeem(core, f"{campaign}.1", order="o-1")
    await core.tell_time("2026-03-12T10:00:00Z")
    await core.done(PauseCampaign(reason="x"), campaign=campaign)

    async def campaign_at(at: str) -> tuple[str, int, int]:
        seen = await core.read(f"/campaigns/{campaign}/as-of", at=at)
        assert seen["as_of"] == at
        return seen["state"], seen["held"], seen["redeemed"]

    assert await campaign_at("2026-03-12T08:59:59.999999Z") == ("active", 2, 0)
    assert await campaign_at("2026-03-12T09:00:00Z") == ("active", 1, 1)
    assert await campaign_at("2026-03-12T10:00:00Z") == ("paused", 1, 1)
    at_eight = await core.read(f"/coupons/{campaign}.1/as-of", at="2026-03-12T08:30:00Z")
    assert (at_eight["state"], at_eight["redemptions"], at_eight["user"]) == ("held", [], "ann")
    at_nine = await core.read(f"/coupons/{campaign}.1/as-of", at="2026-03-12T11:30:00+02:00")
    assert (at_nine["state"], at_nine["redemptions"][0]["order"]) == ("redeemed", "o-1")
    assert at_nine["caused_by"]["event"] == "scrip.coupon.redeemed.v1"
    assert at_nine["caused_by"]["actor"].startswith("staff:")


async def test_a_text_in_the_terms_that_looks_like_an_event_is_none(core: CorePlatform) -> None:
    campaign = campaign_id(PLATFORM, "spoof")
    metadata = {"subject": f"{campaign}.1", "type": "scrip.coupon.voided.v1", "causationid": str(campaign)}
    assert await generated(
        core, "spoof", 10, validity={"starts": "2026-03-01", "ends": "2026-06-30"}, metadata=metadata
    )
    await issue(core, campaign, ["ann"])
    history = (await core.read(f"/coupons/{campaign}.1/history"))["events"]
    assert [event["type"] for event in history] == ["scrip.coupon.issued.v1"]
    was = await core.read(f"/coupons/{campaign}.1/as-of", seq=4)
    assert (was["state"], was["caused_by"]["event"]) == ("held", "scrip.coupon.issued.v1")


async def test_what_was_not_there_yet_or_lies_ahead_is_said(core: CorePlatform) -> None:
    campaign = await generated(core, "not yet", 10, validity={"starts": "2026-03-01", "ends": "2026-06-30"})
    await core.tell_time("2026-03-13T00:00:00Z")
    await issue(core, campaign, ["ann"])
    await core.refused(RedeemCoupon(coupon=by_number(2)), campaign=campaign)
    cases = [
        (f"/campaigns/{campaign}/as-of?at=2026-01-01T00:00:00Z", 404, "campaign_not_found"),
        (f"/coupons/{campaign}.1/as-of?seq=2", 404, "coupon_not_found"),
        (f"/coupons/{campaign}.2/as-of?seq=2", 404, "coupon_not_found"),
        (f"/campaigns/{uuid4()}/as-of?seq=1", 404, "campaign_not_found"),
        (f"/campaigns/{campaign}/as-of?seq=1&party={uuid4()}", 404, "campaign_not_found"),
        (f"/campaigns/{campaign}/as-of?seq=5", 422, "invalid_request"),
        (f"/campaigns/{campaign}/as-of?at=2026-03-13T00:00:01Z", 422, "invalid_request"),
        (f"/campaigns/{campaign}/as-of?at=2026-03-13", 422, "invalid_request"),
        (f"/campaigns/{campaign}/as-of", 422, "invalid_request"),
        (f"/campaigns/{campaign}/as-of?seq=1&at=2026-03-13T00:00:00Z", 422, "invalid_request"),
        (f"/coupons/{campaign}.1/as-of?seq=0", 422, "invalid_request"),
    ]
    for path, status, code in cases:
        answer = await core.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (path, answer.text)
