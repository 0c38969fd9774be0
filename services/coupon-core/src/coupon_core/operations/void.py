"""Void: take coupons out of life, with reason and actor: those named, those that match, or all of a campaign.

The latter two in slices. Codes that were exported and that nobody holds become void by range, without a row each.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from contracts.commands import VoidCampaign, VoidCoupons, VoidMatching
from contracts.events import CodesVoided, CouponVoided
from contracts.refusals import CouponExpired, TooManyToCount
from coupon_core.model.campaign import HELD, REDEEMED, RESERVED, STATE_NAMES, VOIDED, Campaign, Coupon
from coupon_core.model.lifecycle import allow_coupon
from coupon_core.model.refused import Refused
from coupon_core.model.selecting import (
    MOST_COUNTED,
    Selection,
    means_state,
    numbers_meant,
    too_many_to_count,
)
from coupon_core.operations.continuing import continue_campaign, refuse_cursor
from coupon_core.operations.finding import Bearer, find, redeemed_at, settle
from coupon_core.operations.redeem import take_bearer
from coupon_core.operations.stock import note_exhausted
from coupon_core.work import Call


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


def void_campaign(call: Call) -> dict[str, Any]:
    """Void the next slice of what is held or reserved, in order of number; goes on as a continuation."""
    command: VoidCampaign = call.command
    campaign = call.own_campaign()
    refuse_cursor(call, command.after)
    due = call.work.due
    coupons = due.parts[0][1] if due is not None else []
    for coupon in coupons:
        settle(call, campaign, coupon)
        if coupon.state in (HELD, RESERVED):
            _void(call, campaign, coupon, command.reason)
    note_exhausted(call, campaign)
    more = due is not None and due.more
    if more:
        last = coupons[-1].number
        continue_campaign(call, campaign, VoidCampaign(reason=command.reason, after=last), last)
    return {"campaign": campaign.text, "accepted": len(coupons), "more": more}


def void_matching(call: Call) -> dict[str, Any]:
    """Void the next slice of what matches; goes on as a continuation. A dry run counts all of it."""
    command: VoidMatching = call.command
    campaign = call.own_campaign()
    refuse_cursor(call, command.after or command.upto)
    if call.record.dryrun and too_many_to_count(campaign, command):
        raise Refused(TooManyToCount(most=MOST_COUNTED))
    selection = call.work.selection or Selection()
    if call.record.dryrun:
        return _answer(campaign, _counted(call, campaign, command, selection), more=False)
    voided = Counter[str]()
    for coupon in selection.coupons:
        settle(call, campaign, coupon)
        state = STATE_NAMES[coupon.state]
        if coupon.state in (HELD, RESERVED) and means_state(command.matching, state):
            voided[state] += 1
            _void(call, campaign, coupon, command.reason)
    if call.now < campaign.ends:
        for first, last, count in selection.codes:
            voided["exported"] += count
            _void_codes(call, campaign, first, last, count, command.reason)
    note_exhausted(call, campaign)
    if selection.more:
        upto = numbers_meant(campaign, command)[1]
        following = command.model_copy(update={"after": selection.upto, "upto": upto})
        continue_campaign(call, campaign, following, selection.upto)
    return _answer(campaign, voided, more=selection.more)


def _void_codes(call: Call, campaign: Campaign, first: int, last: int, count: int, reason: str) -> None:
    """All numbers of the range that are no coupon's; `count` of them."""
    campaign.void_codes(count)
    call.work.voided.setdefault(campaign.number, []).append((first, last))
    call.work.new_voids.append((campaign.number, first, last, count))
    event = CodesVoided(first=first, last=last, count=count, reason=reason)
    call.work.recorder(campaign).campaign_event(call.cause, event)


def _counted(call: Call, campaign: Campaign, command: VoidMatching, selection: Selection) -> Counter[str]:
    """How many coupons and codes would become void now, by the state they are in."""
    found = Counter[str]()
    if call.now >= campaign.ends:
        return found  # all of it has expired
    found["exported"] = sum(count for _, _, count in selection.codes)
    for (state, overdue, issued_at), count in selection.tally.items():
        if overdue and (state == HELD or (issued_at is not None and call.now >= campaign.span_from(issued_at)[1])):
            continue  # its own time is over
        name = STATE_NAMES[HELD if overdue else state]
        if means_state(command.matching, name):
            found[name] += count
    return found


def _answer(campaign: Campaign, voided: Counter[str], *, more: bool) -> dict[str, Any]:
    """`accepted` are the three together; with `more` the rest follows by itself."""
    by_state = {state: voided[state] for state in ("held", "reserved", "exported")}
    return {"campaign": campaign.text, "accepted": voided.total(), **by_state, "more": more}
