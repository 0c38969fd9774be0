"""One transaction: fence, load, decide one record after the other, write, commit."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from itertools import groupby

from coupon_core.codes.generated import GeneratedCodes
from coupon_core.decide import BARRIERS, decide
from coupon_core.lanes.lane import DecisionBroke, Lane, LanesLost
from coupon_core.lanes.loading import load, load_range
from coupon_core.lanes.writing import write_rest, write_state
from coupon_core.storage import Connection
from coupon_core.storage import lanes as lane_rows
from coupon_core.storage.journal import JournalRow
from coupon_core.work import Entry, Work
from process.failpoints import declare, failpoint

BEFORE_COMMIT = declare("core.before_commit")
AFTER_COMMIT = declare("core.after_commit")


async def decide_batch(
    connection: Connection,
    batch: Sequence[tuple[Lane, list[Entry]]],
    *,
    told: bool,
    partitions: int,
    codes: GeneratedCodes,
) -> tuple[Work, list[JournalRow]]:
    """Decide these entries in one transaction and bring the lanes up to date; nothing is sent here.

    Raises:
        LanesLost: the fence did not hold for some lanes; nothing was written.
        DecisionBroke: an operation raised; nothing was written.
        asyncpg.PostgresError, OSError: of the database; whether the commit went through is then unknown,
            the next fence tells.
    """
    work = Work({lane.partition: lane.state.copy() for lane, _ in batch}, told, partitions, codes)
    kept = {lane.partition: lane.kept for lane, _ in batch}
    async with connection.transaction():
        moved = await lane_rows.move_fenced(
            connection,
            [lane.partition for lane, _ in batch],
            [lane.epoch for lane, _ in batch],
            [lane.position for lane, _ in batch],
            [entries[-1].offset + 1 for _, entries in batch],
            [lane.emitted for lane, _ in batch],
        )
        lost = work.lanes.keys() - moved
        if lost:
            raise LanesLost(set(lost))
        for segment, is_range in _segments([entries for _, entries in batch]):
            if not is_range:
                await load(connection, work, segment, kept)
                for entry in segment:
                    _decide_one(work, entry)
                await write_state(connection, work)
                continue
            await load(connection, work, [entry for entry in segment if not _is_dry_run(entry)], kept)
            for entry in segment:
                if _is_dry_run(entry):
                    await _try(connection, work, entry)
                    continue
                await load_range(connection, work, entry)
                _decide_one(work, entry)
                await write_state(connection, work)
        rows = await write_rest(connection, work)
        failpoint(BEFORE_COMMIT)
    for lane, entries in batch:
        lane.state = work.lanes[lane.partition]
        lane.keep(campaign for campaign in work.campaigns.values() if campaign.partition == lane.partition)
        lane.position = entries[-1].offset + 1
    failpoint(AFTER_COMMIT)
    return work, rows


def _decide_one(work: Work, entry: Entry) -> None:
    try:
        decide(work, entry)
    except Exception as error:
        raise DecisionBroke(entry, "".join(traceback.format_exception(error))[-4_000:]) from error


async def _try(connection: Connection, work: Work, entry: Entry) -> None:
    """Decide a dry run on a view of its own, loaded for it; what came before is written. Only its answer stays."""
    lane = work.lanes[entry.partition].copy()
    trial = Work({entry.partition: lane}, work.told, work.partitions, work.codes)
    known = None if entry.record is None else work.outcomes[entry.partition].get(entry.record.id)
    if known is not None:
        trial.outcomes[entry.partition][known.command] = known
    await load(connection, trial, [entry])
    await load_range(connection, trial, entry)
    _decide_one(trial, entry)
    work.replies += trial.replies
    work.dead += trial.dead


def _segments(lanes: Sequence[list[Entry]]) -> Iterator[tuple[list[Entry], bool]]:
    """Rounds over all lanes at once: runs of ordinary commands, and ranges (barriers) by themselves, in order."""
    runs = [[(is_range, list(group)) for is_range, group in groupby(entries, is_barrier)] for entries in lanes]
    for number in range(max(len(run) for run in runs)):
        ordinary: list[Entry] = []
        ranges: list[Entry] = []
        for run in runs:
            if number < len(run):
                is_range, entries = run[number]
                (ranges if is_range else ordinary).extend(entries)
        if ordinary:
            yield ordinary, False
        if ranges:
            yield ranges, True


def is_barrier(entry: Entry) -> bool:
    """Whether a record ranges over many coupons, or is decided on a view of its own."""
    if entry.dead is not None or entry.record is None:
        return False
    return entry.record.dryrun or type(entry.record.data) in BARRIERS


def _is_dry_run(entry: Entry) -> bool:
    return entry.dead is None and entry.record is not None and entry.record.dryrun
