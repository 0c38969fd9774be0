"""Who guesses codes is slowed down, and is then told nothing of right ones either."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from contracts.commands import ClaimCoupon, CouponReference, RedeemCoupon, VoidCoupons
from dialects.protocol import RequestRefused
from gateway.guessing import WRONG, WrongCodes, names_code, wrong_codes
from tests.support.gateway import GatewayPlatform, Merchant


def test_a_caller_whose_budget_is_used_up_is_refused_and_another_is_not() -> None:
    budget = WrongCodes(per_minute=3)
    for _ in range(3):
        budget.check("merchant:m/till 1")
        budget.count("merchant:m/till 1")
    with pytest.raises(RequestRefused) as refused:
        budget.check("merchant:m/till 1")
    problem = refused.value.problem
    assert (problem.status, problem.code, problem.retry_after_seconds) == (429, "too_many_wrong_codes", 60)
    budget.check("merchant:m/till 2")


def test_right_codes_cost_nothing() -> None:
    budget = WrongCodes(per_minute=1)
    for _ in range(50):
        budget.check("app:wallet")
        budget.count("app:wallet", wrong_codes(None, {"coupon": "c.1", "code": "ABC"}))


def test_a_list_of_wrong_codes_costs_as_many() -> None:
    budget = WrongCodes(per_minute=5)
    rows = [{"row": n, "refusal": {"code": "coupon_not_found"}} for n in range(5)]
    budget.count("staff:anna", wrong_codes(None, {"rows": [*rows, {"row": 5, "coupon": "c.1"}]}))
    with pytest.raises(RequestRefused):
        budget.check("staff:anna")


@pytest.mark.parametrize("code", sorted(WRONG))
def test_a_wrong_code_and_anothers_cost_the_same(code: str) -> None:
    assert wrong_codes(code, None) == 1
    assert wrong_codes(None, {"valid": False, "reasons": [{"code": code}]}) == 1


def test_other_refusals_are_no_guesses() -> None:
    assert wrong_codes("coupon_already_redeemed", None) == 0


def test_only_what_names_a_code_is_looked_at() -> None:
    by_code, by_number = CouponReference(code="ABC"), CouponReference(number=1)
    assert names_code(RedeemCoupon(coupon=by_code))
    assert names_code(ClaimCoupon(user="u", code="ABC"))
    assert names_code(VoidCoupons(coupons=(by_number, by_code), reason="r"))
    assert not names_code(RedeemCoupon(coupon=by_number))
    assert not names_code(ClaimCoupon(user="u"))


def test_a_wrong_code_costs_also_when_its_answer_is_read_later() -> None:
    assert wrong_codes(None, {"status": "refused", "refusal": {"code": "coupon_not_found"}}) == 1
    assert wrong_codes(None, {"status": "refused", "refusal": {"code": "coupon_expired"}}) == 0


@pytest.mark.parametrize("how", ["looked for", "not waited for"])
async def test_no_way_to_ask_is_free(gateway: GatewayPlatform, campaign: str, how: str) -> None:
    """One guess short of the budget, another one asked in a way that tells nothing at once."""
    at = f"/campaigns/{campaign}"
    code = (await gateway.done("POST", f"{at}/claim", {"user": "u"}))["code"]
    guesser = await gateway.token("approver")
    guesses = {"coupons": [{"code": f"GUESS{n:03}"} for n in range(299)], "reason": "r"}
    await gateway.done("POST", f"{at}/void", guesses, token=guesser)
    if how == "looked for":
        assert (await gateway.done("GET", "/coupons?code=GUESS300", token=guesser))["coupons"] == []
    else:
        body, later = {"coupon": {"code": "GUESS300"}, "amount": 2_000}, {"prefer": "respond-async"}
        sent = await gateway.staff("POST", f"{at}/redeem", body, token=guesser, headers=later)
        assert sent.status_code == 202
        for _ in range(100):
            told = await gateway.staff("GET", f"/commands/{sent.json()['command']}", token=guesser)
            if told.status_code != 202:
                break
            await asyncio.sleep(0.05)
        assert told.json()["code"] == "coupon_not_found"
    for path in (f"/coupons?code={code}", f"/commands/{uuid4()}"):
        refused = await gateway.staff("GET", path, token=guesser)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_wrong_codes")


async def test_after_300_wrong_codes_a_token_is_told_nothing_of_a_right_one_either(
    gateway: GatewayPlatform, campaign: str
) -> None:
    at = f"/campaigns/{campaign}"
    code = (await gateway.done("POST", f"{at}/claim", {"user": "u"}))["code"]
    guesser, honest = await gateway.token("approver"), await gateway.token("operator")
    guesses = {"coupons": [{"code": f"GUESS{n:03}"} for n in range(300)], "reason": "r"}
    assert (await gateway.done("POST", f"{at}/void", guesses, token=guesser))["refused"] == 300
    right = {"coupon": {"code": code}, "amount": 2_000}
    for path, body in ((f"{at}/redeem", right), ("/coupons/validate", {"code": code})):
        refused = await gateway.staff("POST", path, body, token=guesser)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_wrong_codes")
        assert refused.headers["retry-after"] == "60"
    assert (await gateway.done("POST", f"{at}/claim", {"user": "v"}, token=guesser))["user"] == "v"
    assert (await gateway.done("POST", f"{at}/redeem", right, token=honest))["redemption"] == 1


STRICT = 2
"""The index of a gateway process that forgives its callers only three wrong codes."""


@pytest_asyncio.fixture(scope="module")
async def strict(gateway: GatewayPlatform) -> AsyncIterator[GatewayPlatform]:
    gateway.start_process(STRICT, SCRIP_WRONG_CODES_PER_MINUTE="3")
    try:
        await gateway.wait_ready(STRICT)
        yield gateway
    finally:
        gateway.stop_process(STRICT)
        del gateway.processes[STRICT]


async def name(till: Merchant, how: str, code: str) -> httpx.Response:
    """One code, named in one of the ways a till has."""
    if how == "looked for":
        return await till.send("GET", f"/merchant/v1/coupons?code={code}", instance=STRICT)
    asked = {"code": code, "amount": 2_000}
    return await till.send("POST", f"/merchant/v1/coupons/{how}", asked, instance=STRICT)


@pytest.mark.parametrize("how", ["redeem", "validate", "looked for"])
async def test_a_till_that_guessed_is_told_nothing_and_the_next_till_is_served(
    strict: GatewayPlatform, how: str
) -> None:
    shop = await strict.add_merchant(f"Shop {uuid4().hex[:6]}")
    terms = {
        "name": "Spring",
        "currency": "EUR",
        "discount": {"kind": "amount_off", "amount": 500},
        "validity": {"starts": "2026-03-01", "ends": "2026-03-31"},
        "supply": {"kind": "given"},
    }
    made = await shop.send("POST", "/merchant/v1/campaigns", terms)
    row = {"rows": [{"user": "u", "code": "RIGHT-ONE"}]}
    issued = await shop.send("POST", f"/merchant/v1/campaigns/{made.json()['campaign']}/issue", row)
    assert (made.status_code, issued.json()["accepted"]) == (201, 1), issued.text
    for number in range(3):
        assert (await name(shop, how, f"GUESS{number}")).status_code in (200, 404)
    for way in ("redeem", "validate", "looked for"):
        refused = await name(shop, way, "RIGHT-ONE")
        assert (refused.status_code, refused.json().get("code")) == (429, "too_many_wrong_codes"), way
        assert refused.headers["retry-after"] == "60"
    # What names no code is answered as ever.
    assert (await shop.send("GET", "/merchant/v1/campaigns", instance=STRICT)).status_code == 200
    added = await strict.done("POST", f"/merchants/{shop.id}/terminals", {"label": "next till"})
    other = replace(shop, terminal=added["terminal"], credentials=added["credentials"])
    served = await name(other, "redeem", "RIGHT-ONE")
    assert served.status_code == 200, served.text
