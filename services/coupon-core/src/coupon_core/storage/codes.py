"""Codes: uploaded ones, blocks of serials of generated ones, exported ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coupon_core.storage import Connection, columns
from coupon_core.work import UploadedCode

UPLOADED = """
SELECT u.campaign, u.position, u.code, u.shown, u.taken
FROM unnest($1::bigint[], $2::text[]) AS wanted(campaign, code)
JOIN uploaded_code u ON u.code = wanted.code
AND u.campaign BETWEEN wanted.campaign AND wanted.campaign -- as in coupons.BY_USER
"""


async def uploaded_codes(connection: Connection, pairs: Sequence[tuple[int, str]]) -> list[tuple[int, UploadedCode]]:
    """Those of the codes that were uploaded, by (campaign number, normal code)."""
    rows = await connection.fetch(UPLOADED, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return [(row[0], UploadedCode(row[1], row[2], row[3], row[4])) for row in rows]


FREE = """
SELECT u.campaign, u.position, u.code, u.shown, u.taken
FROM unnest($1::bigint[], $2::bigint[]) AS wanted(campaign, most)
CROSS JOIN LATERAL (
    SELECT * FROM uploaded_code WHERE campaign = wanted.campaign AND NOT taken ORDER BY position LIMIT wanted.most
) u
"""


async def free_codes(connection: Connection, wanted: Sequence[tuple[int, int]]) -> list[tuple[int, UploadedCode]]:
    """The next codes not given out, by (campaign number, at most so many), in the order they came."""
    rows = await connection.fetch(FREE, [pair[0] for pair in wanted], [pair[1] for pair in wanted])
    found = [(row[0], UploadedCode(row[1], row[2], row[3], row[4])) for row in rows]
    found.sort(key=lambda pair: (pair[0], pair[1].position))
    return found


AT = "SELECT position, code, shown FROM uploaded_code WHERE campaign = $1 AND position = ANY($2::bigint[])"


async def codes_at(connection: Connection, campaign: int, positions: Sequence[int]) -> list[UploadedCode]:
    """Uploaded codes by position, as if none were given out, in order."""
    codes = [UploadedCode(row[0], row[1], row[2]) for row in await connection.fetch(AT, campaign, positions)]
    return sorted(codes, key=lambda code: code.position)


INSERT_CODES = """
INSERT INTO uploaded_code (campaign, position, code, shown, taken)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bool[])
"""
TAKE_CODES = """
UPDATE uploaded_code SET taken = true FROM unnest($1::bigint[], $2::bigint[]) AS used(campaign, position)
WHERE uploaded_code.campaign = used.campaign AND uploaded_code.position = used.position
"""


async def write_uploaded(
    connection: Connection, new: Sequence[tuple[int, UploadedCode]], taken: Sequence[tuple[int, int]]
) -> None:
    """Store new codes as they stand now, and mark stored ones as given out."""
    if new:
        await connection.execute(
            INSERT_CODES,
            [campaign for campaign, _ in new],
            [code.position for _, code in new],
            [code.code for _, code in new],
            [code.shown for _, code in new],
            [code.taken for _, code in new],
        )
    if taken:
        await connection.execute(TAKE_CODES, [pair[0] for pair in taken], [pair[1] for pair in taken])


BLOCKS = """
SELECT b.block, b.campaign, b.idx, b.version
FROM unnest($1::bigint[]) AS wanted(block) JOIN code_block b ON b.block = wanted.block
"""
BLOCKS_AT = """
SELECT b.block, b.campaign, b.idx, b.version FROM unnest($1::bigint[], $2::bigint[]) AS wanted(campaign, idx)
JOIN code_block b ON b.campaign = wanted.campaign AND b.idx = wanted.idx
"""


async def blocks_by_number(connection: Connection, blocks: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """(block, campaign number, index, key version) of those that are taken."""
    return [tuple(row) for row in await connection.fetch(BLOCKS, blocks)]


async def blocks_at(connection: Connection, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
    """The same by (campaign number, index in the campaign)."""
    rows = await connection.fetch(BLOCKS_AT, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return [tuple(row) for row in rows]


INSERT_BLOCKS = """
INSERT INTO code_block (block, campaign, idx, version)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[])
"""


async def write_blocks(connection: Connection, blocks: Sequence[tuple[int, int, int, int]]) -> None:
    """Store blocks taken; a block taken twice violates the key."""
    await connection.execute(INSERT_BLOCKS, *columns(blocks))


RANGES = """
SELECT e.campaign, e.first, e.last, v.first, v.last
FROM unnest($1::bigint[], $2::bigint[]) AS wanted(campaign, number)
CROSS JOIN LATERAL (
    SELECT * FROM exported_range WHERE campaign = wanted.campaign AND first <= wanted.number
    ORDER BY first DESC LIMIT 1
) e
LEFT JOIN LATERAL (
    SELECT * FROM voided_range WHERE campaign = wanted.campaign AND first <= wanted.number
    ORDER BY first DESC LIMIT 1
) v ON v.last >= wanted.number
WHERE e.last >= wanted.number
"""


async def ranges_with(
    connection: Connection, pairs: Sequence[tuple[int, int]]
) -> list[tuple[int, int, int, int | None, int | None]]:
    """Exported ranges that hold these (campaign number, coupon number): campaign, first, last.

    With the first and last number of the voided range that holds the number too; None: none does.
    """
    rows = await connection.fetch(RANGES, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return [tuple(row) for row in rows]


INSERT_RANGES = """
INSERT INTO exported_range (campaign, first, last) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
"""


async def write_ranges(connection: Connection, ranges: Sequence[tuple[int, int, int]]) -> None:
    """Store exported ranges (campaign number, first, last)."""
    await connection.execute(INSERT_RANGES, *columns(ranges))


INSERT_VOIDS = """
INSERT INTO voided_range (campaign, first, last, codes)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
"""


async def write_voids(connection: Connection, ranges: Sequence[tuple[int, int, int, int]]) -> None:
    """Store ranges of exported codes that became void (campaign number, first, last, how many codes)."""
    await connection.execute(INSERT_VOIDS, *columns(ranges))


def _ranges_of(table: str) -> str:
    return f"""
