"""Loads into the view what a segment of a batch touches, with a few set-based reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType
from uuid import UUID

from contracts.commands import (
    AdvanceClock,
    ClaimCoupon,
    CouponReference,
    ExportCodes,
    IssueCoupons,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ReturnCoupon,
    RunDue,
    StopCampaign,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
    VoidMatching,
)
from coupon_core.answering import block_indexes
from coupon_core.codes.generated import block_of, index_of, normalise, number_at
from coupon_core.lanes.selecting import count_open, load_selection
from coupon_core.model.campaign import REDEEMED, Campaign, Coupon
from coupon_core.model.periods import Period, period_limits, period_start
from coupon_core.operations.serials import own_codes
from coupon_core.storage import Connection
from coupon_core.storage import campaigns as campaign_rows
from coupon_core.storage import codes as code_rows
from coupon_core.storage import coupons as coupon_rows
from coupon_core.storage import lanes as lane_rows
from coupon_core.storage import outcomes as outcome_rows
from coupon_core.storage import periods as period_rows
from coupon_core.work import DueRange, Entry, Work

SLICE = 5_000
"""Most coupons one slice of a range changes."""
DUE_CAMPAIGNS = 256
IN_SLICES = frozenset({RunDue, VoidCampaign, VoidMatching})
"""Commands whose last slice may answer the command that began the work."""


class _Wanted:
    """Keys to load, gathered from the commands of a segment."""

    def __init__(self) -> None:
        self.users: dict[tuple[int, str], None] = {}
        self.numbers: dict[tuple[int, int], None] = {}
        self.codes: dict[tuple[int, str], None] = {}
        self.uploaded: dict[tuple[int, str], None] = {}
        self.free: Counter[int] = Counter()
        self.expected: Counter[int] = Counter()
        self.generated: dict[tuple[int, str], None] = {}
        self.ranges: dict[tuple[int, int], None] = {}
        self.block_indexes: dict[tuple[int, int], None] = {}
        self.periods: dict[tuple[int, Period, date], None] = {}
        self.redemptions = False
        self.returned: set[tuple[int, str | int]] = set()
        """(campaign, user, code or number) of coupons of which all redemptions are asked for, not the latest alone."""


async def load(
    connection: Connection,
    work: Work,
    entries: Sequence[Entry],
    kept: Mapping[int, dict[UUID, Campaign]] = MappingProxyType({}),
) -> None:
    """Load outcomes, campaigns, coupons, codes and blocks that these entries may touch.

    `kept`: by lane, campaigns that need not be read (`Lane.kept`); those touched are taken out of it.
    """
    commands: set[tuple[int, UUID]] = set()
    for entry in entries:
        if entry.record is not None:
            # Of the dead too: a repeat may not take the first one's place.
            commands.add((entry.partition, entry.record.id))
            waiting = entry.record.data.waiting if type(entry.record.data) in IN_SLICES else None
            if waiting is not None:
                commands.add((entry.partition, waiting.command))
    missing = [(lane, command) for lane, command in commands if command not in work.outcomes[lane]]
    if missing:
        for outcome in await outcome_rows.outcomes_of(connection, missing):
            work.outcomes[outcome.partition][outcome.command] = outcome
    ids: dict[UUID, None] = {}
    for entry in entries:
        if entry.campaign is not None and entry.dead is None and entry.campaign not in work.campaigns:
            at_hand = kept[entry.partition].pop(entry.campaign, None) if kept else None
            if at_hand is None:
                ids[entry.campaign] = None
            else:
                _take_in(work, at_hand)
    if ids:
        for campaign in await campaign_rows.campaigns_by_id(connection, list(ids)):
            work.campaigns[campaign.id] = campaign
    wanted = _gather(work, entries)
    work.expected = dict(wanted.expected)
    await _load_blocks(connection, work, wanted)
    await _load_coupons(connection, work, wanted)
    periods = [key for key in wanted.periods if key not in work.period_counts]
    if periods:
        for count in await period_rows.counts_of(connection, periods):
            work.period_counts[count.campaign, count.period, count.first] = count


def _take_in(work: Work, campaign: Campaign) -> None:
    """A campaign that is known, into the view; and the block its next codes are made of."""
    work.campaigns[campaign.id] = campaign
    if campaign.block is not None:
        index, block, version = campaign.block
        work.blocks[block] = (campaign.number, index, version)
        work.block_at[campaign.number, index] = (block, version)


def _gather(work: Work, entries: Sequence[Entry]) -> _Wanted:
    wanted = _Wanted()
    for entry in entries:
        if entry.record is None or entry.dead is not None or entry.campaign is None:
            continue
        campaign = work.campaigns.get(entry.campaign)
        if campaign is None:
            continue
        command = entry.record.data
        number = campaign.number
        outcome = work.outcomes[entry.partition].get(entry.record.id)
        if outcome is not None and campaign.takes_blocks() and outcome.body is not None:
            for index in block_indexes(outcome.body):  # of the coupons in an answer that will be given again
                wanted.block_indexes[number, index] = None
        match command:
            case ClaimCoupon():  # the most frequent first: to be told that it is another kind costs most
                _want_new(wanted, work, campaign, [(command.user, command.code)])
            case IssueCoupons():
                _want_new(wanted, work, campaign, [(row.user, row.code) for row in command.rows])
            case RedeemCoupon() | ReserveCoupon() | ReleaseCoupon() | ReturnCoupon():
                wanted.redemptions = True
                if isinstance(command, ReturnCoupon):
                    _want_all_redemptions(wanted, number, command.coupon)
                _want_reference(work, wanted, campaign, command.coupon)
            case VoidCoupons():
                wanted.redemptions = True
                for reference in command.coupons:
                    _want_reference(work, wanted, campaign, reference)
            case UploadCodes():
                for shown in command.codes:
                    code = normalise(shown)
                    if code is not None:
                        wanted.uploaded[number, code] = None
            case ExportCodes():
                # Blocks beyond the one that the next number stands in are taken by no campaign yet.
                wanted.block_indexes[number, index_of(campaign.last_number + 1)] = None
    return wanted


def _want_new(wanted: _Wanted, work: Work, campaign: Campaign, rows: Sequence[tuple[str, str | None]]) -> None:
    number = campaign.number
    if campaign.terms.per_user_limit is not None or campaign.terms.per_user_day_limit is not None:
        for user, _ in rows:
            wanted.users[number, user] = None
    clock = work.lanes[campaign.partition].clock if campaign.counted else None
    if clock is not None:
        # Time only goes on: nothing is counted yet in a period that begins after the clock.
        for period, _ in period_limits(campaign.terms):
            wanted.periods[number, period, period_start(period, clock, campaign.terms.validity.zone)] = None
    if campaign.supply == "uploaded":
        wanted.free[number] += len(rows)
    elif campaign.supply == "given":
        for _, given in rows:
            code = None if given is None else normalise(given)
            if code is not None:
                wanted.codes[number, code] = None
    elif campaign.supply == "generated":
        wanted.expected[number] += len(rows)
        if campaign.pattern is not None:
            return
        for index in range(index_of(campaign.last_number + 1), index_of(campaign.last_number + len(rows) + 1) + 1):
            wanted.block_indexes[number, index] = None


def _want_reference(work: Work, wanted: _Wanted, campaign: Campaign, reference: CouponReference) -> None:
    number = campaign.number
    if reference.number is not None:
        wanted.numbers[number, reference.number] = None
        if campaign.takes_blocks():
            wanted.block_indexes[number, index_of(reference.number)] = None
        return
    if reference.code is None or campaign.supply == "shared":
        if reference.user is not None:
            wanted.users[number, reference.user] = None
        return
    if campaign.supply == "generated":
        own = own_codes(work.codes, campaign)
        if own is None:
            wanted.generated[number, reference.code] = None
            return
        named = own.number_of(reference.code)
        if named is not None and named <= (campaign.quantity or 0):
            wanted.numbers[number, named] = wanted.ranges[number, named] = None
            if (number, reference.code) in wanted.returned:
                wanted.returned.add((number, named))
        return
    code = normalise(reference.code)
    if code is not None:
        wanted.codes[number, code] = None
        if campaign.supply == "uploaded":
            wanted.uploaded[number, code] = None
            wanted.free[number] += 1


def _want_all_redemptions(wanted: _Wanted, campaign: int, reference: CouponReference) -> None:
    code = None if reference.code is None else normalise(reference.code)
    for named in (reference.number, reference.code, code, reference.user):
        if named is not None:
            wanted.returned.add((campaign, named))


async def _load_blocks(connection: Connection, work: Work, wanted: _Wanted) -> None:
    serials = {key: work.codes.serial_of(key[1]) for key in wanted.generated}
    blocks = {block_of(serial) for serial in serials.values() if serial is not None} - work.blocks.keys()
    found: list[tuple[int, int, int, int]] = []
    if blocks:
        found += await code_rows.blocks_by_number(connection, list(blocks))
    indexes = wanted.block_indexes.keys() - work.block_at.keys()
    if indexes:
        found += await code_rows.blocks_at(connection, list(indexes))
    for block, campaign, index, version in found:
        work.blocks[block] = (campaign, index, version)
        work.block_at[campaign, index] = (block, version)
    ranges: list[tuple[int, int]] = list(wanted.ranges)
    for (campaign, code), serial in serials.items():
        at = None if serial is None else work.blocks.get(block_of(serial))
        if serial is None or at is None or at[0] != campaign:
            continue
        number = number_at(at[1], serial)
        wanted.numbers[campaign, number] = None
        if (campaign, code) in wanted.returned:
            wanted.returned.add((campaign, number))
        ranges.append((campaign, number))
    if ranges:
        for campaign, first, last, void_first, void_last in await code_rows.ranges_with(connection, ranges):
            known = work.exported.setdefault(campaign, [])
            if (first, last) not in known:
                known.append((first, last))
            if void_first is not None and void_last is not None:
                void = work.voided.setdefault(campaign, [])
                if (void_first, void_last) not in void:
                    void.append((void_first, void_last))


async def _load_coupons(connection: Connection, work: Work, wanted: _Wanted) -> None:
    users = [pair for pair in wanted.users if pair not in work.loaded_users]
    if users:
        for pair in users:
            work.by_user[pair] = []
            work.loaded_users.add(pair)
        for coupon in _merged(work, await coupon_rows.coupons_of_users(connection, users)):
            work.by_user[coupon.campaign, coupon.user or ""].append(coupon)
    numbers = [pair for pair in wanted.numbers if pair not in work.coupons]
    if numbers:
        _merged(work, await coupon_rows.coupons_by_number(connection, numbers))
    codes = [pair for pair in wanted.codes if work.by_code.get(pair) is None]
    if codes:
        for coupon in _merged(work, await coupon_rows.coupons_by_code(connection, codes)):
            work.by_code[coupon.campaign, coupon.code or ""] = coupon
    uploaded = [pair for pair in wanted.uploaded if work.uploaded.get(pair) is None]
    if uploaded:
        for campaign, code in await code_rows.uploaded_codes(connection, uploaded):
            work.uploaded[campaign, code.code] = code
    if wanted.free:
        for campaign in wanted.free:
            work.free_codes[campaign] = []
        for campaign, code in await code_rows.free_codes(connection, list(wanted.free.items())):
            known = work.uploaded.setdefault((campaign, code.code), code)
            work.free_codes[campaign].append(known if known is not None else code)
    if wanted.redemptions:
        await _load_redemptions(connection, work, wanted)


async def _load_redemptions(connection: Connection, work: Work, wanted: _Wanted) -> None:
    """All redemptions of coupons to be returned; of others the latest, which a refusal may name."""
    meant: list[tuple[Coupon | None, bool]] = []
    for number in wanted.numbers:
        meant.append((work.coupons.get(number), number in wanted.returned))
    for user in wanted.users:
        meant += [(coupon, user in wanted.returned) for coupon in work.by_user.get(user, [])]
    for code in wanted.codes:
        meant.append((work.by_code.get(code), code in wanted.returned))
    most: dict[tuple[int, int], int] = {}
    for coupon, all_of_them in meant:
        if coupon is None or (coupon.state != REDEEMED and not all_of_them):
            continue
        key = (coupon.campaign, coupon.number)
        needed = coupon.redemptions if all_of_them else min(coupon.redemptions, 1)
        if len(work.redemptions.get(key, ())) < needed:
            most[key] = max(needed, most.get(key, 0))
    if most:
        known = {key: {row.number: row for row in work.redemptions.get(key, ())} for key in most}
        for row in await coupon_rows.redemptions_of(connection, list(most), list(most.values())):
            known[row.campaign, row.coupon].setdefault(row.number, row)
        for key, rows in known.items():
            work.redemptions[key] = [rows[number] for number in sorted(rows)]


def _merged(work: Work, coupons: Sequence[Coupon]) -> list[Coupon]:
    """The view's own object where it has one, else the loaded one taken into the view."""
    return [work.coupons.setdefault((coupon.campaign, coupon.number), coupon) for coupon in coupons]


