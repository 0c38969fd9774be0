"""Promise 6: internal coupons go through the merchant's own interface, each once, whatever its server does."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.demo_merchants import TOKEN, DemoMerchant, running_demo_merchant
from tests.support.journeys import Journey, Shop, code_of, order, until

USERS = 40


@pytest.fixture(scope="module")
def merchant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMerchant]:
    with running_demo_merchant(tmp_path_factory.mktemp("merchant") / "state.sqlite3", "--users", str(USERS)) as running:
        yield running


@pytest.fixture(scope="module")
def shop(journey: Journey, merchant: DemoMerchant) -> Shop:
    """A merchant with an open interface, whose users were fetched."""
    shop = journey.add_shop("Takes deliveries")
    document = {"base_url": merchant.address, "auth": "bearer", "secret": TOKEN, "requests_per_second": 500}
    journey.done("POST", f"/merchants/{shop.id}/interface", document)
    run = journey.done("POST", f"/merchants/{shop.id}/sync")["run"]
    until("the users", lambda: journey.staff("GET", f"/sync-runs/{run}").json().get("status") == "done")
    return shop


@pytest.fixture(scope="module")
def pushed(journey: Journey, shop: Shop, merchant: DemoMerchant) -> str:
    """An internal campaign delivered to all 40 users over a planted 500 and a time-out after the work was done."""
    campaign = str(journey.done("POST", "/campaigns", order(1_000, redeemable_by=[shop.id]))["campaign"])
    merchant.plant("deliver", "500", nth=1)
    merchant.plant("deliver", "timeout_after_apply", nth=USERS + 1, seconds=8)
    journey.done("POST", f"/campaigns/{campaign}/push", {"merchant": shop.id, "audience": "all_users"})
    until("all deliveries confirmed", lambda: counts(journey, campaign).get("confirmed") == USERS)
    return campaign


def counts(journey: Journey, campaign: str) -> dict[str, int]:
    return dict(journey.done("GET", f"/deliveries/counts?campaign={campaign}")["counts"])


def deliveries(journey: Journey, campaign: str) -> list[dict[str, Any]]:
    return list(journey.done("GET", f"/deliveries?campaign={campaign}&limit=1000")["deliveries"])


def as_delivered(merchant: DemoMerchant, campaign: str, user: str) -> dict[str, Any]:
    """What the merchant's own system holds for a user."""
    database = sqlite3.connect(merchant.state)
    try:
        held = [json.loads(row[0]) for row in database.execute("SELECT content FROM delivery")]
    finally:
        database.close()
    return next(each for each in held if (each["campaign_id"], each["user_id"]) == (campaign, user))


def test_every_coupon_has_a_receipt_and_none_came_twice(
    journey: Journey, shop: Shop, merchant: DemoMerchant, pushed: str
) -> None:
    found = merchant.counts()
    assert found["faults_fired"] == 2
    given = found["deliveries"]
    assert (given["keys"], given["accepted"], given["applied"]) == (USERS, USERS, USERS)
    assert (given["doubled"], given["doubled_coupons"], given["conflicts"]) == (0, 0, 0)
    assert counts(journey, pushed) == {"confirmed": USERS}
    receipts = [each["receipt"] for each in deliveries(journey, pushed)]
    assert len(set(receipts)) == USERS
    assert all(receipts)
    view = journey.campaign(pushed)
    assert (view["issued"], view["held"], view["origin"]) == (USERS, USERS, "internal")
    told = until(
        "the events of all deliveries",
        lambda: (
            len(found := [each for each in changed(journey, shop, pushed) if each["state"] == "confirmed"]) == USERS
            and found
        ),
    )
    assert {each["receipt"] for each in told} == set(receipts)
    assert "unknown" in {each["state"] for each in changed(journey, shop, pushed)}


