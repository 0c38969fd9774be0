"""The platform's building rules: what a campaign may be. The merchant's override wins field by field."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from contracts.campaigns import AmountOff, CodePattern, GiftCard, PercentOff, Terms
from contracts.commands import BuildingRules
from contracts.fields import PLATFORM
from contracts.refusals import BuildingRuleForbids
from coupon_core.model.campaign import Campaign
from coupon_core.model.lane import Facts
from coupon_core.model.refused import Refused
from coupon_core.model.validity import bounds


@dataclass(frozen=True, slots=True)
class Plan:
    """What the rules are asked about: a campaign as it shall be."""

    owner: str
    terms: Terms
    supply: str
    """As it was ordered: `generated` also where the codes are written down first."""
    quantity: int | None
    pattern: CodePattern | None


def plan_of(campaign: Campaign, terms: Terms | None = None, quantity: int | None = None) -> Plan:
    """A campaign that exists, with other terms or another quantity where they are given."""
    supply = campaign.supply if campaign.pattern is None else "generated"
    return Plan(campaign.owner, terms or campaign.terms, supply, quantity or campaign.quantity, campaign.pattern)


def _kinds(kinds: Collection[str], plan: Plan) -> str | None:
    kind = plan.terms.discount.kind
    return None if kind in kinds else f"{kind} is not one of {', '.join(kinds)}"


def _supplies(supplies: Collection[str], plan: Plan) -> str | None:
    return None if plan.supply in supplies else f"{plan.supply} is not one of {', '.join(supplies)}"


def _greatest_percent(most: int, plan: Plan) -> str | None:
    discount = plan.terms.discount
    if not isinstance(discount, PercentOff) or discount.basis_points <= most:
        return None
    return f"{discount.basis_points} basis points are above {most}"


def _greatest_amount(amounts: Mapping[str, int], plan: Plan) -> str | None:
    terms = plan.terms
    most = amounts.get(terms.currency)
    match terms.discount:
        case PercentOff():
            return None
        case AmountOff(amount=greatest) | GiftCard(balance=greatest):
            return _above(greatest, most, terms.currency)
        case other:
            if most is not None and other.cap is None:
                return f"{other.kind} needs a cap of at most {most} {terms.currency} minor units"
            return _above(other.cap or 0, most, terms.currency)


def _greatest_balance(amounts: Mapping[str, int], plan: Plan) -> str | None:
    discount, currency = plan.terms.discount, plan.terms.currency
    return _above(discount.balance, amounts.get(currency), currency) if isinstance(discount, GiftCard) else None


def _greatest_budget(amounts: Mapping[str, int], plan: Plan) -> str | None:
    currency, budget = plan.terms.currency, plan.terms.budget
    most = amounts.get(currency)
    if most is not None and budget is None:
        return f"a budget must be named, of at most {most} {currency} minor units"
    return _above(budget or 0, most, currency)


def _greatest_quantity(most: int, plan: Plan) -> str | None:
    fits = plan.quantity is not None and plan.quantity <= most
    return None if fits else f"the quantity must be named and at most {most}"


def _greatest_uses(most: int, plan: Plan) -> str | None:
    return None if plan.terms.uses <= most else f"{plan.terms.uses} uses are above {most}"


def _greatest_per_user(most: int, plan: Plan) -> str | None:
    limit = plan.terms.per_user_limit
    return None if limit is not None and limit <= most else f"the limit per user must be named and at most {most}"


def _longest_days(days: int, plan: Plan) -> str | None:
    starts, ends = bounds(plan.terms.validity)
    zone = ZoneInfo(plan.terms.validity.zone)
    opens = starts.astimezone(zone).replace(tzinfo=None)
    # Calendar days of the zone; what would end beyond the calendar is short enough.
    if days < (datetime.max - opens).days and ends > (opens + timedelta(days=days)).replace(tzinfo=zone):
        return f"it would last longer than {days} days"
    return None


def _eligibility(allowed: bool, plan: Plan) -> str | None:
    return None if allowed or plan.terms.eligibility is None else "no rule may say who may have or use a coupon"


def _attributes(allowed: Collection[str], plan: Plan) -> str | None:
    rule = plan.terms.eligibility
    for name in () if rule is None else sorted(rule.attributes):
        if name not in allowed:
            return f"the attribute {name} is not one of {', '.join(allowed) or 'those allowed: none is'}"
    return None


def _least_code_length(least: int, plan: Plan) -> str | None:
    if plan.pattern is None or plan.pattern.length >= least:
        return None
    return f"a code has {plan.pattern.length} symbols besides prefix and suffix; {least} at least"


def _least_codes_per_coupon(least: int, plan: Plan) -> str | None:
    if plan.pattern is None or plan.quantity is None or plan.pattern.space() >= least * plan.quantity:
        return None
    return f"the pattern has {plan.pattern.space()} codes for {plan.quantity} coupons; {least} for each at least"


def _partners(allowed: Collection[str], plan: Plan) -> str | None:
    for party in (*plan.terms.redeemable_by, *plan.terms.senders):
        if party != plan.owner and party not in allowed:
            return f"{party} may not be named in redeemable_by or senders"
    return None


def _required(names: Collection[str], plan: Plan) -> str | None:
    terms = plan.terms
    given = {
        "minimum_spend": terms.minimum_spend > 0,
        "per_user_limit": terms.per_user_limit is not None,
        "quantity": plan.quantity is not None,
        "budget": terms.budget is not None,
        "cap": isinstance(terms.discount, AmountOff | GiftCard) or terms.discount.cap is not None,
    }
    return next((f"{name} is required" for name in names if not given[name]), None)


RULES: dict[str, Callable[[Any, Plan], str | None]] = {
    "kinds": _kinds,
    "supplies": _supplies,
    "greatest_percent": _greatest_percent,
    "greatest_amount": _greatest_amount,
    "greatest_balance": _greatest_balance,
    "greatest_budget": _greatest_budget,
    "greatest_quantity": _greatest_quantity,
    "greatest_uses": _greatest_uses,
    "greatest_per_user": _greatest_per_user,
    "longest_days": _longest_days,
    "eligibility": _eligibility,
    "attributes": _attributes,
    "least_code_length": _least_code_length,
    "least_codes_per_coupon": _least_codes_per_coupon,
    "partners": _partners,
    "required": _required,
}
"""Each rule: its value and the plan → why it forbids the plan, or None. Asked in this order."""
UNSTATED_FOR_MERCHANTS: dict[str, Any] = {"partners": ()}
"""What counts for merchants' campaigns where nobody stated a rule: no till has to take coupons it never agreed to."""
OF_QUANTITY = ("greatest_quantity", "least_codes_per_coupon")
"""Rules that another quantity alone can break."""


