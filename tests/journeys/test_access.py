"""Promise 3: a merchant is identified by its credentials and matched to its API; a suspension bites at once."""

from uuid import uuid4

from contracts.commands import IssueCoupons, IssueRow
from tests.support.journeys import Journey, Shop, answered, code_of, kinds, until

ACCESS = "/merchant/v1/access"


def test_each_merchant_is_matched_to_the_api_made_for_it(journey: Journey) -> None:
    scrip, voucherify = journey.add_shop("Speaks scrip"), journey.add_shop("Speaks voucherify", "voucherify")
    matched = [answered(shop.ask("POST", ACCESS)) for shop in (scrip, voucherify)]
    assert [(each["merchant"], each["dialect"], each["base_path"]) for each in matched] == [
        (scrip.id, "scrip", "/merchant/v1"),
        (voucherify.id, "voucherify", "/v1"),
    ]
    until("the match to be told", lambda: journey.merchant_events(scrip.id, "scrip.merchant.access_matched.v1"))
    assert voucherify.ask("GET", "/v1/campaigns").status_code == 200
    assert code_of(scrip.ask("GET", "/v1/campaigns"))[0] == 404
    foreign = voucherify.ask("GET", "/merchant/v1/campaigns")
    assert (foreign.status_code, foreign.json()["key"]) == (404, "not_found")


def test_an_applicant_that_staff_reject_stays_outside(journey: Journey) -> None:
    filed = journey.ask("POST", ACCESS, {"name": "Stranger", "contact": "x"}).json()
    shown = {"authorization": f"Bearer {filed['token']}"}
    merchant = answered(journey.ask("GET", f"{ACCESS}/{filed['id']}", headers=shown))["merchant"]
    assert journey.scrip_json("merchant", "reject", merchant, "--reason", "unknown firm")["state"] == "rejected"
    state = answered(journey.ask("GET", f"{ACCESS}/{filed['id']}", headers=shown))
    assert (state["state"], state["credentials"]) == ("rejected", None)


def test_a_merchant_has_terminals_of_its_own_and_two_keys_while_one_is_replaced(journey: Journey) -> None:
    added = journey.scrip_json("merchant", "add", "--name", "Two tills", "--dialect", "scrip")
    first = Shop(journey, added["id"], added["terminal"], added["credentials"])
    till = journey.scrip_json("terminal", "add", first.id, "--label", "till-2")
    second = Shop(journey, first.id, till["terminal"], till["credentials"])
    assert answered(second.ask("POST", ACCESS))["terminal"] == "till-2"
    rotated = journey.scrip_json("terminal", "rotate", first.id, second.terminal)
    new = Shop(journey, first.id, second.terminal, rotated["credentials"])
    assert [each.ask("POST", ACCESS).status_code for each in (first, second, new)] == [200, 200, 200]
    journey.scrip_json("terminal", "revoke", first.id, second.terminal)
    assert [each.ask("POST", ACCESS).status_code for each in (first, second, new)] == [200, 401, 401]


def test_a_suspension_bites_at_once_over_http_and_in_kafka(journey: Journey) -> None:
    shop, rival = journey.add_shop("Suspended"), journey.add_shop("Not suspended")
    code = f"SUSPENDED-{uuid4().hex[:6]}"
    campaign = shop.publish(code)
    shop.done("POST", f"/campaigns/{campaign}/issue", {"users": ["ann"]})
    assert journey.scrip_json("merchant", "suspend", shop.id, "--reason", "fraud")["state"] == "suspended"

    use = {"code": code, "user": "ann", "amount": 900}
    assert code_of(shop.ask("POST", "/merchant/v1/coupons/redeem", use)) == (403, "merchant_not_active")
    assert code_of(shop.ask("GET", f"/merchant/v1/campaigns/{campaign}")) == (403, "merchant_not_active")
    in_kafka = journey.send(IssueCoupons(rows=(IssueRow(user="bob"),)), campaign, party=shop.id)
    assert code_of(journey.outcome(in_kafka)) == (403, "merchant_not_active")
    assert journey.campaign(campaign)["issued"] == 1
    assert rival.publish(code)

    journey.scrip_json("merchant", "resume", shop.id)
    assert shop.done("POST", "/coupons/redeem", use)["payable"] == 400
    assert kinds(journey.events(campaign, least=4))[-1] == "coupon.redeemed"
    states = journey.merchant_events(shop.id, "scrip.merchant.state_changed.v1")
    assert [each["state"] for each in states] == ["verified", "active", "suspended", "active"]