def changed(journey: Journey, shop: Shop, campaign: str) -> list[dict[str, Any]]:
    events = journey.merchant_events(shop.id, "scrip.merchant.delivery_changed.v1")
    return [each for each in events if each["coupon"].startswith(campaign)]


def test_to_push_again_changes_nothing(journey: Journey, shop: Shop, merchant: DemoMerchant, pushed: str) -> None:
    journey.done("POST", f"/campaigns/{pushed}/push", {"merchant": shop.id, "audience": "all_users"})
    more = journey.done("POST", f"/campaigns/{pushed}/issue", {"users": ["user-0000001"]})
    assert more["accepted"] == 1
    until("the delivery of the next coupon", lambda: counts(journey, pushed) == {"confirmed": USERS + 1})
    assert merchant.counts()["deliveries"]["doubled"] == 0


def test_a_pushed_coupon_is_redeemed_in_the_merchants_dialect_and_unknown_to_others(
    journey: Journey, shop: Shop, merchant: DemoMerchant, pushed: str
) -> None:
    rival = journey.add_shop("Has nothing to do with it")
    delivered = as_delivered(merchant, pushed, "user-0000007")
    use = {"code": delivered["code"], "user": "user-0000007", "amount": 2_000, "order": "till-1"}
    for asked in (use, use | {"campaign": pushed}):
        refused = rival.ask("POST", "/merchant/v1/coupons/redeem", asked)
        assert code_of(refused)[0] == 404
        valid = rival.done("POST", "/coupons/validate", {name: asked[name] for name in asked if name != "order"})
        assert valid["valid"] is False
    redeemed = shop.done("POST", "/coupons/redeem", use)
    assert (redeemed["coupon"], redeemed["payable"]) == (delivered["coupon_id"], 1_500)
    event = journey.done("GET", f"/coupons/{redeemed['coupon']}/history")["events"][-1]
    assert (event["type"], event["data"]["at_party"]) == ("scrip.coupon.redeemed.v1", shop.id)
    assert shop.ask("POST", f"/merchant/v1/campaigns/{pushed}/issue", {"users": ["x"]}).status_code == 404


def test_a_voided_coupon_is_recalled_at_the_merchant(
    journey: Journey, shop: Shop, merchant: DemoMerchant, pushed: str
) -> None:
    coupon = as_delivered(merchant, pushed, "user-0000009")["coupon_id"]
    before = merchant.counts()["recalls"]
    void = {"coupons": [{"number": int(coupon.rpartition(".")[2])}], "reason": "misprint"}
    journey.done("POST", f"/campaigns/{pushed}/void", void)
    until("the recall", lambda: counts(journey, pushed).get("recalled") == 1)
    assert merchant.counts()["recalls"] == before + 1
    recalled = next(each for each in deliveries(journey, pushed) if each["state"] == "recalled")
    assert (recalled["coupon"], recalled["reason"]) == (coupon, "misprint")


def test_what_the_merchant_refused_is_dead_until_staff_redrive_it(
    journey: Journey, shop: Shop, merchant: DemoMerchant
) -> None:
    campaign = str(journey.done("POST", "/campaigns", order(10, redeemable_by=[shop.id]))["campaign"])
    journey.done("POST", f"/campaigns/{campaign}/issue", {"users": ["user-0000011"]})
    merchant.plant("deliver", "422", times=None)
    journey.done("POST", f"/campaigns/{campaign}/push", {"merchant": shop.id})
    until("the dead delivery", lambda: counts(journey, campaign) == {"dead": 1})
    dead = deliveries(journey, campaign)[0]
    assert dead["reason"]
    merchant.clear()
    journey.done("POST", f"/merchants/{shop.id}/deliveries/redrive", {"delivery": dead["id"]})
    until("the receipt", lambda: counts(journey, campaign) == {"confirmed": 1})
    again = deliveries(journey, campaign)[0]
    assert (again["id"], bool(again["receipt"])) == (dead["id"], True)
    assert merchant.counts()["deliveries"]["doubled"] == 0
