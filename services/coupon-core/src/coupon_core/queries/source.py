"""Where all questions read: the pool, the clock by which they are judged, and the codes of coupons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from coupon_core.codes.generated import GeneratedCodes, block_of, index_of, serial_at
from coupon_core.lanes.looking_up import CommandLog
from coupon_core.lanes.loop import Core
from coupon_core.model.campaign import Campaign
from coupon_core.model.recording import instant
from coupon_core.operations.serials import own_codes
from coupon_core.storage import Connection
from coupon_core.storage.codes import blocks_at
from coupon_core.storage.reading import CouponView, snapshot
from process.database import Pool

SPARSE = 8
"""A run of serials is computed as a whole when at most so many times as many as are wanted lie in it."""


@dataclass(frozen=True, slots=True)
class Source:
    """What every question is answered from."""

    pool: Pool
    codes: GeneratedCodes
    core: Core
    log: CommandLog

    def snapshot(self) -> AbstractAsyncContextManager[Connection]:
        """A read-only connection that sees one moment. Raises TimeoutError when all connections are busy."""
        return snapshot(self.pool)

    def process_clock(self) -> datetime | None:
        """This process's time; None where time is told."""
        return None if self.core.told else datetime.now(UTC)

    def now(self, lane_clock: datetime | None) -> datetime | None:
        """As of when an answer about a lane holds: max(lane clock, process clock), or told time alone."""
        times = [time for time in (lane_clock, self.process_clock()) if time is not None]
        return max(times, default=None)

    async def blocks_between(
        self, connection: Connection, campaign: Campaign, first: int, last: int
    ) -> dict[tuple[int, int], tuple[int, int]]:
        """Blocks of the coupons first to last of a generated supply, as `serials.symbols_of_range` takes them."""
        if not campaign.takes_blocks():
            return {}
        indexes = range(index_of(first), index_of(last) + 1)
        found = await blocks_at(connection, [(campaign.number, index) for index in indexes])
        return {(number, index): (block, version) for block, number, index, version in found}

    async def codes_of(
        self, connection: Connection, coupons: Sequence[tuple[Campaign, CouponView]]
    ) -> list[str | None]:
        """The code of each coupon, in the same order."""
        wanted = {(campaign.number, index_of(coupon.number)) for campaign, coupon in coupons if campaign.takes_blocks()}
        blocks: dict[tuple[int, int], tuple[int, int]] = {}
        if wanted:
            for block, campaign_number, index, version in await blocks_at(connection, list(wanted)):
                blocks[campaign_number, index] = (block, version)
        serials: dict[tuple[int, int], tuple[int, int]] = {}
        for campaign, coupon in coupons:
            at = blocks.get((campaign.number, index_of(coupon.number)))
            if at is not None:
                serials[campaign.number, coupon.number] = (at[1], serial_at(at[0], coupon.number))
        generated = code_of_each(self.codes, set(serials.values()))

        def code(campaign: Campaign, coupon: CouponView) -> str | None:
            if campaign.supply == "shared":
                return campaign.code
            if campaign.supply == "generated":
                own = own_codes(self.codes, campaign)
                if own is not None:
                    return own.code_of(coupon.number)
                serial = serials.get((campaign.number, coupon.number))
                return None if serial is None else generated[serial]
            return coupon.code

        return [code(campaign, coupon) for campaign, coupon in coupons]


def code_of_each(codes: GeneratedCodes, serials: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Codes by (key version, serial): runs that are dense enough in one go, the others one by one."""
    made: dict[tuple[int, int], str] = {}
    for (version, _), group in groupby(sorted(serials), lambda pair: (pair[0], block_of(pair[1]))):
        members = [serial for _, serial in group]
        first, count = members[0], members[-1] - members[0] + 1
        if len(members) > 1 and count <= SPARSE * len(members):
            run = codes.codes_of(first, count, version)
            made |= {(version, serial): run[serial - first] for serial in members}
        else:
            made |= {(version, serial): codes.code_of(serial, version) for serial in members}
    return made


def instant_or_none(moment: datetime | None) -> str | None:
    """RFC 3339 with `Z`, or None."""
    return None if moment is None else instant(moment)
