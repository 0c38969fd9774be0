"""Is an answer the one the model promised, and are a campaign's events 1..n of what can have happened?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.answers import Reply
from contracts.commands import CommandRecord
from tests.coupon_core.never_wrong.pure_coupons import Answer
from tests.coupon_core.never_wrong.pure_model import Model
from tests.failures.checker import holds
from tests.failures.evidence import LogRecord
from tests.failures.story import EVENT_NAMES, Event, Story


class Wrong(AssertionError):
    """What was decided is not what was promised."""


@dataclass(frozen=True)
class KeptCoupon:
    """A coupon as it is kept."""

    user: str | None
    state: str
    order: str | None
    redemptions: int
    spent: int
    holds: int | None
    """Units the reserving order holds."""


@dataclass(frozen=True)
class KeptCampaign:
    """A campaign as it is kept: its counters, and its coupons by number."""

    state: str
    quantity: int | None
    issued: int
    exported: int
    budget_reserved: int
    budget_spent: int
    counters: dict[str, int]
    coupons: dict[int, KeptCoupon]


def check_rows(models: Iterable[Model], kept: dict[str, KeptCampaign]) -> None:
    """Raises Wrong when what is kept is not what the models say."""
    promised = {
        name: KeptCampaign(
            campaign.state,
            campaign.quantity,
            len(campaign.coupons),
            len(campaign.exported),
            campaign.budget_reserved,
            campaign.budget_spent,
            campaign.counted(),
            {
                number: KeptCoupon(
                    coupon.user, coupon.state, coupon.order, len(coupon.redemptions), coupon.spent, coupon.holds
                )
                for number, coupon in campaign.coupons.items()
                if number not in campaign.void_codes
            },
        )
        for model in models
        for name, campaign in model.campaigns.items()
    }
    for name in sorted(promised.keys() | kept.keys()):
        if promised.get(name) != kept.get(name):
            raise Wrong(f"campaign {name} is {kept.get(name)}, and must be {promised.get(name)}")


def learn_codes(model: Model, record: CommandRecord, reply: Reply) -> None:
    """Remember which number an answered code that Scrip made stands for."""
    campaign = model.campaigns.get(record.subject)
    made = campaign is not None and (campaign.supply == "generated" or campaign.stored)
    if campaign is None or not made or reply.result is None:
        return
    for row in (reply.result, *reply.result.get("rows", ()), *reply.result.get("codes", ())):
        if "code" in row:
            campaign.codes[row["code"]] = int(row["coupon"].rpartition(".")[2])


def check_answer(answer: Answer, reply: Reply, asked: str) -> None:
    """Raises Wrong when the reply to what was asked is not the answer that was promised."""
    if answer.later:
        raise Wrong(f"{asked} was answered {reply.result} before its work was done")
    code = None if reply.refusal is None else reply.refusal.code
    right = code in answer.refused if answer.refused else code is None and reply.status == "done"
    if not right or not holds(reply.result or {}, answer.facts):
        raise Wrong(f"{asked} was answered {reply.status} {code} {reply.result}: promised is {answer}")


def check_tried(answer: Answer, reply: Reply, asked: str) -> None:
    """The same of a dry run, which names no code."""
    check_answer(answer, reply, asked)
    result = reply.result or {}
    if any("code" in row for row in (result, *result.get("rows", ()), *result.get("codes", ()))):
        raise Wrong(f"{asked} names a code: {result}")


def check_story(campaign: str, lines: Sequence[str]) -> None:
    """Raises Wrong when a campaign's events are not 1..n, or tell what cannot have happened."""
    story = Story(campaign)
    for number, line in enumerate(lines, 1):
        event: dict[str, Any] = json.loads(line)
        if event["seq"] != number:
            raise Wrong(f"{campaign}: event {number} has the number {event['seq']}")
        place = LogRecord("", 0, 0, 0, None, None)
        name = EVENT_NAMES[event["type"]]
        story.tell(Event(campaign, number, name, event["causationid"], event["data"], line.encode(), place))
    if story.wrongs:
        raise Wrong(str(story.wrongs[0]))
