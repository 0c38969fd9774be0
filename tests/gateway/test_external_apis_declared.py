"""Home-made ERPs, each with an API of its own, against a running gateway and core."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_asyncio

from tests.support.gateway import GatewayPlatform, Merchant

EXAMPLES = Path(__file__).parents[2] / "examples" / "declared-profile"


def example(name: str) -> Any:
    return json.loads((EXAMPLES / name).read_text(encoding="utf-8"))


@pytest_asyncio.fixture(scope="module")
async def erp(gateway: GatewayPlatform) -> Merchant:
    return await gateway.add_merchant(f"ERP {uuid4().hex[:6]}", dialect="declared", declaration=example("profile.json"))


def action(**changes: Any) -> dict[str, Any]:
    march = {"von": "01.03.2026", "bis": "31.03.2026"}
    document: dict[str, Any] = example("publish.json")
    return document | {"aktionsnummer": f"A-{uuid4().hex[:8]}", "gueltig": march} | changes


def home_made(name_from: str, amount_from: str, header: str) -> dict[str, Any]:
    """An API that takes `POST /v1/campaigns`, as Voucherify's does, and understands it another way."""
    return {
        "name": f"home-made, name from {name_from}",
        "authentication": {"kind": "header", "header": header},
        "currency": "EUR",
        "operations": {
            "publish": {
                "path": "/v1/campaigns",
                "request": {
                    "natural_key": "body.name",
                    "name": name_from,
                    "discount.kind": {"value": "amount_off"},
                    "discount.amount": {"from": amount_from, "convert": {"to": "integer"}},
                    "validity.starts": {"value": "2026-03-01"},
                    "validity.ends": {"value": "2026-03-31"},
                    "supply.kind": {"value": "given"},
                },
                "answer": {"status": 200, "body": {"nummer": "answer.campaign"}},
            },
            "get_campaign": {
                "method": "GET",
                "path": "/v1/campaigns/{key}",
                "request": {"campaign_key": "path.key"},
                "answer": {"body": {"name": "answer.name", "off": "answer.terms.discount.amount"}},
            },
        },
    }


class TestTheWalk:
    async def test_publish_issue_redeem_and_take_back_in_the_merchants_own_words(self, erp: Merchant) -> None:
        document, mark = action(), uuid4().hex[:6].upper()
        number = document["aktionsnummer"]
        published = await erp.send("POST", "/erp/aktionen", document, key="")
        assert published.status_code == 201, published.text
        assert published.json() == {
            "aktionsnummer": number,
            "kennung": published.json()["kennung"],
            "stand": "AKTIV",
        }
        customers = [{"kundennummer": f"K-{n}", "gutscheincode": f"{mark}-{n}"} for n in (1, 2, 1)]
        slip = {"belegnummer": f"B-{mark}", "kunden": customers}
        issued = await erp.send("POST", f"/erp/aktionen/{number}/gutscheine", slip, key="")
        assert (issued.json()["ausgegeben"], issued.json()["abgelehnt"]) == (2, 1)
        assert issued.json()["gutscheine"][2]["grund"] == "repeated_in_request"

        sale = {
            "vorgang": "EINLOESEN",
            "bonnummer": f"BON-{mark}",
            "aktionsnummer": number,
            "gutscheincode": f"{mark}-1",
            "kundennummer": "K-1",
            "summe": "42,50",
        }
        redeemed = await erp.send("POST", "/erp/kasse", sale, key="")
        assert redeemed.status_code == 200, redeemed.text
        said = redeemed.json()
        assert (said["ergebnis"], said["nachlass"], said["zu_zahlen"]) == ("OK", "5,00", "37,50")
        again = await erp.send("POST", "/erp/kasse", sale, key="")
        assert (again.json(), again.headers["idempotent-replayed"]) == (said, "true")
        twice = await erp.send("POST", "/erp/kasse", sale | {"bonnummer": "another"}, key="")
        assert (twice.status_code, twice.json()["code"]) == (409, "BEREITS_EINGELOEST")
        back = {"vorgang": "STORNO", "stornonummer": f"S-{mark}", "gutschein": said["gutschein"]}
        assert (await erp.send("POST", "/erp/kasse", back, key="")).json()["ergebnis"] == "OK"
        anew = await erp.send("POST", "/erp/kasse", sale | {"bonnummer": f"BON-{mark}-2"}, key="")
        assert anew.json()["ergebnis"] == "OK"

    async def test_a_till_may_ask_first_what_would_happen(self, gateway: GatewayPlatform) -> None:
        profile, mark = example("profile.json"), uuid4().hex[:6].upper()
        profile["operations"]["redeem"]["dry_run"] = "body.probe"
        till = await gateway.add_merchant(f"ERP {mark}", dialect="declared", declaration=profile)
        document = action()
        number = document["aktionsnummer"]
        await till.send("POST", "/erp/aktionen", document, key="")
        slip = {"belegnummer": "1", "kunden": [{"kundennummer": "K-1", "gutscheincode": mark}]}
        await till.send("POST", f"/erp/aktionen/{number}/gutscheine", slip, key="")
        sale = {
            "vorgang": "EINLOESEN",
            "bonnummer": "1",
            "aktionsnummer": number,
            "gutscheincode": mark,
            "summe": "42,50",
        }
        for _ in range(2):
            tried = await till.send("POST", "/erp/kasse", sale | {"probe": True}, key="")
            assert (tried.status_code, tried.json()["zu_zahlen"]) == (200, "37,50")
        done = await till.send("POST", "/erp/kasse", sale, key="")
        assert (done.json()["zu_zahlen"], "idempotent-replayed" in done.headers) == ("37,50", False)
        too_late = await till.send("POST", "/erp/kasse", sale | {"probe": True, "bonnummer": "2"}, key="")
        assert (too_late.status_code, too_late.json()["code"]) == (409, "BEREITS_EINGELOEST")

    async def test_a_mistake_is_named_in_the_merchants_own_words(self, erp: Merchant) -> None:
        wrong = action(rabatt={"art": "GESCHENK"})
        answer = await erp.send("POST", "/erp/aktionen", wrong, key="")
        assert answer.status_code == 422
        assert answer.json()["ergebnis"] == "FEHLER"
        assert "body.rabatt.art" in answer.json()["meldung"]
        unknown = await erp.send("POST", "/erp/kasse", example("redeem.json"), key="")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "AKTION_UNBEKANNT")

    async def test_a_scrip_request_with_this_key_is_refused_in_scrips_words(
        self, gateway: GatewayPlatform, erp: Merchant
    ) -> None:
        headers = {"authorization": f"Bearer {erp.credentials['key']}"}
        answer = await gateway.request("GET", "/merchant/v1/campaigns", headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["code"]) == (403, "dialect_not_yours")


