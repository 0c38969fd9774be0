"""What concerns a whole lane: time, what is due, and the facts every lane must know."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from contracts.commands import AdvanceClock, RunDue, SetBuildingRules, SetCodeKey, SetMerchant, SetTool
from contracts.events import CampaignEnded
from contracts.refusals import ClockIsRecorded, ClockMovesForward
from coupon_core.model.campaign import LIVE_STATES, Campaign
from coupon_core.model.lifecycle import move
from coupon_core.model.recording import instant
from coupon_core.model.refused import Refused
from coupon_core.operations.continuing import answer_waiting, continue_lane, waiting_for
from coupon_core.operations.finding import expire, settle
from coupon_core.work import Call


def advance_clock(call: Call) -> dict[str, Any] | None:
    """Move told time forward; answered (None: not yet) when all that became due in the lane is done."""
    command: AdvanceClock = call.command
    if not call.work.told:
        raise Refused(ClockIsRecorded())
    lane = call.lane
    if lane.clock is not None and command.to < lane.clock:
        raise Refused(ClockMovesForward(now=lane.clock))
    lane.clock = command.to
    if lane.next_due is None or lane.next_due > command.to:
        return {"partition": lane.partition, "now": instant(command.to)}
    continue_lane(call, RunDue(partition=lane.partition, until=command.to, part=1, waiting=waiting_for(call)))
    return None


def run_due(call: Call) -> dict[str, Any]:
    """One slice of what is due: reservations and coupons whose time ran out, those whose campaign is over, its end."""
    command: RunDue = call.command
    due = call.work.due
    happened = 0
    if due is not None:
        for campaign, coupons in due.parts:
            over = call.now >= campaign.ends
            ends = instant(campaign.ends)
            for coupon in coupons:
                if not over:
                    settle(call, campaign, coupon)
                elif campaign.lasting:
                    expire(call, campaign, coupon, instant(campaign.span_of(coupon)[1]))
                else:
                    expire(call, campaign, coupon, ends)
            happened += len(coupons)
            if over and coupons:
                campaign.swept = coupons[-1].number
                campaign.changed = True
            if over and campaign.open_coupons() == 0:
                call.work.set_due(campaign, None)
                if campaign.state in LIVE_STATES:
                    move(campaign, "end", "ended")
                    call.work.recorder(campaign).campaign_event(call.cause, CampaignEnded(ends=campaign.ends))
            elif not over:
                ahead = [coupon.due_at for coupon in coupons if coupon.due_at is not None]
                call.work.set_due(campaign, min([campaign.ends, *_known_due(call, campaign), *ahead]))
        if due.more:
            following = command.model_copy(update={"part": command.part + 1})
            continue_lane(call, following)
            return {"partition": command.partition, "happened": happened, "more": True}
        # Read before this slice: what the slice itself moved on comes from the campaigns.
        times = (due.next_due, *(campaign.next_due for campaign, _ in due.parts))
        call.lane.next_due = min((time for time in times if time is not None), default=None)
    if command.waiting is not None:
        # The time it told, whatever the clock says by now.
        answer_waiting(call, command.waiting, {"partition": call.lane.partition, "now": instant(command.until)})
    return {"partition": command.partition, "happened": happened, "more": False}


def _known_due(call: Call, campaign: Campaign) -> list[datetime]:
    """When the next coupon is due that this slice did not touch."""
    due = call.work.next_due.get(campaign.number)
    return [] if due is None else [due]


def set_building_rules(call: Call) -> dict[str, Any]:
    """Rules of the platform or one merchant; an older version than the one known changes nothing."""
    command: SetBuildingRules = call.command
    known = call.lane.facts.rules.get(command.party)
    if known is None or known[0] < command.version:
        call.lane.facts.rules[command.party] = (command.version, command.rules)
        _remember(call, "rules", command.party, command.version, command.rules.model_dump_json())
    return {"partition": command.partition, "version": call.lane.facts.rules[command.party][0]}


def set_merchant(call: Call) -> dict[str, Any]:
    """A merchant's state, as every lane must know it."""
    command: SetMerchant = call.command
    merchant = str(command.merchant)
    known = call.lane.facts.merchants.get(merchant)
    if known is None or known[0] < command.version:
        call.lane.facts.merchants[merchant] = (command.version, command.state)
        _remember(call, "merchant", merchant, command.version, command.state)
    return {"partition": command.partition, "version": call.lane.facts.merchants[merchant][0]}


def set_tool(call: Call) -> dict[str, Any]:
    """A Kafka tool's rights and the one topic it is answered on."""
    command: SetTool = call.command
    known = call.lane.facts.tools.get(command.tool)
    if known is None or known.version < command.version:
        call.lane.facts.tools[command.tool] = command
        _remember(call, "tool", command.tool, command.version, command.model_dump_json())
    return {"partition": command.partition, "version": call.lane.facts.tools[command.tool].version}


def set_code_key(call: Call) -> dict[str, Any]:
    """The code key for what is made from now on; a lower version than the one known changes nothing."""
    command: SetCodeKey = call.command
    if call.lane.facts.code_key < command.version:
        call.lane.facts.code_key = command.version
        _remember(call, "code_key", "", command.version, "")
    return {"partition": command.partition, "version": call.lane.facts.code_key}


def _remember(call: Call, kind: str, key: str, version: int, data: str) -> None:
    entry = call.entry
    call.work.changed_facts.append((entry.partition, kind, key, version, data, entry.offset))
