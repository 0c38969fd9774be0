"""Field types shared by all contracts. Every bound here is part of the public schema."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field, StringConstraints

from contracts.describing import Described

PLATFORM = "platform"
"""The party that owns internal campaigns; every other party is a merchant's id."""


class Contract(Described):
    """Base of what we accept: frozen, strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="iso8601")


class Fact(Described):
    """Base of what we emit: readers ignore fields they do not know, so fields may be added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _at_most_64_bytes(value: str) -> str:
    if len(value) > 16 and len(value.encode()) > 64:
        raise ValueError("must be at most 64 bytes of UTF-8")
    return value


def written_out(value: object) -> object:
    """Refuses what a date would else be made of: a number, also as text, as seconds since 1970."""
    if isinstance(value, str):
        if len(value) < 10 or value[4] != "-":
            raise ValueError("must be written as 2026-03-31, or 2026-03-31T12:00:00Z")
    elif not isinstance(value, date):
        raise ValueError("must be text such as 2026-03-31, or 2026-03-31T12:00:00Z")
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside of the years 1 to 9999 in UTC") from None


UserId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(_at_most_64_bytes),
]
"""A merchant's own opaque id of a user: 1 to 64 bytes, no control characters."""

CodeText = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A code as typed: up to 64 characters; core compares its normal form."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
RequestNumber = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
OrderId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Party = Annotated[str, StringConstraints(pattern=r"^(platform|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$")]
"""`platform`, or the id of a merchant."""

Minor = Annotated[int, Field(ge=0, le=10**15, strict=True)]
"""An amount of money in minor units of its currency (cents, fen)."""

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Instant = Annotated[AwareDatetime, BeforeValidator(written_out), AfterValidator(_utc)]
Flag = Annotated[bool, Field(strict=True)]
"""true or false; never 1, 0, "yes" or "off"."""
Count = Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)]
Number = Annotated[int, Field(ge=1, le=2**53 - 1, strict=True)]
"""A number that counts up from 1: of a coupon, a redemption, a version. Whole in every JSON reader."""

__all__ = [
    "PLATFORM",
    "UUID",
    "CodeText",
    "Contract",
    "Count",
    "Currency",
    "Fact",
    "Flag",
    "Instant",
    "Minor",
    "Number",
    "OrderId",
    "Party",
    "Reason",
    "RequestNumber",
    "Text",
    "UserId",
    "written_out",
]
