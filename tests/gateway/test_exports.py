"""Exports pass through the gateway as they stream, to staff and to a merchant of Scrip's own dialect."""

import hashlib
from typing import Any

from tests.support.gateway import GatewayPlatform


async def exported(gateway: GatewayPlatform, campaign: str, what: str, **query: Any) -> str:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await gateway.staff("GET", f"/campaigns/{campaign}/export/{what}?{asked}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{what}-{campaign}.')
    return answer.text


async def test_staff_export_codes_of_a_pattern_and_redeem_one(gateway: GatewayPlatform, spring: dict[str, Any]) -> None:
    ordered = spring | {"quantity": 1_000, "supply": {"kind": "generated", "pattern": {"prefix": "SPR-", "length": 9}}}
    campaign = (await gateway.done("POST", "/campaigns", ordered))["campaign"]
    taken = await gateway.done("POST", f"/campaigns/{campaign}/export-codes", {"count": 50})
    text = await exported(gateway, campaign, "codes", after=taken["first"] - 1, last=taken["last"])
    body, _, trailer = text.rpartition("#end,")
    assert trailer.strip() == f"50,{hashlib.sha256(body.encode()).hexdigest()}"
    rows = [line.split(",") for line in body.splitlines()[1:]]
    assert [row[1] for row in rows] == [row["code"] for row in taken["codes"]]
    redeemed = await gateway.done(
        "POST", f"/campaigns/{campaign}/redeem", {"coupon": {"code": rows[7][1]}, "amount": 2_000}
    )
    assert redeemed["coupon"] == f"{campaign}.8"
    assert '"type":"scrip.coupon.redeemed.v1"' in await exported(gateway, campaign, "history", format="jsonl")
    assert f"8,{campaign}.8,,redeemed" in await exported(gateway, campaign, "coupons")


async def test_what_cannot_be_exported_is_said(gateway: GatewayPlatform, campaign: str) -> None:
    for path, status in (
        (f"/campaigns/{campaign}/export/others", 422),
        (f"/campaigns/{campaign}/export/codes?format=xlsx", 422),
        (f"/campaigns/{campaign}/export/codes?state=odd", 422),
        (f"/campaigns/{campaign}/export/history?type=odd", 422),
        ("/campaigns/00000000-0000-0000-0000-000000000000/export/codes", 404),
    ):
        answer = await gateway.staff("GET", path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path


async def test_a_job_that_writes_codes_down_is_seen_and_only_then_can_be_cancelled(
    gateway: GatewayPlatform, spring: dict[str, Any]
) -> None:
    ordered = spring | {"quantity": 100, "supply": {"kind": "generated", "stored": True}}
    campaign = (await gateway.done("POST", "/campaigns", ordered))["campaign"]
    view = await gateway.done("GET", f"/campaigns/{campaign}")
    assert (view["state"], view["available_codes"]) == ("active", 100)
    late = await gateway.staff("POST", f"/campaigns/{campaign}/cancel-generation", {"reason": "too late"})
    assert (late.status_code, late.json()["code"]) == (409, "campaign_state_forbids")
    small = spring | {
        "quantity": 1_000_000,
        "supply": {"kind": "generated", "pattern": {"charset": "digits", "length": 5}},
    }
    refused = await gateway.staff("POST", "/campaigns", small)
    assert (refused.status_code, refused.json()["code"]) == (422, "code_space_too_small")
    assert refused.json()["needed"] == 1_000_000_000


async def test_the_code_key_in_use_is_seen_and_one_that_core_has_not_is_refused(gateway: GatewayPlatform) -> None:
    view = await gateway.done("GET", "/code-key")
    assert (view["version"], view["at_hand"], view["known_everywhere"]) == (1, [1], True)
    for version, code in ((2, "code_key_unknown"), (1, "code_key_only_goes_up")):
        refused = await gateway.staff("PUT", "/code-key", {"version": version})
        assert (refused.status_code, refused.json()["code"]) == (409, code)
