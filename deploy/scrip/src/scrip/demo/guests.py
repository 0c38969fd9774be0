"""The callers that join in July: a home-made ERP with its own JSON, a Voucherify client, and an internal Kafka tool."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from scrip.checkout import checkout
from scrip.demo.calling import Client, UnexpectedAnswer
from scrip.demo.chain import Chain, matched_by
from scrip.demo.companions import DemoMerchant, VoucherifyShop, run_tool
from scrip.demo.staff import Staff
from scrip.platform import Platform

ERP_CUSTOMERS, ERP_REDEEMED = 40, 12
ERP_RETURNED = 2
SHOP_CODES, SHOP_PUBLISHED, SHOP_REDEEMED = 30, 20, 8
SHOP_ROLLED_BACK = 1
PUSH_SECONDS = 120.0
FAIL_AT, TIME_OUT_AT = 700, 1_500
"""Which delivery's call the merchant answers with 500, and which it applies but answers too late."""


@dataclass
class Guests:
    """Who they are here, and what they saw."""

    erp_client: Client = field(init=False)
    matched: int = 0
    erp: str = ""
    shop: str = ""
    pushed: str = ""
    """The campaign of the tool."""
    seen: dict[str, Any] = field(default_factory=dict)


def play_erp(url: str, staff: Staff, guests: Guests) -> None:
    """The ERP publishes, issues, redeems and returns, in German and with commas, by a declared profile."""
    declaration = json.loads((checkout() / "examples" / "declared-profile" / "profile.json").read_text("utf-8"))
    guests.erp, shown = staff.add_merchant("Kaufhaus ERP", "declared", declaration=declaration)
    client = guests.erp_client = Client(url, {shown["header"]: shown["key"]})
    guests.matched += matched_by(client)["dialect"] == "declared"
    action = {
        "aktionsnummer": "A-2017-07",
        "titel": "Sommer: 5 Euro",
        "rabatt": {"art": "BETRAG", "betrag": "5,00"},
        "mindestumsatz": "20,00",
        "gueltig": {"von": "01.07.2017", "bis": "31.07.2017"},
        "codes": {"art": "JE_KUNDE"},
        "stueck": 500,
    }
    client.send("POST", "/erp/aktionen", action).expect(201)
    customers = [{"kundennummer": f"K-{n}", "gutscheincode": f"SOMMER-{n:04}"} for n in range(ERP_CUSTOMERS)]
    issued = client.send(
        "POST", "/erp/aktionen/A-2017-07/gutscheine", {"belegnummer": "B-1", "kunden": customers}
    ).expect(200)
    receipts = [till(client, f"B-{n}", n) for n in range(ERP_REDEEMED)]
    again = till(client, "B-again", 0)
    for number in range(ERP_RETURNED):
        body = {"vorgang": "STORNO", "stornonummer": f"S-{number}", "gutschein": receipts[number]["gutschein"]}
        client.send("POST", "/erp/kasse", body).expect(200)
    guests.seen["erp_issued"] = issued["ausgegeben"]
    guests.seen["erp_redeemed"] = sum(each["ergebnis"] == "OK" for each in receipts)
    guests.seen["erp_again"] = again["code"]


def till(client: Client, receipt: str, customer: int) -> Any:
    """What the ERP's till is told for one coupon."""
    body = {
        "vorgang": "EINLOESEN",
        "bonnummer": receipt,
        "aktionsnummer": "A-2017-07",
        "gutscheincode": f"SOMMER-{customer:04}",
        "kundennummer": f"K-{customer}",
        "summe": "42,50",
    }
    return client.send("POST", "/erp/kasse", body).body


