"""What core answers: a reply per command, best effort, on the topic the command names; and dead letters."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from contracts.fields import Fact


class RefusalAnswer(Fact):
    """A refusal as it stands in an answer."""

    code: str
    message: str
    facts: dict[str, Any] = Field(default_factory=dict)


class Reply(Fact):
    """The outcome of a command.

    `result` by command: campaign commands `{"campaign", "state"}`; IssueCoupons, UploadCodes, VoidCoupons
    `{"campaign", "accepted", "refused", "rows": [{"row", "coupon", "user", "code"} | {"row", "user", "refusal"}]}`;
    ClaimCoupon `{"coupon", "user", "code", "valid_from", "valid_until"}`; RedeemCoupon
    `{"coupon", "redemption", "user", "order", "amount", "discount", "payable", "currency", "exponent", "state",
    "redeemed_at"}`, with `uses_left` or `balance` where a coupon has several uses or is a gift card;
    ReturnCoupon `{"coupon", "redemption", "state", "amount", "restored"}`, likewise;
    ExportCodes `{"campaign", "codes": [{"coupon", "code"}]}`;
    VoidCampaign, VoidMatching `{"campaign", "accepted", "held", "reserved", "exported", "more"}`: all that became void,
    by the state it was in, told when the last slice is done (`more` is false); StopCampaign tried besides `"voided"`;
    AdvanceClock `{"partition", "now"}`.
    """

    command: UUID
    status: Literal["done", "refused", "dead"]
    result: dict[str, Any] | None = None
    refusal: RefusalAnswer | None = None
    as_of: datetime
    replayed: bool = False
    """The command had been decided before; this is the first answer again."""
    dry_run: bool = False
    """Nothing happened: this is what would."""


DeadLetterReason = Literal[
    "unreadable",
    "unsigned_writer",
    "writer_not_allowed",
    "wrong_partition",
    "wrong_key",
    "too_late",
    "too_far_ahead",
    "our_bug",
]


class DeadLetter(Fact):
    """A record that could not be read, trusted or decided. Key `<topic>-<partition>-<offset>`.

    It holds the record whole wherever a broker would take that; else `cut` says what is missing.
    """

    topic: str
    partition: int
    offset: int
    reason: DeadLetterReason
    detail: str
    key: str | None
    """base64 of the record's key."""
    value: str | None
    """base64 of the record's value."""
    headers: list[tuple[str, str]]
    """Names, and base64 of values."""
    record_time: datetime
    command: str | None = None
    """The command's id, where one could be read."""
    writer: str | None = None
    cut: list[Literal["key", "value", "headers", "detail"]] = Field(default_factory=list)
    """Of which only the beginning stands here, because the letter would be too large to be sent: of key and value the
    first bytes, of headers the first ones. The command of such a letter cannot be sent again from it."""
