"""What must hold between the tables: each check a statement that finds where it does not.

A check gives rows (campaign id or NULL, lane or NULL, what, expected, found). `$1` is an array of campaigns' numbers,
or NULL for all; checks of lanes take none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from coupon_core.codes.generated import BLOCK_SIZE
from coupon_core.storage import Connection
from coupon_core.storage.auditing_worth import OF_WORTH
from coupon_core.work import OUTCOME_LIFE

STATEMENT_SECONDS = 900
MOST_DIFFERENCES = 1_000
"""Of one check."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a check does not hold."""

    campaign: UUID | None
    lane: int | None
    what: str
    expected: str | None
    found: str | None


VOID = """void AS (
    SELECT campaign, sum(codes)::bigint AS codes FROM voided_range
    WHERE $1::bigint[] IS NULL OR campaign = ANY($1) GROUP BY campaign
)"""
LEDGER = f"""
WITH counted AS (
    SELECT campaign, count(*) AS issued, count(*) FILTER (WHERE state = 1) AS held,
        count(*) FILTER (WHERE state = 2) AS reserved, count(*) FILTER (WHERE state = 3) AS redeemed,
        count(*) FILTER (WHERE state = 4) AS burned, count(*) FILTER (WHERE state = 5) AS voided,
        count(*) FILTER (WHERE state = 6) AS expired
    FROM coupon WHERE $1::bigint[] IS NULL OR campaign = ANY($1) GROUP BY campaign
), {VOID}
SELECT c.id, NULL::int, 'counter ' || each.name, each.coupons::text, each.counter::text
FROM campaign c LEFT JOIN counted k ON k.campaign = c.number LEFT JOIN void v ON v.campaign = c.number
CROSS JOIN LATERAL (VALUES
    ('issued', c.issued, coalesce(k.issued, 0) + coalesce(v.codes, 0)), ('held', c.held, coalesce(k.held, 0)),
    ('reserved', c.reserved, coalesce(k.reserved, 0)), ('redeemed', c.redeemed, coalesce(k.redeemed, 0)),
    ('burned', c.burned, coalesce(k.burned, 0)), ('voided', c.voided, coalesce(k.voided, 0) + coalesce(v.codes, 0)),
    ('expired', c.expired, coalesce(k.expired, 0))
) AS each(name, counter, coupons)
WHERE ($1::bigint[] IS NULL OR c.number = ANY($1)) AND each.counter <> each.coupons
"""
SUM = """
SELECT id, NULL::int, 'issued is the sum of the states', (held + reserved + redeemed + burned + voided + expired)::text,
    issued::text
FROM campaign
WHERE ($1::bigint[] IS NULL OR number = ANY($1)) AND issued <> held + reserved + redeemed + burned + voided + expired
"""
QUANTITY = """
SELECT id, NULL::int, 'issued and exported within the quantity', quantity::text, (issued + exported)::text
FROM campaign WHERE ($1::bigint[] IS NULL OR number = ANY($1)) AND issued + exported > quantity
"""
COUPON_WITHOUT_CAMPAIGN = """
WITH RECURSIVE present AS (
    (SELECT campaign FROM coupon ORDER BY campaign LIMIT 1)
    UNION ALL
    SELECT following.campaign FROM present p CROSS JOIN LATERAL (
        SELECT k.campaign FROM coupon k WHERE k.campaign > p.campaign ORDER BY k.campaign LIMIT 1
    ) following
)
SELECT NULL::uuid, NULL::int, 'coupons of a campaign that does not exist', '0',
    (SELECT count(*) FROM coupon k WHERE k.campaign = p.campaign)::text
FROM present p WHERE NOT EXISTS (SELECT 1 FROM campaign c WHERE c.number = p.campaign)
"""
STATE_UNKNOWN = """
SELECT c.id, NULL::int, 'state of coupon ' || k.number, '1 to 6', k.state::text
FROM coupon k JOIN campaign c ON c.number = k.campaign
WHERE ($1::bigint[] IS NULL OR k.campaign = ANY($1)) AND k.state NOT BETWEEN 1 AND 6
"""
LASTING = "(c.terms::jsonb #>> '{validity,days_after_issue}') IS NOT NULL"
"""Whether the campaign's coupons have a time of their own each."""
RESERVATION = f"""
SELECT c.id, NULL::int, 'reservation of coupon ' || k.number,
    CASE WHEN k.state = 2 THEN 'an order and an end' ELSE 'none' END,
    CASE WHEN k.reserved_order IS NULL THEN 'no order' ELSE 'an order' END || ', '
        || CASE WHEN k.due_at IS NULL THEN 'no end' ELSE 'an end' END
FROM coupon k JOIN campaign c ON c.number = k.campaign
WHERE ($1::bigint[] IS NULL OR k.campaign = ANY($1))
    AND CASE WHEN k.state = 2 THEN k.reserved_order IS NULL OR k.due_at IS NULL
        ELSE k.reserved_order IS NOT NULL OR k.due_at IS NOT NULL AND NOT (k.state = 1 AND {LASTING}) END
"""
COUPON_DUE = """
SELECT c.id, NULL::int, 'when something is next due', 'at the latest ' || k.due_at, coalesce(c.next_due::text, 'never')
FROM campaign c CROSS JOIN LATERAL (
    SELECT due_at FROM coupon WHERE campaign = c.number AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
) k
WHERE ($1::bigint[] IS NULL OR c.number = ANY($1))
    AND c.state IN ('active', 'paused', 'exhausted') AND (c.next_due IS NULL OR c.next_due > k.due_at)
"""
# Codes redeemed by bearers are no issue of that day. Which ones those are is known of generated codes alone.
PERIODS = """
WITH limited AS MATERIALIZED (
    SELECT campaign, period, array_agg(begins ORDER BY begins) AS begins, array_agg(ends ORDER BY begins) AS ends
    FROM period_count WHERE $1::bigint[] IS NULL OR campaign = ANY($1) GROUP BY campaign, period
), counted AS (
    SELECT l.campaign, l.period, l.begins[place] AS begins, count(*) AS coupons
    FROM limited l JOIN coupon k ON k.campaign = l.campaign
    CROSS JOIN LATERAL (SELECT width_bucket(k.issued_at, l.begins) AS place) bucket
    WHERE place > 0 AND k.issued_at < l.ends[place] AND NOT EXISTS (
        SELECT FROM exported_range e WHERE e.campaign = k.campaign AND k.number BETWEEN e.first AND e.last)
    GROUP BY 1, 2, 3
)
SELECT c.id, NULL::int, 'issued in the ' || p.period || ' from ' || p.first, coalesce(k.coupons, 0)::text,
    p.issued::text
FROM period_count p JOIN campaign c ON c.number = p.campaign
LEFT JOIN counted k ON k.campaign = p.campaign AND k.period = p.period AND k.begins = p.begins
WHERE ($1::bigint[] IS NULL OR p.campaign = ANY($1))
    AND CASE c.supply WHEN 'uploaded' THEN p.issued > coalesce(k.coupons, 0) ELSE p.issued <> coalesce(k.coupons, 0) END
"""
NUMBERS = f"""
WITH counted AS (
    SELECT campaign, count(*) AS coupons, max(number) AS greatest FROM coupon
    WHERE $1::bigint[] IS NULL OR campaign = ANY($1) GROUP BY campaign
), uploaded AS (
    SELECT campaign, count(*) AS codes FROM uploaded_code
    WHERE $1::bigint[] IS NULL OR campaign = ANY($1) GROUP BY campaign
), {VOID}
SELECT c.id, NULL::int, 'numbers used', c.last_number::text, used::text
FROM campaign c LEFT JOIN counted k ON k.campaign = c.number LEFT JOIN uploaded u ON u.campaign = c.number
LEFT JOIN void v ON v.campaign = c.number
CROSS JOIN LATERAL (SELECT CASE c.supply
    WHEN 'generated' THEN coalesce(k.coupons, 0) + c.exported + coalesce(v.codes, 0)
    WHEN 'uploaded' THEN coalesce(u.codes, 0)
    ELSE coalesce(k.coupons, 0) END AS used) numbers
WHERE ($1::bigint[] IS NULL OR c.number = ANY($1)) AND (used <> c.last_number OR k.greatest > c.last_number)
"""
STORED_CODE = """
SELECT c.id, NULL::int, 'stored code of coupon ' || k.number,
    CASE WHEN c.supply IN ('uploaded', 'given') THEN 'one' ELSE 'none' END,
    CASE WHEN k.code IS NULL THEN 'none' ELSE 'one' END
FROM coupon k JOIN campaign c ON c.number = k.campaign
WHERE ($1::bigint[] IS NULL OR k.campaign = ANY($1)) AND (k.code IS NOT NULL) <> (c.supply IN ('uploaded', 'given'))
"""
EXPORTED = f"""
WITH ranges AS (
    SELECT e.campaign, sum(e.last - e.first + 1 - held.coupons) AS outstanding
    FROM exported_range e CROSS JOIN LATERAL (
        SELECT count(*) AS coupons FROM coupon k
        WHERE k.campaign = e.campaign AND k.number BETWEEN e.first AND e.last
    ) held
    WHERE $1::bigint[] IS NULL OR e.campaign = ANY($1) GROUP BY e.campaign
), {VOID}
SELECT c.id, NULL::int, 'exported codes nobody holds', o.outstanding::text, c.exported::text
FROM campaign c LEFT JOIN ranges r ON r.campaign = c.number LEFT JOIN void v ON v.campaign = c.number
CROSS JOIN LATERAL (SELECT coalesce(r.outstanding, 0) - coalesce(v.codes, 0) AS outstanding) o
WHERE ($1::bigint[] IS NULL OR c.number = ANY($1)) AND c.exported <> o.outstanding
"""
VOIDED_CODES = """
SELECT c.id, NULL::int, 'void codes from ' || v.first || ' to ' || v.last, held.codes::text, v.codes::text
FROM voided_range v JOIN campaign c ON c.number = v.campaign CROSS JOIN LATERAL (
    SELECT v.last - v.first + 1 - count(*) AS codes FROM coupon k
    WHERE k.campaign = v.campaign AND k.number BETWEEN v.first AND v.last
) held
WHERE ($1::bigint[] IS NULL OR v.campaign = ANY($1)) AND v.codes <> held.codes
"""
VOIDED_RANGES = """
SELECT c.id, NULL::int, 'void range from ' || v.first, 'above ' || v.before || ', exported in whole',
    v.first || ' to ' || v.last || ', ' || exported.numbers || ' exported'
FROM (
    SELECT campaign, first, last, coalesce(max(last) OVER (
        PARTITION BY campaign ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM voided_range WHERE $1::bigint[] IS NULL OR campaign = ANY($1)
) v JOIN campaign c ON c.number = v.campaign CROSS JOIN LATERAL (
    SELECT coalesce(sum(least(e.last, v.last) - greatest(e.first, v.first) + 1), 0) AS numbers
    FROM exported_range e WHERE e.campaign = v.campaign AND e.first <= v.last AND e.last >= v.first
) exported
WHERE v.first <= v.before OR exported.numbers <> v.last - v.first + 1
"""
RANGES = """
SELECT c.id, NULL::int, 'exported range from ' || e.first,
    'above ' || e.before || ' and up to ' || c.last_number, e.first || ' to ' || e.last
FROM (
    SELECT campaign, first, last, coalesce(max(last) OVER (
        PARTITION BY campaign ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM exported_range WHERE $1::bigint[] IS NULL OR campaign = ANY($1)
) e JOIN campaign c ON c.number = e.campaign
WHERE e.first <= e.before OR e.last < e.first OR e.last > c.last_number OR c.supply <> 'generated'
"""
AVAILABLE = """
WITH free AS (
    SELECT campaign, count(*) FILTER (WHERE NOT taken) AS codes FROM uploaded_code
    WHERE $1::bigint[] IS NULL OR campaign = ANY($1) GROUP BY campaign
)
SELECT c.id, NULL::int, 'uploaded codes not given out', coalesce(f.codes, 0)::text, c.available::text
FROM campaign c LEFT JOIN free f ON f.campaign = c.number
WHERE ($1::bigint[] IS NULL OR c.number = ANY($1)) AND c.available <> coalesce(f.codes, 0)
"""
TAKEN = """
SELECT c.id, NULL::int, 'uploaded code ' || coalesce(u.position, k.number),
    CASE WHEN u.taken IS NULL THEN 'an uploaded code of the coupon' WHEN u.taken THEN 'a coupon with this code'
        ELSE 'no coupon' END,
    CASE WHEN k.number IS NULL THEN 'no coupon' WHEN k.code IS DISTINCT FROM u.code THEN 'a coupon with another code'
        ELSE 'a coupon' END
FROM campaign c JOIN (
    (SELECT * FROM uploaded_code WHERE $1::bigint[] IS NULL OR campaign = ANY($1)) u
    FULL JOIN (
        SELECT k.* FROM coupon k JOIN campaign up ON up.number = k.campaign AND up.supply = 'uploaded'
        WHERE $1::bigint[] IS NULL OR k.campaign = ANY($1)
    ) k ON k.campaign = u.campaign AND k.number = u.position
) ON c.number = coalesce(u.campaign, k.campaign)
WHERE u.taken IS NULL OR u.taken <> (k.number IS NOT NULL) OR k.code IS DISTINCT FROM u.code AND k.number IS NOT NULL
"""
REDEMPTIONS = """
WITH counted AS (
    SELECT campaign, coupon, count(*) AS rows, max(number) AS greatest,
        count(*) FILTER (WHERE returned_at IS NULL) AS standing
    FROM redemption WHERE $1::bigint[] IS NULL OR campaign = ANY($1) GROUP BY campaign, coupon
), touched AS (
    SELECT * FROM coupon WHERE (redemptions > 0 OR state IN (3, 4)) AND ($1::bigint[] IS NULL OR campaign = ANY($1))
)
SELECT c.id, NULL::int, each.what || coalesce(k.number, r.coupon), each.expected::text, each.found::text
FROM touched k FULL JOIN counted r ON r.campaign = k.campaign AND r.coupon = k.number
LEFT JOIN campaign c ON c.number = coalesce(k.campaign, r.campaign)
CROSS JOIN LATERAL (VALUES
    ('redemptions of coupon ', coalesce(k.redemptions, 0)::bigint, coalesce(r.rows, 0)),
    ('latest redemption of coupon ', coalesce(k.redemptions, 0)::bigint, coalesce(r.greatest, 0)::bigint),
    ('redemptions not returned of coupon ', CASE WHEN k.spent IS NOT NULL THEN coalesce(r.standing, 0)
        WHEN k.state = 3 THEN 1 ELSE 0 END, coalesce(r.standing, 0))
) AS each(what, expected, found)
WHERE each.expected <> each.found
"""
REDEMPTION_COMMAND = f"""
SELECT c.id, NULL::int, 'command of redemption ' || r.number || ' of coupon ' || r.coupon, 'decided and done',
    coalesce(CASE o.status WHEN 0 THEN 'running' WHEN 1 THEN 'done for another campaign' WHEN 2 THEN 'refused'
        ELSE 'dead' END, 'unknown')
FROM redemption r JOIN campaign c ON c.number = r.campaign JOIN lane l ON l.partition = c.partition
LEFT JOIN outcome o ON o.command = r.command AND o.partition = c.partition
WHERE ($1::bigint[] IS NULL OR r.campaign = ANY($1)) AND r.at > l.clock - interval '{OUTCOME_LIFE.days} days'
    AND (o.status IS DISTINCT FROM 1 OR o.campaign IS DISTINCT FROM c.id)
"""
# Of codes that arithmetic alone refuses nothing but the answer is kept. A body is no jsonb: a user's attribute that it
# names may hold a NUL, at which a cast fails, and with it the audit of all that is right.
REFUSED_COMMAND = """
SELECT o.campaign, NULL::int, 'refusal of command ' || o.command, 'kept', 'missing'
FROM outcome o LEFT JOIN refusal r ON r.command = o.command AND r.partition = o.partition AND r.row = -1
WHERE o.status = 2 AND r.command IS NULL AND NOT starts_with(o.body, '{"code":"coupon_not_found",')
"""
BLOCKS = f"""
WITH counted AS (
    SELECT campaign, count(*) AS blocks, max(idx) AS greatest, min(idx) AS least FROM code_block
    WHERE $1::bigint[] IS NULL OR campaign = ANY($1) GROUP BY campaign
)
SELECT c.id, NULL::int, 'blocks of codes', wanted.blocks::text,
    coalesce(b.blocks, 0) || coalesce(', ' || b.least || ' to ' || b.greatest, '')
FROM campaign c LEFT JOIN counted b ON b.campaign = c.number
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.supply = 'generated' AND c.pattern IS NULL THEN (c.last_number + {BLOCK_SIZE - 1}) / {BLOCK_SIZE}
        ELSE 0 END AS blocks
) wanted
WHERE ($1::bigint[] IS NULL OR c.number = ANY($1))
    AND (coalesce(b.blocks, 0) <> wanted.blocks OR coalesce(b.greatest, -1) <> wanted.blocks - 1)
"""
BLOCK_LANE = """
SELECT c.id, NULL::int, 'lane of block ' || b.block, c.partition::text, (b.block % p.partitions)::text
FROM code_block b CROSS JOIN platform p LEFT JOIN campaign c ON c.number = b.campaign
WHERE ($1::bigint[] IS NULL OR b.campaign = ANY($1)) AND (b.block % p.partitions) IS DISTINCT FROM c.partition
"""
DUE = """
SELECT id, NULL::int, 'when something is next due', 'at the latest ' || ends, coalesce(next_due::text, 'never')
FROM campaign WHERE ($1::bigint[] IS NULL OR number = ANY($1))
    AND state IN ('active', 'paused', 'exhausted') AND (next_due IS NULL OR next_due > ends)
"""
EVENTS = """
WITH rows AS (
    SELECT campaign, partition, first_seq, count, coalesce(sum(count) OVER (
        PARTITION BY campaign ORDER BY first_seq, lane_seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) + 1
        AS expected
    FROM journal
    WHERE kind = 1 AND ($1::bigint[] IS NULL OR campaign = ANY(SELECT id FROM campaign WHERE number = ANY($1)))
), gaps AS (
    SELECT DISTINCT ON (campaign) campaign, first_seq, expected FROM rows
    WHERE first_seq <> expected ORDER BY campaign, first_seq
), sums AS (
    SELECT campaign, sum(count) AS events FROM rows GROUP BY campaign
)
SELECT campaign, NULL::int, 'sequence numbers of events', 'next is ' || expected, 'next is ' || first_seq FROM gaps
UNION ALL
SELECT coalesce(c.id, s.campaign), NULL::int, 'events', coalesce(c.seq, 0)::text, coalesce(s.events, 0)::text
FROM (SELECT * FROM campaign WHERE $1::bigint[] IS NULL OR number = ANY($1)) c FULL JOIN sums s ON s.campaign = c.id
WHERE coalesce(c.seq, 0) <> coalesce(s.events, 0)
"""
EVENT_LANE = """
SELECT c.id, NULL::int, 'lane of the journal', c.partition::text, j.partition::text
FROM campaign c JOIN (SELECT DISTINCT campaign, partition FROM journal WHERE kind = 1) j ON j.campaign = c.id
WHERE ($1::bigint[] IS NULL OR c.number = ANY($1)) AND j.partition <> c.partition
"""
CHAIN = """
SELECT c.id, NULL::int, 'chain of the campaign after event ' || c.seq, encode(j.chain, 'hex'), encode(c.chain, 'hex')
FROM campaign c LEFT JOIN LATERAL (
    SELECT chain FROM journal WHERE kind = 1 AND campaign = c.id ORDER BY first_seq DESC, lane_seq DESC LIMIT 1
) j ON true
WHERE ($1::bigint[] IS NULL OR c.number = ANY($1)) AND c.chain IS DISTINCT FROM j.chain
"""

