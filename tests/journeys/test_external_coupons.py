"""Promise 4: a merchant publishes coupons of its own, or orders Scrip to make some; both end as agreed."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.journeys import Journey, Shop, answered, code_of, kinds, offer, until


@pytest.fixture(scope="module")
def shop(journey: Journey) -> Shop:
    return journey.add_shop("Tea house")


def code() -> str:
    return f"TEA-{uuid4().hex[:6]}"


def generated(**changes: Any) -> dict[str, Any]:
    """What a merchant sends to have codes made."""
    document = offer("unused", **changes) | {"quantity": 50}
    del document["supply"]
    return document


def offers(journey: Journey, token: str) -> list[str]:
    """Ids of what stands in the catalogue."""
    found = answered(journey.ask("GET", "/catalogue/v1/offers?limit=200", headers={"authorization": f"Bearer {token}"}))
    return [each["id"] for each in found["offers"]]


def test_publishing_and_generating_are_different_commands_and_events(journey: Journey, shop: Shop) -> None:
    published = shop.publish(code())
    made = str(shop.done("POST", "/campaigns/generate", generated())["campaign"])
    assert kinds(journey.events(published, least=2)) == ["campaign.created", "campaign.published"]
    assert kinds(journey.events(made, least=3)) == [
        "campaign.created",
        "campaign.generation_started",
        "campaign.generated",
    ]
    for campaign in (published, made):
        view = journey.campaign(campaign)
        assert (view["origin"], view["owner"], view["state"]) == ("external", shop.id, "active")
    cannot_be_published = offer(code(), supply={"kind": "generated"})
    assert shop.ask("POST", "/merchant/v1/campaigns", cannot_be_published).status_code == 422
    cannot_be_generated = generated() | {"supply": {"kind": "given"}}
    assert shop.ask("POST", "/merchant/v1/campaigns/generate", cannot_be_generated).status_code == 422


def test_codes_made_for_a_merchant_are_issued_and_redeemed(journey: Journey, shop: Shop) -> None:
    campaign = shop.done("POST", "/campaigns/generate", generated())["campaign"]
    issued = shop.done("POST", f"/campaigns/{campaign}/issue", {"users": ["ann", "bob"]})
    first = issued["rows"][0]
    assert shop.done("POST", "/coupons/redeem", {"code": first["code"], "amount": 900})["user"] == "ann"
    bearer = shop.done("POST", f"/campaigns/{campaign}/export-codes", {"count": 1})["codes"][0]["code"]
    assert shop.done("POST", "/coupons/redeem", {"code": bearer, "amount": 900})["payable"] == 400
    invented = shop.ask("POST", "/merchant/v1/coupons/redeem", {"code": "0123456789AB", "amount": 900})
    assert code_of(invented) == (404, "coupon_not_found")


def test_an_app_claims_for_a_user_what_stands_in_the_catalogue(journey: Journey, shop: Shop) -> None:
    app = journey.token("app")
    shown = {"authorization": f"Bearer {app}"}
    shared = code()
    campaign = shop.publish(shared, per_user_limit=1)
    assert campaign in offers(journey, app)
    claim = f"/catalogue/v1/offers/{campaign}/claim"
    claimed = answered(journey.ask("POST", claim, {"user": "dora"}, headers=shown))
    assert (claimed["user"], claimed["code"]) == ("dora", shared)
    again = journey.ask("POST", claim, {"user": "dora"}, headers=shown)
    assert code_of(again) == (409, "user_limit_reached")
    assert journey.staff("GET", f"/campaigns/{campaign}", token=app).status_code == 403

    shop.done("POST", f"/campaigns/{campaign}/unpublish")
    assert campaign not in offers(journey, app)
    assert code_of(journey.ask("POST", claim, {"user": "emil"}, headers=shown))[0] == 404
    held = shop.done("POST", "/coupons/redeem", {"code": shared, "user": "dora", "amount": 900})
    assert held["payable"] == 400
    assert kinds(journey.events(campaign, least=5))[2:5] == [
        "coupon.issued",
        "campaign.unpublished",
        "coupon.redeemed",
    ]


def test_a_paused_campaign_gives_nothing_out_and_takes_nothing(journey: Journey, shop: Shop) -> None:
    shared = code()
    campaign = shop.publish(shared)
    at, use = f"/campaigns/{campaign}", {"code": shared, "user": "ann", "amount": 900}
    shop.done("POST", f"{at}/issue", {"users": ["ann"]})
    shop.done("POST", f"{at}/pause", {"reason": "misprint"})
    assert code_of(shop.ask("POST", f"/merchant/v1{at}/claim", {"user": "bob"})) == (409, "campaign_not_active")
    assert code_of(shop.ask("POST", "/merchant/v1/coupons/redeem", use)) == (409, "campaign_not_active")
    shop.done("POST", f"{at}/resume")
    assert shop.done("POST", "/coupons/redeem", use)["payable"] == 400


def test_a_stopped_campaign_takes_its_coupons_with_it(journey: Journey, shop: Shop) -> None:
    shared = code()
    campaign = shop.publish(shared)
    shop.done("POST", f"/campaigns/{campaign}/issue", {"users": ["ann", "bob", "cem"]})
    voided = shop.done("POST", "/coupons/void", {"code": shared, "user": "ann", "reason": "lost"})
    assert voided["state"] == "voided"
    assert shop.done("POST", f"/campaigns/{campaign}/stop", {"reason": "sold out"})["state"] == "stopped"
    until("all coupons voided", lambda: journey.campaign(campaign)["voided"] == 3)
    refused = shop.ask("POST", "/merchant/v1/coupons/redeem", {"code": shared, "user": "bob", "amount": 900})
    assert code_of(refused)[0] == 409
    events = journey.events(campaign, least=9)
    assert sorted(kinds(events)[5:]) == ["campaign.stopped", *["coupon.voided"] * 3]


def test_coupons_expire_when_their_time_is_over(journey: Journey, shop: Shop) -> None:
    shared = code()
    ends = datetime.now(UTC) + timedelta(seconds=6)
    validity = {"starts": (ends - timedelta(days=1)).isoformat(), "ends": ends.isoformat()}
    campaign = shop.publish(shared, validity=validity)
    shop.done("POST", f"/campaigns/{campaign}/issue", {"users": ["ann", "bob", "cem"]})
    redeemed = shop.done("POST", "/coupons/redeem", {"code": shared, "user": "cem", "amount": 900})
    view = until(
        "the end of the campaign",
        lambda: (found := journey.campaign(campaign))["state"] == "ended" and found["held"] == 0 and found,
    )
    assert (view["expired"], view["redeemed"], view["issued"]) == (2, 1, 3)
    events = journey.events(campaign, least=9)
    expired = [event for event in events if event["type"] == "scrip.coupon.expired.v1"]
    assert {datetime.fromisoformat(event["data"]["due"]) for event in expired} == {ends}
    assert all(datetime.fromisoformat(event["time"]) >= ends for event in expired)
    assert "campaign.ended" in kinds(events)
    late = shop.ask("POST", "/merchant/v1/coupons/redeem", {"code": shared, "user": "ann", "amount": 900})
    assert code_of(late)[0] == 409
    assert redeemed["coupon"] not in {event["subject"] for event in expired}
