"""Counters of the periods in which a campaign limits what is issued."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from coupon_core.model.periods import Period
from coupon_core.storage import Connection, columns
from coupon_core.work import PeriodCount

LOAD = """
SELECT p.campaign, p.period, p.first, p.begins, p.ends, p.issued, p.most
FROM unnest($1::bigint[], $2::text[], $3::date[]) AS wanted(campaign, period, first)
JOIN period_count p ON p.campaign = wanted.campaign AND p.period = wanted.period AND p.first = wanted.first
"""


async def counts_of(connection: Connection, wanted: Sequence[tuple[int, Period, date]]) -> list[PeriodCount]:
    """Those of the counters (campaign number, period, its first day) that anything was ever issued in."""
    return [PeriodCount(*row) for row in await connection.fetch(LOAD, *columns(wanted))]


WRITE = """
INSERT INTO period_count (campaign, period, first, begins, ends, issued, most)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::date[], $4::timestamptz[], $5::timestamptz[], $6::bigint[],
    $7::bigint[])
ON CONFLICT (campaign, period, first) DO UPDATE SET issued = excluded.issued, most = excluded.most
"""


async def write_counts(connection: Connection, counts: Sequence[PeriodCount]) -> None:
    """Write counters back and mark them clean."""
    rows = [
        (count.campaign, count.period, count.first, count.begins, count.ends, count.issued, count.most)
        for count in counts
    ]
    await connection.execute(WRITE, *columns(rows))
    for count in counts:
        count.changed = False
