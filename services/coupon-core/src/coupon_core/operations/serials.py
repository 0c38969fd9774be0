"""Numbers of generated codes: which coupon number has which code, and taking new ones.

Codes of a pattern follow from the campaign; the others are serials, taken in blocks from the lane's share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy

from contracts.campaigns import CodePattern
from contracts.refusals import CodeSpaceTooSmall
from coupon_core.codes.generated import (
    BLOCK_SIZE,
    GeneratedCodes,
    Symbols,
    block_of,
    index_of,
    number_at,
    serial_at,
    texts_of,
    version_of,
)
from coupon_core.codes.patterned import PatternedCodes, patterned, space_needed
from coupon_core.model.campaign import Campaign
from coupon_core.model.refused import Refused
from coupon_core.work import Call, Work


def own_codes(codes: GeneratedCodes, campaign: Campaign) -> PatternedCodes | None:
    """The codes of a campaign with a pattern of its own; None: they are serials."""
    if campaign.pattern is None or campaign.key_version is None:
        return None
    return patterned(codes, campaign.id, campaign.pattern, campaign.key_version)


def check_code_space(pattern: CodePattern | None, quantity: int | None) -> None:
    """Raises Refused where a pattern has too few codes to be safe from guessing."""
    if pattern is not None and quantity is not None:
        needed = space_needed(quantity)
        if pattern.space() < needed:
            raise Refused(CodeSpaceTooSmall(space=pattern.space(), quantity=quantity, needed=needed))


def codes_of_range(
    codes: GeneratedCodes,
    campaign: Campaign,
    block_at: Mapping[tuple[int, int], tuple[int, int]],
    first: int,
    last: int,
) -> list[str]:
    """The codes of coupons first to last of a generated supply; `block_at` must have their blocks."""
    return texts_of(symbols_of_range(codes, campaign, block_at, first, last))


def symbols_of_range(
    codes: GeneratedCodes,
    campaign: Campaign,
    block_at: Mapping[tuple[int, int], tuple[int, int]],
    first: int,
    last: int,
) -> Symbols:
    """The same as ASCII, a row each: codes of one campaign are equally long."""
    own = own_codes(codes, campaign)
    if own is not None:
        return own.symbols_of(first, last - first + 1)
    made: list[Symbols] = []
    while first <= last:
        index = index_of(first)
        block, version = block_at[campaign.number, index]
        count = min(last, (index + 1) * BLOCK_SIZE) - first + 1
        made.append(codes.symbols_of(serial_at(block, first), count, version))
        first += count
    return made[0] if len(made) == 1 else numpy.concatenate(made)


def code_of_number(work: Work, campaign: Campaign, number: int) -> str:
    """The code of an issued or exported coupon of a generated supply; its block must be in the view."""
    made = work.made_codes.get((campaign.number, number))
    if made is not None:
        return made
    own = own_codes(work.codes, campaign)
    if own is not None:
        return own.code_of(number)
    block, version = work.block_at[campaign.number, index_of(number)]
    return work.codes.code_of(serial_at(block, number), version)


def number_of_code(work: Work, campaign: Campaign, code: str) -> int | None:
    """The coupon number a code stands for in this campaign; None: none it has given out."""
    own = own_codes(work.codes, campaign)
    if own is not None:
        named = own.number_of(code)
        return named if named is not None and named <= campaign.last_number else None
    serial = work.codes.serial_of(code)
    if serial is None:
        return None
    found = work.blocks.get(block_of(serial))
    if found is None or found[0] != campaign.number or found[2] != version_of(code):
        return None
    number = number_at(found[1], serial)
    return number if number <= campaign.last_number else None


def take_number(call: Call, campaign: Campaign, ahead: int) -> tuple[int, str]:
    """The campaign's next number and its code; moves `last_number`. Codes are computed in runs of about `ahead`."""
    codes = call.work.next_codes.get(campaign.number)
    if not codes:
        codes = call.work.next_codes[campaign.number] = _next_codes(call, campaign, ahead)
    campaign.last_number += 1
    code = call.work.made_codes[campaign.number, campaign.last_number] = codes.popleft()
    return campaign.last_number, code


def take_range(call: Call, campaign: Campaign, count: int) -> tuple[int, int]:
    """The campaign's next `count` numbers, first and last; moves `last_number`. No code is computed."""
    first, last = campaign.last_number + 1, campaign.last_number + count
    if campaign.takes_blocks():
        for index in range(index_of(first), index_of(last) + 1):
            _block_at(call, campaign, index)
    campaign.last_number = last
    call.work.next_codes.pop(campaign.number, None)  # computed ahead for numbers now taken
    return first, last


def _next_codes(call: Call, campaign: Campaign, ahead: int) -> deque[str]:
    """Codes of the numbers that follow, within one block."""
    work = call.work
    first = campaign.last_number + 1
    index = index_of(first)
    count = _within_block(campaign, index, max(ahead, work.expected.get(campaign.number, 0)))
    own = own_codes(work.codes, campaign)
    if own is not None:
        return deque([own.code_of(first)] if count == 1 else own.codes_of(first, count))
    block, version = _block_at(call, campaign, index)
    campaign.block = (index, block, version)
    runs = _runs_of_others(work, version) | {campaign.number: (serial_at(block, first), count)}
    if len(runs) == count == 1:
        return deque([work.codes.code_of(serial_at(block, first), version)])
    made = zip(runs, work.codes.codes_of_runs(list(runs.values()), version), strict=True)
    work.next_codes.update((number, deque(codes)) for number, codes in made)
    return work.next_codes[campaign.number]


def _runs_of_others(work: Work, version: int) -> dict[int, tuple[int, int]]:
    """First serial and count of what other campaigns of the batch will ask for: to make codes of a few serials costs
    as much as of hundreds.
    """
    runs: dict[int, tuple[int, int]] = {}
    for campaign in work.campaigns.values():
        expected = work.expected.get(campaign.number, 0)
        if expected == 0 or campaign.number in work.next_codes or not campaign.takes_blocks():
            continue
        index = index_of(campaign.last_number + 1)
        at = work.block_at.get((campaign.number, index))
        if at is not None and at[1] == version:
            campaign.block = (index, *at)
            serial = serial_at(at[0], campaign.last_number + 1)
            runs[campaign.number] = (serial, _within_block(campaign, index, expected))
    return runs


def _within_block(campaign: Campaign, index: int, count: int) -> int:
    return min(count, (index + 1) * BLOCK_SIZE - campaign.last_number)


def _block_at(call: Call, campaign: Campaign, index: int) -> tuple[int, int]:
    """Block and key version at an index of the campaign; a new one is taken from the lane's share, newest key."""
    work, lane = call.work, call.lane
    at = work.block_at.get((campaign.number, index))
    if at is None:
        version = lane.facts.code_key
        block = lane.blocks * work.partitions + lane.partition
        lane.blocks += 1
        at = work.block_at[campaign.number, index] = (block, version)
        work.blocks[block] = (campaign.number, index, version)
        work.new_blocks.append((block, campaign.number, index, version))
    return at
