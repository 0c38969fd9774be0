"""Terms and supplies of the campaigns that are played with, drawn from few values of each kind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from contracts.campaigns import (
    AmountOff,
    CodePattern,
    Eligibility,
    GeneratedSupply,
    GiftCard,
    GivenSupply,
    PercentOff,
    SharedSupply,
    Terms,
    TermsChange,
    UploadedSupply,
    Validity,
)
from contracts.commands import AmendCampaign
from contracts.fields import PLATFORM
from tests.coupon_core.never_wrong.pure_campaign import Campaign
from tests.coupon_core.never_wrong.pure_terms import DAY, HOURS, RULES, ZONES

T = TypeVar("T")
MERCHANTS = ("0d9d1c8e-6f5b-5a0e-8f3e-2f1c7f6b9a11", "7b1f6a52-3c44-5d2a-9a57-60b3f1f2c9d0")
PATTERNS = (CodePattern(length=12), CodePattern(prefix="WIN-", charset="digits", length=14))
AMOUNT_OFF, PERCENT_OFF, GIFT_CARD = (
    AmountOff(amount=500),
    PercentOff(basis_points=1_234, cap=300),
    GiftCard(balance=900),
)
MOST_OFF = {"amount_off": 500, "percent_off": 300, "gift_card": 900}
TOO_SMALL = CodePattern(charset="digits", length=1)


class Draw(Protocol):
    """A source of choices."""

    def pick(self, choices: Sequence[T]) -> T: ...
    def number(self, least: int, most: int) -> int: ...


class Dice:
    """Choices by a seeded random number."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self._random.random() * len(choices))]

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)


def one_in(draw: Draw, often: int) -> bool:
    return draw.number(1, often) == 1


SPECIALS = ("uses", "gift card", "budget", "days", "hours", "rule", "limits")
"""What terms may have beside plain ones."""


def draw_terms(draw: Draw, now: datetime, owner: str, shared: bool, wanted: tuple[str, ...] = ()) -> Terms:
    """Plain terms, mostly with one speciality: with more of them at once, little would be allowed.

    `wanted`: those all campaigns are to have.
    """
    special = {draw.pick(("none", *SPECIALS, "budget"))} | ({draw.pick(SPECIALS)} if one_in(draw, 4) else set())
    special = set(wanted) or special
    gift = "gift card" in special
    discount: AmountOff | PercentOff | GiftCard = AMOUNT_OFF if draw.number(1, 3) > 1 else PERCENT_OFF
    discount = GIFT_CARD if gift else discount
    uses = draw.pick((2, 3)) if "uses" in special and not gift else 1
    days = draw.pick((1, 2)) if "days" in special else None
    budget = uses * MOST_OFF[discount.kind] * draw.pick((1, 2, 3)) + draw.pick((0, 0, 100, -1))
    # A coupon whose own time is over frees its budget when core comes to it, and that varies.
    bounded = "budget" in special and days is None
    redeemers = draw.pick(((), (MERCHANTS[0],)))
    period = draw.pick(("per_day_limit", "per_week_limit", "per_month_limit"))
    return Terms(
        name="spring",
        currency="EUR",
        discount=discount,
        uses=uses,
        minimum_spend=draw.pick((0, 0, 0, 1_000)),
        budget=budget if bounded else None,
        validity=_validity(draw, now, days, "hours" in special),
        per_user_limit=1 if shared else draw.pick((None, None, None, 1, 2)),
        per_user_day_limit=1 if "limits" in special and one_in(draw, 3) else None,
        return_policy=draw.pick(("usable_again", "usable_again", "usable_if_not_expired", "burned")),
        redeemable_by=redeemers if owner in (PLATFORM, *redeemers) else (),
        eligibility=_rule(draw) if "rule" in special else None,
        **({period: draw.pick((1, 2, 3))} if "limits" in special else {}),
    )


