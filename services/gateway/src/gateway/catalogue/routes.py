"""GET /catalogue/v1/offers and claiming one: for apps, which act for users by the users' ids."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from contracts.commands import ClaimCoupon
from contracts.fields import PLATFORM
from dialects.json_body import read_model
from dialects.protocol import FieldProblem, invalid
from gateway.commanding import Caller
from gateway.core_client import Item
from gateway.guarding import GuardedRoute, guarded
from gateway.internal_api.answers import CampaignView, CommandDone, CommandPending
from gateway.internal_api.commands import send
from gateway.openapi import described
from gateway.parts import parts_of
from gateway.requests import read_body, request_number

router = APIRouter(prefix="/catalogue/v1/offers", tags=["catalogue"], route_class=GuardedRoute)


class OfferFilters(BaseModel):
    """A page of offers."""

    model_config = ConfigDict(extra="forbid")

    after: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class OfferPage(BaseModel):
    """Offers; `next` is the id to go on after."""

    offers: list[CampaignView]
    next: str | None


@router.get("", summary="What may be claimed now", **described(answers={200: OfferPage}))
async def offers(request: Request, filters: Annotated[OfferFilters, Query()]) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "app", "viewer")
    after = None if filters.after is None else str(filters.after)
    found = await parts.core.catalogue(after=after, limit=filters.limit)
    listed = [offer for offer in found["campaigns"] if staff.party in (PLATFORM, offer["owner"])]
    return JSONResponse({"offers": [shown(offer) for offer in listed], "next": found["next"]})


@router.post(
    "/{campaign}/claim",
    summary="A user takes a coupon; a priced offer needs the order and what was paid",
    **described(ClaimCoupon, answers={200: CommandDone, 202: CommandPending}, unsafe=True, command=True),
)
async def claim(request: Request, campaign: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "app", "operator")
    number = request_number(request)
    command = read_model(await read_body(request), ClaimCoupon)
    if command.attributes is not None:
        raise invalid("Attributes are looked up: send none.", FieldProblem("/attributes", "must not be sent"))
    owner = await parts.offers.owner(campaign, staff.party)
    # The claim acts for the offer's owner; the app's name keeps its request numbers apart from the owner's own.
    caller = Caller(owner, staff.caller.actor)
    return await send(request, parts, caller, campaign, f"{caller.actor}\n{number}", command)


def shown(offer: Item) -> dict[str, Any]:
    """An offer as apps see it: a shared code is told to who holds a coupon only, a budget to its owner."""
    offered = {name: value for name, value in offer.items() if name != "code"}
    return {**offered, "budget": None, "terms": {**offer["terms"], "budget": None}}


def hot_routes() -> list[BaseRoute]:
    """Claiming, without FastAPI, which documents the same route."""
    path = "/catalogue/v1/offers/{campaign:uuid}/claim"

    def handler(request: Request) -> Awaitable[Response]:
        return claim(request, request.path_params["campaign"])

    return [Route(path, guarded(f"POST {path}", handler), methods=["POST"])]
