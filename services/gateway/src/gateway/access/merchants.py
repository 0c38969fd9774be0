"""A merchant's life: filed, verified, active, suspended, closed; its profile and interface.

Every change writes the tables, the event for `merchant.events` and the profile for `merchant.profiles` in one
transaction, and tells all gateways. Active it is only when every lane knows it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts.merchants import (
    AccessMatched,
    AccessRequested,
    DialectName,
    InterfaceSettings,
    MerchantEvent,
    MerchantProfile,
    MerchantState,
    MerchantStateChanged,
)
from contracts.topics import MERCHANT_EVENTS, MERCHANT_PROFILES
from dialects.protocol import Problem, RequestRefused
from gateway.access.profiles import ProfileSettings
from gateway.identity.model import Identity
from gateway.lanes import file_order, new_order
from gateway.storage import merchants
from gateway.storage.connections import Connection, tell_of_merchant
from gateway.storage.lane_orders import LaneOrder
from gateway.storage.merchants import StoredMerchant
from gateway.storage.tokens import EarlierAnswer, keep_answer
from messaging.outbox import enqueue_all
from messaging.sending import OutgoingRecord

ALLOWED: dict[MerchantState, frozenset[MerchantState]] = {
    "verified": frozenset({"requested"}),
    "rejected": frozenset({"requested"}),
    "suspended": frozenset({"active", "verified"}),
    "active": frozenset({"verified", "suspended"}),
    "closed": frozenset({"verified", "active", "suspended"}),
}
"""From which states each state may be ordered."""


async def add(
    connection: Connection,
    merchant: UUID,
    name: str,
    contact: str | None,
    state: MerchantState,
    dialect: DialectName,
    settings: ProfileSettings,
    sealed_secret: str,
    actor: str,
) -> None:
    """A new merchant, `requested` by an applicant or `verified` by staff."""
    await merchants.add_merchant(
        connection,
        merchant,
        name,
        contact,
        state,
        dialect,
        settings.model_dump(mode="json", exclude_none=True),
        sealed_secret,
        actor,
    )
    now = datetime.now(UTC)
    event: MerchantEvent
    if state == "requested":
        event = AccessRequested(id=f"{merchant}:requested", merchant=merchant, time=now, name=name, dialect=dialect)
    else:
        event = MerchantStateChanged(id=f"{merchant}:1:{state}", merchant=merchant, time=now, state=state, actor=actor)
    await announce(connection, merchant, [event])


async def announce(connection: Connection, merchant: UUID, events: list[MerchantEvent]) -> None:
    """Events and the profile as it is now, when the transaction commits; every gateway forgets the merchant."""
    stored = await merchants.lock_merchant(connection, merchant)
    if stored is None:
        raise LookupError(f"merchant {merchant} is not there")
    key = str(merchant).encode()
    records = [
        OutgoingRecord(MERCHANT_EVENTS.name, key, event.model_dump_json(exclude_none=True).encode()) for event in events
    ]
    profile = MerchantProfile(
        merchant=merchant,
        name=stored.name,
        version=stored.version,
        state=stored.state,
        dialect=stored.dialect,
        interface=None if stored.interface is None else InterfaceSettings.model_validate(stored.interface),
    )
    value = profile.model_dump_json(exclude_none=True).encode()
    records.append(OutgoingRecord(MERCHANT_PROFILES.name, key, value))
    await tell_of_merchant(connection, merchant)
    await enqueue_all(connection, records)


async def locked(connection: Connection, merchant: UUID) -> StoredMerchant:
    """The merchant, locked. Raises RequestRefused (404)."""
    found = await merchants.lock_merchant(connection, merchant)
    if found is None:
        raise merchant_not_found()
    return found


async def change_state(
    connection: Connection, merchant: UUID, state: MerchantState, actor: str, reason: str | None
) -> LaneOrder | None:
    """Order a state; the order, if any, is to be told to all lanes.

    `active` is only filed: the merchant becomes active when all lanes know it. All others hold at once.
    Raises RequestRefused when there is no such merchant or its state forbids it.
    """
    found = await locked(connection, merchant)
    if found.state not in ALLOWED[state]:
        raise RequestRefused(
            Problem(
                "merchant_state_forbids",
                409,
                "Merchant state forbids",
                f"A merchant that is {found.state} cannot become {state}.",
                facts={"state": found.state},
            )
        )
    events: list[MerchantEvent] = []
    if state == "active":
        # Its own version, so that it comes after the suspension it ends.
        version = await merchants.set_state(connection, merchant, found.state)
    else:
        version = await merchants.set_state(connection, merchant, state)
        events.append(_changed(merchant, version, state, actor, reason))
    order = None
    if state in ("active", "suspended", "closed"):
        command = {"merchant": str(merchant), "version": version, "state": state}
        order = new_order("merchant", str(merchant), version, command)
        await file_order(connection, order)
    await announce(connection, merchant, events)
    return order


async def became_known(connection: Connection, order: LaneOrder) -> None:
    """All lanes know a merchant's state: the one ordered active is active from now on."""
    if order.kind != "merchant" or order.command["state"] != "active":
        return
    merchant = UUID(order.subject)
    found = await merchants.lock_merchant(connection, merchant)
    if found is None or found.state not in ALLOWED["active"]:
        return
    version = await merchants.set_state(connection, merchant, "active")
    await announce(connection, merchant, [_changed(merchant, version, "active", "service:gateway", None)])


async def put_profile(
    connection: Connection, merchant: UUID, dialect: DialectName, settings: ProfileSettings, actor: str
) -> int:
    """The next version of a merchant's profile; it selects the API from the commit on. Raises RequestRefused."""
    await locked(connection, merchant)
    document = settings.model_dump(mode="json", exclude_none=True)
    _, version = await merchants.put_profile(connection, merchant, dialect, document, actor)
    await announce(connection, merchant, [])
    return version


async def put_interface(connection: Connection, merchant: UUID, interface: InterfaceSettings, actor: str) -> int:
    """How the adapter calls the merchant; its secret is sealed. Raises RequestRefused."""
    await locked(connection, merchant)
    document: dict[str, Any] = interface.model_dump(mode="json", exclude_none=True)
    version = await merchants.put_interface(connection, merchant, document, actor)
    await announce(connection, merchant, [])
    return version


async def note_match(connection: Connection, identity: Identity) -> None:
    """A known identity asked which API is its own: told once for each terminal and version of the profile."""
    event = AccessMatched(
        id=f"{identity.merchant}:{identity.terminal}:matched:{identity.profile_version}",
        merchant=identity.merchant,
        time=datetime.now(UTC),
        terminal=identity.terminal_label,
        dialect=identity.dialect,
        profile_version=identity.profile_version,
    )
    kept = EarlierAnswer(b"", 200, {})
    if not await keep_answer(connection, str(identity.terminal), "matched", str(identity.profile_version), kept):
        return
    key = str(identity.merchant).encode()
    value = event.model_dump_json(exclude_none=True).encode()
    await enqueue_all(connection, [OutgoingRecord(MERCHANT_EVENTS.name, key, value)])


def merchant_not_found() -> RequestRefused:
    """There is no such merchant."""
    return RequestRefused(
        Problem("merchant_not_found", 404, "Merchant not found", "There is no merchant with this id.")
    )


def _changed(
    merchant: UUID, version: int, state: MerchantState, actor: str, reason: str | None
) -> MerchantStateChanged:
    return MerchantStateChanged(
        id=f"{merchant}:{version}:{state}",
        merchant=merchant,
        time=datetime.now(UTC),
        state=state,
        actor=actor,
        reason=reason,
    )