def _validity(draw: Draw, now: datetime, days: int | None, some_hours: bool) -> Validity:
    hours = draw.pick(HOURS) if some_hours else None
    long = days is not None or one_in(draw, 6)
    length = timedelta(minutes=draw.pick((10, 30, 60, 90))) if not long else draw.pick((DAY, 2 * DAY))
    return Validity(
        starts=now + timedelta(minutes=draw.pick((-60,) * 5 + (3,))),
        ends=now + length,
        zone=draw.pick(tuple(ZONES)) if hours is None else hours.zone,
        weekly=() if hours is None else hours.weekly,
        irregular=() if hours is None else hours.irregular,
        days_after_issue=days,
        waiting_days=1 if one_in(draw, 4 if days is not None else 15) else 0,
    )


def _rule(draw: Draw) -> Eligibility:
    rule = draw.pick(tuple(RULES.values()))
    stage = "redeem" if rule.of_order else draw.pick(("issue", "redeem", "both"))
    return Eligibility(expression=rule.expression, attributes=dict(rule.attributes), applies_at=stage)


def draw_attributes(draw: Draw, campaign: Campaign, stage: str) -> dict[str, Any] | None:
    """Mostly what the campaign's rule asks for."""
    rule = campaign.terms.rule
    if rule is None or campaign.terms.rule_at not in (stage, "both"):
        return {"age": 30} if one_in(draw, 25) else None
    values: dict[str, tuple[Any, ...]] = {
        "age": (30, 18, 17, 61),
        "tier": ("gold", "silver", "bronze"),
        "vip": (True, True, False),
    }
    given = {name: draw.pick(values[name]) for name in rule.attributes}
    if one_in(draw, 10):
        given[draw.pick(tuple(given))] = "something else" if "tier" not in given else 7
    if one_in(draw, 10):
        given.pop(draw.pick(tuple(given)))
    return given


def draw_supply(draw: Draw, kind: str, name: str) -> Any:
    """A supply of this kind; generated ones mostly plain, else of an own pattern, or written down first."""
    match kind:
        case "shared":
            return SharedSupply(code=name)
        case "uploaded":
            return UploadedSupply()
        case "given":
            return GivenSupply()
    if one_in(draw, 20):
        return GeneratedSupply(pattern=TOO_SMALL)
    pattern = draw.pick((None, None, *PATTERNS))
    return GeneratedSupply(pattern=pattern, stored=one_in(draw, 3))


def draw_amendment(draw: Draw, campaign: Campaign) -> AmendCampaign:
    """One or two terms changed; some of them may not be any more."""
    told = campaign.told
    changes: dict[str, Any] = {}
    cleared: list[str] = []
    for _ in range(draw.number(1, 2)):
        match draw.pick(("user_limit", "period", "minimum", "budget", "end", "clear", "policy", "user_limit", "end")):
            case "user_limit" if campaign.supply != "shared":
                changes["per_user_limit"] = draw.pick((1, 2, 3))
            case "period":
                changes[draw.pick(("per_day_limit", "per_week_limit", "per_month_limit"))] = draw.pick((1, 2, 4))
            case "minimum":
                changes["minimum_spend"] = draw.pick((0, 500, 1_000))
            case "budget" if told.validity.days_after_issue is None:
                changes["budget"] = max(1, (told.budget or 1_500) + draw.pick((500, 1_000, -500)))
            case "end":
                ends = campaign.terms.ends + timedelta(minutes=draw.pick((5, 30, -5)))
                changes["validity"] = told.validity.model_copy(update={"ends": ends})
            case "policy":
                changes["return_policy"] = draw.pick(("usable_again", "burned"))
            case "clear":
                shared = campaign.supply == "shared"
                cleared.append(draw.pick(("budget", "per_day_limit", *(() if shared else ("per_user_limit",)))))
    return AmendCampaign(terms=TermsChange(**changes), clear=tuple(cleared))