OF_CAMPAIGNS = (
    LEDGER, SUM, QUANTITY, STATE_UNKNOWN, RESERVATION, NUMBERS, STORED_CODE, EXPORTED, RANGES, VOIDED_CODES,
    VOIDED_RANGES, AVAILABLE, TAKEN,
    REDEMPTIONS, REDEMPTION_COMMAND, BLOCKS, BLOCK_LANE, DUE, COUPON_DUE, PERIODS, EVENTS, EVENT_LANE, CHAIN,
    *OF_WORTH,
)  # fmt: skip
"""Each looks its campaigns up by an index."""

JOURNAL = """
WITH rows AS (
    SELECT partition, lane_seq, at, lag(lane_seq, 1, 0::bigint) OVER lane AS before, lag(at) OVER lane AS at_before
    FROM journal WINDOW lane AS (PARTITION BY partition ORDER BY lane_seq)
), gaps AS (
    SELECT DISTINCT ON (partition) partition, lane_seq, before FROM rows
    WHERE lane_seq <> before + 1 ORDER BY partition, lane_seq
), back AS (
    SELECT DISTINCT ON (partition) partition, lane_seq, at, at_before FROM rows
    WHERE at < at_before ORDER BY partition, lane_seq
), ends AS (
    SELECT partition, max(lane_seq) AS lane_seq, max(at) AS at FROM rows GROUP BY partition
)
SELECT NULL::uuid, partition, 'sequence numbers of the journal', 'next is ' || before + 1, 'next is ' || lane_seq
FROM gaps
UNION ALL
SELECT NULL::uuid, partition, 'time of journal row ' || lane_seq, 'not before ' || at_before, at::text FROM back
UNION ALL
SELECT NULL::uuid, coalesce(l.partition, e.partition), 'end of the journal', coalesce(l.lane_seq, 0)::text,
    coalesce(e.lane_seq, 0)::text
FROM lane l FULL JOIN ends e ON e.partition = l.partition WHERE coalesce(l.lane_seq, 0) <> coalesce(e.lane_seq, 0)
UNION ALL
SELECT NULL::uuid, l.partition, 'clock', 'not before ' || e.at, l.clock::text
FROM lane l JOIN ends e ON e.partition = l.partition WHERE l.clock < e.at
"""
EMITTED = """
SELECT NULL::uuid, partition, 'emitted within the journal', 'at most ' || lane_seq, emitted_lane_seq::text
FROM lane WHERE emitted_lane_seq > lane_seq
"""
LANE_COUNTERS = """
SELECT NULL::uuid, l.partition, each.what, each.counted::text, each.counter::text
FROM lane l CROSS JOIN platform p CROSS JOIN LATERAL (VALUES
    ('campaigns', l.campaigns, (SELECT count(*) FROM campaign WHERE partition = l.partition)),
    ('blocks of codes', l.blocks, (SELECT count(*) FROM code_block WHERE block % p.partitions = l.partition))
) AS each(what, counter, counted)
WHERE each.counter <> each.counted
"""
CAMPAIGN_NUMBERS = """
SELECT c.id, c.partition, 'number of the campaign', 'of lane ' || c.partition, c.number::text
FROM campaign c CROSS JOIN platform p LEFT JOIN lane l ON l.partition = c.partition
WHERE c.number % p.partitions <> c.partition OR c.number / p.partitions >= coalesce(l.campaigns, 0)
"""
DEAD_COMMANDS = """
SELECT o.campaign, NULL::int, 'dead letter of command ' || o.command, 'kept', 'missing'
FROM outcome o WHERE o.status = 3
    AND NOT EXISTS (SELECT 1 FROM dead_letter d WHERE d.command = o.command AND d.partition = o.partition)
"""

