"""Deliveries as the adapter's jobs make them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from merchant_adapter.interfaces import Delivery, Offer

OFFER = Offer(
    name="Five off",
    discount={"kind": "amount_off", "amount": 500},
    currency="USD",
    valid_until=datetime(2017, 3, 1, tzinfo=UTC),
)


def a_delivery(user_id: str = "user-0000001", **changes: Any) -> Delivery:
    campaign = str(uuid4())
    made = Delivery(str(uuid4()), campaign, f"{campaign}.1", user_id, "SECRETCODE42", OFFER)
    return replace(made, **changes)
