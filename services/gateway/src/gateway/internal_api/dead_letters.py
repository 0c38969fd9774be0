"""Dead letters for operators."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contracts.answers import DeadLetterReason
from dialects.protocol import FieldProblem, invalid
from gateway.guarding import GuardedRoute
from gateway.internal_api.answers import Answer
from gateway.openapi import described
from gateway.parts import parts_of
from gateway.requests import request_number

router = APIRouter(prefix="/dead-letters", tags=["dead letters"], route_class=GuardedRoute)


class LetterFilters(BaseModel):
    """Which dead letters."""

    model_config = ConfigDict(extra="forbid")

    reason: DeadLetterReason | None = None
    after: Annotated[str | None, Field(max_length=1_000)] = None
    """`next` of the page before."""
    limit: Annotated[int, Field(ge=1, le=200)] = 100
    """Of each command topic."""


class LetterView(Answer):
    """A record that could not be read, trusted or decided, whole: key, value and header values in base64.

    Of one too large for any dead letter `cut` names the parts of which only the beginning is there."""

    id: str
    topic: str
    reason: str
    detail: str
    command: str | None = None


class LetterPage(BaseModel):
    """Dead letters of all command topics, oldest first. `away`: services that did not answer."""

    dead_letters: list[LetterView]
    next: str | None
    away: list[str]


class Redriven(BaseModel):
    """The command was sent again; ask for its outcome under its id."""

    id: str
    command: str
    topic: str
    sent: bool


@router.get("", summary="List dead letters", **described(answers={200: LetterPage}))
async def page(request: Request, filters: Annotated[LetterFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await parts.dead_letters.page(_unpack(filters.after), filters.reason, filters.limit)
    return JSONResponse({**found, "next": _pack(found["next"])})


@router.get("/{name}", summary="One dead letter, whole", **described(answers={200: LetterView}))
async def letter(request: Request, name: Annotated[str, Field(max_length=300)]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return JSONResponse(await parts.dead_letters.letter(name))


@router.post(
    "/{name}/redrive",
    summary="Send a dead letter's command again, under its own id",
    **described(answers={202: Redriven}, unsafe=True),
)
async def redrive(request: Request, name: Annotated[str, Field(max_length=300)]) -> Response:
    """It may do what its own writer may when it is decided. 409 where nobody known signed it, where its writer may not
    send it, and where it cannot be read whole."""
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "approver")
    # Sent twice it is the same command: the number is only asked for as everywhere.
    request_number(request)
    return JSONResponse(await parts.dead_letters.redrive(name, staff.caller.actor), 202)


def _pack(position: Mapping[str, str] | None) -> str | None:
    if position is None:
        return None
    return base64.urlsafe_b64encode(json.dumps(dict(position)).encode()).decode().rstrip("=")


def _unpack(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    try:
        made: Any = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        made = None
    if not isinstance(made, dict) or not all(isinstance(value, str) for value in made.values()):
        raise invalid(
            "`after` is none of ours.", FieldProblem("after", "must be `next` of the page before"), status=400
        )
    return made
