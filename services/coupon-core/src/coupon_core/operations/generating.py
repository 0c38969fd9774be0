"""Codes written down before somebody holds one: a job in slices, each a command that carries the cursor.

A campaign that is being generated is given all of them first; one that goes on is given those that a raised quantity
lacks, and can be used meanwhile.

The codes follow from the campaign's id, its pattern and the code key, so the same job gives the same codes wherever
it was interrupted. A slice goes on from the campaign's own count, which codes uploaded meanwhile move, too; the cursor
tells a slice of this job from one that an older job left behind.
"""

from __future__ import annotations

from typing import Any

from contracts.commands import CancelGeneration, GenerateCodes
from contracts.events import (
    CampaignGenerated,
    CampaignGenerationFailed,
    CampaignGenerationProgressed,
    CampaignGenerationStarted,
    CampaignQuantityChanged,
)
from contracts.refusals import CampaignOver, CampaignStateForbids
from coupon_core.codes.generated import normalise
from coupon_core.model.campaign import LIVE_STATES, Campaign
from coupon_core.model.lifecycle import DONE_TO_IT, allow, move
from coupon_core.model.refused import Refused
from coupon_core.operations.continuing import continue_campaign
from coupon_core.operations.serials import own_codes
from coupon_core.operations.stock import note_exhausted, note_pool_low
from coupon_core.work import Call, UploadedCode

SLICE = 5_000
"""Codes one command writes down; each but the last is an event of progress."""


def begin(call: Call, campaign: Campaign, rules: dict[str, int]) -> None:
    """Generate the codes of a campaign that has become `generating`; without codes to write down it is active now.

    `rules`: versions of the building rules a draft was checked against when it was activated.
    """
    stored = campaign.writes_codes_down()
    started = CampaignGenerationStarted(total=campaign.quantity if stored else None, rules=rules)
    call.work.recorder(campaign).campaign_event(call.cause, started)
    if stored:
        _begin_job(call, campaign)
    else:
        _finish(call, campaign)


def write_missing(call: Call, campaign: Campaign, before: int) -> None:
    """Begin to write down the codes that the quantity has and that are not there; `before` is what it was.

    Where codes were missing before, a job is under way, which goes on up to what the quantity is by then.
    """
    if before <= campaign.last_number < (campaign.quantity or 0):
        _begin_job(call, campaign)


def _begin_job(call: Call, campaign: Campaign) -> None:
    campaign.job_began, campaign.job_from = call.now, campaign.last_number
    _write_slice(call, campaign)


def codes_missing(campaign: Campaign) -> bool:
    """Whether a campaign that goes on lacks codes, which a job writes down."""
    return (
        campaign.writes_codes_down()
        and campaign.state in LIVE_STATES
        and campaign.last_number < (campaign.quantity or 0)
    )


def generate_codes(call: Call) -> dict[str, Any]:
    """The next slice of the codes of a campaign; the last one makes one that is `generating` active."""
    command: GenerateCodes = call.command
    campaign = call.own_campaign()
    allow(campaign, "write codes", call.now)
    if not campaign.job_from < command.after <= campaign.last_number:
        raise Refused(CampaignStateForbids(state=campaign.state, operation="generated from there"))
    _write_slice(call, campaign)
    return {"campaign": campaign.text, "state": campaign.state, "done": campaign.last_number}


def _write_slice(call: Call, campaign: Campaign) -> None:
    """Write the next codes down and order the slice after them, or finish."""
    total, making = campaign.quantity or 0, campaign.state == "generating"
    if making and call.now >= campaign.ends:
        _fail(call, campaign, CampaignOver(ends=campaign.ends).as_json()["message"])
        return
    before = campaign.last_number
    count = min(SLICE, total - before)
    if count <= 0:  # the quantity was lowered meanwhile, or as many codes were uploaded
        if making:
            _finish(call, campaign)
        return
    work, own = call.work, own_codes(call.work.codes, campaign)
    if own is None:
        raise ValueError("codes are written down of campaigns with a pattern only")
    free = work.free_codes.setdefault(campaign.number, [])
    for position, shown in enumerate(own.codes_of(before + 1, count), start=before + 1):
        written = UploadedCode(position, normalise(shown) or shown, shown)
        work.new_codes.append((campaign.number, written))
        work.uploaded[campaign.number, written.code] = written
        free.append(written)
    campaign.last_number += count
    campaign.available += count
    campaign.changed = True
    done, recorder = campaign.last_number, work.recorder(campaign)
    if making and done == total:
        _finish(call, campaign)
        return
    recorder.campaign_event(call.cause, CampaignGenerationProgressed(done=done, total=total))
    if done < total:
        continue_campaign(call, campaign, GenerateCodes(after=done), done)


def cancel(call: Call) -> dict[str, Any]:
    """generating → failed; of a campaign that goes on, the quantity falls to the codes there are.

    The slice that is under way finds it so and ends.
    """
    command: CancelGeneration = call.command
    campaign = call.own_campaign()
    allow(campaign, "cancel generation", call.now)
    if campaign.state == "generating":
        _fail(call, campaign, command.reason)
    elif codes_missing(campaign):
        set_quantity(call, campaign, campaign.last_number, command.reason)
    else:
        raise Refused(CampaignStateForbids(state=campaign.state, operation=DONE_TO_IT["cancel generation"]))
    return {"campaign": campaign.text, "state": campaign.state, "done": campaign.last_number}


def set_quantity(call: Call, campaign: Campaign, quantity: int, reason: str | None = None) -> None:
    """Another quantity; `reason`: why a job was given up. Stored codes that it lacks are made."""
    before, left = campaign.quantity, campaign.stock_left()
    campaign.quantity = quantity
    campaign.changed = True
    changed = CampaignQuantityChanged(before=before, after=quantity, reason=reason)
    call.work.recorder(campaign).campaign_event(call.cause, changed)
    if campaign.writes_codes_down() and campaign.state != "draft":
        write_missing(call, campaign, before or 0)
    note_pool_low(call, campaign, left)
    note_exhausted(call, campaign)


def _finish(call: Call, campaign: Campaign) -> None:
    move(campaign, "finish generating", "active")
    call.work.recorder(campaign).campaign_event(call.cause, CampaignGenerated(quantity=campaign.quantity))


def _fail(call: Call, campaign: Campaign, reason: str) -> None:
    move(campaign, "fail generating", "failed")
    call.work.set_due(campaign, None)
    call.work.recorder(campaign).campaign_event(
        call.cause,
        CampaignGenerationFailed(reason=reason, done=campaign.last_number, total=campaign.quantity or 0),
    )