OF_LANES = (
    COUPON_WITHOUT_CAMPAIGN, JOURNAL, EMITTED, LANE_COUNTERS, CAMPAIGN_NUMBERS, REFUSED_COMMAND, DEAD_COMMANDS,
)  # fmt: skip
"""Each looks through whole tables."""

COUNTS = """
SELECT
    (SELECT count(*) FROM campaign WHERE $1::bigint[] IS NULL OR number = ANY($1)) AS campaigns,
    (SELECT count(*) FROM coupon WHERE $1::bigint[] IS NULL OR campaign = ANY($1)) AS coupons,
    (SELECT count(*) FROM redemption WHERE $1::bigint[] IS NULL OR campaign = ANY($1)) AS redemptions,
    (SELECT count(*) FROM uploaded_code WHERE $1::bigint[] IS NULL OR campaign = ANY($1)) AS uploaded_codes,
    (SELECT count(*) FROM exported_range WHERE $1::bigint[] IS NULL OR campaign = ANY($1)) AS exported_ranges,
    (SELECT count(*) FROM code_block WHERE $1::bigint[] IS NULL OR campaign = ANY($1)) AS code_blocks,
    (SELECT coalesce(sum(count), 0)::bigint FROM journal WHERE kind = 1
        AND ($1::bigint[] IS NULL OR campaign = ANY(SELECT id FROM campaign WHERE number = ANY($1)))) AS events,
    (SELECT count(*) FROM journal WHERE $1::bigint[] IS NULL) AS journal_rows,
    (SELECT count(*) FROM lane WHERE $1::bigint[] IS NULL) AS lanes,
    (SELECT count(*) FROM outcome WHERE $1::bigint[] IS NULL
        OR campaign = ANY(SELECT id FROM campaign WHERE number = ANY($1))) AS outcomes
"""
NUMBER = "SELECT number FROM campaign WHERE id = $1"
PREPARE = (
    f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'",
    "SET LOCAL idle_in_transaction_session_timeout = '60s'",
    "SET LOCAL work_mem = '64MB'",
)
WHOLE_TABLES = (
    # What the read API's connections are told not to do, because they look up few rows.
    "SET LOCAL enable_seqscan = on",
    "SET LOCAL enable_hashjoin = on",
    "SET LOCAL enable_mergejoin = on",
)


