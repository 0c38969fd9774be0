"""What a void by filter means: which coupons, and which codes that nobody holds. Pure; `lanes/selecting.py` reads it.

A slice is a window of coupon numbers. It begins where the first thing stands that may be meant, so that what lies in
between costs nothing, and its end follows from its beginning alone, never from what is found in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from contracts.commands import CouponFilter, VoidMatching
from coupon_core.model.campaign import HELD, RESERVED, Campaign, Coupon

MOST_COUNTED = 5_000_000
"""Numbers a dry run looks through: some second of the lane's time."""

ALL_OPEN = CouponFilter(states=("held", "reserved"))
"""What a void of all of a campaign means: codes that nobody holds stay usable."""

Ranges = list[tuple[int, int]]
"""First and last coupon number, in order."""
Tally = Counter[tuple[int, bool, datetime | None]]
"""Coupons by state, whether something of their own is overdue, and then (else None) when they were issued."""


@dataclass(slots=True)
class Selection:
    """A slice of what is meant. Of a dry run nothing but `tally` and the codes, of all that is meant."""

    coupons: list[Coupon] = field(default_factory=list)
    """Held or reserved, by number."""
    codes: list[tuple[int, int, int]] = field(default_factory=list)
    """First and last number of exported codes, and how many of them nobody holds."""
    upto: int = 0
    """The slice's last number."""
    more: bool = False
    tally: Tally = field(default_factory=Counter)


def numbers_meant(campaign: Campaign, command: VoidMatching) -> tuple[int, int]:
    """The numbers this slice may begin with and all of them end with: (above, up to)."""
    matching = command.matching
    above = max(command.after, (matching.first or 1) - 1)
    upto = command.upto or campaign.last_number
    return above, upto if matching.last is None else min(upto, matching.last)


def too_many_to_count(campaign: Campaign, command: VoidMatching) -> bool:
    """Whether a dry run would look through more numbers than it may. By user coupons are found otherwise."""
    above, upto = numbers_meant(campaign, command)
    return not command.matching.users and upto - above > MOST_COUNTED


def means_codes(campaign: Campaign, matching: CouponFilter) -> bool:
    """Whether codes that nobody holds may be meant."""
    asks_holder = matching.users or matching.user_prefix or matching.issued_from or matching.issued_before
    return campaign.supply == "generated" and means_state(matching, "exported") and not asks_holder


def means_state(matching: CouponFilter, state: str) -> bool:
    """Whether coupons in this state are meant."""
    return not matching.states or state in matching.states


def means(matching: CouponFilter, coupon: Coupon) -> bool:
    """Whether a coupon is meant, its state and number aside."""
    user = coupon.user or ""
    return (
        (not matching.users or user in matching.users)
        and (matching.user_prefix is None or user.startswith(matching.user_prefix))
        and (matching.issued_from is None or coupon.issued_at >= matching.issued_from)
        and (matching.issued_before is None or coupon.issued_at < matching.issued_before)
    )


def still_open(exported: Iterable[tuple[int, int]], voided: Ranges, above: int, upto: int) -> Ranges:
    """Numbers above one and up to another that were exported and not voided; ranges that touch are one."""
    found: Ranges = []
    for first, last in sorted(exported):
        first, last = max(first, above + 1), min(last, upto)
        for gone_first, gone_last in sorted(voided):
            if gone_last < first or gone_first > last:
                continue
            if gone_first > first:
                _join(found, first, gone_first - 1)
            first = gone_last + 1
        if first <= last:
            _join(found, first, last)
    return found


def _join(ranges: Ranges, first: int, last: int) -> None:
    if ranges and ranges[-1][1] + 1 == first:
        ranges[-1] = (ranges[-1][0], last)
    else:
        ranges.append((first, last))


def cut(ranges: Ranges, above: int, upto: int) -> Ranges:
    """Those parts of the ranges that lie above one number and not above another."""
    return [(max(f, above + 1), min(t, upto)) for f, t in ranges if t > above and f <= upto]


def of_all(
    campaign: Campaign,
    coupons: Mapping[int, Coupon],
    exported: Ranges,
    voided: Ranges,
    command: VoidMatching,
    most: int,
    *,
    dry_run: bool,
    now: datetime,
) -> Selection:
    """The selection out of all coupons of a campaign by number, where they are at hand."""
    above, upto = numbers_meant(campaign, command)
    matching = command.matching
    meant = [
        coupon
        for number, coupon in sorted(coupons.items())
        if above < number <= upto and coupon.state in (HELD, RESERVED) and means(matching, coupon)
    ]
    ranges = still_open(exported, voided, above, upto) if means_codes(campaign, matching) else []
    if dry_run:
        tally = Counter(tallied(campaign, coupon, now) for coupon in meant)
        return Selection(codes=_unheld(ranges, coupons), tally=tally)
    begins = [coupon.number for coupon in meant[:1]] + [first for first, _ in ranges[:1]]
    if not begins:
        return Selection(upto=upto)
    above = min(begins) - 1
    end = min(upto, above + most)
    inside = [coupon for coupon in meant if coupon.number <= end]
    return Selection(inside, _unheld(cut(ranges, above, end), coupons), end, end < upto)


def tallied(campaign: Campaign, coupon: Coupon, now: datetime) -> tuple[int, bool, datetime | None]:
    """Where a coupon is counted in a tally."""
    overdue = coupon.due_at is not None and coupon.due_at <= now
    return coupon.state, overdue, coupon.issued_at if overdue and campaign.lasting else None


def _unheld(ranges: Ranges, coupons: Mapping[int, Coupon]) -> list[tuple[int, int, int]]:
    counted = [(f, t, t - f + 1 - sum(f <= number <= t for number in coupons)) for f, t in ranges]
    return [each for each in counted if each[2]]
