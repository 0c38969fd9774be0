"""Outcomes of commands as our own APIs phrase them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.responses import JSONResponse, Response

from contracts.answers import Reply
from dialects.protocol import Problem, RequestRefused
from gateway import problems
from gateway.commanding import Pending

COMMANDS_PATH = "/internal/v1/commands"


def answer(outcome: Reply | Pending, *, created: bool = False) -> Response:
    """The outcome of a command as our own APIs phrase it."""
    if isinstance(outcome, Pending):
        return pending(outcome.command)
    headers = {"idempotent-replayed": "true"} if outcome.replayed else {}
    if outcome.status == "done":
        document = view(outcome)
        made = created and not outcome.replayed and not outcome.dry_run
        return JSONResponse(document, 201 if made else 200, headers)
    response = problems.answer(problem(outcome))
    response.headers.update(headers)
    return response


def problem(outcome: Reply) -> Problem:
    """A command that was refused, or that died of a fault of ours."""
    if outcome.refusal is None:
        return Problem(
            "dead_letter",
            500,
            "Dead letter",
            "Deciding the command failed through a fault of ours; it is kept as a dead letter and can be redriven.",
            facts={"command": str(outcome.command)},
        )
    made = problems.of_refusal(outcome.refusal)
    facts = {**made.facts, "command": str(outcome.command), "as_of": outcome.as_of.isoformat()}
    return Problem(made.code, made.status, made.title, made.detail, facts=facts)


def view(outcome: Reply) -> dict[str, Any]:
    """A command that was done: its result beside its name."""
    return {
        **(outcome.result or {}),
        "command": str(outcome.command),
        "status": outcome.status,
        "as_of": outcome.as_of.isoformat(),
        **({"dry_run": True} if outcome.dry_run else {}),
    }


def pending(command: UUID) -> Response:
    """202: the log has it."""
    return JSONResponse(
        {"command": str(command), "status": "pending"},
        202,
        {"location": f"{COMMANDS_PATH}/{command}", "retry-after": "1"},
    )


def not_found(what: str) -> RequestRefused:
    """There is no such thing for the caller."""
    return RequestRefused(
        Problem(f"{what}_not_found", 404, f"{what.capitalize()} not found", f"There is no such {what} for you.")
    )
