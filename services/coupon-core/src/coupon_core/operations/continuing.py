"""Continuations: the next slice of long work, as a command in the same lane."""

from __future__ import annotations

from datetime import timedelta

from contracts.commands import GenerateCodes, RunDue, VoidCampaign, record_for
from contracts.identifiers import continuation_id, lane_key
from coupon_core.model.campaign import Campaign
from coupon_core.work import Call

CONTINUATION_LIFE = timedelta(days=29)
"""How long after the record before it a continuation may still act."""


def continue_campaign(call: Call, campaign: Campaign, command: GenerateCodes | VoidCampaign, number: int) -> None:
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


def continue_lane(call: Call, command: RunDue) -> None:
    """Append the lane's next slice of what is due."""
    record = record_for(
        command,
        id=continuation_id(call.record.id, command.part),
        source="/coupon-core",
        subject=lane_key(call.lane.partition),
        party="platform",
        actor="service:core",
        notafter=call.entry.time + CONTINUATION_LIFE,
    )
    call.work.continuations.append((call.lane.partition, record))
