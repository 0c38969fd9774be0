"""Campaigns: generated, changed, issued from, and looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from contracts.commands import (
    ActivateCampaign,
    AmendCampaign,
    CancelGeneration,
    ChangeQuantity,
    ClaimCoupon,
    ExportCodes,
    GenerateCampaign,
    PauseCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ResumeCampaign,
    ReturnCoupon,
    StopCampaign,
    UnpublishCampaign,
    VoidCoupons,
)
from contracts.fields import PLATFORM, Contract, Party, UserId
from contracts.identifiers import campaign_id
from dialects.calls import ExportKind
from dialects.documents import VoidAllDocument, VoidMatchingDocument
from dialects.json_body import read_model
from gateway.answering import not_found
from gateway.bulk import BulkRequest
from gateway.commanding import Caller
from gateway.guarding import GuardedRoute, guarded
from gateway.identity.staff import Role
from gateway.internal_api.answers import (
    BulkDone,
    CampaignPage,
    CampaignView,
    CommandDone,
    CommandPending,
    CouponPage,
    EventList,
)
from gateway.internal_api.bulk_answers import answer_bulk
from gateway.internal_api.commands import carry_out, send
from gateway.internal_api.moments import Moment
from gateway.openapi import described, streamed
from gateway.parts import parts_of
from gateway.requests import dry_run, read_body, request_number, room_for, seconds_to_wait, told_moment
from gateway.rows import CodesDocument, Rows, UsersDocument, codes_of, users_of
from gateway.streaming import PassedOn

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=GuardedRoute)
ROW_MEDIA = ("application/x-ndjson", "text/csv")

Operation = Callable[[Request, UUID], Awaitable[Response]]


class CampaignFilters(BaseModel):
    """Which campaigns."""

    model_config = ConfigDict(extra="forbid")

    party: Party | None = None
    """Only what this party may see."""
    origin: Literal["internal", "external"] | None = None
    state: Annotated[str | None, Field(max_length=20, pattern="^[a-z]*$")] = None
    after: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class CouponFilters(BaseModel):
    """Which coupons of a campaign."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, le=10**12)] = 0
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    state: Annotated[str | None, Field(max_length=20, pattern="^[a-z]*$")] = None
    user: UserId | None = None


class EventFilters(BaseModel):
    """Which events of a campaign."""

    model_config = ConfigDict(extra="forbid")

    after_seq: Annotated[int, Field(ge=0, le=10**12)] = 0
    limit: Annotated[int, Field(ge=1, le=1_000)] = 200


@router.post(
    "",
    summary="Order an internal campaign; Scrip makes its codes",
    **described(GenerateCampaign, answers={201: CommandDone, 202: CommandPending}, unsafe=True, command=True),
)
async def generate(request: Request) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    number = request_number(request)
    command = read_model(await read_body(request), GenerateCampaign)
    campaign = campaign_id(PLATFORM, number)
    return await send(request, parts, staff.caller, campaign, number, command, created=True)


