"""Merchants for staff: requests, states, profiles, terminals, interfaces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contracts.fields import Contract, Reason, Text
from contracts.merchants import InterfaceSettings, MerchantState
from gateway.access import merchants as life
from gateway.access import terminals as keys
from gateway.access.profiles import BASE_PATHS, ProfileDocument, interface_context, new_sealed_secret
from gateway.access.terminals import TerminalLabel
from gateway.commanding import WAIT_SECONDS
from gateway.guarding import GuardedRoute
from gateway.identity.staff import Staff
from gateway.internal_api.answers import (
    KeyShown,
    MerchantAdded,
    MerchantDetail,
    MerchantPage,
    MerchantView,
    RequestPage,
    RequestView,
    TerminalView,
)
from gateway.lanes import Told
from gateway.once import Once, Work, once
from gateway.openapi import described
from gateway.parts import Parts, parts_of
from gateway.requests import read_document, request_number
from gateway.storage import credentials
from gateway.storage import merchants as stored_merchants
from gateway.storage.connections import Connection
from gateway.storage.merchants import StoredMerchant
from process.secrets import seal

router = APIRouter(prefix="/merchants", tags=["merchants"], route_class=GuardedRoute)


class MerchantDocument(ProfileDocument):
    """A merchant added by staff: verified at once, with one terminal."""

    name: Text
    contact: Text | None = None
    terminal: TerminalLabel = "terminal-1"
    authentication: Literal["bearer", "signed"] = "bearer"


class TerminalDocument(Contract):
    """A new terminal."""

    label: TerminalLabel


class RotateDocument(Contract):
    """How long the key before the new one stays valid (seconds); 0 ends it at once."""

    overlap_seconds: Annotated[float, Field(ge=0, le=30 * 86_400, strict=True)] = keys.OVERLAP_SECONDS


class RevokeDocument(Contract):
    """Which key to end; none: the terminal with all its keys."""

    key: Annotated[str, Field(max_length=64)] | None = None


class ReasonDocument(Contract):
    """Why."""

    reason: Reason | None = None


class InterfaceDocument(Contract):
    """How Scrip calls the merchant; `secret` is kept sealed and never shown again."""

    kind: Literal["scrip", "declared"] = "scrip"
    base_url: Annotated[str, Field(min_length=8, max_length=500, pattern=r"^https?://[^\s\x00@]+$")]
    auth: Literal["bearer", "webhook_signature", "none"] = "bearer"
    secret: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[\x21-\x7e]+$")] | None = Field(
        default=None, repr=False
    )
    page_size: Annotated[int, Field(ge=1, le=1_000, strict=True)] = 500
    requests_per_second: Annotated[float, Field(gt=0, le=1_000, strict=True)] = 50
    fields: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=100)] | None = None
    declaration: dict[str, Any] | None = None


class MerchantFilters(BaseModel):
    """Which merchants or requests."""

    model_config = ConfigDict(extra="forbid")

    state: MerchantState | None = None
    after: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


@router.post(
    "",
    summary="Add a merchant at once; its credentials are in the answer, once",
    **described(MerchantDocument, answers={201: MerchantAdded, 202: MerchantAdded}, unsafe=True),
)
async def add(request: Request) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "approver")
    document = await read_document(request, MerchantDocument)
    settings = document.settings()
    merchant = uuid4()
    sealed = new_sealed_secret(parts.keys, merchant)

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        actor = staff.caller.actor
        await life.add(
            connection,
            merchant,
            document.name,
            document.contact,
            "verified",
            document.dialect,
            settings,
            sealed,
            actor,
        )
        found = await life.locked(connection, merchant)
        terminal, shown = await keys.add_terminal(connection, found, document.terminal, parts.keys, actor)
        order = await life.change_state(connection, merchant, "active", actor, None)
        return {"merchant": str(merchant), "terminal": str(terminal)}, (shown, order)

    done = await once_of(request, parts, staff, "add_merchant", document, work)
    shown, order = done.shown or (None, None)
    told = await parts.lanes.tell(order, WAIT_SECONDS) if order else Told(True)
    view = await merchant_view(parts, UUID(done.facts["merchant"]))
    added = MerchantAdded(**view.model_dump(), terminal=UUID(done.facts["terminal"]), credentials=shown)
    return answer(added, 201 if told.everywhere else 202, done)


@router.get("", summary="List merchants", **described(answers={200: MerchantPage}))
async def merchants(request: Request, filters: Annotated[MerchantFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await stored_merchants.merchants(parts.pool, filters.state, filters.after, filters.limit)
    page = MerchantPage(
        merchants=[view_of(each) for each in found],
        next=found[-1].id if len(found) == filters.limit else None,
    )
    return answer(page)


@router.get("/requests", summary="List access requests", **described(answers={200: RequestPage}))
async def requests(request: Request, filters: Annotated[MerchantFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await stored_merchants.requests(parts.pool, filters.state, filters.after, filters.limit)
    page = RequestPage(
        requests=[RequestView.model_validate(each, from_attributes=True) for each in found],
        next=found[-1].id if len(found) == filters.limit else None,
    )
    return answer(page)


@router.get("/{merchant}", summary="A merchant with its terminals", **described(answers={200: MerchantDetail}))
async def merchant_detail(request: Request, merchant: UUID) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return answer(await merchant_detail_of(parts, merchant))


STATES: tuple[tuple[str, MerchantState, str], ...] = (
    ("verify", "verified", "Verify an access request; the merchant becomes active"),
    ("reject", "rejected", "Reject an access request"),
    ("suspend", "suspended", "Shut a merchant out at once, in every lane too"),
    ("resume", "active", "Let a suspended merchant in again"),
    ("close", "closed", "Shut a merchant out for good"),
)


def state_operation(name: str, state: MerchantState) -> Callable[[Request, UUID], Awaitable[Response]]:
    """The handler of one change of state. 202 while some lane has not heard of it."""

    async def operation(request: Request, merchant: UUID) -> Response:
        parts = parts_of(request)
        staff = await parts.staff_door.demand(request, "approver")
        document = await read_document(request, ReasonDocument)

        async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
            actor = staff.caller.actor
            order = await life.change_state(connection, merchant, state, actor, document.reason)
            if state == "verified":
                order = await life.change_state(connection, merchant, "active", actor, document.reason)
            return {"merchant": str(merchant)}, order

        done = await once_of(request, parts, staff, f"{name} {merchant}", document, work)
        told = await parts.lanes.tell(done.shown, WAIT_SECONDS) if done.shown else Told(True)
        return answer(await merchant_view(parts, merchant), 200 if told.everywhere else 202, done)

    operation.__name__ = f"{name}_merchant"
    return operation


for _name, _state, _summary in STATES:
    router.add_api_route(
        f"/{{merchant}}/{_name}",
        state_operation(_name, _state),
        methods=["POST"],
        summary=_summary,
        **described(ReasonDocument, answers={200: MerchantView, 202: MerchantView}, unsafe=True),
    )


@router.get("/{merchant}/profile", summary="A merchant's profile", **described(answers={200: MerchantView}))
async def profile(request: Request, merchant: UUID) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return answer(await merchant_view(parts, merchant))


@router.put(
    "/{merchant}/profile",
    summary="Match another API, mapping or limit to a merchant: the next version of its profile",
    **described(ProfileDocument, answers={200: MerchantView}, unsafe=True),
)
async def put_profile(request: Request, merchant: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "approver")
    document = await read_document(request, ProfileDocument)
    settings = document.settings()

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        version = await life.put_profile(connection, merchant, document.dialect, settings, staff.caller.actor)
        return {"profile_version": version}, None

    done = await once_of(request, parts, staff, f"put_profile {merchant}", document, work)
    return answer(await merchant_view(parts, merchant), 200, done)


@router.post(
    "/{merchant}/interface",
    summary="Say how Scrip calls the merchant",
    **described(InterfaceDocument, answers={200: MerchantView}, unsafe=True),
)
async def put_interface(request: Request, merchant: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    document = await read_document(request, InterfaceDocument)
    sealed = None
    if document.secret is not None:
        newest = max(parts.keys)
        sealed = seal(newest, parts.keys[newest], document.secret.encode(), interface_context(merchant))
    settings = InterfaceSettings(**document.model_dump(exclude={"secret"}), sealed_secret=sealed)

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        version = await life.put_interface(connection, merchant, settings, staff.caller.actor)
        return {"version": version}, None

    done = await once_of(request, parts, staff, f"put_interface {merchant}", document, work)
    return answer(await merchant_view(parts, merchant), 200, done)


@router.post(
    "/{merchant}/terminals",
    summary="Add a terminal; its key is in the answer, once",
    **described(TerminalDocument, answers={201: KeyShown}, unsafe=True),
)
async def add_terminal(request: Request, merchant: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    document = await read_document(request, TerminalDocument)

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        found = await life.locked(connection, merchant)
        actor = staff.caller.actor
        terminal, shown = await keys.add_terminal(connection, found, document.label, parts.keys, actor)
        return {"terminal": str(terminal), "label": document.label}, shown

    done = await once_of(request, parts, staff, f"add_terminal {merchant}", document, work)
    return answer(_key_shown(merchant, done), 201, done)


@router.post(
    "/{merchant}/terminals/{terminal}/rotate",
    summary="Give a terminal a new key; the one before stays valid for the overlap",
    **described(RotateDocument, answers={200: KeyShown}, unsafe=True),
)
async def rotate(request: Request, merchant: UUID, terminal: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    document = await read_document(request, RotateDocument)

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        found = await life.locked(connection, merchant)
        shown = await keys.rotate(connection, found, terminal, document.overlap_seconds, parts.keys, staff.caller.actor)
        return {"terminal": str(terminal), "label": shown["terminal"]}, shown

    done = await once_of(request, parts, staff, f"rotate {terminal}", document, work)
    return answer(_key_shown(merchant, done), 200, done)


@router.post(
    "/{merchant}/terminals/{terminal}/revoke",
    summary="End one key of a terminal, or the terminal",
    **described(RevokeDocument, answers={200: MerchantDetail}, unsafe=True),
)
async def revoke(request: Request, merchant: UUID, terminal: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    document = await read_document(request, RevokeDocument)

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        await keys.revoke(connection, merchant, terminal, document.key)
        return {"terminal": str(terminal)}, None

    done = await once_of(request, parts, staff, f"revoke {terminal}", document, work)
    return answer(await merchant_detail_of(parts, merchant), 200, done)


async def merchant_detail_of(parts: Parts, merchant: UUID) -> MerchantDetail:
    """The merchant with its terminals. Raises RequestRefused (404)."""
    view = await merchant_view(parts, merchant)
    found = await credentials.terminals(parts.pool, merchant)
    terminals = [TerminalView.model_validate(each, from_attributes=True) for each in found]
    return MerchantDetail(**view.model_dump(), terminals=terminals)


async def merchant_view(parts: Parts, merchant: UUID) -> MerchantView:
    """The merchant as it is now. Raises RequestRefused (404)."""
    found = await stored_merchants.merchant(parts.pool, merchant)
    if found is None:
        raise life.merchant_not_found()
    return view_of(found)


def view_of(stored: StoredMerchant) -> MerchantView:
    """A merchant without what is sealed."""
    interface = None
    if stored.interface is not None:
        interface = {name: value for name, value in stored.interface.items() if name != "sealed_secret"}
        interface["secret_set"] = "sealed_secret" in stored.interface
    return MerchantView(
        id=stored.id,
        name=stored.name,
        contact=stored.contact,
        state=stored.state,
        version=stored.version,
        dialect=stored.dialect,
        base_path=BASE_PATHS[stored.dialect],
        profile_version=stored.profile_version,
        profile=stored.settings,
        interface=interface,
        created_at=stored.created_at,
    )


def answer(model: BaseModel, status: int = 200, done: Once | None = None) -> Response:
    """A documented answer."""
    replayed = done is not None and done.replayed
    headers = {"idempotent-replayed": "true"} if replayed else {}
    return JSONResponse(model.model_dump(mode="json"), 200 if replayed and status == 201 else status, headers)


def _key_shown(merchant: UUID, done: Once) -> KeyShown:
    return KeyShown(
        merchant=merchant,
        terminal=UUID(done.facts["terminal"]),
        label=done.facts["label"],
        credentials=done.shown,
    )


async def once_of(
    request: Request, parts: Parts, staff: Staff, operation: str, document: BaseModel, work: Work
) -> Once:
    """Run `work` once for this request number and document. Raises what `gateway.once.once` raises."""
    number = request_number(request)
    content = document.model_dump_json().encode()
    return await once(parts.pool, staff.caller.actor, operation, number, content, work)
