"""Who may not come in now is told so in the dialect spoken: over the limit, suspended, with a key that was rotated."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.gateway import GatewayPlatform, Merchant

PROFILE = Path(__file__).parents[2] / "examples" / "declared-profile" / "profile.json"
ASKED = {
    "scrip": "/merchant/v1/campaigns",
    "voucherify": "/v1/campaigns",
    "declared": "/erp/kasse",
}
DIALECTS = list(ASKED)


async def merchant(gateway: GatewayPlatform, dialect: str, **document: Any) -> Merchant:
    if dialect == "declared":
        document["declaration"] = json.loads(await asyncio.to_thread(PROFILE.read_text, encoding="utf-8"))
    return await gateway.add_merchant(f"{dialect} {uuid4().hex[:6]}", dialect=dialect, **document)


async def ask(asker: Merchant) -> httpx.Response:
    dialect = {"bearer": "scrip", "app_token": "voucherify", "header": "declared"}[asker.credentials["type"]]
    method = "POST" if dialect == "declared" else "GET"
    return await asker.send(method, ASKED[dialect], None, key="")


def said(answer: httpx.Response, dialect: str) -> str:
    """The code of a problem, from where the dialect puts it."""
    body = answer.json()
    if dialect == "scrip":
        assert answer.headers["content-type"] == "application/problem+json"
        return str(body["code"])
    if dialect == "voucherify":
        assert body["code"] == answer.status_code
        return str(body["key"])
    assert body["ergebnis"] == "FEHLER"
    return str(body["code"])


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_over_the_limit_one_is_told_when_to_come_back(gateway: GatewayPlatform, dialect: str) -> None:
    shop = await merchant(gateway, dialect, requests_per_second=1)
    answers = [await ask(shop) for _ in range(6)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused, [answer.status_code for answer in answers]
    assert said(refused[0], dialect) == "too_many_requests"
    assert refused[0].headers["retry-after"] == "1"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_suspended_merchant_is_let_in_no_more(gateway: GatewayPlatform, dialect: str) -> None:
    shop = await merchant(gateway, dialect)
    assert (await ask(shop)).status_code in (200, 422)
    await gateway.done("POST", f"/merchants/{shop.id}/suspend", {"reason": "overdue"})
    answer = await ask(shop)
    assert (answer.status_code, said(answer, dialect)) == (403, "merchant_not_active")


async def test_a_rotated_terminal_has_two_keys_for_a_while(gateway: GatewayPlatform) -> None:
    shop = await merchant(gateway, "scrip")
    made = await gateway.done("POST", f"/merchants/{shop.id}/terminals/{shop.terminal}/rotate", {})
    fresh = Merchant(gateway, shop.id, shop.terminal, made["credentials"])
    assert fresh.credentials["key"] != shop.credentials["key"]
    assert (await ask(shop)).status_code == 200
    assert (await ask(fresh)).status_code == 200
