"""Continuations: the next slice of long work, as a command in the same lane."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.answers import Reply
from contracts.commands import CommandRecord, GenerateCodes, RunDue, VoidCampaign, VoidMatching, Waiting, record_for
from contracts.fields import PLATFORM
from contracts.identifiers import continuation_id, lane_key
from contracts.refusals import NotAllowed
from coupon_core.model.campaign import Campaign
from coupon_core.model.refused import Refused
from coupon_core.work import DONE, RUNNING, Call

CONTINUATION_LIFE = timedelta(days=29)
"""How long after the record before it a continuation may still act; sent later than that, after it was sent."""


def continue_campaign(
    call: Call, campaign: Campaign, command: GenerateCodes | VoidCampaign | VoidMatching, number: int
) -> None:
    """Append a campaign's next slice to its own lane; `number` tells slices of one command apart."""
    record = record_for(
        command,
        id=continuation_id(call.record.id, number),
        source="/coupon-core",
        subject=campaign.text,
        party=call.party,
        actor=call.record.actor,
        notafter=call.entry.time + CONTINUATION_LIFE,
    )
    call.work.continuations.append((call.lane.partition, record))


def waiting_for(call: Call) -> Waiting:
    """Whom the last slice answers, where this command is not answered before that."""
    reply_to, reply_partition = call.work.answered_at(call.entry) or (None, None)
    return Waiting(command=call.record.id, reply_to=reply_to, reply_partition=reply_partition)


def answer_waiting(call: Call, waiting: Waiting, result: dict[str, Any]) -> None:
    """Answer the command that began the work: this is its last slice. Its outcome, running so far, holds the result."""
    outcomes = call.work.outcomes[call.lane.partition]
    first = outcomes.get(waiting.command)
    if first is not None and first.status == RUNNING:
        done = outcomes[waiting.command] = replace(first, status=DONE, body=result)
        call.work.new_outcomes.append(done)
    if waiting.reply_to is not None:
        reply = Reply(command=waiting.command, status="done", result=result, as_of=call.now)
        call.work.replies.append((waiting.reply_to, waiting.reply_partition, reply))


def refuse_cursor(call: Call, cursor: object) -> None:
    """Let core alone say how far sliced work has come: whoever else did could leave something out unseen.

    Raises:
        Refused: somebody else named a cursor.
    """
    if cursor and call.entry.writer != "core":
        raise Refused(NotAllowed(actor=call.record.actor, operation="say where sliced work goes on"))


def continue_lane(call: Call, command: RunDue) -> None:
    """Append the lane's next slice of what is due."""
    record = due_record(command, continuation_id(call.record.id, command.part), call.entry.time + CONTINUATION_LIFE)
    call.work.continuations.append((call.lane.partition, record))


def due_record(command: RunDue, id: UUID, notafter: datetime) -> CommandRecord:
    """The record by which a lane lets happen what is due in it."""
    return record_for(
        command,
        id=id,
        source="/coupon-core",
        subject=lane_key(command.partition),
        party=PLATFORM,
        actor="service:core",
        notafter=notafter,
    )