@asynccontextmanager
async def one_moment(connection: Connection, *, whole_tables: bool) -> AsyncIterator[None]:
    """All reads within see the same moment, for as long as they take; nothing is locked that a lane waits for."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for statement in (*PREPARE, *(WHOLE_TABLES if whole_tables else ())):
            await connection.execute(statement)
        yield


async def number_of(connection: Connection, campaign: UUID) -> int | None:
    """The campaign's number."""
    found: int | None = await connection.fetchval(NUMBER, campaign)
    return found


async def counts(connection: Connection, numbers: list[int] | None) -> dict[str, int]:
    """How many rows of each kind there are, of these campaigns or in all."""
    row = await connection.fetchrow(COUNTS, numbers, timeout=STATEMENT_SECONDS)
    return {} if row is None else dict(row)


async def check_campaigns(connection: Connection, numbers: list[int] | None) -> list[Difference]:
    """Where a check of campaigns does not hold, of these or of all."""
    differences: list[Difference] = []
    for check in OF_CAMPAIGNS:
        found = await connection.fetch(f"{check} LIMIT {MOST_DIFFERENCES}", numbers, timeout=STATEMENT_SECONDS)
        differences += [Difference(*row) for row in found]
    return differences


async def check_lanes(connection: Connection) -> list[Difference]:
    """Where a check of lanes, or of what belongs to no campaign, does not hold."""
    differences: list[Difference] = []
    for check in OF_LANES:
        found = await connection.fetch(f"{check} LIMIT {MOST_DIFFERENCES}", timeout=STATEMENT_SECONDS)
        differences += [Difference(*row) for row in found]
    return differences