def play_shop(url: str, staff: Staff, guests: Guests, shop: VoucherifyShop, foreign_code: str) -> None:
    """The shop's own program, written for Voucherify, plays its campaign."""
    guests.shop, shown = staff.add_merchant("Voucherify shop", "voucherify", currency="USD", zone="America/New_York")
    client = Client(url, {"x-app-id": shown["app_id"], "x-app-token": shown["app_token"]})
    guests.matched += matched_by(client)["dialect"] == "voucherify"
    campaign = {
        "name": "July",
        "start_date": "2017-07-01T00:00:00Z",
        "expiration_date": "2017-08-01T04:00:00Z",
    }
    order = {"url": url, "app_id": shown["app_id"], "app_token": shown["app_token"], "campaign": campaign}
    order |= {"codes": SHOP_CODES, "publish": SHOP_PUBLISHED, "redeem": SHOP_REDEEMED}
    guests.seen["shop"] = shop.play({**order, "foreign_code": foreign_code})


def generate_by_tool(platform: Platform, staff: Staff, guests: Guests, chain: Chain, households: int) -> None:
    """Staff register a tool; it orders a campaign in Kafka, signed, and reads its answer there."""
    wish = {"name": "campaign-planner", "rights": ["generate"], "reply_topic": "tools.campaign-planner"}
    credentials = staff.client.send_once("POST", "/internal/v1/tools", wish).expect(201)
    arguments = ["generate", "--campaign", "thank-you-2017", "--name", "Thank you: 3 dollars", "--amount-off", "300"]
    arguments += ["--currency", "USD", "--quantity", str(households), "--starts", "2017-07-01", "--ends", "2017-07-31"]
    arguments += ["--zone", "America/New_York", "--redeemable-by", chain.id]
    answer = run_tool(platform.home.path, platform.bootstrap, credentials, arguments)
    guests.pushed = answer["result"]["campaign"]


def push(staff: Staff, guests: Guests, chain: Chain, merchant: DemoMerchant, households: int) -> None:
    """Send one coupon of the tool's campaign to each household through the chain's interface, and wait for receipts."""
    merchant.plant("500", FAIL_AT)
    merchant.plant("timeout_after_apply", TIME_OUT_AT, seconds=10)
    staff.order(f"/campaigns/{guests.pushed}/push", {"merchant": chain.id, "audience": "all_users"})
    deadline = time.monotonic() + PUSH_SECONDS
    confirmed = 0
    while confirmed < households:
        counts: dict[str, int] = staff.adapter.get(f"/deliveries/counts?campaign={guests.pushed}")["counts"]
        confirmed = counts.get("confirmed", 0)
        if counts.get("dead") or time.monotonic() > deadline:
            raise UnexpectedAnswer(f"The push ended with {counts}.")
        time.sleep(0.1)
    guests.seen["faults"] = {each["kind"]: each for each in merchant.admin.get("/_admin/faults")["faults"]}
    guests.seen["merchant"] = merchant.admin.get("/_admin/counts")


def pushed_code(staff: Staff, guests: Guests) -> tuple[str, str]:
    """Code and user of one coupon that was pushed, as the chain has it now."""
    found = staff.core.get(f"/campaigns/{guests.pushed}/coupons?limit=1&codes=1")["coupons"][0]
    return found["code"], found["user"]


def redeem_pushed(guests: Guests, chain: Chain, code: str, user: str) -> None:
    """The pushed coupon is unknown to the ERP, and good at the chain's till."""
    shown = {"code": code, "user": user, "order": "receipt-pushed"}
    body = {
        "vorgang": "EINLOESEN",
        "bonnummer": "B-foreign",
        "aktionsnummer": "A-2017-07",
        "gutscheincode": code,
        "kundennummer": user,
        "summe": "42,50",
    }
    foreign = guests.erp_client.send("POST", "/erp/kasse", body)
    guests.seen["foreign"] = [foreign.body.get("code"), guests.seen["shop"]["foreign"]]
    answer = chain.client.send("POST", "/merchant/v1/coupons/redeem", shown, key="redeem-pushed")
    guests.seen["pushed_discount"] = answer.expect(200)["discount"]
