"""The map: command → function. `decide` takes one record against the view of its batch and touches nothing else.

Order of questions: can the record be read and trusted → what is the time → was it decided before → may this party act
→ the operation. A refusal is stored and answered; an exception is our bug and left to the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from contracts.answers import RefusalAnswer, Reply
from contracts.commands import (
    LANE_WIDE,
    ActivateCampaign,
    AdvanceClock,
    AmendCampaign,
    CancelGeneration,
    ChangeQuantity,
    ClaimCoupon,
    CommandRecord,
    ExportCodes,
    GenerateCampaign,
    GenerateCodes,
    IssueCoupons,
    PauseCampaign,
    PublishCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ResumeCampaign,
    ReturnCoupon,
    RunDue,
    SetBuildingRules,
    SetCodeKey,
    SetMerchant,
    SetTool,
    StopCampaign,
    ToolRight,
    UnpublishCampaign,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
    VoidMatching,
)
from contracts.fields import PLATFORM, Contract
from contracts.refusals import ClockNotSet, IdempotencyConflict, MerchantNotActive, NotAllowed
from coupon_core.answering import with_codes, without_codes
from coupon_core.model.lane import LaneState
from coupon_core.model.recording import Cause
from coupon_core.model.refused import Refused
from coupon_core.operations import amend, codes, create, generating, give_back, issue, lane_wide, manage, redeem, void
from coupon_core.work import DEAD, DONE, OUTCOME_LIFE, REFUSED, RUNNING, Call, Entry, Outcome, Work

OPERATIONS: dict[type[Contract], Callable[[Call], dict[str, Any] | None]] = {
    GenerateCampaign: create.generate,
    ActivateCampaign: create.activate,
    AmendCampaign: amend.amend,
    PublishCampaign: create.publish,
    GenerateCodes: generating.generate_codes,
    CancelGeneration: generating.cancel,
    UnpublishCampaign: manage.unpublish,
    PauseCampaign: manage.pause,
    ResumeCampaign: manage.resume,
    StopCampaign: manage.stop,
    ChangeQuantity: manage.change_quantity,
    UploadCodes: codes.upload,
    ExportCodes: codes.export,
    IssueCoupons: issue.issue,
    ClaimCoupon: issue.claim,
    ReserveCoupon: redeem.reserve,
    ReleaseCoupon: redeem.release_coupon,
    RedeemCoupon: redeem.redeem,
    ReturnCoupon: give_back.give_back,
    VoidCoupons: void.void,
    VoidCampaign: void.void_campaign,
    VoidMatching: void.void_matching,
    RunDue: lane_wide.run_due,
    AdvanceClock: lane_wide.advance_clock,
    SetBuildingRules: lane_wide.set_building_rules,
    SetCodeKey: lane_wide.set_code_key,
    SetMerchant: lane_wide.set_merchant,
    SetTool: lane_wide.set_tool,
}
BARRIERS: frozenset[type[Contract]] = frozenset({RunDue, AdvanceClock, VoidCampaign, VoidMatching, AmendCampaign})
"""Commands over a range, or that ask when the lane's next range is due, or that change what must be loaded: what came
before is written first, what follows is loaded anew."""

BEFORE_TIME: frozenset[type[Contract]] = frozenset({AdvanceClock, SetBuildingRules, SetCodeKey, SetMerchant, SetTool})
"""Commands a lane takes before it was told the time."""

TOOL_RIGHTS: dict[type[Contract], ToolRight] = {
    GenerateCampaign: "generate",
    ActivateCampaign: "generate",
    AmendCampaign: "manage",
    IssueCoupons: "issue",
    ClaimCoupon: "issue",
    RedeemCoupon: "redeem",
    ReserveCoupon: "redeem",
    ReleaseCoupon: "redeem",
    ReturnCoupon: "redeem",
    VoidCoupons: "void",
    VoidMatching: "void",
    VoidCampaign: "void",
    CancelGeneration: "manage",
    PauseCampaign: "manage",
    ResumeCampaign: "manage",
    StopCampaign: "manage",
    UnpublishCampaign: "manage",
    ChangeQuantity: "manage",
    UploadCodes: "manage",
    ExportCodes: "manage",
}
SERVICE_WRITERS: dict[str, frozenset[type[Contract]]] = {
    "core": frozenset({RunDue, VoidCampaign, VoidMatching, GenerateCodes}),
    "adapter": frozenset({IssueCoupons}),
}
"""Writers that may send only these; the gateway may send all but core's own, tools what their rights allow."""
CORES_OWN: frozenset[type[Contract]] = frozenset({RunDue, GenerateCodes})


def decide(work: Work, entry: Entry) -> None:
    """Decide one record; all that follows from it is in the view afterwards."""
    if entry.dead is not None or entry.record is None:
        _bury(work, entry, *(entry.dead or ("unreadable", "the record holds no command")))
        return
    lane = work.lanes[entry.partition]
    record, command = entry.record, entry.record.data
    kind = type(command)
    not_trusted = _not_trusted(lane, entry)
    if not_trusted is not None:
        work.dead.append((entry, *not_trusted))
        return
    now = lane.clock = work.clock_at(entry)
    first = _remembered(work, entry, record, now)
    redriven = entry.redriven and first is not None and first.status == DEAD
    if first is not None and not redriven:
        _answer_again(work, entry, first, now)
        return
    moment = now or entry.time
    call = Call(work, entry, record, command, record.party, moment, Cause(str(record.id), record.actor, moment), lane)
    try:
        if now is None and kind not in BEFORE_TIME:
            raise Refused(ClockNotSet())
        _check_party(call)
        result = OPERATIONS[kind](call)
    except Refused as no:
        _refuse(call, no)
        return
    if kind is RunDue:
        return
    if kind is AdvanceClock and lane.clock is not None:
        moment = lane.clock
    if result is None and record.dryrun:
        result = {}  # what goes on for long would only begin
    status = RUNNING if result is None else DONE
    outcome = _keep(work, entry, record, status, moment, result)
    if result is not None:
        _reply(work, entry, outcome, moment)


