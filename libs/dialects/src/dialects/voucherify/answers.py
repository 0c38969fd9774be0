"""Answers as Voucherify's clients parse them: strictly, members and their types included."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from dialects.calls import (
    AskNothing,
    Call,
    ChangeCampaign,
    ChangeCoupon,
    CreateCampaign,
    GetCampaign,
    GetCode,
    GetOutcome,
    IssueToUsers,
    ListAllCodes,
    ListCampaigns,
    Outcome,
    UploadCodeList,
    ValidateCoupon,
)
from dialects.json_body import json_answer
from dialects.protocol import Problem, Profile, RawAnswer
from dialects.voucherify import errors
from dialects.voucherify.campaigns import (
    campaign_object,
    dates,
    discount_object,
    instant,
    split_metadata,
    uses,
    voucher_type,
    worth,
)
from dialects.voucherify.names import (
    campaign_text,
    customer_text,
    publication_text,
    redemption_text,
    voucher_text,
)
from dialects.voucherify.rules import assignment_object, rule_object
from dialects.voucherify.times import times_object

UNKNOWN_YET = Problem(
    "outcome_unknown",
    503,
    "Service unavailable",
    "The request was taken; what became of it is not known yet. Ask for the voucher before you repeat it.",
    retry_after_seconds=1,
)
STACKING_RULES: dict[str, Any] = {
    "redeemables_limit": 1,
    "applicable_redeemables_limit": 1,
    "applicable_redeemables_per_category_limit": 1,
    "applicable_exclusive_redeemables_limit": 1,
    "applicable_exclusive_redeemables_per_category_limit": 1,
    "exclusive_categories": [],
    "joint_categories": [],
    "redeemables_application_mode": "ALL",
    "redeemables_sorting_rule": "REQUESTED_ORDER",
    "redeemables_products_application_mode": "STACK",
    "redeemables_no_effect_rule": "REDEEM_ANYWAY",
    "no_effect_skip_categories": [],
    "no_effect_redeem_anyway_categories": [],
    "redeemables_rollback_order_mode": "WITH_ORDER",
}
Item = dict[str, Any]


def answer(call: Call, outcome: Outcome, profile: Profile) -> RawAnswer:
    """The answer of each operation; one still under way is a 503, except an import, which is asked for later."""
    if isinstance(call, UploadCodeList) and call.note["answer"] == "import":
        return json_answer(202, {"async_action_id": f"aa_{outcome.reference}"})
    if outcome.pending and not isinstance(call, GetOutcome):
        return errors.error(UNKNOWN_YET, call, profile)
    if isinstance(call, IssueToUsers) and "refusal" in outcome.body["rows"][0]:
        refusal = outcome.body["rows"][0]["refusal"]
        return errors.error(Problem(refusal["code"], 400, refusal["code"], refusal["message"]), call, profile)
    return json_answer(200, SHAPES[type(call)](call, outcome))


def _campaign(call: Call, outcome: Outcome) -> Item:
    if isinstance(call, GetCampaign):
        return campaign_object(outcome.body)
    campaign = _the_campaign(outcome, outcome.body)
    if call.note.get("answer") == "assignment":
        return assignment_object(call.note["least"], campaign["id"], _now(outcome))
    if isinstance(call, ChangeCampaign):
        campaign = {**campaign, "state": outcome.body.get("state", campaign["state"])}
    return campaign_object(campaign)


def _rule(call: Call, outcome: Outcome) -> Item:
    return rule_object(call.note["least"], call.note["name"], _now(outcome))


def _campaigns(call: Call, outcome: Outcome) -> Item:
    listed = [campaign_object(one) for one in outcome.body["campaigns"]]
    return {"object": "list", "data_ref": "campaigns", "campaigns": listed, "total": outcome.body["total"]}


def _voucher(call: Call, outcome: Outcome) -> Item:
    coupon = outcome.coupon if outcome.coupon is not None else outcome.body
    return voucher_object(coupon, _the_campaign(outcome, coupon))


def _vouchers(call: Call, outcome: Outcome) -> Item:
    listed = [voucher_object(one, one["in_campaign"]) for one in outcome.body["codes"]]
    return {"object": "list", "data_ref": "vouchers", "vouchers": listed, "total": outcome.body["total"]}


def _publication(call: Call, outcome: Outcome) -> Item:
    row = outcome.body["rows"][0]
    campaign = _the_campaign(outcome, outcome.body)
    coupon = {"coupon": row["coupon"], "code": row["code"], "user": row["user"], "state": "held", "issued_at": None}
    return {
        "id": publication_text(row["coupon"]),
        "object": "publication",
        "created_at": _now(outcome),
        "customer_id": customer_text(row["user"]),
        "tracking_id": None,
        "metadata": call.note["metadata"],
        "channel": "API",
        "source_id": call.note["source_id"],
        "result": "SUCCESS",
        "customer": _customer(row["user"]),
        "vouchers_id": [voucher_text(row["coupon"])],
        "voucher": voucher_object(coupon, campaign),
    }


def _validation(call: Call, outcome: Outcome) -> Item:
    assert isinstance(call, ValidateCoupon)  # noqa: S101 - the table says so
    if call.note["answer"] == "single":
        return _single_validation(call, outcome)
    campaign = outcome.campaign
    redeemable: Item = {"id": call.code, "object": "voucher", "metadata": {}, "categories": [], "name": None}
    if campaign is not None:
        redeemable |= {"campaign_name": campaign["name"], "campaign_id": campaign_text(campaign["id"])}
    order = None
    if outcome.body["valid"] and campaign is not None:
        order = _order(call, outcome.body, outcome)
        redeemable |= {
            "status": "APPLICABLE",
            "order": order,
            "applicable_to": _nothing(),
            "inapplicable_to": _nothing(),
            "result": _result(campaign["terms"], outcome.body),
        }
    else:
        redeemable |= {"status": "INAPPLICABLE", "result": {"error": _why_not(outcome)}}
    return {
        "id": f"valid_{uuid4().hex[:18]}",
        "valid": order is not None,
        "redeemables": [redeemable],
        "skipped_redeemables": [],
        "inapplicable_redeemables": [],
        "order": order,
        "tracking_id": call.note["tracking_id"],
        "session": None,
        "stacking_rules": STACKING_RULES,
    }


def _single_validation(call: ValidateCoupon, outcome: Outcome) -> Item:
    campaign = outcome.campaign
    said: Item = {"code": call.code, "tracking_id": call.note["tracking_id"], "valid": bool(outcome.body["valid"])}
    if campaign is not None:
        said |= {"campaign": campaign["name"], "campaign_id": campaign_text(campaign["id"])}
    if outcome.body["valid"] and campaign is not None:
        return said | {
            **_result(campaign["terms"], outcome.body),
            "order": _order(call, outcome.body, outcome),
            "applicable_to": _nothing(),
            "inapplicable_to": _nothing(),
            "metadata": {},
        }
    why = _why_not(outcome)
    return said | {"valid": False, "reason": why["message"], "key": why["key"], "error": why}


def _result(terms: Item, body: Item) -> Item:
    """What a voucher that is valid would do: its discount, or how much of the balance it would pay."""
    if voucher_type(terms) == "GIFT_VOUCHER":
        return {"gift": {"balance": body["balance"], "credits": body["discount"]}}
    return {"discount": discount_object(terms)}


def _of_coupon(call: Call, outcome: Outcome) -> Item:
    if call.note["answer"] == "voucher":
        return _voucher(call, outcome)
    if "redemption" in call.note:
        rollback = _rollback(call, outcome)
        if call.note["answer"] == "single":
            return rollback
        return {"rollbacks": [rollback], "order": rollback["order"]}
    redemption = _redemption(call, outcome)
    if call.note["answer"] == "single":
        return redemption
    return {
        "redemptions": [redemption],
        "order": redemption["order"],
        "inapplicable_redeemables": [],
        "skipped_redeemables": [],
    }


def _redemption(call: Call, outcome: Outcome) -> Item:
    result = outcome.body
    campaign = _the_campaign(outcome, result)
    user = result.get("user")
    coupon: Item = {
        "coupon": result["coupon"],
        "code": call.note["code"],
        "user": user,
        **{name: result[name] for name in ("state", "uses_left", "balance") if name in result},
    }
    gift = voucher_type(campaign["terms"]) == "GIFT_VOUCHER"
    return {
        "id": redemption_text(result["coupon"], result["redemption"]),
        "object": "redemption",
        "date": instant(result["redeemed_at"]),
        "customer_id": None if user is None else customer_text(user),
        "tracking_id": call.note["tracking_id"],
        "metadata": {},
        "amount": result.get("discount"),
        "redemption": None,
        "result": "SUCCESS",
        "status": "SUCCEEDED",
        "related_redemptions": None,
        "failure_code": None,
        "failure_message": None,
        "order": _order(call, result, outcome, status="PAID"),
        "channel": {"channel_id": campaign_text(campaign["id"]), "channel_type": "API"},
        "customer": None if user is None else _customer(user),
        "related_object_type": "voucher",
        "related_object_id": voucher_text(result["coupon"]),
        "gift": {"amount": result.get("discount")} if gift else None,
        "voucher": voucher_object(coupon, campaign),
    }


def _rollback(call: Call, outcome: Outcome) -> Item:
    campaign = _the_campaign(outcome, outcome.body)
    coupon = outcome.coupon or {"coupon": outcome.body["coupon"], "state": outcome.body.get("state", "held")}
    user = coupon.get("user")
    return {
        "id": "r" + call.note["redemption"],
        "object": "redemption_rollback",
        "date": _now(outcome),
        "customer_id": None if user is None else customer_text(user),
        "tracking_id": None,
        "metadata": {},
        "amount": outcome.body.get("amount"),
        "redemption": call.note["redemption"],
        "reason": call.note["reason"],
        "result": "SUCCESS",
        "status": "SUCCEEDED",
        "failure_code": None,
        "failure_message": None,
        "order": None,
        "channel": {"channel_id": campaign_text(campaign["id"]), "channel_type": "API"},
        "customer": None if user is None else _customer(user),
        "related_object_type": "voucher",
        "related_object_id": voucher_text(coupon["coupon"]),
        "voucher": voucher_object(coupon, campaign),
    }


def _action(call: Call, outcome: Outcome) -> Item:
    body = outcome.body
    if outcome.pending:
        status, operation = "IN_PROGRESS", "UNKNOWN"
    elif body.get("status") == "done" and int(body.get("accepted", 1)) > 0:
        status, operation = "DONE", "SUCCESS"
    else:
        status, operation = ("DONE" if body.get("status") == "done" else "FAILED"), "FAILED"
    result: Item = {}
    if not outcome.pending:
        result = {
            "imported": int(body.get("accepted", 0)),
            "failed": [
                {"code": row.get("code"), "row": row["row"], "error": row["refusal"]["code"]}
                for row in body.get("rows", [])
                if "refusal" in row
            ],
            "message": "import finished",
        }
    return {
        "id": call.note["action"],
        "type": "CAMPAIGN.IMPORT_VOUCHERS",
        "status": status,
        "operation_status": operation,
        "created_at": None,
        "updated_at": _now(outcome),
        "request_id": None,
        "processing_time": None,
        "progress": 0 if outcome.pending else 100,
        "object": "async_action",
        "result": result,
    }


def voucher_object(coupon: Item, campaign: Item) -> Item:
    """A voucher; `coupon` has `coupon` (its id), `code`, `state`, and perhaps `user`, `issued_at` and what is left."""
    terms = campaign["terms"]
    quantity = uses(terms)
    code, user = coupon.get("code"), coupon.get("user")
    path = f"/v1/vouchers/{quote(code or '', safe='')}"
    used = 1 if coupon["state"] in ("redeemed", "burned") else 0
    if quantity is None:
        used = int(coupon.get("balance", 1) == 0)
    elif quantity > 1 and coupon["state"] in ("held", "reserved", "redeemed"):
        used = quantity - int(coupon.get("uses_left", quantity))
    usable = coupon["state"] in ("held", "reserved", "redeemed", "available", "exported")
    issued = coupon.get("issued_at")
    return {
        "id": voucher_text(coupon["coupon"]) if coupon.get("coupon") else None,
        "code": code,
        "campaign": campaign["name"],
        "campaign_id": campaign_text(campaign["id"]),
        "category": None,
        "category_id": None,
        "type": voucher_type(terms),
        **worth(terms, coupon.get("balance")),
        "loyalty_card": None,
        **dates(campaign),
        **times_object(terms["validity"]),
        "active": usable and campaign["state"] in ("active", "exhausted"),
        "additional_info": None,
        "metadata": split_metadata(campaign["terms"])[1],
        "is_referral_code": False,
        "created_at": instant(issued) if issued else instant(campaign["created_at"]),
        "updated_at": None,
        "holder_id": None if user is None else customer_text(user),
        "referrer_id": None,
        "object": "voucher",
        "publish": {"object": "list", "count": 0 if user is None else 1, "url": f"{path}/publications"},
        "redemption": {
            "quantity": quantity,
            "redeemed_quantity": used,
            "object": "list",
            "url": f"{path}/redemptions",
        },
        "categories": [],
        "validation_rules_assignments": _nothing(),
    }


def _order(call: Call, result: Item, outcome: Outcome, status: str = "CREATED") -> Item:
    amount, discount = call.note["amount"], result.get("discount")
    user = result.get("user") or call.note["user"]
    payable = result.get("payable")
    return {
        "id": None,
        "source_id": call.note["order"],
        "status": status,
        "amount": amount,
        "initial_amount": amount,
        "discount_amount": discount,
        "total_discount_amount": discount,
        "total_amount": payable,
        "applied_discount_amount": discount,
        "total_applied_discount_amount": discount,
        "metadata": {},
        "items": [],
        "object": "order",
        "created_at": _now(outcome),
        "updated_at": None,
        "customer_id": None if user is None else customer_text(user),
        "referrer_id": None,
        "customer": None if user is None else {"id": customer_text(user), "object": "customer"},
        "referrer": None,
    }


def _why_not(outcome: Outcome) -> Item:
    reasons = outcome.body.get("reasons") or [{"code": "coupon_not_found", "message": "There is no such voucher."}]
    first = reasons[0]
    return errors.error_object(Problem(first["code"], 400, first["code"], first["message"]))


def _the_campaign(outcome: Outcome, about: Item) -> Item:
    if outcome.campaign is None:
        raise LookupError(f"the answer needs the campaign of {about.get('coupon') or about.get('campaign')}")
    return outcome.campaign


def _customer(user: str) -> Item:
    return {"id": customer_text(user), "source_id": user, "object": "customer", "metadata": {}}


def _nothing() -> Item:
    return {"object": "list", "data_ref": "data", "data": [], "total": 0}


def _now(outcome: Outcome) -> str:
    return instant((outcome.as_of or datetime.now(UTC)).isoformat())


SHAPES: dict[type[Any], Callable[[Any, Outcome], Item]] = {
    CreateCampaign: _campaign,
    GetCampaign: _campaign,
    ChangeCampaign: _campaign,
    ListCampaigns: _campaigns,
    AskNothing: _rule,
    GetCode: _voucher,
    UploadCodeList: _voucher,
    ListAllCodes: _vouchers,
    IssueToUsers: _publication,
    ValidateCoupon: _validation,
    ChangeCoupon: _of_coupon,
    GetOutcome: _action,
}
