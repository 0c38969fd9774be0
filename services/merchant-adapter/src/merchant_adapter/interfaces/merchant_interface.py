"""What the adapter asks of a merchant's interface, whatever its kind, and the records that go over it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

Attribute = str | int | float | bool

MAX_ATTRIBUTES = 64
MAX_NAME_BYTES = 64
MAX_TEXT_LENGTH = 1024
MAX_CURSOR_LENGTH = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class User:
    """A merchant's user as the interface gives it. `deleted`: the merchant says the user is gone."""

    id: str = field(repr=False)
    attributes: Mapping[str, Attribute] = field(repr=False, default_factory=dict)
    updated_at: datetime | None = None
    deleted: bool = False


@dataclass(frozen=True)
class RefusedUser:
    """A row of a page that is not a user: its place in the page (from 0) and why, nothing of the user."""

    position: int
    reason: str


@dataclass(frozen=True)
class UserPage:
    """`next_cursor` None: the last page."""

    users: tuple[User, ...]
    refused: tuple[RefusedUser, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class Offer:
    """What a coupon is worth. `discount` as in the contracts (`kind` and its fields); minor units."""

    name: str
    discount: Mapping[str, object]
    currency: str
    valid_until: datetime
    valid_from: datetime | None = None
    minimum_spend: int = 0


@dataclass(frozen=True)
class Delivery:
    """One coupon for one user. `delivery_id` is the idempotency key: letters, digits, - and _, at most 64."""

    delivery_id: str
    campaign_id: str
    coupon_id: str
    user_id: str = field(repr=False)
    code: str = field(repr=False)
    offer: Offer


@dataclass(frozen=True)
class Receipt:
    """The merchant's word on a delivery. `reason` is the merchant's own text (shown to staff, not logged)."""

    delivery_id: str
    status: Literal["accepted", "refused", "recalled"]
    receipt_id: str | None = None
    reason: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Abilities:
    """What this interface can do; the jobs look here before they ask.

    batch_size: deliveries per call. resend_is_safe: the same delivery sent again is applied once. can_find:
    the outcome of a delivery can be looked up. With neither, an unknown outcome is for staff to settle.
    """

    batch_size: int
    resend_is_safe: bool
    can_find: bool
    can_recall: bool
    can_list_users: bool
    can_deliver: bool


class MerchantInterface(Protocol):
    """Every method raises an `InterfaceFailure`; none retries: the job that calls does, durably."""

    @property
    def abilities(self) -> Abilities: ...

    async def list_users(self, cursor: str | None, limit: int) -> UserPage:
        """The page behind `cursor` (None: the first). Check it with `PagingCheck` before going on."""
        ...

    async def deliver(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        """A receipt for each delivery, in their order; at most `abilities.batch_size` of them.

        A refusal for good is a receipt, not an exception.
        """
        ...

    async def recall(self, delivery: Delivery, reason: str) -> Receipt:
        """`recalled`, or `refused` with the reason; for deliveries that were accepted."""
        ...

    async def find_delivery(self, delivery: Delivery) -> Receipt | None:
        """What became of a delivery; None: the merchant never applied it."""
        ...

    async def health(self) -> None:
        """Returns when the interface is there and takes our credentials."""
        ...


class NotAUser(Exception):
    """A row of a page is not a user; the message says why without quoting it."""


def user_from(number: object, attributes: object, updated_at: object = None, deleted: object = None) -> User:
    """A user from values of a merchant's reply, which is hostile input.

    Raises:
        NotAUser: one of them is not what it must be.
    """
    if isinstance(number, int) and not isinstance(number, bool):
        number = str(number)
    if not isinstance(number, str) or not 1 <= len(number.encode()) <= 64 or _has_control(number):
        raise NotAUser("id must be a text of 1 to 64 bytes without control characters")
    if deleted is not None and not isinstance(deleted, bool):
        raise NotAUser("deleted must be true or false")
    if attributes is None:
        attributes = {}
    if not isinstance(attributes, dict | Mapping) or len(attributes) > MAX_ATTRIBUTES:
        raise NotAUser(f"attributes must be an object of at most {MAX_ATTRIBUTES}")
    kept: dict[str, Attribute] = {}
    for name, value in attributes.items():
        if not 1 <= len(name.encode()) <= MAX_NAME_BYTES or _has_control(name):
            raise NotAUser(f"the name of an attribute must be a text of 1 to {MAX_NAME_BYTES} bytes")
        if value is None:
            continue  # not known, the same as left out
        _check_attribute(value)
        kept[name] = value
    return User(number, kept, _instant(updated_at), deleted is True)


def _check_attribute(value: Any) -> None:
    if isinstance(value, bool):
        return
    if isinstance(value, str):
        if len(value) > MAX_TEXT_LENGTH or "\0" in value:
            raise NotAUser(f"an attribute's text has at most {MAX_TEXT_LENGTH} characters and no NUL")
    elif isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > 2**53:
            raise NotAUser("an attribute's number must lie between -2^53 and 2^53")
    else:
        raise NotAUser("an attribute must be a text, a number or true/false")


def _instant(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise NotAUser("updated_at must be RFC 3339 with an offset")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise NotAUser("updated_at lies outside the calendar") from None


def _has_control(text: str) -> bool:
    return _CONTROL.search(text) is not None
