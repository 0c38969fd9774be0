"""Our problems in Voucherify's words: HTTP status, key and message."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from dialects.calls import Call
from dialects.json_body import json_answer
from dialects.protocol import Problem, Profile, RawAnswer

# code: (status, key, message); None keeps the problem's own.
WORDS: dict[str, tuple[int, str, str]] = {
    "building_rule_forbids": (400, "invalid_campaign_params", "Campaign not allowed"),
    "campaign_exhausted": (400, "no_voucher_suitable_for_publication", "No voucher suitable for publication"),
    "campaign_exists": (409, "duplicate_found", "Duplicated resource found"),
    "campaign_not_active": (400, "voucher_disabled", "Voucher is disabled"),
    "campaign_not_found": (404, "not_found", "Resource not found"),
    "campaign_not_started": (400, "voucher_not_active", "Voucher is not active yet"),
    "campaign_over": (400, "voucher_expired", "Voucher expired"),
    "code_taken": (409, "duplicate_found", "Duplicated resource found"),
    "coupon_already_redeemed": (400, "quantity_exceeded", "Quantity exceeded"),
    "coupon_burned": (400, "voucher_disabled", "Voucher is disabled"),
    "coupon_expired": (400, "voucher_expired", "Voucher expired"),
    "coupon_not_found": (404, "resource_not_found", "Resource not found"),
    "coupon_not_redeemed": (400, "already_rolled_back", "Redemption already rolled back"),
    "coupon_reserved": (400, "multiple_requests", "Voucher is held by another order"),
    "coupon_voided": (400, "voucher_disabled", "Voucher is disabled"),
    "ambiguous_code": (400, "duplicate_found", "Several vouchers have this code"),
    "balance_too_low": (400, "gift_amount_exceeded", "Gift amount exceeded"),
    "budget_exhausted": (400, "no_voucher_suitable_for_publication", "No voucher suitable for publication"),
    "end_before_start": (400, "invalid_campaign_params", "Invalid campaign params"),
    "idempotency_conflict": (409, "duplicate_found", "Duplicated resource found"),
    "internal_error": (500, "internal_error", "Internal error"),
    "minimum_spend_not_met": (400, "order_rules_violated", "Order rules violated"),
    "no_code_left": (400, "no_voucher_suitable_for_publication", "No voucher suitable for publication"),
    "not_eligible": (400, "customer_rules_violated", "Customer rules violated"),
    "attribute_missing": (400, "customer_rules_violated", "Customer rules violated"),
    "attribute_mismatch": (400, "customer_rules_violated", "Customer rules violated"),
    "eligibility_failed": (400, "customer_rules_violated", "Customer rules violated"),
    "eligibility_invalid": (400, "invalid_campaign_params", "Invalid campaign params"),
    "not_this_users_coupon": (400, "customer_rules_violated", "Customer rules violated"),
    "order_amount_required": (400, "missing_amount", "Missing order amount"),
    "redemption_already_returned": (400, "already_rolled_back", "Redemption already rolled back"),
    "unauthenticated": (401, "unauthorized", "Unauthorized"),
    "user_limit_reached": (400, "no_voucher_suitable_for_publication", "No voucher suitable for publication"),
    "user_day_limit_reached": (400, "no_voucher_suitable_for_publication", "No voucher suitable for publication"),
    "period_limit_reached": (400, "no_voucher_suitable_for_publication", "No voucher suitable for publication"),
    "coupon_not_yet_usable": (400, "voucher_not_active", "Voucher not active"),
    "outside_hours": (400, "voucher_not_active_now", "Voucher not active now"),
    "no_hours_left": (400, "voucher_not_active_now", "Voucher not active now"),
}


def words_of(problem: Problem) -> tuple[int, str, str]:
    """Status, key and message of a problem. What Voucherify has no key for keeps ours; 422 becomes 400."""
    known = WORDS.get(problem.code)
    if known is not None:
        return known
    status = 400 if problem.status == 422 else problem.status
    key = "invalid_payload" if problem.code in ("invalid_request", "unreadable_body") else problem.code
    return status, key, problem.title


def error_object(problem: Problem) -> dict[str, Any]:
    """`{code, key, message, details, request_id}`."""
    status, key, message = words_of(problem)
    return {
        "code": status,
        "key": key,
        "message": message,
        "details": problem.detail,
        "request_id": f"v-{uuid4().hex[:16]}",
    }


def error(problem: Problem, call: Call | None, profile: Profile | None) -> RawAnswer:
    """A problem as Voucherify says it."""
    headers: list[tuple[str, str]] = []
    if problem.retry_after_seconds is not None:
        headers.append(("Retry-After", str(problem.retry_after_seconds)))
    return json_answer(words_of(problem)[0], error_object(problem), headers)