def _remembered(work: Work, entry: Entry, record: CommandRecord, now: datetime | None) -> Outcome | None:
    """The outcome this command's id has in its lane, while it counts."""
    first = work.outcomes[entry.partition].get(record.id)
    return first if first is None or now is None or now - first.at < OUTCOME_LIFE else None


def _keep(
    work: Work, entry: Entry, record: CommandRecord, status: int, at: datetime, body: dict[str, Any] | None
) -> Outcome:
    """What becomes of a command, to be written; of one that was decided before, in place of the first."""
    outcome = Outcome(entry.partition, record.id, entry.campaign, entry.hash, status, at, body, position=entry.offset)
    work.outcomes[entry.partition][record.id] = outcome
    work.new_outcomes.append(outcome)
    return outcome


def _bury(work: Work, entry: Entry, reason: str, detail: str) -> None:
    """A dead letter; a command that died of our own bug has an outcome too, which a redrive may replace.

    A repeat that dies leaves the first one's outcome as it is, and is not answered here: to make that answer may be
    what broke. Who waits for it asks for the outcome."""
    work.dead.append((entry, reason, detail))
    if reason == "our_bug" and entry.record is not None and not entry.record.dryrun:
        at = work.lanes[entry.partition].clock or entry.time
        first = _remembered(work, entry, entry.record, at)
        goes_on = first is not None and first.status == RUNNING and entry.writer == "core"
        if first is not None and first.status != DEAD and not goes_on:
            return
        outcome = _keep(work, entry, entry.record, DEAD, at, None)
        _reply(work, entry, outcome, outcome.at)


def _not_trusted(lane: LaneState, entry: Entry) -> tuple[str, str] | None:
    """Why the record's writer may not have written it, as a dead letter's reason and detail."""
    record, writer = entry.record, entry.writer or ""
    if record is None:
        return "unreadable", "the record holds no command"
    kind = type(record.data)
    if writer.startswith("tool:"):
        tool = lane.facts.tools.get(writer[5:])
        if tool is None or not tool.active or entry.writer_version not in tool.key_versions:
            return "unsigned_writer", f"{writer} with this key version is not registered in this lane"
        if record.actor != writer or record.party != PLATFORM:
            return (
                "writer_not_allowed",
                f"{writer} may name only itself as actor and only act for the platform",
            )
        if kind in LANE_WIDE:
            return "writer_not_allowed", f"{writer} may not send {kind.__name__}"
        return None
    allowed = SERVICE_WRITERS.get(writer)
    if allowed is not None and kind not in allowed:
        return "writer_not_allowed", f"{writer} may not send {kind.__name__}"
    if allowed is None and (writer != "gateway" or kind in CORES_OWN):
        return "writer_not_allowed", f"{writer} may not send {kind.__name__} to this topic"
    return None


def _check_party(call: Call) -> None:
    if call.entry.writer == "core":
        return  # a continuation finishes what was allowed when it began
    if call.party != PLATFORM:
        known = call.lane.facts.merchants.get(call.party)
        if known is None or known[1] != "active":
            raise Refused(MerchantNotActive(state="unknown" if known is None else known[1]))
    writer = call.entry.writer or ""
    if writer.startswith("tool:"):
        right = TOOL_RIGHTS.get(type(call.command))
        if right is None or right not in call.lane.facts.tools[writer[5:]].rights:
            raise Refused(NotAllowed(actor=call.record.actor, operation=type(call.command).__name__))


def _refuse(call: Call, no: Refused) -> None:
    command = call.command
    user = getattr(command, "user", None) or getattr(getattr(command, "coupon", None), "user", None)
    order = getattr(command, "order", None)
    entry, body = call.entry, call.refuse(None, no, user, order)
    outcome = _keep(call.work, entry, call.record, REFUSED, call.now, body)
    _reply(call.work, call.entry, outcome, call.now)


def _answer_again(work: Work, entry: Entry, first: Outcome, now: datetime | None) -> None:
    if first.status == RUNNING:
        return  # its last slice answers
    if first.hash == entry.hash:
        _reply(work, entry, replace(first, replayed=True), now or first.at)
        return
    refusal = IdempotencyConflict(command=str(first.command))
    conflict = replace(first, hash=entry.hash, status=REFUSED, at=now or first.at, body=refusal.as_json())
    _reply(work, entry, conflict, now or first.at)


def _reply(work: Work, entry: Entry, outcome: Outcome, now: datetime) -> None:
    record, place = entry.record, work.answered_at(entry)
    if record is None or place is None:
        return
    if outcome.status == REFUSED:
        reply = Reply(
            command=outcome.command,
            status="refused",
            refusal=RefusalAnswer.model_validate(outcome.body),
            as_of=now,
            replayed=outcome.replayed,
            dry_run=record.dryrun,
        )
    elif outcome.status == DEAD:
        reply = Reply(
            command=outcome.command, status="dead", as_of=now, replayed=outcome.replayed, dry_run=record.dryrun
        )
    else:
        campaign = None if outcome.campaign is None else work.campaigns.get(outcome.campaign)
        reply = Reply(
            command=outcome.command,
            status="done",
            result=without_codes(outcome.body) if record.dryrun else with_codes(work, campaign, outcome.body),
            as_of=now,
            replayed=outcome.replayed,
            dry_run=record.dryrun,
        )
    work.replies.append((*place, reply))


__all__ = ["BARRIERS", "OPERATIONS", "decide"]
