"""Answers of a declared API, phrased by the merchant's own expressions."""

from __future__ import annotations

from typing import Any

from dialects.calls import Call, Outcome
from dialects.declared.declaration import Declaration
from dialects.declared.mapping import phrased
from dialects.json_body import json_answer
from dialects.protocol import Problem, Profile, RawAnswer
from dialects.scrip import answers as scrip_answers

UNKNOWN_YET = Problem(
    "outcome_unknown",
    503,
    "Outcome not known yet",
    "The request was taken; what became of it is not known yet. Send the very same request again.",
    retry_after_seconds=1,
)


def answer(call: Call, outcome: Outcome, profile: Profile) -> RawAnswer:
    """The outcome; expressions see `answer` (Scrip's own words), `request` (the merchant's) and `campaign`.

    While the outcome is not known the caller is told to repeat: it expects results, not promises.
    """
    if outcome.pending:
        return error(UNKNOWN_YET, call, profile)
    declaration = profile.declaration
    body = scrip_answers.document(outcome)
    if declaration is None or call.note.get("operation") not in declaration.operations:
        return json_answer(200, body)
    shape = declaration.operations[call.note["operation"]].answer
    headers = (("Idempotent-Replayed", "true"),) if outcome.replayed else ()
    if shape.body is not None:
        source = {"answer": body, "request": call.note.get("source"), "campaign": outcome.campaign}
        body = phrased(shape.body, source, *_money_and_zone(declaration, profile, body))
    return json_answer(200 if outcome.dry_run else shape.status, body, headers)


def error(problem: Problem, call: Call | None, profile: Profile | None) -> RawAnswer:
    """A problem; expressions see `problem`, `word` (the merchant's word for its code) and `request`."""
    declaration = profile.declaration if profile is not None else None
    document = scrip_answers.problem_document(problem)
    headers: list[tuple[str, str]] = []
    if problem.retry_after_seconds is not None:
        headers.append(("Retry-After", str(problem.retry_after_seconds)))
    if declaration is None or profile is None:
        return json_answer(problem.status, document, headers)
    status = 200 if declaration.errors.always_200 else problem.status
    if declaration.errors.body is not None:
        source = {
            "problem": document,
            "word": declaration.errors.codes.get(problem.code, problem.code),
            "request": call.note.get("source") if call is not None else None,
        }
        document = phrased(declaration.errors.body, source, *_money_and_zone(declaration, profile, {}))
    return json_answer(status, document, headers)


def _money_and_zone(declaration: Declaration, profile: Profile, body: dict[str, Any]) -> tuple[str, str]:
    currency = body.get("currency") or declaration.currency or profile.currency
    return str(currency), declaration.zone or profile.zone
