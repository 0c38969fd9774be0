"""From a refusal or an error to an HTTP status and a problem document (RFC 9457). The only place that decides it."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from contracts.answers import RefusalAnswer
from contracts.refusals import Refusal
from dialects.protocol import Problem, RequestRefused
from gateway.bulk import BulkConflict, TooLargeToTry
from gateway.commanding import OutcomeUnknown
from gateway.identity.model import CredentialUnknown, MerchantShut, TooManyRequests
from gateway.service_client import QueryRefused, ServiceAway
from messaging.not_now import database_is_away
from messaging.sending import NotAcknowledged, RecordTooLarge

TYPE = "https://scrip.dev/problems/"
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2

NOT_FOUND = frozenset({"campaign_not_found", "coupon_not_found"})
FORBIDDEN = frozenset({"not_allowed", "merchant_not_active"})
NOT_ACCEPTABLE_CONTENT = frozenset(
    {
        "amount_not_expected",
        "budget_needs_cap",
        "budget_too_small",
        "attribute_not_expected",
        "building_rule_forbids",
        "code_not_expected",
        "code_required",
        "code_space_too_small",
        "code_unreadable",
        "codes_need_receiver",
        "currency_unknown",
        "discount_above_amount",
        "discount_above_cap",
        "discount_not_expected",
        "discount_required",
        "eligibility_invalid",
        "end_before_start",
        "idempotency_conflict",
        "item_required",
        "never_usable",
        "nothing_to_pay",
        "order_amount_required",
        "partial_return_impossible",
        "quantity_required",
    }
)


def status_of(code: str) -> int:
    """The HTTP status of a refusal: 404, 403, 422 for what can never be accepted, else 409 (the state forbids it)."""
    if code in NOT_FOUND:
        return 404
    if code in FORBIDDEN:
        return 403
    return 422 if code in NOT_ACCEPTABLE_CONTENT else 409


def of_refusal(refusal: RefusalAnswer | Refusal) -> Problem:
    """A rule said no."""
    if isinstance(refusal, Refusal):
        refusal = RefusalAnswer(**refusal.as_json())
    title = refusal.code.replace("_", " ").capitalize()
    return Problem(refusal.code, status_of(refusal.code), title, refusal.message, facts=refusal.facts)


def of_error(error: BaseException) -> Problem | None:
    """The problem an exception stands for; None: our bug, to be logged and answered as `internal_error`."""
    match error:
        case RequestRefused():
            return error.problem
        case TooLargeToTry():
            detail = "A dry run takes as many rows as one command: 500 at most, and 200 KiB."
            return Problem("too_large_to_try", 413, "Too large to try", detail)
        case BulkConflict():
            return of_refusal(error.refusal)
        case CredentialUnknown():
            return Problem("unauthenticated", 401, "Unauthenticated", "No valid credential came with the request.")
        case MerchantShut():
            return Problem(
                "merchant_not_active",
                403,
                "Merchant not active",
                f"The merchant is {error.identity.state}.",
                facts={"state": error.identity.state},
            )
        case TooManyRequests():
            return Problem(
                "too_many_requests",
                429,
                "Too many requests",
                "More requests came than this merchant's limit allows; send this one again later.",
                retry_after_seconds=error.retry_after_seconds,
            )
        case OutcomeUnknown():
            return Problem(
                "outcome_unknown",
                503,
                "Outcome unknown",
                "The log did not acknowledge the command in time; it may have been taken. Send the same request "
                "again, with the same Idempotency-Key: it has its effect once.",
                facts={"command": str(error.command)},
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        case NotAcknowledged():
            return Problem(
                "outcome_unknown",
                503,
                "Outcome unknown",
                "The log did not acknowledge in time. Send the same request again, with the same Idempotency-Key.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        case ServiceAway():
            return away(f"The service {error.service} does not answer now; try again.")
        case QueryRefused():
            detail = str(error.problem.get("detail") or error.problem.get("title") or "The question is wrong.")
            return Problem(str(error.problem.get("code", "invalid_request")), error.status, "Refused", detail)
        case RecordTooLarge():
            return Problem("too_large", 413, "Too large", f"The command would be larger than {error.limit} bytes.")
        case _:
            return away("The database does not answer now; try again.") if database_is_away(error) else None


def away(detail: str) -> Problem:
    """Something this process needs is away: the same request may work later."""
    return Problem("not_now", 503, "Not now", detail, retry_after_seconds=RETRY_AFTER_SECONDS)


INTERNAL = Problem("internal_error", 500, "Internal error", "A fault of ours; it was logged.")


def document(problem: Problem) -> dict[str, Any]:
    """The problem document; facts stand beside the registered members."""
    made: dict[str, Any] = {
        **problem.facts,
        "type": TYPE + problem.code,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if problem.errors:
        made["errors"] = [error.as_json() for error in problem.errors]
    return made


def answer(problem: Problem) -> Response:
    """The problem as an answer of our own APIs."""
    headers = {}
    if problem.retry_after_seconds is not None:
        headers["retry-after"] = str(problem.retry_after_seconds)
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = json.dumps(document(problem), ensure_ascii=False, separators=(",", ":"), default=str)
    return Response(body.encode(), problem.status, headers, MEDIA_TYPE)
