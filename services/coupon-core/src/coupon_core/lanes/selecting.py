"""Reads what a void means: of one by filter the next slice, and for any dry run how much there is in all."""

from __future__ import annotations

from contracts.commands import VoidMatching
from coupon_core.model.campaign import HELD, RESERVED, Campaign
from coupon_core.model.selecting import (
    Ranges,
    Selection,
    cut,
    means_codes,
    numbers_meant,
    still_open,
    too_many_to_count,
)
from coupon_core.storage import Connection
from coupon_core.storage import codes as code_rows
from coupon_core.storage import coupons as coupon_rows
from coupon_core.work import Entry, Work

SEARCHED = 1_000_000
"""Numbers one slice looks through for the first coupon that is meant, however few there are."""
RANGES_AT_ONCE = 1_000
"""Exported ranges one slice looks through."""


async def load_selection(connection: Connection, work: Work, entry: Entry, slice_of: int) -> Selection | None:
    """The slice of `slice_of` numbers the command begins with; None: there is no such campaign, or too much to count.

    What came before must be written. Coupons are those that the database holds, not yet taken into the view.
    """
    record = entry.record
    campaign = work.campaigns.get(entry.campaign_id())
    if record is None or campaign is None or not isinstance(record.data, VoidMatching):
        return None
    command = record.data
    if record.dryrun:
        return await _counted(connection, work, entry, campaign, command)
    above, upto = numbers_meant(campaign, command)
    matching = command.matching
    searched = upto if matching.users else min(upto, above + SEARCHED)
    ranges: Ranges = []
    if means_codes(campaign, matching):
        ranges, searched = await _ranges(connection, campaign.number, above, searched)
    first = await coupon_rows.first_meant(connection, matching, campaign.number, above, searched)
    begins = [number for number in (first, ranges[0][0] if ranges else None) if number is not None]
    if not begins:
        return Selection(upto=searched, more=searched < upto)
    above = min(begins) - 1
    end = min(searched, above + slice_of)
    coupons = await coupon_rows.all_meant(connection, matching, campaign.number, above, end)
    pieces = cut(ranges, above, end)
    codes = await code_rows.unheld(connection, campaign.number, pieces) if pieces else []
    return Selection(coupons, codes, end, end < upto)


async def _counted(
    connection: Connection, work: Work, entry: Entry, campaign: Campaign, command: VoidMatching
) -> Selection | None:
    """All that is meant, counted."""
    if too_many_to_count(campaign, command):
        return None
    above, upto = numbers_meant(campaign, command)
    ranges: Ranges = []
    if means_codes(campaign, command.matching):
        searched = above
        while searched < upto:
            more, searched = await _ranges(connection, campaign.number, searched, upto)
            ranges += more
    codes = await code_rows.unheld(connection, campaign.number, ranges) if ranges else []
    now = work.clock_at(entry) or entry.time
    tally = await coupon_rows.tally_of(connection, command.matching, campaign, above, upto, now)
    return Selection(codes=codes, tally=tally)


async def count_open(connection: Connection, work: Work, entry: Entry, campaign: Campaign) -> Selection:
    """All coupons that are held or reserved, counted: the campaign's counters know them, but for what is overdue."""
    tally = await coupon_rows.tally_of_overdue(connection, campaign, work.clock_at(entry) or entry.time)
    for state in (HELD, RESERVED):
        overdue = sum(count for (of, _, _), count in tally.items() if of == state)
        tally[state, False, None] = campaign.counts[state] - overdue
    return Selection(tally=tally)


async def _ranges(connection: Connection, campaign: int, above: int, upto: int) -> tuple[Ranges, int]:
    """Exported ranges that are not void, and the number up to which these are all."""
    exported = await code_rows.exported_between(connection, campaign, above, upto, RANGES_AT_ONCE)
    voided = await code_rows.voided_between(connection, campaign, above, upto, RANGES_AT_ONCE)
    full = [ranges[-1][1] for ranges in (exported, voided) if len(ranges) == RANGES_AT_ONCE]
    searched = min([upto, *full])
    return still_open(exported, voided, above, searched), searched
