"""Campaigns with their counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import asyncpg

from contracts.campaigns import CodePattern, Terms
from coupon_core.codes.patterned import head_of
from coupon_core.model.campaign import Campaign
from coupon_core.storage import Connection, columns

Row = asyncpg.Record

COLUMNS = (
    "c.number, c.id, c.partition, c.owner, c.origin, c.state, c.terms, c.supply, c.code, c.code_normal, c.listed, "
    "c.quantity, c.starts, c.ends, c.created_at, c.seq, c.issued, c.held, c.reserved, c.redeemed, c.burned, c.voided, "
    "c.expired, c.exported, c.available, c.last_number, c.swept, c.next_due, c.chain, "
    "c.budget, c.budget_reserved, c.budget_spent, c.pattern, c.key_version, c.job_began, c.job_from"
)


@lru_cache(maxsize=8_192)
def _terms(text: str) -> Terms:
    return Terms.model_validate_json(text)


def from_row(row: Row) -> Campaign:
    """The campaign of a row that holds COLUMNS."""
    return Campaign(
        number=row["number"],
        id=row["id"],
        partition=row["partition"],
        owner=row["owner"],
        origin=row["origin"],
        state=row["state"],
        terms=_terms(row["terms"]),
        supply=row["supply"],
        code=row["code"],
        code_normal=row["code_normal"],
        listed=row["listed"],
        quantity=row["quantity"],
        starts=row["starts"],
        ends=row["ends"],
        created_at=row["created_at"],
        seq=row["seq"],
        issued=row["issued"],
        exported=row["exported"],
        available=row["available"],
        last_number=row["last_number"],
        swept=row["swept"],
        next_due=row["next_due"],
        budget=row["budget"],
        budget_reserved=row["budget_reserved"] or 0,
        budget_spent=row["budget_spent"] or 0,
        pattern=None if row["pattern"] is None else CodePattern.model_validate_json(row["pattern"]),
        key_version=row["key_version"],
        job_began=row["job_began"],
        job_from=row["job_from"],
        counts=[
            0,
            row["held"],
            row["reserved"],
            row["redeemed"],
            row["burned"],
            row["voided"],
            row["expired"],
        ],
        chain=row["chain"],
    )


LOAD = f"SELECT {COLUMNS} FROM unnest($1::uuid[]) AS wanted(id) JOIN campaign c ON c.id = wanted.id"


async def campaigns_by_id(connection: Connection, ids: Sequence[UUID]) -> list[Campaign]:
    """Those of the campaigns that exist."""
    return [from_row(row) for row in await connection.fetch(LOAD, ids)]


DUE = f"""
SELECT {COLUMNS} FROM campaign c
WHERE c.partition = $1 AND c.next_due <= $2 ORDER BY c.next_due, c.number LIMIT $3
"""


async def campaigns_due(connection: Connection, partition: int, until: datetime, limit: int) -> list[Campaign]:
    """Campaigns of a lane in which something is due, in the order in which it shall happen."""
    return [from_row(row) for row in await connection.fetch(DUE, partition, until, limit)]


INSERT = """
INSERT INTO campaign (number, id, partition, owner, origin, state, terms, supply, code, code_normal, listed, quantity,
    starts, ends, created_at, seq, issued, held, reserved, redeemed, burned, voided, expired, exported, available,
    last_number, job_began, job_from, swept, next_due, chain, pattern, key_version, code_head, code_length)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::bool[], $12::bigint[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[],
    $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[],
    $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[], $27::timestamptz[], $28::bigint[], $29::bigint[],
    $30::timestamptz[], $31::bytea[], $32::text[], $33::smallint[], $34::text[], $35::int[])
"""
UPDATE = """
UPDATE campaign SET state = new.state, listed = new.listed, quantity = new.quantity, seq = new.seq,
    issued = new.issued, held = new.held, reserved = new.reserved, redeemed = new.redeemed, burned = new.burned,
    voided = new.voided, expired = new.expired, exported = new.exported, available = new.available,
    last_number = new.last_number, job_began = new.job_began, job_from = new.job_from, swept = new.swept,
    next_due = new.next_due, chain = new.chain
FROM unnest($1::bigint[], $2::text[], $3::bool[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
    $15::bigint[], $16::timestamptz[], $17::bigint[], $18::bigint[], $19::timestamptz[], $20::bytea[])
  AS new(number, state, listed, quantity, seq, issued, held, reserved, redeemed, burned, voided, expired, exported,
    available, last_number, job_began, job_from, swept, next_due, chain)
WHERE campaign.number = new.number
"""
BUDGETS = """
UPDATE campaign SET budget = new.budget, budget_reserved = new.reserved, budget_spent = new.spent
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS new(number, budget, reserved, spent)
WHERE campaign.number = new.number
"""
UPDATE_TERMS = """
UPDATE campaign SET terms = new.terms, starts = new.starts, ends = new.ends, budget = new.budget
FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::bigint[])
  AS new(number, terms, starts, ends, budget)
WHERE campaign.number = new.number
"""


async def write_campaigns(connection: Connection, campaigns: Mapping[UUID, Campaign]) -> None:
    """Write new and changed campaigns back and mark them clean.

    Raises:
        RuntimeError: another number of rows was written than there are campaigns (a broken invariant).
    """
    new = [c for c in campaigns.values() if c.new]
    changed = [c for c in campaigns.values() if c.changed and not c.new]
    if new:
        rows = [
            (c.number, c.id, c.partition, c.owner, c.origin, c.state, c.terms.model_dump_json(),
             c.supply, c.code, c.code_normal, c.listed, c.quantity, c.starts, c.ends, c.created_at, c.seq, c.issued,
             *c.counts[1:], c.exported, c.available, c.last_number, c.job_began, c.job_from, c.swept, c.next_due,
             c.chain, *_pattern(c))
            for c in new
        ]  # fmt: skip
        await connection.execute(INSERT, *columns(rows))
    if changed:
        rows_changed = [
            (c.number, c.state, c.listed, c.quantity, c.seq, c.issued, *c.counts[1:], c.exported, c.available,
             c.last_number, c.job_began, c.job_from, c.swept, c.next_due, c.chain)
            for c in changed
        ]  # fmt: skip
        status = await connection.execute(UPDATE, *columns(rows_changed))
        if status != f"UPDATE {len(changed)}":
            raise RuntimeError(f"{status} for {len(changed)} campaigns: the ledger is not what was loaded")
    budgets = [
        (c.number, c.budget, c.budget_reserved, c.budget_spent) for c in (*new, *changed) if c.budget is not None
    ]
    if budgets:
        await connection.execute(BUDGETS, *columns(budgets))
    amended = [c for c in changed if c.amended]
    if amended:
        terms = [(c.number, c.terms.model_dump_json(), c.starts, c.ends, c.budget) for c in amended]
        await connection.execute(UPDATE_TERMS, *columns(terms))
    for campaign in (*new, *changed):
        campaign.new = campaign.changed = campaign.amended = False


def _pattern(campaign: Campaign) -> tuple[str | None, int | None, str | None, int | None]:
    """Pattern and key version; prefix and length by which codes without rows lead to the campaign."""
    if campaign.pattern is None:
        return None, None, None, None
    head, length = head_of(campaign.pattern) if campaign.supply == "generated" else (None, None)
    return campaign.pattern.model_dump_json(), campaign.key_version, head, length
