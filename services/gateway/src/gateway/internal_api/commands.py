"""One command for one campaign: the body is the canonical command, the answer its outcome."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from contracts.fields import Contract
from dialects.json_body import read_model
from gateway.answering import answer
from gateway.commanding import Caller
from gateway.parts import Parts
from gateway.requests import read_body, request_number, seconds_to_wait, told_moment


async def carry_out(
    request: Request, parts: Parts, caller: Caller, campaign: UUID, kind: type[Contract], *, created: bool = False
) -> Response:
    """Read the body as this command, send it, wait, answer."""
    number = request_number(request)
    body = await read_body(request)
    command = read_model(body or b"{}", kind)
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
    outcome = await parts.commanding.send_and_wait(
        command,
        caller,
        campaign,
        number,
        at=told_moment(request, told=parts.settings.clock == "told"),
        wait_seconds=seconds_to_wait(request),
    )
    return answer(outcome, created=created)
