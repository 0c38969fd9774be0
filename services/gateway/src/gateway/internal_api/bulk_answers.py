"""What became of requests with many rows, and of commands in general."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contracts.answers import Reply
from gateway import problems
from gateway.answering import COMMANDS_PATH, answer, not_found, pending
from gateway.bulk import BulkOutcome, rows_of
from gateway.guarding import GuardedRoute
from gateway.guessing import wrong_codes
from gateway.internal_api.answers import CommandDone, CommandPending, ResultPage, WhyView
from gateway.openapi import described
from gateway.parts import parts_of

router = APIRouter(prefix="/commands", tags=["commands"], route_class=GuardedRoute)


class RowFilters(BaseModel):
    """Which rows."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=-1, le=10**9)] = -1
    limit: Annotated[int, Field(ge=1, le=1_000)] = 500


class WhyFilters(BaseModel):
    """One row of a bulk command, as a refusal's id `<command>/<row>` names it; none: all."""

    model_config = ConfigDict(extra="forbid")

    row: Annotated[int, Field(ge=0, le=100_000)] | None = None


@router.get(
    "/{command}",
    summary="What became of a command or of a bulk request",
    **described(answers={200: CommandDone, 202: CommandPending}),
)
async def command(request: Request, command: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "viewer")
    stored = await parts.bulk.find(command, None)
    if stored is not None:
        if stored.campaign is None:
            return await parts.clock.outcome(stored)
        return answer_bulk(await parts.bulk.outcome(stored), stored.campaign)
    parts.wrong_codes.check(staff.caller.actor)  # who did not wait for the answer learns of wrong codes here
    outcome = await parts.core.outcome(command)
    if outcome is None:
        return pending(command)
    refusal = outcome.refusal.code if outcome.refusal is not None else None
    parts.wrong_codes.count(staff.caller.actor, wrong_codes(refusal, None))
    return answer(outcome)


@router.get(
    "/{command}/why",
    summary="Why a command was answered so: the answer beside the decision taken again",
    **described(answers={200: WhyView}),
)
async def why(request: Request, command: UUID, asked: Annotated[WhyFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await parts.core.why(command, asked.row)
    if found is None:
        raise not_found("command")
    return JSONResponse(found)


@router.get(
    "/{command}/results",
    summary="The results of a bulk request, row by row",
    **described(answers={200: ResultPage, 202: CommandPending}),
)
async def results(request: Request, command: UUID, filters: Annotated[RowFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    stored = await parts.bulk.find(command, None)
    if stored is not None:
        rows, following = await parts.bulk.results(stored, filters.after, filters.limit)
        return JSONResponse({"command": str(command), "rows": rows, "next": following})
    outcome = await parts.core.outcome(command)
    if outcome is None:
        return pending(command)
    rows = rows_of_one(outcome)
    page = [row for row in rows if row["row"] > filters.after][: filters.limit]
    more = bool(page) and page[-1]["row"] < rows[-1]["row"]
    return JSONResponse({"command": str(command), "rows": page, "next": page[-1]["row"] if more else None})


def rows_of_one(outcome: Reply) -> list[dict[str, Any]]:
    """The rows of a command that was no bulk request of the gateway. Raises RequestRefused (404)."""
    rows = (outcome.result or {}).get("rows")
    if rows is None:
        raise not_found("result")
    return rows_of(outcome, range(len(rows)))


def answer_bulk(outcome: BulkOutcome, campaign: UUID) -> Response:
    """A bulk request as our own APIs answer it."""
    if not outcome.done:
        return pending(outcome.bulk)
    headers = {"idempotent-replayed": "true"} if outcome.replayed else {}
    if outcome.refusal is not None:
        response = problems.answer(problems.of_refusal(outcome.refusal))
        response.headers.update(headers)
        return response
    document: dict[str, Any] = {
        "command": str(outcome.bulk),
        "status": "done",
        "campaign": str(campaign),
        "total": outcome.total,
        "accepted": outcome.accepted,
        "refused": outcome.refused,
        "results": f"{COMMANDS_PATH}/{outcome.bulk}/results",
    }
    if outcome.total == len(outcome.rows):
        document["rows"] = outcome.rows
    return JSONResponse(document, headers=headers)
