"""One coupon from the first word of an applicant to its second redemption, seen by everybody who may look."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.support.journeys import ROOT, Journey, Shop, answered, code_of, kinds, numbers, program

ACCESS = "/merchant/v1/access"
USERS = [f"member-{number}" for number in range(1, 101)]
SEEN = ["campaign.created", "campaign.published", *["coupon.issued"] * 100, "coupon.redeemed", "coupon.returned",
        "coupon.redeemed"]  # fmt: skip


@pytest.fixture(scope="module")
def shop(journey: Journey) -> Shop:
    """An applicant that staff verified by the command line and that fetched its credentials."""
    filed = journey.ask("POST", ACCESS, {"name": "Corner shop", "contact": "owner@shop.example"})
    assert filed.status_code == 202
    request, shown = filed.json()["id"], {"authorization": f"Bearer {filed.json()['token']}"}
    waiting = journey.ask("GET", f"{ACCESS}/{request}", headers=shown).json()
    assert (waiting["state"], waiting["credentials"]) == ("requested", None)

    listed = journey.scrip_json("merchant", "requests")
    merchant = next(each["merchant"] for each in listed if each["id"] == request)
    assert journey.scrip_json("merchant", "verify", merchant, "--reason", "known to us")["state"] == "active"
    assert request not in [each["id"] for each in journey.scrip_json("merchant", "requests")]

    first = answered(journey.ask("GET", f"{ACCESS}/{request}", headers=shown))
    again = answered(journey.ask("GET", f"{ACCESS}/{request}", headers=shown))
    assert first["credentials"]["type"] == "bearer"
    assert again["credentials"] is None
    return Shop(journey, merchant, "", first["credentials"])


def test_the_walk(journey: Journey, shop: Shop) -> None:
    matched = answered(shop.ask("POST", ACCESS))
    assert (matched["merchant"], matched["dialect"], matched["base_path"]) == (shop.id, "scrip", "/merchant/v1")

    code = f"WALK-{uuid4().hex[:6]}"
    with journey.live(party=shop.id) as stream:
        before = stream.position()
        campaign = shop.publish(code)
        offers = answered(journey.ask("GET", "/catalogue/v1/offers?limit=200", headers=app(journey)))["offers"]
        assert [each["owner"] for each in offers if each["id"] == campaign] == [shop.id]
        assert "code" not in next(each for each in offers if each["id"] == campaign)

        issued = shop.done("POST", f"/campaigns/{campaign}/issue", {"users": USERS})
        assert (issued["total"], issued["accepted"], issued["refused"]) == (100, 100, 0)
        mine = {"code": code.lower(), "user": "member-7", "amount": 2_000}
        valid = shop.done("POST", "/coupons/validate", mine)
        assert (valid["valid"], valid["discount"], valid["payable"]) == (True, 500, 1_500)
        redeemed = shop.done("POST", "/coupons/redeem", mine | {"order": "order-1"})
        assert (redeemed["discount"], redeemed["payable"], redeemed["user"]) == (500, 1_500, "member-7")
        twice = shop.ask("POST", "/merchant/v1/coupons/redeem", mine | {"order": "order-2"})
        assert code_of(twice) == (409, "coupon_already_redeemed")
        returned = shop.done("POST", "/coupons/return", {"coupon": redeemed["coupon"], "reason": "goods came back"})
        assert returned["state"] == "held"
        again = shop.done("POST", "/coupons/redeem", mine | {"order": "order-2"})
        assert (again["coupon"], again["redemption"]) == (redeemed["coupon"], 2)
        live = stream.take(len(SEEN))

    assert kinds(live) == SEEN
    assert numbers(live) == list(range(1, len(SEEN) + 1))
    seen_on_topic(journey, campaign)
    seen_by_scrip_watch(journey, campaign, before)
    seen_by_an_outside_consumer(journey, campaign)


def app(journey: Journey) -> dict[str, str]:
    return {"authorization": f"Bearer {journey.token('app')}"}


def seen_on_topic(journey: Journey, campaign: str) -> None:
    events = journey.events(campaign, least=len(SEEN))
    assert kinds(events) == SEEN
    assert numbers(events) == list(range(1, len(SEEN) + 1))


def seen_by_scrip_watch(journey: Journey, campaign: str, before: str) -> None:
    watching = journey.watch("--campaign", campaign, "--after", before, "--json")
    with watching as lines:
        seen: list[dict[str, Any]] = [json.loads(next(lines)) for _ in SEEN]
    assert kinds(seen) == SEEN
    assert numbers(seen) == list(range(1, len(SEEN) + 1))


def seen_by_an_outside_consumer(journey: Journey, campaign: str) -> None:
    """The example consumer, which imports nothing of ours and reports gaps itself."""
    consumer = str(ROOT / "examples" / "consumer" / "coupon_events.py")
    ran = program(consumer, "--bootstrap", journey.platform.bootstrap, "--until-idle", "2")
    assert ran.returncode == 0, ran.stderr
    *lines, summary = ran.stdout.splitlines()
    assert [f"scrip.{kind}.v1" for kind in SEEN] == [line.split()[1] for line in lines if campaign in line.split()[2]]
    assert json.loads(summary)["gaps"] == []