@router.get("", summary="List campaigns", **described(answers={200: CampaignPage}))
async def campaigns(request: Request, filters: Annotated[CampaignFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await parts.core.campaigns(
        filters.party,
        origin=filters.origin,
        state=filters.state,
        after=None if filters.after is None else str(filters.after),
        limit=filters.limit,
    )
    return JSONResponse(found)


@router.get(
    "/{campaign}",
    summary="A campaign with its exact counters, now or as it was",
    **described(answers={200: CampaignView}),
)
async def campaign_view(request: Request, campaign: UUID, moment: Annotated[Moment, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    if moment.given:
        found = await parts.core.campaign_as_of(campaign, **moment.query())
    else:
        found = await parts.core.campaign(campaign, None)
    if found is None:
        raise not_found("campaign")
    return JSONResponse(found)


@router.get("/{campaign}/coupons", summary="Coupons of a campaign", **described(answers={200: CouponPage}))
async def coupons(request: Request, campaign: UUID, filters: Annotated[CouponFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await parts.core.campaign_coupons(campaign, None, **filters.model_dump())
    if found is None:
        raise not_found("campaign")
    return JSONResponse(found)


@router.get("/{campaign}/events", summary="What happened to a campaign", **described(answers={200: EventList}))
async def events(request: Request, campaign: UUID, filters: Annotated[EventFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await parts.core.campaign_events(campaign, **filters.model_dump())
    if found is None:
        raise not_found("campaign")
    return JSONResponse(found)


class ExportFilters(BaseModel):
    """Which rows, and how they are written."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["csv", "jsonl"] = "csv"
    after: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Go on behind the row with this number; the header is left out then."""
    last: Annotated[int | None, Field(ge=0, le=10**12)] = None
    state: Annotated[str | None, Field(max_length=20, pattern="^[a-z]*$")] = None
    """Of codes and coupons."""
    user: UserId | None = None
    """Of coupons."""
    type: Annotated[str | None, Field(max_length=60, pattern=r"^[a-z0-9_.]*$")] = None
    """Of events."""


@router.get(
    "/{campaign}/export/{what}",
    summary="Stream codes, coupons or history; the last line has the number of rows and their SHA-256",
    **streamed("text/csv", "application/x-ndjson"),
)
async def export(
    request: Request, campaign: UUID, what: ExportKind, filters: Annotated[ExportFilters, Query()]
) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "approver" if what == "codes" else "viewer")
    upstream = await parts.core.export(campaign, what, None, **filters.model_dump())
    if upstream is None:
        raise not_found("campaign")
    return PassedOn(upstream, f"{what}-{campaign}.{filters.format}")


@router.post(
    "/{campaign}/issue",
    summary="Give a coupon to each of many users",
    **described(UsersDocument, answers={200: BulkDone, 202: CommandPending}, unsafe=True, command=True, rows=ROW_MEDIA),
)
async def issue(request: Request, campaign: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    number = request_number(request)
    async with room_for(request):
        rows = await users_of(request)
        outcome = await parts.bulk.issue(rows.usable, _bulk_request(request, staff.caller, campaign, number, rows))
    return answer_bulk(outcome, campaign)


@router.post(
    "/{campaign}/codes",
    summary="Upload codes to a campaign that takes them",
    **described(CodesDocument, answers={200: BulkDone, 202: CommandPending}, unsafe=True, command=True, rows=ROW_MEDIA),
)
async def upload_codes(request: Request, campaign: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    number = request_number(request)
    async with room_for(request):
        rows = await codes_of(request)
        outcome = await parts.bulk.upload(rows.usable, _bulk_request(request, staff.caller, campaign, number, rows))
    return answer_bulk(outcome, campaign)


def _bulk_request(request: Request, caller: Caller, campaign: UUID, number: str, rows: Rows[Any]) -> BulkRequest:
    return BulkRequest(
        caller=caller,
        campaign=campaign,
        number=number,
        total=rows.total,
        refused=rows.refused,
        at=told_moment(request, told=parts_of(request).settings.clock == "told"),
        wait_seconds=seconds_to_wait(request),
        dry_run=dry_run(request),
    )


COMMANDS: tuple[tuple[str, str, type[Contract], Role, str], ...] = (
    ("POST", "activate", ActivateCampaign, "operator", "Bring a draft's codes into being"),
    ("POST", "amend", AmendCampaign, "approver", "Change a campaign's terms"),
    ("POST", "pause", PauseCampaign, "operator", "Stop issuing and redeeming until resumed"),
    ("POST", "resume", ResumeCampaign, "operator", "End a pause"),
    ("POST", "stop", StopCampaign, "approver", "End a campaign for good before its time"),
    ("POST", "unpublish", UnpublishCampaign, "operator", "Take a campaign out of the catalogue"),
    ("PUT", "quantity", ChangeQuantity, "operator", "Raise or lower how many coupons may be issued"),
    ("POST", "claim", ClaimCoupon, "operator", "A user takes a coupon"),
    ("POST", "redeem", RedeemCoupon, "operator", "Consume a coupon"),
    ("POST", "reserve", ReserveCoupon, "operator", "Hold a coupon for an order"),
    ("POST", "release", ReleaseCoupon, "operator", "Let go of a coupon held for an order"),
    ("POST", "return", ReturnCoupon, "operator", "Undo a redemption"),
    ("POST", "void", VoidCoupons, "approver", "Take coupons out of life"),
    ("POST", "void-matching", VoidMatchingDocument, "approver", "Take what matches out of life; a dry run counts it"),
    ("POST", "void-all", VoidAllDocument, "approver", "Take all held coupons out of life; a dry run counts them"),
    ("POST", "cancel-generation", CancelGeneration, "operator", "Give up writing codes down"),
    ("POST", "export-codes", ExportCodes, "approver", "Take codes out as bearer codes"),
)
HOT = frozenset({"claim", "redeem"})
"""Also answered without FastAPI, which costs as much again as all our own work."""


def command_operation(kind: type[Contract], role: Role) -> Operation:
    """The handler of one command for one campaign."""

    async def operation(request: Request, campaign: UUID) -> Response:
        parts = parts_of(request)
        staff = await parts.staff_door.demand(request, role)
        return await carry_out(request, parts, staff.caller, campaign, kind)

    operation.__name__ = kind.__name__
    return operation


def hot_routes() -> list[BaseRoute]:
    """Routes that stand before FastAPI; it documents the same ones."""
    made: list[BaseRoute] = []
    for method, path, kind, role, _ in COMMANDS:
        if path in HOT:
            full = f"/internal/v1/campaigns/{{campaign:uuid}}/{path}"
            operation = command_operation(kind, role)

            def handler(request: Request, operation: Operation = operation) -> Awaitable[Response]:
                return operation(request, request.path_params["campaign"])

            made.append(Route(full, guarded(f"{method} {full}", handler), methods=[method]))
    return made


for _method, _path, _kind, _role, _summary in COMMANDS:
    router.add_api_route(
        f"/{{campaign}}/{_path}",
        command_operation(_kind, _role),
        methods=[_method],
        summary=_summary,
        **described(_kind, answers={200: CommandDone, 202: CommandPending}, unsafe=True, command=True),
    )
