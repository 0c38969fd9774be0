"""A merchant's own REST interface, described in its profile by paths and JMESPath expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from merchant_adapter.interfaces.declared_paging import first_query, next_cursor
from merchant_adapter.interfaces.expressions import DoesNotFit, evaluate
from merchant_adapter.interfaces.failures import MerchantMisbehaves, MerchantRefused, NotOffered
from merchant_adapter.interfaces.http import MerchantHttp, Reply
from merchant_adapter.interfaces.merchant_interface import (
    Abilities,
    Delivery,
    NotAUser,
    Receipt,
    RefusedUser,
    User,
    UserPage,
    user_from,
)
from merchant_adapter.interfaces.openapi import delivery_json, refused
from merchant_adapter.interfaces.outcomes import plain
from merchant_adapter.interfaces.profile import DeclaredCall, DeclaredProfile, DeclaredUsers, filled_path

MAX_PAGE = 1000
Declared = TypeVar("Declared", DeclaredUsers, DeclaredCall)


class DeclaredInterface:
    """An interface that stands in a profile. What the profile does not name raises `NotOffered`."""

    def __init__(self, http: MerchantHttp, profile: DeclaredProfile) -> None:
        self._http = http
        self._profile = profile

    @property
    def abilities(self) -> Abilities:
        profile = self._profile
        return Abilities(
            batch_size=1,
            resend_is_safe=profile.resend_is_safe,
            can_find=profile.find is not None,
            can_recall=profile.recall is not None,
            can_list_users=profile.users is not None,
            can_deliver=profile.deliver is not None,
        )

    async def list_users(self, cursor: str | None, limit: int) -> UserPage:
        declared = _offered(self._profile.users, "users")
        target, query = first_query(declared, cursor, min(limit, MAX_PAGE))
        reply = await self._http.call("users", "GET", target, query=query)
        items = _of_reply(declared.items, reply.body, "items", unsafe=False)
        if not isinstance(items, list):
            raise MerchantMisbehaves("items of the profile does not select a list")
        users: list[User] = []
        rejected: list[RefusedUser] = []
        for position, item in enumerate(items):
            try:
                users.append(_user(declared, item))
            except (NotAUser, DoesNotFit) as reason:
                rejected.append(RefusedUser(position, str(reason)))
        return UserPage(tuple(users), tuple(rejected), next_cursor(declared, cursor, items, reply))

    async def deliver(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        declared = _offered(self._profile.deliver, "deliver")
        if len(deliveries) != 1:
            raise ValueError("a declared interface takes one delivery a call: see abilities.batch_size")
        try:
            reply = await self._send("deliver", declared, deliveries[0], unsafe=True)
        except MerchantRefused as refusal:
            return [refused(deliveries[0].delivery_id, refusal)]
        return [_receipt(declared, deliveries[0], reply, "accepted", unsafe=True)]

    async def recall(self, delivery: Delivery, reason: str) -> Receipt:
        declared = _offered(self._profile.recall, "recall")
        try:
            reply = await self._send("recall", declared, delivery, unsafe=True, reason=reason)
        except MerchantRefused as refusal:
            return refused(delivery.delivery_id, refusal)
        return _receipt(declared, delivery, reply, "recalled", unsafe=True)

    async def find_delivery(self, delivery: Delivery) -> Receipt | None:
        declared = _offered(self._profile.find, "find")
        reply = await self._send("find", declared, delivery, unsafe=False, answers=(404,))
        if reply.status == 404:
            if reply.body is None and not self._profile.resend_is_safe:
                # Perhaps a proxy's page. Taking it for "never applied" could give the coupon twice.
                raise MerchantMisbehaves("the merchant answered 404 without JSON: is the path right?")
            return None
        return _receipt(declared, delivery, reply, "accepted", unsafe=False)

    async def health(self) -> None:
        if self._profile.health is not None:
            await self._http.call("health", "GET", self._profile.health)

    async def _send(
        self,
        operation: str,
        declared: DeclaredCall,
        delivery: Delivery,
        *,
        unsafe: bool,
        reason: str | None = None,
        answers: tuple[int, ...] = (),
    ) -> Reply:
        fields = delivery_json(delivery)
        path = filled_path(declared.path, fields)
        body = None
        if declared.body is not None:
            try:
                body = evaluate(declared.body, {**fields, "reason": reason})
            except DoesNotFit as fault:
                raise MerchantMisbehaves(f"body of the profile does not fit a delivery: {fault}") from fault
            if not isinstance(body, dict | list):
                raise MerchantMisbehaves("body of the profile must give an object or a list")
        key = delivery.delivery_id if operation == "deliver" else f"{operation}-{delivery.delivery_id}"
        return await self._http.call(
            operation,
            declared.method,
            path,
            body=body,
            key=key if unsafe else None,
            key_header=declared.key_header,
            unsafe=unsafe,
            answers=answers,
        )


def _offered(declared: Declared | None, operation: str) -> Declared:
    if declared is None:
        raise NotOffered(f"the merchant's interface offers no {operation}")
    return declared


def _user(declared: DeclaredUsers, item: Any) -> User:
    return user_from(
        evaluate(declared.id, item),
        {name: evaluate(expression, item) for name, expression in declared.attributes.items()},
        None if declared.updated_at is None else evaluate(declared.updated_at, item),
        None if declared.deleted is None else evaluate(declared.deleted, item),
    )


def _receipt(
    declared: DeclaredCall,
    delivery: Delivery,
    reply: Reply,
    good: Literal["accepted", "recalled"],
    *,
    unsafe: bool,
) -> Receipt:
    accepted = _of_reply(declared.accepted, reply.body, "accepted", unsafe=unsafe)
    if not isinstance(accepted, bool):
        raise MerchantMisbehaves("accepted of the profile must give true or false", outcome_unknown=unsafe)
    receipt_id = reason = None
    if declared.receipt_id is not None:
        receipt_id = _of_reply(declared.receipt_id, reply.body, "receipt_id", unsafe=unsafe)
    if declared.reason is not None:
        reason = _of_reply(declared.reason, reply.body, "reason", unsafe=unsafe)
    return Receipt(
        delivery.delivery_id,
        good if accepted else "refused",
        plain(str(receipt_id)) if isinstance(receipt_id, str | int) else None,
        plain(reason) if isinstance(reason, str) else (None if accepted else "no reason given"),
    )


def _of_reply(expression: str, body: Any, name: str, *, unsafe: bool) -> Any:
    try:
        return evaluate(expression, body)
    except DoesNotFit as fault:
        detail = f"{name} of the profile does not fit the answer: {fault}"
        raise MerchantMisbehaves(detail, outcome_unknown=unsafe) from fault
