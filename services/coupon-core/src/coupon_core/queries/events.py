"""Events from the journal: a campaign's, as they were sent, and the history of one coupon."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from coupon_core.model.campaign import Campaign
from coupon_core.queries.asking import Number, Parameters, campaign_named, coupon_named, parameters
from coupon_core.queries.campaigns import OfParty, visible_campaign
from coupon_core.queries.coupons import visible_coupon
from coupon_core.queries.source import Source
from coupon_core.storage import reading
from coupon_core.storage.journal import unpacked

LARGEST_PAGE = 1_000
EVENTS_AT_ONCE = 50_000
"""Of a campaign's journal looked through for one coupon, in one thread's turn."""
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
OTHERS_FACTS = ("order", "amount", "discount", "paid", "at_party")
"""What a party that does not own the campaign is not told of what happened elsewhere."""


class CampaignEvents(Parameters):
    after_seq: Number = 0
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 200


async def of_campaign(source: Source, request: Request) -> Response:
    """GET /campaigns/{id}/events: events above `after_seq` in order, byte for byte as they were sent."""
    asked = parameters(request, CampaignEvents)
    lines: list[str] = []
    async with source.snapshot() as connection:
        campaign = await visible_campaign(connection, campaign_named(request), None)
        following = asked.after_seq + 1
        while len(lines) < asked.limit and following <= campaign.seq:
            rows = await reading.event_bodies(connection, campaign.id, following, BEGINNING, asked.limit)
            for first, _, packed in rows:
                lines += unpacked(packed)[max(0, following - first) :]
            if not rows:
                break
            following = rows[-1][0] + rows[-1][1]
    return _events(lines[: asked.limit])


async def of_coupon(source: Source, request: Request) -> Response:
    """GET /coupons/{coupon id}/history: the coupon's events in order."""
    asked = parameters(request, OfParty)
    named = coupon_named(request)
    async with source.snapshot() as connection:
        campaign, coupon = await visible_coupon(connection, *named, asked.party)
        own = campaign.coupon_id(coupon.number)
        subject = f'"subject":"{own}"'
        since = coupon.issued_at or BEGINNING
        lines: list[str] = []
        following = 1
        while following <= campaign.seq:
            rows = await reading.event_bodies(connection, campaign.id, following, since, EVENTS_AT_ONCE)
            if not rows:
                break
            # In a thread: a campaign's journal can be long, and the lanes share this event loop.
            lines += await asyncio.to_thread(reading.lines_with, subject.encode(), [packed for _, _, packed in rows])
            following = rows[-1][0] + rows[-1][1]
    # Somebody's own text within an event may look like a subject.
    lines = [line for line in lines if json.loads(line)["subject"] == own]
    if asked.party is not None and asked.party != campaign.owner:
        lines = [_for_other(line, campaign, asked.party) for line in lines]
    return _events(lines)


def actor_for(campaign: Campaign, party: str | None, actor: str) -> str | None:
    """Who acted, as staff and the owner are told; any other party hears of its own people alone."""
    if party in (None, campaign.owner) or actor.partition("/")[0] == f"merchant:{party}":
        return actor
    return None


def _for_other(line: str, campaign: Campaign, party: str) -> str:
    event: dict[str, Any] = json.loads(line)
    event["actor"] = actor_for(campaign, party, event["actor"])
    data = event["data"]
    if data.get("at_party") != party:
        event["data"] = data | {name: None for name in OTHERS_FACTS if name in data}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _events(lines: list[str]) -> Response:
    return Response(f'{{"events":[{",".join(lines)}]}}'.encode(), media_type="application/json")
