"""What is left to give, told when it has changed: a campaign is exhausted or replenished, or its pool is low."""

from __future__ import annotations

from contracts.events import CampaignExhausted, CampaignPoolLow, CampaignReplenished
from contracts.refusals import BudgetExhausted
from coupon_core.model.campaign import Campaign
from coupon_core.model.lifecycle import move, none_left
from coupon_core.work import Call


def note_exhausted(call: Call, campaign: Campaign) -> None:
    """active → exhausted when nothing is left to give, exhausted → active when there is again."""
    room = campaign.room()
    if campaign.state == "active" and room is not None and room <= 0:
        move(campaign, "exhaust", "exhausted")
        exhausted = CampaignExhausted(
            quantity=campaign.issued + campaign.exported,
            by="budget" if isinstance(none_left(campaign), BudgetExhausted) else "quantity",
            budget_reserved=None if campaign.budget is None else campaign.budget_reserved,
            budget_spent=None if campaign.budget is None else campaign.budget_spent,
        )
        call.work.recorder(campaign).campaign_event(call.cause, exhausted)
    elif campaign.state == "exhausted" and (room is None or room > 0):
        move(campaign, "replenish", "active")
        replenished = CampaignReplenished(
            quantity=campaign.quantity,
            budget_reserved=None if campaign.budget is None else campaign.budget_reserved,
            budget_spent=None if campaign.budget is None else campaign.budget_spent,
        )
        call.work.recorder(campaign).campaign_event(call.cause, replenished)


def note_pool_low(call: Call, campaign: Campaign, before: int | None) -> None:
    """Tell that the pool is low when this command took it from above the threshold; `before` is what was left then.

    A replenishment above the threshold needs no mark: the next command that crosses it tells it again.
    """
    threshold, left = campaign.terms.low_pool_at, campaign.stock_left()
    if threshold is not None and left is not None and left <= threshold and (before is None or before > threshold):
        call.work.recorder(campaign).campaign_event(call.cause, CampaignPoolLow(left=left, threshold=threshold))