class TestSameBytesOtherCredentials:
    async def test_one_request_means_three_things_to_three_merchants(self, gateway: GatewayPlatform) -> None:
        """The same method, path and body; only the credentials differ."""
        key = f"Autumn {uuid4().hex[:6]}"
        voucher = {"type": "DISCOUNT_VOUCHER", "discount": {"type": "AMOUNT", "amount_off": 700}}
        body = {"name": key, "campaign_type": "DISCOUNT_COUPONS", "voucher": voucher}
        vendor = await gateway.add_merchant(f"V {uuid4().hex[:6]}", dialect="voucherify", currency="EUR")
        first = await gateway.add_merchant(
            f"H1 {uuid4().hex[:6]}",
            dialect="declared",
            declaration=home_made("body.name", "body.voucher.discount.amount_off", "X-Key-One"),
        )
        second = await gateway.add_merchant(
            f"H2 {uuid4().hex[:6]}",
            dialect="declared",
            declaration=home_made("body.campaign_type", "length(body.campaign_type)", "X-Key-Two"),
        )
        content = json.dumps(body).encode()
        made = [await each.send("POST", "/v1/campaigns", content, key="") for each in (vendor, first, second)]
        assert [answer.status_code for answer in made] == [200, 200, 200], [answer.text for answer in made]
        assert made[0].json()["object"] == "campaign"
        assert set(made[1].json()) == set(made[2].json()) == {"nummer"}
        assert made[1].json()["nummer"] != made[2].json()["nummer"]
        path = f"/v1/campaigns/{key.replace(' ', '%20')}"
        seen = [(await each.send("GET", path)).json() for each in (vendor, first, second)]
        assert (seen[0]["name"], seen[0]["voucher"]["discount"]["amount_off"]) == (key, 700)
        assert seen[1] == {"name": key, "off": 700}
        assert seen[2] == {"name": "DISCOUNT_COUPONS", "off": 16}

    async def test_ones_key_in_anothers_place_opens_nothing(self, gateway: GatewayPlatform, erp: Merchant) -> None:
        key = erp.credentials["key"]
        misplaced = await gateway.request("POST", "/erp/kasse", {}, headers={"x-other": key}, key="")
        assert misplaced.status_code == 401
        assert misplaced.json()["ergebnis"] == "FEHLER"
