"""What is one merchant's is nothing to another: not to be seen, used or guessed at any address, by any kind of id."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contracts.commands import IssueCoupons, IssueRow, PauseCampaign, VoidCampaign
from dialects.scrip.requests import ROUTES
from tests.support.journeys import ROOT, Journey, Shop, answered, code_of, offer

METHODS = ("get", "post", "put", "delete")


@dataclass(frozen=True)
class Names:
    """How something can be named from outside."""

    campaign: str
    key: str
    coupon: str
    code: str
    user: str
    order: str
    reference: str


@dataclass(frozen=True)
class Case:
    """The owner of something, a rival, what the owner has, and names of nothing at all."""

    owner: Shop
    rival: Shop
    theirs: Names
    nothing: Names


@pytest.fixture(scope="module")
def case(journey: Journey) -> Case:
    owner, rival = journey.add_shop("Owner"), journey.add_shop("Rival")
    mark = uuid4().hex[:8]
    names = {"key": f"spring-{mark}", "code": f"SPRING-{mark}", "user": f"ann-{mark}", "order": f"order-{mark}"}
    made = owner.done("POST", "/campaigns", offer(names["code"]), key=names["key"])
    issued = owner.done("POST", f"/campaigns/{made['campaign']}/issue", {"users": [names["user"]]})
    use = {"code": names["code"], "user": names["user"], "amount": 900, "order": names["order"]}
    owner.done("POST", "/coupons/redeem", use)
    assert owner.ask("POST", "/merchant/v1/coupons/redeem", use).status_code == 409
    coupon = issued["rows"][0]["coupon"]
    theirs = Names(campaign=made["campaign"], coupon=coupon, reference=issued["reference"], **names)
    lost = uuid4()
    nothing = Names(str(lost), f"no-{mark}", f"{lost}.1", f"NO-{mark}", f"no-{mark}", f"no-{mark}", str(uuid4()))
    return Case(owner, rival, theirs, nothing)


def bodies(operation: str, names: Names) -> list[Any]:
    """Bodies of an operation, one for each way to name what it is about; None: no body."""
    coupons: list[dict[str, Any]] = [
        {"coupon": names.coupon},
        {"code": names.code, "user": names.user},
        {"code": names.code, "user": names.user, "campaign": names.campaign},
        {"code": names.code, "user": names.user, "campaign_key": names.key},
    ]
    more: dict[str, dict[str, Any]] = {
        "redeem": {"amount": 900},
        "return": {},
        "void": {"reason": "theft"},
        "reserve": {"order": "mine"},
        "release": {"order": names.order},
        "validate": {"amount": 900},
    }
    if operation in more:
        return [each | more[operation] for each in coupons if operation != "validate" or "code" in each]
    bodies_of_campaigns: dict[str, Any] = {
        "issue": {"users": ["mine"]},
        "claim": {"user": "mine"},
        "pause": {"reason": "theft"},
        "stop": {"reason": "theft"},
        "void-matching": {"reason": "theft", "matching": {"states": ["held"]}},
        "void-all": {"reason": "theft"},
        "cancel-generation": {"reason": "theft"},
        "quantity": {"quantity": 5},
        "codes": {"codes": ["MINE-1"]},
        "export-codes": {"count": 1},
    }
    return [bodies_of_campaigns.get(operation)]


def probes(names: Names) -> Iterator[tuple[str, str, Any]]:
    """Every route of the dialect with every way to name something: (method, path, body)."""
    for query in (f"code={names.code}", f"user={names.user}", f"order={names.order}"):
        yield "GET", f"/merchant/v1/coupons?{query}", None  # first: later ones find what the asker was refused
    for route in ROUTES:
        path = route.path.replace("{what}", "coupons")
        operation = path.rpartition("/")[2]
        if operation == "campaigns" or path.endswith(("/campaigns/generate", "/v1/coupons")):
            continue  # make or list one's own; asked above
        if "{campaign}" in path:
            for name in (names.campaign, names.key):
                for body in bodies(operation, names) if route.method != "GET" else [None]:
                    yield route.method, path.replace("{campaign}", name), body
        elif "{" in path:
            yield route.method, path.replace("{coupon}", names.coupon).replace("{reference}", names.reference), None
        else:
            for body in bodies(operation, names):
                yield route.method, path, body


def said(answer: httpx.Response, names: Names) -> tuple[int, str]:
    """Status and body without what the asker said itself, and without the time."""
    body = {name: value for name, value in answer.json().items() if name not in ("as_of", "command", "reference")}
    text = json.dumps(body, sort_keys=True)
    for name in vars(names).values():
        text = text.replace(name, "…")
    return answer.status_code, text


def test_every_address_answers_a_rival_as_if_there_were_nothing(journey: Journey, case: Case) -> None:
    before = journey.campaign(case.theirs.campaign)["seq"]
    asked = 0
    for theirs, nothing in zip(probes(case.theirs), probes(case.nothing), strict=True):
        method, path, body = theirs
        seen, unknown = case.rival.ask(method, path, body), case.rival.ask(nothing[0], nothing[1], nothing[2])
        assert said(seen, case.theirs) == said(unknown, case.nothing), (method, path, body)
        if seen.status_code == 200:
            shown = seen.json()
            nothing_shown = shown.get("valid") is False or not any(shown.get(name) for name in ("coupons", "refusals"))
            assert nothing_shown, (method, path, body, shown)
        else:
            assert seen.status_code in (403, 404), (method, path, body, seen.text)
        asked += 1
    assert asked > 50
    assert case.rival.done("GET", "/campaigns")["campaigns"] == []
    assert journey.campaign(case.theirs.campaign)["seq"] == before


def test_the_owner_is_answered_at_the_same_addresses(case: Case) -> None:
    """The probes above ask something: where reading is concerned the owner gets an answer."""
    reading = [(path, body) for method, path, body in probes(case.theirs) if method == "GET"]
    assert len(reading) > 8
    for path, _ in reading:
        assert case.owner.ask("GET", path).status_code == 200, path


def test_a_merchants_key_opens_nothing_of_the_platforms_own_apis(journey: Journey, case: Case) -> None:
    described = answered(journey.ask("GET", "/openapi.json"))["paths"]
    asked = 0
    for path, operations in described.items():
        if path.startswith("/merchant/"):
            continue  # theirs
        filled = path.replace("{campaign}", case.theirs.campaign).replace("{coupon}", case.theirs.coupon)
        filled = filled.replace("{what}", "coupons")
        while "{" in filled:
            before, _, rest = filled.partition("{")
            filled = before + case.owner.id + rest.partition("}")[2]
        for method in METHODS:
            if method in operations:
                refused = case.owner.ask(method.upper(), filled, None if method == "get" else {})
                assert refused.status_code in (401, 403), (method, filled, refused.text)
                asked += 1
    assert asked > 50


def test_an_app_bound_to_one_merchant_neither_sees_nor_claims_anothers_offers(journey: Journey, case: Case) -> None:
    shown = {"authorization": f"Bearer {journey.token('app', merchant=case.rival.id)}"}
    listed = answered(journey.ask("GET", "/catalogue/v1/offers?limit=200", headers=shown))["offers"]
    assert {each["owner"] for each in listed} <= {case.rival.id}
    for campaign in (case.theirs.campaign, case.nothing.campaign):
        claim = journey.ask("POST", f"/catalogue/v1/offers/{campaign}/claim", {"user": "mine"}, headers=shown)
        assert code_of(claim) == (404, "offer_not_found")


def test_in_kafka_too_a_campaign_is_its_owners_only(journey: Journey, case: Case) -> None:
    tries = (IssueCoupons(rows=(IssueRow(user="mine"),)), PauseCampaign(reason="theft"), VoidCampaign(reason="theft"))
    for command in tries:
        sent = journey.send(command, case.theirs.campaign, party=case.rival.id)
        assert code_of(journey.outcome(sent)) == (404, "campaign_not_found")


def test_in_another_dialect_as_well(journey: Journey, case: Case) -> None:
    owner, rival = journey.add_shop("Owner V", "voucherify"), journey.add_shop("Rival V", "voucherify")
    name = f"Spring {uuid4().hex[:6]}"
    body = {"name": name, "campaign_type": "DISCOUNT_COUPONS", "vouchers_count": 3,
            "voucher": {"type": "DISCOUNT_VOUCHER", "discount": {"type": "AMOUNT", "amount_off": 500}}}  # fmt: skip
    campaign = answered(owner.ask("POST", "/v1/campaigns", body))["id"]
    to_ann = {"campaign": {"name": name}, "customer": {"source_id": "ann"}}
    code = answered(owner.ask("POST", "/v1/publications", to_ann))["voucher"]["code"]
    order = {"order": {"amount": 2_000}}
    redeemed = answered(owner.ask("POST", f"/v1/vouchers/{code}/redemption", order))["id"]
    for method, path, sent in (
        ("GET", f"/v1/campaigns/{campaign}", None),
        ("GET", f"/v1/campaigns/{name}", None),
        ("GET", f"/v1/vouchers/{code}", None),
        ("POST", f"/v1/vouchers/{code}/redemption", order),
        ("POST", f"/v1/vouchers/{code}/disable", None),
        ("POST", f"/v1/redemptions/{redeemed}/rollback", None),
        ("POST", "/v1/publications", to_ann),
    ):
        refused = rival.ask(method, path, sent)
        assert refused.status_code in (403, 404), (path, refused.status_code, refused.text)


def test_in_a_declared_api_as_well(journey: Journey) -> None:
    """Two firms with the same cash register software: the same path and body, other credentials, another's coupon."""
    profile = json.loads((ROOT / "examples" / "declared-profile" / "profile.json").read_text(encoding="utf-8"))
    owner, rival = (journey.add_shop(name, "declared", declaration=profile) for name in ("Owner ERP", "Rival ERP"))
    code = f"ERP-{uuid4().hex[:6]}"
    year = str(datetime.now(UTC).year)
    published = {
        "aktionsnummer": "A-1",
        "titel": "Fünf Euro",
        "rabatt": {"art": "BETRAG", "betrag": "5,00"},
        "gueltig": {"von": f"01.01.{year}", "bis": f"31.12.{int(year) + 1}"},
        "codes": {"art": "JE_KUNDE"},
        "stueck": 5,
    }
    answered(owner.ask("POST", "/erp/aktionen", published))
    issue = {"belegnummer": "1", "kunden": [{"kundennummer": "K-1", "gutscheincode": code}]}
    assert answered(owner.ask("POST", "/erp/aktionen/A-1/gutscheine", issue))["ausgegeben"] == 1
    redeem = {"vorgang": "EINLOESEN", "bonnummer": "B-1", "aktionsnummer": "A-1", "gutscheincode": code,
              "kundennummer": "K-1", "summe": "42,50"}  # fmt: skip
    for stolen, word in ((redeem, "AKTION_UNBEKANNT"), ({**redeem, "aktionsnummer": None}, "UNBEKANNT")):
        refused = rival.ask("POST", "/erp/kasse", {name: each for name, each in stolen.items() if each is not None})
        assert (refused.status_code, refused.json()["code"]) == (404, word)
    assert rival.ask("POST", "/erp/aktionen/A-1/gutscheine", issue).status_code == 404
    coupon = answered(owner.ask("POST", "/erp/kasse", redeem))["gutschein"]
    undo = {"vorgang": "STORNO", "stornonummer": "S-1", "gutschein": coupon}
    assert rival.ask("POST", "/erp/kasse", undo).status_code == 404
    assert answered(owner.ask("POST", "/erp/kasse", undo))["ergebnis"] == "OK"
