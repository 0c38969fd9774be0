"""The catalogue: internal and external offers beside one another, claimed by apps for users."""

from typing import Any

from tests.support.gateway import GatewayPlatform, Merchant

OFFERS = "/catalogue/v1/offers"


async def publish(shop: Merchant, name: str, **more: Any) -> str:
    document = {
        "name": name,
        "currency": "EUR",
        "discount": {"kind": "percent_off", "basis_points": 1000},
        "validity": {"starts": "2026-03-01", "ends": "2026-03-31"},
        "supply": {"kind": "shared", "code": name},
        **more,
    }
    made = await shop.send("POST", "/merchant/v1/campaigns", document, key=name)
    assert made.status_code == 201, made.text
    return str(made.json()["campaign"])


async def listed(gateway: GatewayPlatform, token: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    after = None
    while True:
        page = (
            await gateway.request(
                "GET",
                f"{OFFERS}?limit=200" + (f"&after={after}" if after else ""),
                headers={"authorization": f"Bearer {token}"},
            )
        ).json()
        found |= {offer["id"]: offer for offer in page["offers"]}
        after = page["next"]
        if after is None:
            return found


class TestTheCatalogue:
    async def test_holds_internal_and_external_offers_until_they_are_unpublished(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        shop = await gateway.add_merchant("Catalogue shop")
        off = {"kind": "amount_off", "amount": 100}
        external = await publish(shop, "cat-1", price=250, discount=off, budget=90_000)
        app = await gateway.token("app")
        offers = await listed(gateway, app)
        assert (offers[campaign]["origin"], offers[external]["origin"]) == ("internal", "external")
        assert offers[external]["terms"]["price"] == 250
        assert "code" not in offers[external]
        assert (offers[external]["budget"], offers[external]["terms"]["budget"]) == (None, None)
        await shop.send("POST", f"/merchant/v1/campaigns/{external}/unpublish")
        assert external not in await listed(gateway, app)

    async def test_lets_an_app_claim_for_a_user_and_asks_for_the_price(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        shop = await gateway.add_merchant("Priced shop")
        external = await publish(shop, "cat-2", price=250)
        headers = {"authorization": f"Bearer {await gateway.token('app')}"}
        for offer in (campaign, external):
            body = {"user": "jo"} if offer == campaign else {"user": "jo", "order": "o-9", "paid": 250}
            claimed = await gateway.request("POST", f"{OFFERS}/{offer}/claim", body, headers=headers, key="claim-1")
            assert claimed.status_code == 200, claimed.text
            again = await gateway.request("POST", f"{OFFERS}/{offer}/claim", body, headers=headers, key="claim-1")
            assert again.headers["idempotent-replayed"] == "true"
        unpaid = await gateway.request("POST", f"{OFFERS}/{external}/claim", {"user": "al"}, headers=headers)
        assert (unpaid.status_code, unpaid.json()["code"]) == (409, "price_not_paid")
        used = await shop.send("POST", "/merchant/v1/coupons/redeem", {"code": "cat-2", "user": "jo", "amount": 1000})
        assert used.json()["discount"] == 100, used.text
        history = await gateway.done("GET", f"/campaigns/{external}/events")
        issued = next(event for event in history["events"] if event["type"] == "scrip.coupon.issued.v1")
        assert issued["actor"].startswith("app:")
        assert (issued["data"]["order"], issued["data"]["paid"]) == ("o-9", 250)

    async def test_shows_an_app_of_one_merchant_only_that_merchants_offers(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        shop = await gateway.add_merchant("Own app")
        own = await publish(shop, "cat-3")
        token = await gateway.token("app", merchant=shop.id)
        assert set(await listed(gateway, token)) == {own}
        headers = {"authorization": f"Bearer {token}"}
        mine = await gateway.request("POST", f"{OFFERS}/{own}/claim", {"user": "jo"}, headers=headers)
        assert mine.status_code == 200
        foreign = await gateway.request("POST", f"{OFFERS}/{campaign}/claim", {"user": "jo"}, headers=headers)
        assert (foreign.status_code, foreign.json()["code"]) == (404, "offer_not_found")

    async def test_lets_nobody_claim_what_is_not_in_it(self, gateway: GatewayPlatform, campaign: str) -> None:
        headers = {"authorization": f"Bearer {await gateway.token('app')}"}
        await gateway.done("POST", f"/campaigns/{campaign}/unpublish")
        refused = await gateway.request("POST", f"{OFFERS}/{campaign}/claim", {"user": "jo"}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (404, "offer_not_found")
        viewer = {"authorization": f"Bearer {await gateway.token('viewer')}"}
        assert (
            await gateway.request("POST", f"{OFFERS}/{campaign}/claim", {"user": "jo"}, headers=viewer)
        ).status_code == 403
