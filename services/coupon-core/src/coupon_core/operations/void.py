"""Void: take coupons out of life, with reason and actor: those named, those that match, or all of a campaign.

The latter two in slices; the last one answers, with the sum that each hands on to the next. Codes that were exported
and that nobody holds become void by range, without a row each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from contracts.commands import CouponFilter, VoidCampaign, VoidCoupons, VoidMatching, WaitingForVoid
from contracts.events import CodesVoided, CouponVoided
from contracts.refusals import CouponExpired, TooManyToCount
from coupon_core.model.campaign import HELD, REDEEMED, RESERVED, STATE_NAMES, VOIDED, Campaign, Coupon
from coupon_core.model.lifecycle import allow_coupon
from coupon_core.model.refused import Refused
from coupon_core.model.selecting import (
    ALL_OPEN,
    MOST_COUNTED,
    Selection,
    means_state,
    numbers_meant,
    too_many_to_count,
)
from coupon_core.operations.continuing import answer_waiting, continue_campaign, refuse_cursor, waiting_for
from coupon_core.operations.finding import Bearer, find, redeemed_at, settle
from coupon_core.operations.redeem import take_bearer
from coupon_core.operations.stock import note_exhausted
from coupon_core.work import Call

_STATES = ("held", "reserved", "exported")


def _void(call: Call, campaign: Campaign, coupon: Coupon, reason: str) -> None:
    campaign.move(coupon, VOIDED)
    coupon.reserved_order = coupon.due_at = coupon.reserved_units = None
    call.work.recorder(campaign).coupon_event(
        call.cause, coupon.number, CouponVoided(coupon=coupon.number, user=coupon.user, reason=reason)
    )


def void(call: Call) -> dict[str, Any]:
    """Void the coupons named; each row has its own result."""
    command: VoidCoupons = call.command
    campaign = call.own_campaign()
    rows: list[dict[str, Any]] = []
    refused = 0
    for index, reference in enumerate(command.coupons):
        try:
            found = find(call, campaign, reference, (HELD, RESERVED, REDEEMED))
            if isinstance(found, Bearer):
                if call.now >= campaign.ends:
                    expired = CouponExpired(coupon=campaign.coupon_id(found.number), expired_at=campaign.ends)
                    raise Refused(expired, found.number)
                found = take_bearer(call, campaign, found, None)
            settle(call, campaign, found)
            allow_coupon(campaign, found, "void", redeemed_at=redeemed_at(call.work, found))
        except Refused as no:
            refused += 1
            rows.append({"row": index, "refusal": call.refuse(index, no, user=reference.user)})
            continue
        _void(call, campaign, found, command.reason)
        rows.append({"row": index, "coupon": campaign.coupon_id(found.number)})
    note_exhausted(call, campaign)
    return {"campaign": campaign.text, "accepted": len(rows) - refused, "refused": refused, "rows": rows}


def void_campaign(call: Call) -> dict[str, Any] | None:
    """Void the next slice of what is held or reserved, in order of number; goes on as a continuation."""
    command: VoidCampaign = call.command
    campaign = call.own_campaign()
    refuse_cursor(call, command.after or command.waiting)
    if call.record.dryrun:
        return _answer(campaign, would_be_void(call, campaign, ALL_OPEN))
    due = call.work.due
    coupons = due.parts[0][1] if due is not None else []
    so_far = _counted_on(call, _void_open(call, campaign, coupons, ALL_OPEN))
    note_exhausted(call, campaign)
    more = due is not None and due.more
    if more:
        last = coupons[-1].number
        continue_campaign(call, campaign, VoidCampaign(reason=command.reason, after=last, waiting=so_far), last)
    return _answer_or_wait(call, campaign, so_far, more=more)


def void_matching(call: Call) -> dict[str, Any] | None:
    """Void the next slice of what matches; goes on as a continuation. A dry run counts all of it."""
    command: VoidMatching = call.command
    campaign = call.own_campaign()
    refuse_cursor(call, command.after or command.upto or command.waiting)
    if call.record.dryrun:
        if too_many_to_count(campaign, command):
            raise Refused(TooManyToCount(most=MOST_COUNTED))
        return _answer(campaign, would_be_void(call, campaign, command.matching))
    selection = call.work.selection or Selection()
    voided = _void_open(call, campaign, selection.coupons, command.matching)
    if call.now < campaign.ends:
        for first, last, count in selection.codes:
            voided["exported"] += count
            _void_codes(call, campaign, first, last, count, command.reason)
    so_far = _counted_on(call, voided)
    note_exhausted(call, campaign)
    if selection.more:
        upto = numbers_meant(campaign, command)[1]
        following = command.model_copy(update={"after": selection.upto, "upto": upto, "waiting": so_far})
        continue_campaign(call, campaign, following, selection.upto)
    return _answer_or_wait(call, campaign, so_far, more=selection.more)


def _void_open(call: Call, campaign: Campaign, coupons: list[Coupon], matching: CouponFilter) -> Counter[str]:
    """Void those of the coupons whose state is meant once what is overdue has happened; how many, by that state."""
    voided = Counter[str]()
    for coupon in coupons:
        settle(call, campaign, coupon)
        state = STATE_NAMES[coupon.state]
        if coupon.state in (HELD, RESERVED) and means_state(matching, state):
            voided[state] += 1
            _void(call, campaign, coupon, call.command.reason)
    return voided


def _void_codes(call: Call, campaign: Campaign, first: int, last: int, count: int, reason: str) -> None:
    """All numbers of the range that are no coupon's; `count` of them."""
    campaign.void_codes(count)
    call.work.voided.setdefault(campaign.number, []).append((first, last))
    call.work.new_voids.append((campaign.number, first, last, count))
    event = CodesVoided(first=first, last=last, count=count, reason=reason)
    call.work.recorder(campaign).campaign_event(call.cause, event)


def would_be_void(call: Call, campaign: Campaign, matching: CouponFilter) -> Counter[str]:
    """How many coupons and codes would become void now, by the state they are in; only in a dry run."""
    found, selection = Counter[str](), call.work.selection or Selection()
    if call.now >= campaign.ends:
        return found  # all of it has expired
    found["exported"] = sum(count for _, _, count in selection.codes)
    for (state, overdue, issued_at), count in selection.tally.items():
        if overdue and (state == HELD or (issued_at is not None and call.now >= campaign.span_from(issued_at)[1])):
            continue  # its own time is over
        name = STATE_NAMES[HELD if overdue else state]
        if means_state(matching, name):
            found[name] += count
    return found


def _counted_on(call: Call, voided: Counter[str]) -> WaitingForVoid:
    """Whom the last slice answers, and what this slice and those before it made void."""
    before = call.command.waiting or WaitingForVoid.model_validate(waiting_for(call).model_dump())
    now = {state: getattr(before, state) + voided[state] for state in _STATES}
    return before.model_copy(update=now)


def _answer_or_wait(call: Call, campaign: Campaign, so_far: WaitingForVoid, *, more: bool) -> dict[str, Any] | None:
    """The result of a slice; None of the first where others follow: the last one answers for it."""
    result = _answer(campaign, {state: getattr(so_far, state) for state in _STATES}) | {"more": more}
    if call.command.waiting is None:
        return None if more else result
    if not more:
        answer_waiting(call, so_far, result)
    return result


def _answer(campaign: Campaign, voided: Mapping[str, int]) -> dict[str, Any]:
    """`accepted` are the three together."""
    by_state = {state: voided.get(state, 0) for state in _STATES}
    return {"campaign": campaign.text, "accepted": sum(by_state.values()), **by_state, "more": False}
