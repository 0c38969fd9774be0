"""The view of a batch as it was before a command of the past: what the lane held then, so that it decides again.

What the command may touch is loaded as the lane loads it, and each thing is then put back to how the events up to
that command tell it. Rules, merchants' states and tools' rights are those the lane had been told by then.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from contracts.commands import AmendCampaign, VoidCampaign, VoidMatching
from coupon_core.lanes.loading import SLICE, load
from coupon_core.model.campaign import HELD, RESERVED, Campaign
from coupon_core.model.folding import Folding
from coupon_core.model.lane import LaneState
from coupon_core.model.selecting import of_all
from coupon_core.queries.looking_back import fold
from coupon_core.queries.source import Source
from coupon_core.storage import Connection
from coupon_core.storage.codes import codes_at
from coupon_core.storage.lanes import facts_before
from coupon_core.work import DueRange, Entry, UploadedCode, Work

REWOUND = (VoidCampaign, VoidMatching, AmendCampaign)
"""Barriers before which the view can be put back."""


async def rewound(
    source: Source, connection: Connection, entry: Entry, campaign: Campaign | None, seq: int, at: datetime
) -> Work:
    """The view in which `entry` was decided at `at`, when its campaign had `seq` events; 0: it was not there."""
    facts = await facts_before(connection, entry.partition, entry.offset)
    lane = LaneState(entry.partition, at, 0, 0, 0, facts)
    work = Work({entry.partition: lane}, source.core.told, source.core.partitions, source.codes)
    if campaign is None or seq == 0 or entry.record is None:
        return work
    # First the campaign alone: what is loaded depends on its terms and on how far its numbers had got.
    folding = Folding(campaign.id, upto=seq, number=campaign.number, partition=campaign.partition)
    await fold(connection, campaign, folding)
    work.campaigns[campaign.id] = _there(folding)
    await load(connection, work, [entry])
    work.outcomes.clear()
    ranged = isinstance(entry.record.data, VoidCampaign | VoidMatching)
    wanted = None if ranged else {number for _, number in work.coupons}
    folding = Folding(campaign.id, wanted, upto=seq, number=campaign.number, partition=campaign.partition)
    await fold(connection, campaign, folding)
    work.campaigns[campaign.id] = _there(folding)
    _put_back(work, folding)
    if campaign.number in work.free_codes:
        await _put_back_free_codes(connection, work, folding, entry.effects + 1)
    if isinstance(entry.record.data, VoidCampaign):
        after = entry.record.data.after
        still = [c for n, c in sorted(folding.coupons.items()) if n > after and c.state in (HELD, RESERVED)]
        work.coupons |= {(campaign.number, coupon.number): coupon for coupon in still}
        work.due = DueRange([(_there(folding), still[:SLICE])], more=len(still) > SLICE)
    elif isinstance(entry.record.data, VoidMatching):
        then = _there(folding)
        work.coupons |= {(campaign.number, number): coupon for number, coupon in folding.coupons.items()}
        work.selection = of_all(
            then, folding.coupons, folding.exported, folding.voided, entry.record.data, SLICE, dry_run=False, now=at
        )
    return work


def _there(folding: Folding) -> Campaign:
    if folding.campaign is None:
        raise ValueError("a campaign with events was created")
    return folding.campaign


def _put_back(work: Work, folding: Folding) -> None:
    """Coupons, uploaded codes, redemptions, exported ranges and counters of periods, as the events tell them."""
    campaign = _there(folding)
    for key, present in list(work.coupons.items()):
        then = folding.coupons.get(key[1])
        if then is None:
            del work.coupons[key]
        else:
            then.code = present.code
            work.coupons[key] = then
    for pair, held in work.by_user.items():
        keys = [(coupon.campaign, coupon.number) for coupon in held]
        work.by_user[pair] = [work.coupons[key] for key in keys if key in work.coupons]
    for code, coupon in work.by_code.items():
        work.by_code[code] = None if coupon is None else work.coupons.get((coupon.campaign, coupon.number))
    for name, uploaded in work.uploaded.items():
        if uploaded is not None and uploaded.position > campaign.last_number:
            work.uploaded[name] = None
        elif uploaded is not None:
            uploaded.taken = folding.knows(uploaded.position)
    work.exported[campaign.number] = list(folding.exported)
    work.voided[campaign.number] = list(folding.voided)
    work.redemptions = {(campaign.number, number): rows for number, rows in folding.redemptions.items()}
    for period in work.period_counts.values():
        period.issued = sum(period.begins <= at < period.ends for at in folding.issues)


async def _put_back_free_codes(connection: Connection, work: Work, folding: Folding, most: int) -> None:
    """The uploaded codes that were not given out then, next first."""
    campaign = _there(folding)
    free = (number for number in range(1, campaign.last_number + 1) if not folding.knows(number))
    codes: list[UploadedCode] = []
    for code in await codes_at(connection, campaign.number, list(islice(free, most))):
        known = work.uploaded.get((campaign.number, code.code))
        codes.append(code if known is None else known)
        work.uploaded[campaign.number, code.code] = codes[-1]
    work.free_codes[campaign.number] = codes
