"""Promise 4: a merchant publishes coupons of its own, or orders Scrip to make some; both end as agreed."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
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


def test_gift_cards_pay_in_parts_and_their_budget_is_never_overspent(journey: Journey, shop: Shop) -> None:
    cards = generated(discount={"kind": "gift_card", "balance": 5_000}, budget=20_000)
    campaign = shop.done("POST", "/campaigns/generate", cards)["campaign"]

    with ThreadPoolExecutor(8) as callers:
        claims = list(callers.map(lambda user: _claim(shop, campaign, user), [f"u{number}" for number in range(16)]))
    claimed = [answered(claim) for claim in claims if claim.status_code == 201]
    refused = Counter(code_of(claim) for claim in claims if claim.status_code != 201)
    assert (len(claimed), refused) == (4, {(409, "budget_exhausted"): 12})
    view = journey.campaign(campaign)
    assert (view["state"], view["exponent"]) == ("exhausted", 2)
    assert view["budget"] == {"total": 20_000, "reserved": 20_000, "spent": 0, "left": 0}

    card = claimed[0]["code"]
    asked = {"code": card, "amount": 9_000}
    judged = shop.done("POST", "/coupons/validate", asked)
    assert (judged["valid"], judged["discount"], judged["payable"], judged["balance"]) == (True, 5_000, 4_000, 5_000)
    held = shop.done("POST", "/coupons/reserve", {"code": card, "order": "A", "amount": 2_000})
    assert held["amount"] == 2_000
    other = shop.done("POST", "/coupons/redeem", asked | {"order": "B"})
    assert (other["discount"], other["state"], other["balance"]) == (3_000, "reserved", 2_000)
    assert code_of(shop.ask("POST", "/merchant/v1/coupons/redeem", asked | {"order": "B"})) == (409, "coupon_reserved")
    last = shop.done("POST", "/coupons/redeem", asked | {"order": "A"})
    assert (last["discount"], last["state"], last["balance"]) == (2_000, "redeemed", 0)
    back = {"code": card, "redemption": other["redemption"], "amount": 1_000, "reason": "goods returned"}
    returned = shop.done("POST", "/coupons/return", back)
    assert (returned["state"], returned["balance"], returned["restored"]) == ("held", 1_000, True)
    too_much = shop.ask("POST", "/merchant/v1/coupons/return", back | {"amount": 2_001})
    assert code_of(too_much) == (409, "return_above_redeemed")
    assert journey.campaign(campaign)["budget"] == {"total": 20_000, "reserved": 16_000, "spent": 4_000, "left": 0}

    shop.done("POST", "/coupons/void", {"code": claimed[1]["code"], "reason": "stolen"})
    assert journey.campaign(campaign)["state"] == "active"
    assert _claim(shop, campaign, "late").status_code == 201
    assert kinds(journey.events(campaign, least=16))[7:] == [
        *("campaign.exhausted", "coupon.reserved", "coupon.used", "coupon.redeemed", "coupon.returned"),
        *("coupon.voided", "campaign.replenished", "coupon.issued", "campaign.exhausted"),
    ]


def _claim(shop: Shop, campaign: str, user: str) -> httpx.Response:
    return shop.ask("POST", f"/merchant/v1/campaigns/{campaign}/claim", {"user": user})


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
