"""Checks of what Scrip sends: the request schemas of the contract, by hand, with a pointer for each fault."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

DELIVERY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_-]{1,255}")
Fault = dict[str, str]
MAX_DELIVERIES = 100


def parsed(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        ValueError: not UTF-8, or not JSON.
    """
    try:
        return json.loads(body.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def faults_of_deliveries(value: Any) -> list[Fault]:
    """What is wrong with the body of `POST /coupons`; empty: nothing."""
    if not isinstance(value, dict) or not isinstance(value.get("deliveries"), list) or not value["deliveries"]:
        return [_fault("/deliveries", "must be a list of at least one delivery")]
    faults: list[Fault] = []
    keys: set[str] = set()
    for index, delivery in enumerate(value["deliveries"]):
        at = f"/deliveries/{index}"
        if not isinstance(delivery, dict):
            faults.append(_fault(at, "must be an object"))
            continue
        for name, (good, wanted) in FIELDS.items():
            if not good(delivery.get(name)):
                faults.append(_fault(f"{at}/{name}", wanted))
        key = delivery.get("delivery_id")
        if isinstance(key, str) and key in keys:
            faults.append(_fault(f"{at}/delivery_id", "stands in this request twice"))
        elif isinstance(key, str):
            keys.add(key)
        if isinstance(delivery.get("offer"), dict):
            for name, (good, wanted) in OFFER_FIELDS.items():
                if name in OPTIONAL and name not in delivery["offer"]:
                    continue
                if not good(delivery["offer"].get(name)):
                    faults.append(_fault(f"{at}/offer/{name}", wanted))
    return faults


def faults_of_recall(value: Any) -> list[Fault]:
    """What is wrong with the body of a recall; empty: nothing."""
    good, wanted = _text(200)
    if isinstance(value, dict) and good(value.get("reason")):
        return []
    return [_fault("/reason", wanted)]


def _fault(pointer: str, detail: str) -> Fault:
    return {"pointer": pointer, "detail": detail}


Check = tuple[Callable[[Any], bool], str]


def _text(length: int) -> Check:
    def good(value: Any) -> bool:
        return (
            isinstance(value, str)
            and 1 <= len(value) <= length
            and not re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", value)
        )

    return good, f"must be a text of 1 to {length} characters without control characters"


def _whole(value: Any, least: int, most: int = 2**53) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _instant(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _discount(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    match value.get("kind"):
        case "amount_off":
            return _whole(value.get("amount"), 1)
        case "percent_off":
            return _whole(value.get("basis_points"), 1, 10_000) and (
                value.get("cap") is None or _whole(value["cap"], 1)
            )
        case "fixed_price":
            return _whole(value.get("price"), 0)
        case "free_item":
            return _text(200)[0](value.get("item"))
        case kind:
            return kind == "merchant_decided"


FIELDS: dict[str, Check] = {
    "delivery_id": (
        lambda value: isinstance(value, str) and DELIVERY_ID.fullmatch(value) is not None,
        "must be 1 to 64 of letters, digits, - and _",
    ),
    "campaign_id": (lambda value: isinstance(value, str) and UUID.fullmatch(value) is not None, "must be a UUID"),
    "coupon_id": _text(64),
    "user_id": (
        lambda value: _text(64)[0](value) and len(value.encode()) <= 64,
        "must be a text of 1 to 64 bytes without control characters",
    ),
    "code": _text(64),
    "offer": (lambda value: isinstance(value, dict), "must be an object"),
}
OFFER_FIELDS: dict[str, Check] = {
    "name": _text(200),
    "discount": (_discount, "must be one of the kinds of discount in the contract, with its fields"),
    "currency": (
        lambda value: isinstance(value, str) and re.fullmatch("[A-Z]{3}", value) is not None,
        "must be three capital letters",
    ),
    "minimum_spend": (lambda value: _whole(value, 0), "must be minor units, 0 or more"),
    "valid_from": (_instant, "must be RFC 3339 with an offset"),
    "valid_until": (_instant, "must be RFC 3339 with an offset"),
}
OPTIONAL = ("minimum_spend", "valid_from")
