"""Dead letters: records that could not be read, trusted or decided. Sending one again is the gateway's."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request

from contracts.answers import DeadLetterReason
from contracts.topics import COUPON_COMMANDS
from coupon_core.queries.asking import Parameters, Problem, parameters
from coupon_core.queries.source import Source, instant_or_none
from coupon_core.storage import dead_letters
from coupon_core.storage.dead_letters import DeadLetterView

LARGEST_PAGE = 200
ID = re.compile(rf"{re.escape(COUPON_COMMANDS.name)}-(\d{{1,9}})-(\d{{1,18}})", re.ASCII)


class ManyDeadLetters(Parameters):
    after: Annotated[str, Field(max_length=64)] | None = None
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 50
    reason: DeadLetterReason | None = None


def _place(text: str) -> tuple[int, int] | None:
    """Partition and offset of `<topic>-<partition>-<offset>`."""
    match = ID.fullmatch(text)
    if match is None or int(match[1]) >= 2**31:
        return None
    return int(match[1]), int(match[2])


def _item(letter: DeadLetterView) -> dict[str, Any]:
    place = f"{COUPON_COMMANDS.name}-{letter.partition}-{letter.position}"
    return {"id": place, **json.loads(letter.body), "redriven_at": instant_or_none(letter.redriven_at)}


async def many(source: Source, request: Request) -> dict[str, Any]:
    """GET /dead-letters: in the order in which they came up."""
    asked = parameters(request, ManyDeadLetters)
    after = None
    if asked.after is not None:
        after = _place(asked.after)
        if after is None:
            error = {"pointer": "/after", "detail": "must be the id of a dead letter"}
            raise Problem(422, "invalid_request", "`after` is no id of a dead letter.", [error])
    async with source.pool.acquire() as connection:
        page, more = await dead_letters.dead_letters_after(connection, asked.reason, after, asked.limit)
    items = [_item(letter) for letter in page]
    return {"dead_letters": items, "next": items[-1]["id"] if more else None}


async def one(source: Source, request: Request) -> dict[str, Any]:
    """GET /dead-letters/{id}."""
    parameters(request, Parameters)
    place = _named(request)
    async with source.pool.acquire() as connection:
        letter = await dead_letters.dead_letter(connection, *place)
    if letter is None:
        raise _not_found()
    return _item(letter)


async def redriven(source: Source, request: Request) -> dict[str, Any]:
    """POST /dead-letters/{id}/redriven: the gateway has sent the record's command again. May be repeated."""
    parameters(request, Parameters)
    place = _named(request)
    async with source.pool.acquire() as connection:
        letter = await dead_letters.mark_redriven(connection, *place)
    if letter is None:
        raise _not_found()
    return _item(letter)


def _named(request: Request) -> tuple[int, int]:
    place = _place(request.path_params["letter"])
    if place is None:
        raise _not_found()
    return place


def _not_found() -> Problem:
    return Problem(404, "dead_letter_not_found", "There is no dead letter with this id.")
