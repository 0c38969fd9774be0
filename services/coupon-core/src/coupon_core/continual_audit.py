"""The audit that always runs: what changed since it last looked, and a pass over everything, again and again.

Each process looks at the lanes it owns. It reads in short transactions of their own moment, holds up no lane, and
rests after each step so long that it is at work for no more than its share of the time. A difference is logged as an
error and stands in the metric until it is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from coupon_core.audit import ROWS_AT_ONCE, broken_links, item
from coupon_core.storage import Connection, chains
from coupon_core.storage.auditing import Difference, check_campaigns, check_lanes, one_moment
from coupon_core.storage.chains import Audited
from messaging.not_now import database_is_away
from process.database import Pool

CAMPAIGNS_AT_ONCE = 100
COUPONS_AT_ONCE = 50_000
"""Campaigns are looked at together while they have no more coupons."""
FEW_EVENTS = 200
"""Chains of so many events are followed together."""
PAUSE_SECONDS = 2.0
"""Between two passes, and while there is nothing to do."""
TROUBLE_SECONDS = 5.0

DIFFERENCES = Gauge("scrip_core_audit_differences", "Differences that stand, of this process's lanes: 0, or page.")
PASS_AGE = Gauge("scrip_core_audit_full_pass_age_seconds", "Since the last pass over everything was done.")
SECONDS = Counter("scrip_core_audit_seconds", "Time spent by the audit that always runs.")
CAMPAIGNS = Counter("scrip_core_audit_campaigns", "Campaigns it has looked at.")
EVENTS = Counter("scrip_core_audit_events", "Events whose chain it has followed.")
BEHIND = Gauge("scrip_core_audit_behind_rows", "Journal rows appended and not yet looked at.")

logger = structlog.get_logger()


class ContinualAudit:
    """Run `run` as a task; `lanes` says which are owned now, `share` how much of the time it may be at work."""

    def __init__(self, pool: Pool, lanes: Callable[[], Collection[int]], share: float) -> None:
        self._pool = pool
        self._lanes = lanes
        self._share = share
        self._looked_at: dict[int, int] = {}
        """By lane, the journal row up to which changes were looked at."""
        self._changed: dict[UUID, None] = {}
        self._place = -1
        """The number of the last campaign of the pass under way."""
        self._in_pass: set[UUID] = set()
        self._tables: dict[UUID | None, list[Difference]] = {}
        """Differences that stand, by campaign; None: of lanes."""
        self._chains: dict[UUID, list[Difference]] = {}
        self._told: set[tuple[UUID | None, int | None, str]] = set()
        self._pass_done = time.monotonic()
        PASS_AGE.set_function(lambda: time.monotonic() - self._pass_done)

    async def run(self) -> None:
        """Look, and rest, for ever."""
        while True:
            try:
                lanes = sorted(self._lanes())
                done = not lanes
                if lanes:
                    await self._look_at_changes(lanes)
                    done = await self._go_on_with_the_pass(lanes)
                self._tell()
                if done:
                    await asyncio.sleep(PAUSE_SECONDS)
            except Exception as error:
                if database_is_away(error):
                    logger.warning("The audit waits for the database.", action="audit_not_now", error=repr(error))
                else:
                    logger.error("The audit broke: our bug.", action="audit_broke", exc_info=error)
                await asyncio.sleep(TROUBLE_SECONDS)

    async def _rest(self, started: float) -> None:
        """After work since `started`, so long that the share is kept."""
        seconds = time.monotonic() - started
        SECONDS.inc(seconds)
        await asyncio.sleep(seconds * (1 / self._share - 1))

    # --- what changed

    async def _look_at_changes(self, lanes: Sequence[int]) -> None:
        started = time.monotonic()
        for lane in self._looked_at.keys() - set(lanes):
            del self._looked_at[lane]
        async with self._pool.acquire() as connection:
            ends = await chains.ends_of(connection, lanes)
            for lane, end in ends.items():
                # What was appended before this process owned the lane is for the pass over everything.
                since = self._looked_at.setdefault(lane, end)
                if since == end:
                    continue
                rows = await chains.appended_after(connection, lane, since, ROWS_AT_ONCE)
                self._looked_at[lane] = end if len(rows) < ROWS_AT_ONCE else rows[-1][0]
                for difference in await asyncio.to_thread(broken_links, [row for _, row in rows]):
                    if difference.campaign is not None:
                        self._chains.setdefault(difference.campaign, []).append(difference)
                EVENTS.inc(sum(row.count for _, row in rows))
                self._changed |= dict.fromkeys(row.campaign for _, row in rows)
            BEHIND.set(sum(end - self._looked_at[lane] for lane, end in ends.items()))
            if self._changed:
                ids = list(self._changed)[:CAMPAIGNS_AT_ONCE]
                found = await chains.campaigns_with(connection, ids)
                looked_at = _together(found)
                await self._check(connection, looked_at)
                later = {campaign.id for campaign in found} - {campaign.id for campaign in looked_at}
                for campaign in set(ids) - later:
                    del self._changed[campaign]
        await self._rest(started)

    # --- everything, again and again

    async def _go_on_with_the_pass(self, lanes: Sequence[int]) -> bool:
        """Look at the next campaigns; whether the pass is done."""
        started = time.monotonic()
        async with self._pool.acquire() as connection:
            campaigns = _together(await chains.campaigns_after(connection, self._place, lanes, CAMPAIGNS_AT_ONCE))
            if campaigns:
                await self._check(connection, campaigns)
                self._place = campaigns[-1].number
                self._in_pass |= {campaign.id for campaign in campaigns}
            else:
                async with one_moment(connection, whole_tables=True):
                    self._tables[None] = await check_lanes(connection)
        await self._rest(started)
        few = [campaign.id for campaign in campaigns if campaign.seq <= FEW_EVENTS]
        if few:
            await self._follow_all(few)
        for campaign in campaigns:
            if campaign.seq > FEW_EVENTS:
                await self._follow(campaign)
        if campaigns:
            return False
        # Campaigns of lanes that went to another process are its to tell of.
        self._tables = {each: found for each, found in self._tables.items() if each is None or each in self._in_pass}
        self._chains = {each: found for each, found in self._chains.items() if each in self._in_pass}
        self._place, self._in_pass, self._pass_done = -1, set(), time.monotonic()
        return True

    async def _check(self, connection: Connection, campaigns: list[Audited]) -> None:
        if not campaigns:
            return
        async with one_moment(connection, whole_tables=False):
            differences = await check_campaigns(connection, [campaign.number for campaign in campaigns])
        for campaign in campaigns:
            self._tables[campaign.id] = [each for each in differences if each.campaign == campaign.id]
        CAMPAIGNS.inc(len(campaigns))

    async def _follow_all(self, campaigns: list[UUID]) -> None:
        """Follow the chains of campaigns with few events."""
        started = time.monotonic()
        async with self._pool.acquire() as connection:
            rows = await chains.all_rows_of(connection, campaigns)
        differences = await asyncio.to_thread(broken_links, rows)
        for campaign in campaigns:
            self._chains[campaign] = [each for each in differences if each.campaign == campaign]
        EVENTS.inc(sum(row.count for row in rows))
        await self._rest(started)

    async def _follow(self, campaign: Audited) -> None:
        """Follow the campaign's chain from its first event, with rests: it may be long."""
        differences: list[Difference] = []
        first_seq, before = 0, None
        while True:
            started = time.monotonic()
            async with self._pool.acquire() as connection:
                rows = await chains.rows_after(connection, campaign.id, first_seq, before, ROWS_AT_ONCE)
            differences += await asyncio.to_thread(broken_links, rows)
            EVENTS.inc(sum(row.count for row in rows))
            await self._rest(started)
            if len(rows) < ROWS_AT_ONCE:
                break
            first_seq, before = rows[-1].first_seq, rows[-1].chain
        self._chains[campaign.id] = differences

    # --- what was found

    def _tell(self) -> None:
        standing = [each for found in (*self._tables.values(), *self._chains.values()) for each in found]
        DIFFERENCES.set(len(standing))
        known = {(each.campaign, each.lane, each.what): each for each in standing}
        for key in known.keys() - self._told:
            logger.error("The audit found a difference.", action="audit_difference", **item(known[key]))
        for campaign, lane, what in self._told - known.keys():
            logger.info(
                "A difference the audit had found is gone.",
                action="audit_difference_gone",
                campaign=str(campaign),
                lane=lane,
                what=what,
            )
        self._told = set(known)


def _together(campaigns: list[Audited]) -> list[Audited]:
    """The first of these that have no more coupons together than are looked at in one step; one at least."""
    taken: list[Audited] = []
    coupons = 0
    for campaign in campaigns:
        coupons += campaign.issued
        if taken and coupons > COUPONS_AT_ONCE:
            break
        taken.append(campaign)
    return taken
