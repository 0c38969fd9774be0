"""Lists by page number, for dialects that count pages: core counts by what came last."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from gateway.core_client import CoreClient

CAMPAIGNS_PAGE = 200
CODES_PAGE = 1_000
MOST_CAMPAIGNS = 2_000

Item = dict[str, Any]


async def all_campaigns(core: CoreClient, party: str) -> list[Item]:
    """The campaigns a party may see, at most 2,000 of them."""
    found: list[Item] = []
    after: str | None = None
    while len(found) < MOST_CAMPAIGNS:
        page = await core.campaigns(party, after=after, limit=CAMPAIGNS_PAGE)
        found += page["campaigns"]
        after = page["next"]
        if after is None:
            break
    return found[:MOST_CAMPAIGNS]


async def codes_page(core: CoreClient, party: str, campaign: UUID | None, page: int, limit: int) -> Item | None:
    """`{"codes", "total"}`: page `page` (from 1) of the codes of a campaign, or of all; each with `in_campaign`.

    None where the campaign is not this party's to see.
    """
    if campaign is None:
        campaigns = await all_campaigns(core, party)
    else:
        view = await core.campaign(campaign, party)
        if view is None:
            return None
        campaigns = [view]
    first = (page - 1) * limit
    codes: list[Item] = []
    total = 0
    for view in campaigns:
        count = count_of(view)
        if total + count > first and len(codes) < limit:
            skip = max(first - total, 0)
            listed = await _codes(core, party, UUID(view["id"]), skip, limit - len(codes))
            codes += [{**code, "in_campaign": view} for code in listed]
        total += count
    return {"codes": codes, "total": total}


def count_of(campaign: Item) -> int:
    """How many codes a campaign has: issued, uploaded and not given out, exported."""
    return sum(int(campaign.get(name) or 0) for name in ("issued", "available_codes", "exported"))


async def _codes(core: CoreClient, party: str, campaign: UUID, skip: int, limit: int) -> list[Item]:
    """`limit` codes after the first `skip` ones."""
    found: list[Item] = []
    after: int | None = 0
    while after is not None and len(found) < skip + limit:
        page = await core.campaign_codes(campaign, party, after=after, limit=min(CODES_PAGE, skip + limit - len(found)))
        if page is None:
            break
        found += page["codes"]
        after = page["next"]
    return found[skip:]
