"""Every kind of record that crosses a process border: its name, its model, and the topics it stands on.

The name is the record's `type` where it has one, and the name of its schema and of its example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel

from contracts.answers import DeadLetter, Reply
from contracts.commands import RECORD_CLASSES, type_of
from contracts.events import EVENT_RECORDS, EVENT_TYPES, RefusalRecord
from contracts.fields import Contract
from contracts.merchants import (
    AccessMatched,
    AccessRequested,
    DeliveryChanged,
    MerchantProfile,
    MerchantStateChanged,
    PushCampaign,
    RecallCoupons,
    RedriveDeliveries,
    SyncUsers,
    UsersSynced,
)
from contracts.schedules import CancelTask, FileTask, TaskDue
from contracts.topics import (
    COUPON_COMMANDS,
    COUPON_DEAD_LETTERS,
    COUPON_EVENTS,
    COUPON_REFUSALS,
    COUPON_REPLIES,
    MERCHANT_COMMANDS,
    MERCHANT_DEAD_LETTERS,
    MERCHANT_EVENTS,
    MERCHANT_PROFILES,
    SCHEDULE_COMMANDS,
    SCHEDULE_DEAD_LETTERS,
    SCHEDULE_EVENTS,
    Topic,
)


@dataclass(frozen=True, slots=True)
class RecordKind:
    """One kind of record."""

    name: str
    model: type[BaseModel]
    topics: tuple[Topic, ...]

    @property
    def emitted(self) -> bool:
        """Read by anybody, tolerant of fields they do not know; else taken by us, strict about unknown fields."""
        return not issubclass(self.model, Contract)

    @property
    def about(self) -> str:
        """What the record says, in its author's words: the docstring of its `data`, or its own."""
        data = self.model.model_fields.get("data")
        typed = self.name.startswith(("scrip.command.", "scrip.campaign.", "scrip.codes.", "scrip.coupon."))
        source = data.annotation if typed and data is not None and data.annotation is not None else self.model
        return (source.__doc__ or "").strip()


def _typed(topic: Topic, *models: type[BaseModel]) -> tuple[RecordKind, ...]:
    """Kinds of records whose class fixes `type` itself."""
    return tuple(RecordKind(get_args(model.model_fields["type"].annotation)[0], model, (topic,)) for model in models)


RECORDS: tuple[RecordKind, ...] = (
    *(RecordKind(type_of(command), record, (COUPON_COMMANDS,)) for command, record in RECORD_CLASSES.items()),
    *(RecordKind(EVENT_TYPES[event], record, (COUPON_EVENTS,)) for event, record in EVENT_RECORDS.items()),
    *_typed(COUPON_REFUSALS, RefusalRecord),
    RecordKind("scrip.reply.v1", Reply, (COUPON_REPLIES,)),
    RecordKind("scrip.dead_letter.v1", DeadLetter, (COUPON_DEAD_LETTERS, MERCHANT_DEAD_LETTERS, SCHEDULE_DEAD_LETTERS)),
    *_typed(MERCHANT_COMMANDS, SyncUsers, PushCampaign, RecallCoupons, RedriveDeliveries),
    *_typed(MERCHANT_EVENTS, AccessRequested, AccessMatched, MerchantStateChanged, UsersSynced, DeliveryChanged),
    RecordKind("scrip.merchant.profile.v1", MerchantProfile, (MERCHANT_PROFILES,)),
    *_typed(SCHEDULE_COMMANDS, FileTask, CancelTask),
    *_typed(SCHEDULE_EVENTS, TaskDue),
)
"""All of them, in the order in which they are documented."""
