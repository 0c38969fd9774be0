"""Validation rules: the one that is offered says how much an order must come to at least.

A rule is nothing but that amount, and its id says it, so that nothing needs to be kept: `val_min_2000`. It counts for a
campaign that names it when it is created, or to which it is assigned before the first voucher is given out.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from contracts.fields import Contract, Minor
from dialects.json_body import refused_fields
from dialects.protocol import FieldProblem, invalid
from dialects.voucherify.names import campaign_text

NAME = "order.amount"
AT_LEAST = "$more_than_or_equal"
_RULE = re.compile(r"val_min_([1-9][0-9]{0,15})", re.ASCII)


class Conditions(Contract):
    """How the amount is compared: `$more_than_or_equal` to one sum, and in no other way."""

    at_least: Annotated[tuple[Annotated[Minor, Field(ge=1)]], Field(alias=AT_LEAST)]


class RuleBody(Contract):
    """What is looked at: the order's amount."""

    name: Literal["order.amount"]
    conditions: Conditions
    rules: Annotated[dict[str, Any], Field(max_length=0)] = Field(default_factory=dict)
    property: None = None


class RulesBody(Contract):
    """The rules by their numbers, and how they go together: one rule, and itself."""

    one: Annotated[RuleBody, Field(alias="1")]
    logic: Literal["1"] = "1"


class WholeOrderBody(Contract):
    """To which goods a discount applies: to all of them."""

    excluded: Annotated[tuple[Any, ...], Field(max_length=0)] = ()
    included: Annotated[tuple[Any, ...], Field(max_length=0)] = ()
    included_all: Literal[True] = True


class ValidationRuleBody(Contract):
    """Body of POST /v1/validation-rules, as far as it is offered; everything else is refused by name."""

    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    type: Literal["expression", "basic", "advanced", "complex"] | None = None
    context_type: Annotated[str, StringConstraints(max_length=200)] | None = None
    rules: RulesBody
    applicable_to: WholeOrderBody | None = None


def least_amount(document: Any) -> int:
    """What an order must come to by a rule to make, in minor units. Raises RequestRefused."""
    try:
        return ValidationRuleBody.model_validate(document).rules.one.conditions.at_least[0]
    except ValidationError as error:
        raise refused_fields(error, document) from None


def rule_text(least: int) -> str:
    """`val_min_<minor units>`."""
    return f"val_min_{least}"


def read_rule(text: str) -> int | None:
    """What an order must come to by the rule of this id; None where there is no such rule."""
    found = _RULE.fullmatch(text)
    return int(found[1]) if found is not None and int(found[1]) <= 10**15 else None


def rule_of_campaign(ids: tuple[str, ...] | None) -> int:
    """The minimum spend by the rules a campaign names; 0: none. Raises RequestRefused."""
    least = 0
    for one in ids or ():
        found = read_rule(one)
        if found is None:
            detail = "holds a rule that this API has not made; POST /v1/validation-rules makes one"
            raise invalid(
                f"validation_rules {detail}.",
                FieldProblem("/validation_rules", detail),
                code="invalid_campaign_params",
                status=400,
            )
        least = found
    return least


def rule_object(least: int, name: str | None, created_at: str) -> dict[str, Any]:
    """The rule. Its name is told to who makes it and not kept; to how many campaigns it is assigned is not counted."""
    return {
        "id": rule_text(least),
        "name": name,
        "rules": {"1": {"name": NAME, "property": None, "conditions": {AT_LEAST: [least]}, "rules": {}}, "logic": "1"},
        "bundle_rules": {},
        "error": None,
        "applicable_to": {"excluded": [], "included": [], "included_all": True},
        "type": "expression",
        "context_type": "global",
        "assignments_count": 0,
        "created_at": created_at,
        "updated_at": None,
        "object": "validation_rules",
    }


def assignment_object(least: int, campaign: str, created_at: str) -> dict[str, Any]:
    """That a rule counts for a campaign."""
    named = campaign_text(campaign)
    return {
        "id": f"asgm_{named.removeprefix('camp_')}",
        "rule_id": rule_text(least),
        "related_object_id": named,
        "related_object_type": "campaign",
        "created_at": created_at,
        "updated_at": None,
        "object": "validation_rules_assignment",
        "validation_status": "VALID",
        "validation_omitted_rules": [],
    }


def assignments_object(terms: dict[str, Any], campaign: str, created_at: str) -> dict[str, Any]:
    """The rules that count for a campaign: the one of its minimum spend, or none."""
    least = int(terms.get("minimum_spend") or 0)
    listed = [assignment_object(least, campaign, created_at)] if least else []
    return {"object": "list", "data_ref": "data", "data": listed, "total": len(listed)}