async def load_range(connection: Connection, work: Work, entry: Entry) -> None:
    """Load the slice a barrier ranges over into `work.due` or `work.selection`; what came before must be written.

    For a dry run of what voids coupons: how many there are. Where time is told: when something is due in the lane; what
    its owner remembers may be too early, and another owner would not remember it.
    """
    record = entry.record
    work.due = work.selection = None
    if record is None or entry.dead is not None:
        return
    if isinstance(record.data, VoidMatching):
        work.selection = await load_selection(connection, work, entry, SLICE)
        if work.selection is not None:
            work.selection.coupons = _merged(work, work.selection.coupons)
    elif isinstance(record.data, AdvanceClock):
        work.lanes[entry.partition].next_due = await lane_rows.next_due(connection, entry.partition)
    elif isinstance(record.data, RunDue):
        work.due = await _due_slice(connection, work, entry)
    elif record.dryrun and isinstance(record.data, VoidCampaign | StopCampaign):
        campaign = work.campaigns.get(entry.campaign_id())
        if campaign is not None:
            work.selection = await count_open(connection, work, entry, campaign)
    elif isinstance(record.data, VoidCampaign):
        campaign = work.campaigns.get(entry.campaign_id())
        if campaign is None:
            return
        coupons = await coupon_rows.open_coupons_after(connection, [(campaign.number, record.data.after, SLICE + 1)])
        part = _merged(work, coupons[:SLICE])
        work.due = DueRange([(campaign, part)], more=len(coupons) > SLICE)