SELECT first, last FROM {table} WHERE campaign = $1 AND last > $2 AND first <= $3
    AND first >= coalesce((SELECT max(first) FROM {table} WHERE campaign = $1 AND first <= $2 + 1), 0)
ORDER BY first LIMIT $4
"""


EXPORTED_BETWEEN, VOIDED_BETWEEN = _ranges_of("exported_range"), _ranges_of("voided_range")


async def exported_between(
    connection: Connection, campaign: int, above: int, upto: int, limit: int
) -> list[tuple[int, int]]:
    """Exported ranges with numbers above one and up to another, whole and in order."""
    return [(row[0], row[1]) for row in await connection.fetch(EXPORTED_BETWEEN, campaign, above, upto, limit)]


async def voided_between(
    connection: Connection, campaign: int, above: int, upto: int, limit: int
) -> list[tuple[int, int]]:
    """The same of ranges that became void."""
    return [(row[0], row[1]) for row in await connection.fetch(VOIDED_BETWEEN, campaign, above, upto, limit)]


UNHELD = """
SELECT wanted.first, wanted.last, wanted.last - wanted.first + 1 - (
    SELECT count(*) FROM coupon k WHERE k.campaign = $1 AND k.number BETWEEN wanted.first AND wanted.last
) AS codes FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY AS wanted(first, last, place) ORDER BY wanted.place
"""


async def unheld(
    connection: Connection, campaign: int, ranges: Sequence[tuple[int, int]]
) -> list[tuple[int, int, int]]:
    """First, last, and how many numbers of the range are no coupon's; without those that have none."""
    firsts, lasts = [each[0] for each in ranges], [each[1] for each in ranges]
    rows = await connection.fetch(UNHELD, campaign, firsts, lasts)
    return [(row["first"], row["last"], row["codes"]) for row in rows if row["codes"]]


REMEMBER_KEYS = """
INSERT INTO code_key (version, fingerprint) SELECT * FROM unnest($1::smallint[], $2::bytea[]) ON CONFLICT DO NOTHING
"""
KEYS = "SELECT version, fingerprint FROM code_key ORDER BY version"


async def wrong_code_keys(connection: Connection, fingerprints: Mapping[int, bytes]) -> tuple[list[int], list[int]]:
    """(versions this database has met that are missing, versions under which another key stood); new ones are kept."""
    await connection.execute(REMEMBER_KEYS, list(fingerprints), list(fingerprints.values()))
    met = {row["version"]: row["fingerprint"] for row in await connection.fetch(KEYS)}
    missing = [version for version in met if version not in fingerprints]
    return missing, [version for version, known in met.items() if fingerprints.get(version, known) != known]
