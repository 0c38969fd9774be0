"""Each field of each body missing, of another type, extreme or unknown: refused by name, with a pointer to that field.

Made from the gateway's own OpenAPI document, so that a new route or field is tried without a new line here.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateway import GatewayPlatform, Merchant
from tests.support.mutations import Mutation, mutations, sample, validator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi" / "gateway.json").read_text(encoding="utf-8"))
SCHEMAS: dict[str, Any] = json.loads(
    json.dumps(DOCUMENT["components"]["schemas"]).replace("#/components/schemas/", "#/$defs/")
)
EXAMPLES = ROOT / "libs" / "contracts" / "examples"
NOWHERE = "00000000-0000-4000-8000-000000000000"
AT_ONCE = 16
OF_EACH_KIND = {"text": 2, "number": 2}
"""Changes of one place of which the new value has the same type; of other types one."""
TRIED_OF_EACH = 6
"""So many of them are looked at, those at the edges of what is allowed first."""
NOT_TRIED = {
    "/merchant/v1/access": "who is known is told the API matched to him, whatever the body says",
}
ANSWERED_BY_ROW = ("/users/", "/codes/", "/rows/", "/coupons/")
"""Rows of bulk requests: what is wrong with one is its own refusal, and the others are done."""
NO_JSON = ("1e+308",)
"""Not usable as JSON: refused before there are fields."""

OFFER = {
    "name": "Mutated",
    "currency": "EUR",
    "discount": {"kind": "percent_off", "basis_points": 1_000, "cap": 500},
    "validity": {"starts": "2026-03-01", "ends": "2026-03-31", "zone": "Europe/Berlin"},
}
BODIES: dict[str, dict[str, Any]] = {
    "PublishDocument": {**OFFER, "supply": {"kind": "shared", "code": "MUTATED"}},
    "GenerateDocument": {**OFFER, "quantity": 10, "supply": {"kind": "generated", "pattern": {"length": 12}}},
    "AmendDocument": {name: value for name, value in OFFER.items() if name != "currency"},
    "AmendCampaign": {"terms": OFFER, "clear": ["per_user_limit"]},
    "TaskDocument": {
        "name": "Mutated",
        "schedule": {"kind": "cron", "expression": "0 6 * * *", "zone": "Asia/Shanghai"},
        "action": {"merchant": NOWHERE},
    },
    "InterfaceDocument": {"base_url": "https://shop.example/scrip", "auth": "bearer", "secret": "s" * 20},
}
"""Valid bodies where a sample of the schema is none, or says too little."""


def operations() -> Iterator[tuple[str, str, str]]:
    """Method, path and the name of the body's schema."""
    for path, methods in sorted(DOCUMENT["paths"].items()):
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content and path not in NOT_TRIED:
                yield method.upper(), path, content["application/json"]["schema"]["$ref"].rpartition("/")[2]


def schema_of(name: str) -> dict[str, Any]:
    return {"$defs": SCHEMAS, **SCHEMAS[name]}


def body_of(name: str) -> Any:
    """A valid body: the contract's example of the command, one from above, or a sample of the schema."""
    example = EXAMPLES / f"scrip.command.{name}.v1.json"
    if name in BODIES:
        return BODIES[name]
    if example.exists():
        return json.loads(example.read_text(encoding="utf-8"))["data"]
    return sample(schema_of(name), schema_of(name))


def kind_of(what: str) -> str:
    """What a place is changed to: text, number, list …"""
    if not what.startswith("is ") or what in ("is missing", "is a repetition"):
        return what
    first = what[3]
    return "number" if first in "-0123456789" else "text" if first in "'\"" else "flag" if first in "TF" else first


def wrong_bodies(name: str) -> list[Mutation]:
    """Of each place of a body a few changes of each kind that the schema forbids."""
    seen: Counter[tuple[str, str]] = Counter()
    tried: Counter[tuple[str, str]] = Counter()
    chosen = []
    for mutation in mutations(schema_of(name), body_of(name)):
        key = (mutation.pointer, kind_of(mutation.what))
        if seen[key] == OF_EACH_KIND.get(key[1], 1) or tried[key] == TRIED_OF_EACH:
            continue
        tried[key] += 1
        if any(text in mutation.what for text in NO_JSON) or mutation.allowed():
            continue
        seen[key] += 1
        chosen.append(mutation)
    return chosen


def fault(mutation: Mutation, answer: httpx.Response) -> str | None:
    """What is wrong with the answer, if anything."""
    told = f"{mutation}: {answer.status_code} {answer.text[:300]}"
    if answer.status_code >= 500:
        return told
    if any(row in mutation.pointer for row in ANSWERED_BY_ROW):
        return None
    if answer.headers.get("content-type") != "application/problem+json" or answer.status_code not in (400, 422):
        return told
    pointers = [error["pointer"] for error in answer.json().get("errors", ())]
    named = any(pointer == mutation.pointer or pointer.startswith(f"{mutation.pointer}/") for pointer in pointers)
    return None if named else told


@pytest.mark.parametrize("name", sorted({name for _, _, name in operations()}))
def test_the_body_that_is_changed_is_valid(name: str) -> None:
    errors = [error.message for error in validator(schema_of(name)).iter_errors(body_of(name))]
    assert errors == []


async def test_every_wrong_field_of_every_body_is_refused_by_name(gateway: GatewayPlatform, campaign: str) -> None:
    shop = await gateway.add_merchant("Mutated")
    published = await shop.send("POST", "/merchant/v1/campaigns", BODIES["PublishDocument"])
    places = {"merchant": shop.id, "terminal": shop.terminal, "task": NOWHERE}
    turn, faults, asked = asyncio.Semaphore(AT_ONCE), list[str](), 0

    async def ask(method: str, path: str, mutation: Mutation, instance: int) -> None:
        async with turn:
            answer = await send(gateway, shop, method, path, json.dumps(mutation.document).encode(), instance)
        found = fault(mutation, answer)
        if found is not None:
            faults.append(f"{method} {path} {found}")

    began = time.monotonic()
    asking: list[Coroutine[Any, Any, None]] = []
    for method, path, name in operations():
        own = published.json()["campaign"] if path.startswith("/merchant/") else campaign
        where = path.format(campaign=own, **places)
        for mutation in wrong_bodies(name):
            asking.append(ask(method, where, mutation, len(asking) % 2))
    asked = len(asking)
    await asyncio.gather(*asking)
    print(f"{asked} bodies with one wrong field in {time.monotonic() - began:.1f} s")
    assert asked > 2_000
    assert not faults, f"{len(faults)} of {asked}:\n" + "\n".join(faults[:40])


async def send(
    gateway: GatewayPlatform, shop: Merchant, method: str, path: str, body: bytes, instance: int
) -> httpx.Response:
    headers = {"content-type": "application/json"}
    if path.startswith("/merchant/"):
        headers |= shop.headers
    else:
        headers["authorization"] = f"Bearer {gateway.admin_token}"
    return await gateway.request(method, path, body, headers=headers, instance=instance)
