"""Pause, resume, stop, unpublish, change the quantity: a campaign's own life."""

from __future__ import annotations

from typing import Any

from contracts.commands import MOST_STORED, ChangeQuantity, PauseCampaign, StopCampaign, VoidCampaign
from contracts.events import (
    CampaignPaused,
    CampaignResumed,
    CampaignStopped,
    CampaignUnpublished,
)
from contracts.refusals import QuantityBelowIssued, TooManyToStore
from coupon_core.model.campaign import Campaign
from coupon_core.model.lifecycle import allow, move
from coupon_core.model.refused import Refused
from coupon_core.model.selecting import ALL_OPEN
from coupon_core.operations.building import check_quantity, plan_of
from coupon_core.operations.continuing import continue_campaign
from coupon_core.operations.generating import set_quantity
from coupon_core.operations.serials import check_code_space
from coupon_core.operations.void import would_be_void
from coupon_core.work import Call


def _answer(campaign: Campaign) -> dict[str, Any]:
    return {"campaign": campaign.text, "state": campaign.state}


def pause(call: Call) -> dict[str, Any]:
    """active (or exhausted) → paused: neither issuing nor redeeming until resumed."""
    command: PauseCampaign = call.command
    campaign = call.own_campaign()
    allow(campaign, "pause", call.now)
    move(campaign, "pause", "paused")
    call.work.recorder(campaign).campaign_event(call.cause, CampaignPaused(reason=command.reason))
    return _answer(campaign)


def resume(call: Call) -> dict[str, Any]:
    """paused → active, or exhausted when nothing is left."""
    campaign = call.own_campaign()
    allow(campaign, "resume", call.now)
    room = campaign.room()
    move(campaign, "resume", "exhausted" if room is not None and room <= 0 else "active")
    call.work.recorder(campaign).campaign_event(call.cause, CampaignResumed(state=campaign.state))
    return _answer(campaign)


def unpublish(call: Call) -> dict[str, Any]:
    """Out of the catalogue; what is held stays usable. A second time changes nothing."""
    campaign = call.own_campaign()
    if campaign.listed:
        campaign.listed = False
        campaign.changed = True
        call.work.recorder(campaign).campaign_event(call.cause, CampaignUnpublished())
    return _answer(campaign)


def change_quantity(call: Call) -> dict[str, Any]:
    """Raise or lower the quantity, never below what is issued or exported. Stored codes that it lacks are made."""
    command: ChangeQuantity = call.command
    campaign = call.own_campaign()
    allow(campaign, "change quantity", call.now)
    committed = campaign.issued + campaign.exported
    if command.quantity < committed:
        raise Refused(QuantityBelowIssued(committed=committed, quantity=command.quantity))
    check_quantity(call.lane.facts, plan_of(campaign, quantity=command.quantity))
    if campaign.writes_codes_down() and command.quantity > MOST_STORED:
        raise Refused(TooManyToStore(most=MOST_STORED))
    check_code_space(campaign.pattern, command.quantity)
    set_quantity(call, campaign, command.quantity)
    return _answer(campaign) | {"quantity": campaign.quantity}


def stop(call: Call) -> dict[str, Any]:
    """End a campaign for good; coupons still held or reserved are voided in slices that follow.

    A dry run says how many these are.
    """
    command: StopCampaign = call.command
    campaign = call.own_campaign()
    allow(campaign, "stop", call.now)
    move(campaign, "stop", "stopped")
    call.work.set_due(campaign, None)
    call.work.recorder(campaign).campaign_event(call.cause, CampaignStopped(reason=command.reason))
    continue_campaign(call, campaign, VoidCampaign(reason=command.reason), 1)
    if call.record.dryrun:
        return _answer(campaign) | {"voided": would_be_void(call, campaign, ALL_OPEN).total()}
    return _answer(campaign)
