"""The platform's building rules: what a campaign may be. The merchant's override wins field by field."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from contracts.campaigns import AmountOff, GiftCard, PercentOff, Terms
from contracts.commands import BuildingRules
from contracts.fields import PLATFORM
from contracts.refusals import BuildingRuleForbids
from coupon_core.model.lane import Facts
from coupon_core.model.refused import Refused
from coupon_core.model.validity import bounds


def check_quantity(facts: Facts, owner: str, quantity: int | None) -> None:
    """The greatest quantity alone, which may also change later. Raises Refused."""
    for party in (owner, PLATFORM):
        version, rules = facts.rules.get(party, (0, BuildingRules()))
        if rules.greatest_quantity is not None:
            if quantity is None or quantity > rules.greatest_quantity:
                detail = f"the quantity must be named and at most {rules.greatest_quantity}"
                raise Refused(BuildingRuleForbids(rule="greatest_quantity", version=version, detail=detail))
            return


def check_building_rules(facts: Facts, owner: str, terms: Terms, supply: str, quantity: int | None) -> dict[str, int]:
    """Versions of the rules the campaign was checked against, by party.

    Raises:
        Refused: `building_rule_forbids`, naming the rule and the version of the rules it stands in.
    """
    platform_version, platform = facts.rules.get(PLATFORM, (0, BuildingRules()))
    own_version, own = facts.rules.get(owner, (0, BuildingRules())) if owner != PLATFORM else (0, BuildingRules())
    versions = {party: version for party, version in ((PLATFORM, platform_version), (owner, own_version)) if version}

    def rule(name: str) -> tuple[object, int]:
        value = getattr(own, name)
        return (value, own_version) if value is not None else (getattr(platform, name), platform_version)

    def forbid(name: str, version: int, detail: str) -> Refused:
        return Refused(BuildingRuleForbids(rule=name, version=version, detail=detail))

    kinds, version = rule("kinds")
    if isinstance(kinds, tuple) and terms.discount.kind not in kinds:
        raise forbid("kinds", version, f"{terms.discount.kind} is not one of {', '.join(kinds)}")
    supplies, version = rule("supplies")
    if isinstance(supplies, tuple) and supply not in supplies:
        raise forbid("supplies", version, f"{supply} is not one of {', '.join(supplies)}")
    greatest, version = rule("greatest_percent")
    if isinstance(greatest, int) and isinstance(terms.discount, PercentOff) and terms.discount.basis_points > greatest:
        raise forbid("greatest_percent", version, f"{terms.discount.basis_points} basis points are above {greatest}")
    amounts, version = rule("greatest_amount")
    if isinstance(amounts, dict) and not isinstance(terms.discount, PercentOff):
        most, greatest = amounts.get(terms.currency), _greatest_amount(terms)
        if most is not None and greatest is None:
            detail = f"{terms.discount.kind} needs a cap of at most {most} {terms.currency} minor units"
            raise forbid("greatest_amount", version, detail)
        if most is not None and greatest is not None and greatest > most:
            raise forbid("greatest_amount", version, f"{greatest} is above {most} {terms.currency} minor units")
    check_quantity(facts, owner, quantity)
    days, version = rule("longest_days")
    if isinstance(days, int):
        starts, ends = bounds(terms.validity)
        zone = ZoneInfo(terms.validity.zone)
        opens = starts.astimezone(zone).replace(tzinfo=None)
        # Calendar days of the zone; what would end beyond the calendar is short enough.
        if days < (datetime.max - opens).days and ends > (opens + timedelta(days=days)).replace(tzinfo=zone):
            raise forbid("longest_days", version, f"it would last longer than {days} days")
    required, version = rule("required")
    if isinstance(required, tuple):
        given = {
            "minimum_spend": terms.minimum_spend > 0,
            "per_user_limit": terms.per_user_limit is not None,
            "quantity": quantity is not None,
            "budget": terms.budget is not None,
        }
        for name in required:
            if not given[name]:
                raise forbid("required", version, f"{name} is required")
    return versions


def _greatest_amount(terms: Terms) -> int | None:
    """What a redemption may take off at most; None: nothing bounds it."""
    match terms.discount:
        case AmountOff(amount=amount):
            return amount
        case GiftCard(balance=balance):
            return balance
        case other:
            return other.cap
