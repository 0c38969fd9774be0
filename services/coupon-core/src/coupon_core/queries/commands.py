"""What became of a command."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.requests import Request

from coupon_core.answering import block_indexes, with_codes
from coupon_core.model.campaign import Campaign
from coupon_core.model.recording import instant
from coupon_core.queries.asking import Parameters, Problem, parameters
from coupon_core.queries.source import Source
from coupon_core.storage import Connection
from coupon_core.storage.codes import blocks_at
from coupon_core.storage.reading import outcome_with_campaign
from coupon_core.work import DEAD, DONE, REFUSED, RUNNING, Outcome, Work

STATUS_NAMES = {RUNNING: "running", DONE: "done", REFUSED: "refused", DEAD: "dead"}


async def one(source: Source, request: Request) -> dict[str, Any]:
    """GET /commands/{id}: as its reply was, or 404 while there is no outcome."""
    parameters(request, Parameters)
    command = command_named(request)
    async with source.snapshot() as connection:
        outcome, campaign = await decided(connection, command)
        work = Work({}, source.core.told, source.core.partitions, source.codes)
        if campaign is not None and campaign.takes_blocks() and outcome.status == DONE:
            wanted = [(campaign.number, index) for index in block_indexes(outcome.body or {})]
            for block, number, index, version in await blocks_at(connection, wanted):
                work.block_at[number, index] = (block, version)
    done = outcome.status == DONE
    return {
        "command": str(command),
        "status": STATUS_NAMES[outcome.status],
        "result": with_codes(work, campaign, outcome.body) if done else None,
        "refusal": outcome.body if outcome.status == REFUSED else None,
        "as_of": instant(outcome.at),
    }


def command_named(request: Request) -> UUID:
    """The command of the path. Raises Problem 404: a text that is no id names nothing."""
    try:
        return UUID(request.path_params["command"])
    except ValueError:
        raise _not_found() from None


async def decided(connection: Connection, command: UUID) -> tuple[Outcome, Campaign | None]:
    """What became of a command, and its campaign, where that exists. Raises Problem 404 while there is no outcome."""
    found = await outcome_with_campaign(connection, command)
    if found is None:
        raise _not_found()
    if found[0].status == RUNNING:
        raise Problem(404, "command_running", "The command is accepted; its work goes on in slices.", retry=True)
    return found


def _not_found() -> Problem:
    return Problem(404, "command_not_found", "No such command was decided: it is on its way, or was never sent.")
