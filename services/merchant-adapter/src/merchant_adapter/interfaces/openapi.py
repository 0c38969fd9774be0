"""The interface of our public contract, `merchant-interface.openapi.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

from merchant_adapter.interfaces.failures import MerchantMisbehaves, MerchantRefused
from merchant_adapter.interfaces.http import MerchantHttp, batch_key
from merchant_adapter.interfaces.merchant_interface import (
    MAX_CURSOR_LENGTH,
    Abilities,
    Delivery,
    NotAUser,
    Offer,
    Receipt,
    RefusedUser,
    User,
    UserPage,
    user_from,
)
from merchant_adapter.interfaces.outcomes import plain

MAX_PAGE = 1000
BATCH_SIZE = 100


class OpenApiInterface:
    """A merchant who built the public contract."""

    def __init__(self, http: MerchantHttp) -> None:
        self._http = http

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            batch_size=BATCH_SIZE,
            resend_is_safe=True,
            can_find=True,
            can_recall=True,
            can_list_users=True,
            can_deliver=True,
        )

    async def list_users(self, cursor: str | None, limit: int) -> UserPage:
        query = {"limit": str(min(limit, MAX_PAGE))}
        if cursor is not None:
            query["cursor"] = cursor
        reply = await self._http.call("users", "GET", "/users", query=query)
        return _page(reply.body)

    async def deliver(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        if not 1 <= len(deliveries) <= BATCH_SIZE:
            raise ValueError(f"a call takes 1 to {BATCH_SIZE} deliveries")
        keys = [delivery.delivery_id for delivery in deliveries]
        body = {"deliveries": [delivery_json(delivery) for delivery in deliveries]}
        try:
            reply = await self._http.call("deliver", "POST", "/coupons", body=body, key=batch_key(keys), unsafe=True)
        except MerchantRefused as refusal:
            if len(deliveries) == 1:
                return [refused(keys[0], refusal)]
            # Nothing of the batch was applied. Alone, each shows whether it was the one.
            return [receipt for delivery in deliveries for receipt in await self.deliver([delivery])]
        found = _receipts(reply.body)
        if sorted(found) != sorted(keys):
            raise MerchantMisbehaves("the receipts are not one for each delivery", outcome_unknown=True)
        return [found[key] for key in keys]

    async def recall(self, delivery: Delivery, reason: str) -> Receipt:
        key = delivery.delivery_id
        try:
            reply = await self._http.call(
                "recall",
                "POST",
                f"/coupons/{quote(key, safe='')}/recall",
                body={"reason": reason},
                key=f"recall-{key}",
                unsafe=True,
                answers=(404,),
            )
        except MerchantRefused as refusal:
            return refused(key, refusal)
        if reply.status == 404:
            _must_be_said(reply.body)
            return Receipt(key, "refused", reason="not_found")
        return _receipt(reply.body, key, ("recalled", "refused"))

    async def find_delivery(self, delivery: Delivery) -> Receipt | None:
        key = delivery.delivery_id
        reply = await self._http.call("find", "GET", f"/coupons/{quote(key, safe='')}", answers=(404,))
        if reply.status == 404:
            _must_be_said(reply.body)
            return None
        return _receipt(reply.body, key, ("accepted", "refused", "recalled"))

    async def health(self) -> None:
        reply = await self._http.call("health", "GET", "/health")
        if not isinstance(reply.body, dict) or reply.body.get("status") != "ok":
            raise MerchantMisbehaves("/health answers, but not with status ok")


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the public contract writes it."""
    return {
        "delivery_id": delivery.delivery_id,
        "campaign_id": delivery.campaign_id,
        "coupon_id": delivery.coupon_id,
        "user_id": delivery.user_id,
        "code": delivery.code,
        "offer": _offer_json(delivery.offer),
    }


def _offer_json(offer: Offer) -> dict[str, Any]:
    written: dict[str, Any] = {
        "name": offer.name,
        "discount": dict(offer.discount),
        "currency": offer.currency,
        "minimum_spend": offer.minimum_spend,
        "valid_until": offer.valid_until.isoformat(),
    }
    if offer.valid_from is not None:
        written["valid_from"] = offer.valid_from.isoformat()
    return written


def refused(delivery_id: str, refusal: MerchantRefused) -> Receipt:
    """A refusal of the whole request, as the delivery's receipt."""
    return Receipt(delivery_id, "refused", reason=plain(f"{refusal.code}: {refusal.reason}"))


def _page(body: Any) -> UserPage:
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list) or len(items) > MAX_PAGE:
        raise MerchantMisbehaves(f"a page of users must have items, a list of at most {MAX_PAGE}")
    cursor = body.get("next_cursor")
    if cursor is not None and (not isinstance(cursor, str) or not 1 <= len(cursor) <= MAX_CURSOR_LENGTH):
        raise MerchantMisbehaves(f"next_cursor must be a text of 1 to {MAX_CURSOR_LENGTH} characters")
    users: list[User] = []
    rejected: list[RefusedUser] = []
    for position, item in enumerate(items):
        try:
            if not isinstance(item, dict) or not isinstance(item.get("id"), str):
                raise NotAUser("a user must be an object with an id, a text")
            users.append(user_from(item["id"], item.get("attributes"), item.get("updated_at"), item.get("deleted")))
        except NotAUser as reason:
            rejected.append(RefusedUser(position, str(reason)))
    return UserPage(tuple(users), tuple(rejected), cursor)


def _receipts(body: Any) -> dict[str, Receipt]:
    receipts = body.get("receipts") if isinstance(body, dict) else None
    if not isinstance(receipts, list) or len(receipts) > BATCH_SIZE:
        raise MerchantMisbehaves("the answer to a delivery must have receipts, a list", outcome_unknown=True)
    read = [_receipt(receipt, None, ("accepted", "refused")) for receipt in receipts]
    found = {receipt.delivery_id: receipt for receipt in read}
    if len(found) != len(read):
        raise MerchantMisbehaves("a delivery has two receipts", outcome_unknown=True)
    return found


def _receipt(value: Any, key: str | None, statuses: tuple[Literal["accepted", "refused", "recalled"], ...]) -> Receipt:
    """A receipt of a reply; `key`: whose it must be."""
    if not isinstance(value, dict) or not isinstance(value.get("delivery_id"), str):
        raise MerchantMisbehaves("a receipt must be an object with a delivery_id", outcome_unknown=True)
    if key is not None and value["delivery_id"] != key:
        raise MerchantMisbehaves("the receipt is another delivery's", outcome_unknown=True)
    receipt_id, reason = value.get("receipt_id"), value.get("reason")
    if receipt_id is not None and not (isinstance(receipt_id, str) and 1 <= len(receipt_id) <= 128):
        raise MerchantMisbehaves("receipt_id must be a text of 1 to 128 characters", outcome_unknown=True)
    if reason is not None and not isinstance(reason, str):
        raise MerchantMisbehaves("a receipt's reason must be a text", outcome_unknown=True)
    for status in statuses:
        if value.get("status") == status:
            return Receipt(
                value["delivery_id"],
                status,
                None if receipt_id is None else plain(receipt_id),
                None if reason is None else plain(reason),
            )
    raise MerchantMisbehaves(f"a receipt's status must be one of {', '.join(statuses)}", outcome_unknown=True)


def _must_be_said(body: Any) -> None:
    """A 404 means "never applied" only when the interface says so; a proxy's page is no word of it."""
    if body is None:
        raise MerchantMisbehaves("the merchant answered 404 without a problem in JSON: is the base address right?")
