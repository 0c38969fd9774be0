"""Merchants across process borders: profiles, `merchant.commands`, `merchant.events`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, TypeAdapter

from contracts.fields import Contract, Fact, Instant, Reason, Text

MerchantState = Literal["requested", "verified", "active", "suspended", "closed", "rejected"]
DialectName = Literal["scrip", "voucherify", "declared"]
DeliveryState = Literal["pending", "sent", "confirmed", "retrying", "unknown", "dead", "recalling", "recalled"]


class InterfaceSettings(Contract):
    """How to call a merchant's interface. `sealed_secret` is encrypted; its context is `interface:<merchant id>`."""

    kind: Literal["scrip", "declared"] = "scrip"
    base_url: Annotated[str, StringConstraints(min_length=8, max_length=500)]
    auth: Literal["bearer", "webhook_signature", "none"] = "bearer"
    sealed_secret: str | None = None
    page_size: Annotated[int, Field(ge=1, le=1_000, strict=True)] = 500
    requests_per_second: Annotated[float, Field(gt=0, le=1_000, strict=True)] = 50
    fields: tuple[Annotated[str, StringConstraints(max_length=64)], ...] | None = None
    """The only user attributes that are kept; None keeps all."""
    declaration: dict[str, Any] | None = None
    """For kind `declared`: paths, paging style, JMESPath expressions."""


class MerchantProfile(Contract):
    """Value of `merchant.profiles`, key = merchant id: all the adapter must know of a merchant."""

    merchant: UUID
    name: Text
    version: Annotated[int, Field(ge=1)]
    state: MerchantState
    dialect: DialectName
    interface: InterfaceSettings | None = None


class MerchantCommand(Contract):
    """Fields every record of `merchant.commands` and `schedule.commands` has. `id` is the command id."""

    id: UUID
    actor: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    notafter: Instant


class SyncUsers(MerchantCommand):
    """Fetch the merchant's users now; `run` is the sync run's id."""

    type: Literal["scrip.command.SyncUsers.v1"] = "scrip.command.SyncUsers.v1"
    merchant: UUID
    run: UUID


class PushCampaign(MerchantCommand):
    """Deliver the coupons of an internal campaign through the merchant's interface.

    Audience `holders`: those issued, now and later. Audience `all_users`: first issue one coupon to each of the
    merchant's fetched users.
    """

    type: Literal["scrip.command.PushCampaign.v1"] = "scrip.command.PushCampaign.v1"
    merchant: UUID
    campaign: UUID
    audience: Literal["holders", "all_users"] = "holders"


class RecallCoupons(MerchantCommand):
    """Take delivered coupons of a campaign back at the merchant."""

    type: Literal["scrip.command.RecallCoupons.v1"] = "scrip.command.RecallCoupons.v1"
    merchant: UUID
    campaign: UUID
    reason: Reason


class RedriveDeliveries(MerchantCommand):
    """Try dead deliveries again, one or all of a merchant; the idempotency key stays."""

    type: Literal["scrip.command.RedriveDeliveries.v1"] = "scrip.command.RedriveDeliveries.v1"
    merchant: UUID
    delivery: UUID | None = None


MERCHANT_COMMAND: TypeAdapter[SyncUsers | PushCampaign | RecallCoupons | RedriveDeliveries] = TypeAdapter(
    Annotated[SyncUsers | PushCampaign | RecallCoupons | RedriveDeliveries, Field(discriminator="type")]
)


class MerchantEvent(Fact):
    """Fields every record of `merchant.events` has; key = merchant id; `id` is derived, so repeats are identical."""

    id: str
    merchant: UUID
    time: datetime


class AccessRequested(MerchantEvent):
    """An unknown applicant asked for access."""

    type: Literal["scrip.merchant.access_requested.v1"] = "scrip.merchant.access_requested.v1"
    name: str
    dialect: DialectName


class AccessMatched(MerchantEvent):
    """A known identity asked for access and was matched to its API."""

    type: Literal["scrip.merchant.access_matched.v1"] = "scrip.merchant.access_matched.v1"
    terminal: str
    dialect: DialectName
    profile_version: int


class MerchantStateChanged(MerchantEvent):
    """verified, active, suspended, closed or rejected; by whom and why."""

    type: Literal["scrip.merchant.state_changed.v1"] = "scrip.merchant.state_changed.v1"
    state: MerchantState
    actor: str
    reason: str | None = None


class UsersSynced(MerchantEvent):
    """A sync run ended; its report."""

    type: Literal["scrip.merchant.users_synced.v1"] = "scrip.merchant.users_synced.v1"
    run: UUID
    task: UUID | None
    status: Literal["done", "failed"]
    pages: int
    seen: int
    new: int
    changed: int
    gone: int
    refused: int
    detail: str | None = None


class DeliveryChanged(MerchantEvent):
    """A delivery reached a state that matters: confirmed, unknown, dead, recalled."""

    type: Literal["scrip.merchant.delivery_changed.v1"] = "scrip.merchant.delivery_changed.v1"
    delivery: UUID
    coupon: str
    state: DeliveryState
    attempts: int
    receipt: str | None = None
    reason: str | None = None


MERCHANT_EVENT: TypeAdapter[AccessRequested | AccessMatched | MerchantStateChanged | UsersSynced | DeliveryChanged] = (
    TypeAdapter(
        Annotated[
            AccessRequested | AccessMatched | MerchantStateChanged | UsersSynced | DeliveryChanged,
            Field(discriminator="type"),
        ]
    )
)
