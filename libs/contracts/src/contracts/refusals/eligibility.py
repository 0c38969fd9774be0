"""Refusals: a campaign's rule, and the attributes of users it asks for."""

from __future__ import annotations

from typing import Any

from contracts.refusals.base import Refusal


class NotEligible(Refusal):
    code = "not_eligible"
    message = "The campaign's rule does not allow it: {expression}"
    expression: str
    values: dict[str, Any]
    """What the rule looked at."""


class EligibilityFailed(Refusal):
    code = "eligibility_failed"
    message = "The campaign's rule cannot be told for these values: {expression}"
    expression: str
    values: dict[str, Any]


class AttributeMissing(Refusal):
    code = "attribute_missing"
    message = "The campaign's rule asks for the attribute {attribute} of the user, which is not known."
    attribute: str
    missing: list[str]
    """All that are missing."""
    user: str | None = None
    users_of: str | None = None


class AttributeMismatch(Refusal):
    code = "attribute_mismatch"
    message = "The campaign's rule takes the attribute {attribute} as {expected}; it is {found}."
    attribute: str
    expected: str
    found: str


class AttributeNotExpected(Refusal):
    code = "attribute_not_expected"
    message = "No rule of the campaign asks for the attribute {attribute} here: do not send it."
    attribute: str