def check_building_rules(facts: Facts, plan: Plan) -> dict[str, int]:
    """Versions of the rules the campaign was checked against, by party.

    Raises:
        Refused: `building_rule_forbids`, naming the rule and the version of the rules it stands in.
    """
    return _check(facts, plan, tuple(RULES))


def check_quantity(facts: Facts, plan: Plan) -> None:
    """The rules about the quantity alone, which may also change later. Raises Refused."""
    _check(facts, plan, OF_QUANTITY)


def _check(facts: Facts, plan: Plan, names: tuple[str, ...]) -> dict[str, int]:
    parties = list(dict.fromkeys((plan.owner, PLATFORM)))
    unstated = UNSTATED_FOR_MERCHANTS if plan.owner != PLATFORM else {}
    known = [(party, *facts.rules.get(party, (0, BuildingRules()))) for party in parties]

    def stated(name: str) -> tuple[Any, int]:
        found = ((getattr(rules, name), version) for _, version, rules in known)
        return next((pair for pair in found if pair[0] is not None), (unstated.get(name), 0))

    balances = stated("greatest_balance")[0] or {}
    for name in names:
        if name == "greatest_amount" and isinstance(plan.terms.discount, GiftCard) and plan.terms.currency in balances:
            continue
        value, version = stated(name)
        detail = None if value is None else RULES[name](value, plan)
        if detail is not None:
            raise Refused(BuildingRuleForbids(rule=name, version=version, detail=detail))
    return {party: version for party, version, _ in reversed(known) if version}


def _above(amount: int, most: int | None, currency: str) -> str | None:
    return None if most is None or amount <= most else f"{amount} is above {most} {currency} minor units"
