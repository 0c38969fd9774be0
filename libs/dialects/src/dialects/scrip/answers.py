"""Answers of `scrip`: core's own words as JSON, problems as problem+json (RFC 9457)."""

from __future__ import annotations

import json
from typing import Any

from contracts.commands import ClaimCoupon
from dialects.calls import Call, ChangeCampaign, CreateCampaign, Outcome
from dialects.json_body import json_answer
from dialects.protocol import Problem, Profile, RawAnswer

PROBLEM_TYPE = "https://scrip.dev/problems/"
COMMANDS_PATH = "/merchant/v1/commands/"


def answer(call: Call, outcome: Outcome, profile: Profile) -> RawAnswer:
    """The outcome; 201 for what was made, 202 while it is not known, 200 otherwise (what was only tried too)."""
    if outcome.pending:
        reference = outcome.reference or ""
        return json_answer(
            202,
            {"status": "pending", "reference": reference},
            (("Location", COMMANDS_PATH + reference), ("Retry-After", "1")),
        )
    headers: list[tuple[str, str]] = []
    if outcome.replayed:
        headers.append(("Idempotent-Replayed", "true"))
    status = 200
    if outcome.dry_run:
        return json_answer(status, document(outcome), headers)
    if isinstance(call, CreateCampaign):
        status = 201
        headers.append(("Location", f"/merchant/v1/campaigns/{outcome.body['campaign']}"))
    elif isinstance(call, ChangeCampaign) and isinstance(call.command, ClaimCoupon):
        status = 201
    return json_answer(status, document(outcome), headers)


def document(outcome: Outcome) -> dict[str, Any]:
    """The body of an answer: what core said, and the moment for which it holds."""
    body = dict(outcome.body)
    if outcome.as_of is not None:
        body.setdefault("as_of", outcome.as_of.isoformat().replace("+00:00", "Z"))
    if outcome.reference is not None:
        body["reference"] = outcome.reference
    if outcome.dry_run:
        body["dry_run"] = True
    return body


def problem_document(problem: Problem) -> dict[str, Any]:
    """A problem as RFC 9457 says it, with `code`, `errors` where there are any, and the facts beside them."""
    body: dict[str, Any] = {
        **problem.facts,
        "type": PROBLEM_TYPE + problem.code,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if problem.errors:
        body["errors"] = [one.as_json() for one in problem.errors]
    return body


def error(problem: Problem, call: Call | None, profile: Profile | None) -> RawAnswer:
    """A problem, as problem+json."""
    headers: list[tuple[str, str]] = []
    if problem.retry_after_seconds is not None:
        headers.append(("Retry-After", str(problem.retry_after_seconds)))
    if problem.status == 401:
        headers.append(("WWW-Authenticate", 'Bearer realm="scrip"'))
    if problem.status == 405:
        headers.append(("Allow", str(problem.facts.get("allow", ""))))
    body = json.dumps(problem_document(problem), ensure_ascii=False, separators=(",", ":")).encode()
    return RawAnswer(problem.status, body, tuple(headers), "application/problem+json")