async def _due_slice(connection: Connection, work: Work, entry: Entry) -> DueRange:
    """Campaigns by due time, then number, until the slice is full."""
    lane = work.lanes[entry.partition]
    now = max(lane.clock, entry.time) if lane.clock is not None and not work.told else (lane.clock or entry.time)
    found = await campaign_rows.campaigns_due(connection, entry.partition, now, DUE_CAMPAIGNS + 1)
    due = [work.campaigns.setdefault(campaign.id, campaign) for campaign in found[:DUE_CAMPAIGNS]]
    more = len(found) > DUE_CAMPAIGNS
    parts: list[tuple[Campaign, list[Coupon]]] = []
    left = SLICE
    ending: list[tuple[int, int, int]] = []
    running: list[Campaign] = []
    for campaign in due:
        open_coupons = campaign.open_coupons()
        if left <= 0 or (running and now >= campaign.ends) or (ending and now < campaign.ends):
            more = True  # one kind per slice, in order
            break
        if now >= campaign.ends:
            ending.append((campaign.number, campaign.swept, min(left, open_coupons)))
            left -= min(left, open_coupons)
        else:
            running.append(campaign)
        parts.append((campaign, []))
        if now >= campaign.ends and open_coupons > ending[-1][2]:
            more = True
            break
    places = {campaign.number: coupons for campaign, coupons in parts}
    if ending:
        for coupon in _merged(work, await coupon_rows.open_coupons_after(connection, ending)):
            places[coupon.campaign].append(coupon)
    elif running:
        numbers = [campaign.number for campaign in running]
        over = _merged(work, await coupon_rows.coupons_due(connection, numbers, now, SLICE + 1))
        for coupon in over[:SLICE]:
            places[coupon.campaign].append(coupon)
        work.next_due = await coupon_rows.next_due(connection, numbers, now)
        if len(over) > SLICE:
            more = True
            last, still = numbers.index(over[SLICE].campaign), over[SLICE].due_at
            parts = parts[: last + 1]  # those after it were not looked at
            if still is not None:
                work.next_due[over[SLICE].campaign] = still
    next_due = None if more else await lane_rows.next_due_after(connection, entry.partition, now)
    return DueRange(parts, more, next_due)
