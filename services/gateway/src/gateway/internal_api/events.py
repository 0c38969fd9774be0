"""The live stream of events, as server-sent events."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from contracts.fields import Party
from dialects.protocol import FieldProblem, Problem, RequestRefused, invalid
from gateway.guarding import GuardedRoute
from gateway.live_stream import Filters, PositionUnreadable, TooManyStreams
from gateway.openapi import described
from gateway.parts import parts_of

router = APIRouter(tags=["events"], route_class=GuardedRoute)


class StreamFilters(BaseModel):
    """Which events; without a filter all."""

    model_config = ConfigDict(extra="forbid")

    party: Party | None = None
    """Events of this owner's campaigns."""
    campaign: UUID | None = None
    type: Annotated[str | None, Field(max_length=100, pattern=r"^[a-z._0-9]+\*?$")] = None
    """A type such as `scrip.coupon.redeemed.v1`, or a beginning such as `scrip.coupon.*`."""
    last_event_id: Annotated[str | None, Field(max_length=2_000)] = None
    """As the header Last-Event-ID, for those who cannot send headers."""


@router.get(
    "/events",
    summary="What happens, as it happens (server-sent events); Last-Event-ID goes on where one left off",
    **described(answers={200: None}),
)
async def events(request: Request, filters: Annotated[StreamFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    wanted = Filters(filters.party, None if filters.campaign is None else str(filters.campaign), filters.type)
    last = request.headers.get("last-event-id") or filters.last_event_id
    try:
        stream = await parts.live.watch(last, wanted)
    except PositionUnreadable as error:
        raise invalid(
            f"Last-Event-ID is no position in this platform's log: {error}.",
            FieldProblem("Last-Event-ID", "is no position in this log"),
            status=400,
        ) from None
    except TooManyStreams:
        raise RequestRefused(
            Problem(
                "too_many_streams",
                503,
                "Too many streams",
                "As many live streams are served as allowed; try again later.",
                retry_after_seconds=5,
            )
        ) from None
    return StreamingResponse(
        stream,
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )
