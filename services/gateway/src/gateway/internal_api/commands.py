"""One command for one campaign: the body is the canonical command, the answer its outcome."""

from __future__ import annotations

from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response

from contracts.answers import Reply
from contracts.commands import ClaimCoupon, RedeemCoupon
from contracts.fields import Contract
from dialects.documents import ChangeDocument
from dialects.json_body import read_model
from gateway.answering import answer
from gateway.commanding import Caller, Pending
from gateway.guessing import names_code, wrong_codes
from gateway.parts import Parts
from gateway.requests import dry_run, read_body, request_number, seconds_to_wait, told_moment

QUIET = (ClaimCoupon, RedeemCoupon)

logger = structlog.get_logger()


async def carry_out(
    request: Request, parts: Parts, caller: Caller, campaign: UUID, kind: type[Contract], *, created: bool = False
) -> Response:
    """Read the body as this command, or as the document of one, send it, wait, answer."""
    number = request_number(request)
    body = await read_body(request)
    said = read_model(body or b"{}", kind)
    command = said.command() if isinstance(said, ChangeDocument) else said
    return await send(request, parts, caller, campaign, number, command, created=created)


async def send(
    request: Request,
    parts: Parts,
    caller: Caller,
    campaign: UUID,
    number: str,
    command: Contract,
    *,
    created: bool = False,
) -> Response:
    """Send a command, wait, answer."""
    guarded = names_code(command)
    if guarded:
        parts.wrong_codes.check(caller.actor)
    outcome = await parts.commanding.send_and_wait(
        command,
        caller,
        campaign,
        number,
        at=told_moment(request, told=parts.settings.clock == "told"),
        wait_seconds=seconds_to_wait(request),
        dry_run=dry_run(request),
    )
    status = "pending" if isinstance(outcome, Pending) else outcome.status
    if guarded and isinstance(outcome, Reply):
        wrong = wrong_codes(outcome.refusal.code if outcome.refusal else None, outcome.result)
        parts.wrong_codes.count(caller.actor, wrong)
    # Hundreds a second are ordinary there; metrics count them, and what went wrong is still told.
    told = logger.debug if status == "done" and isinstance(command, QUIET) else logger.info
    told(
        "A command was answered.",
        action="command_answered",
        operation=type(command).__name__,
        command=str(outcome.command),
        campaign=str(campaign),
        party=caller.party,
        actor=caller.actor,
        outcome=status,
        refusal=outcome.refusal.code if isinstance(outcome, Reply) and outcome.refusal else None,
    )
    return answer(outcome, created=created)
