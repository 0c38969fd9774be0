"""Serials of generated codes: which coupon number has which code, and taking new ones from the lane's share."""

from __future__ import annotations

from collections import deque

from coupon_core.codes.generated import BLOCK_BITS, BLOCK_SIZE, version_of
from coupon_core.model.campaign import Campaign
from coupon_core.work import Call, Work

KEY_VERSION = 1
"""The code key under which new blocks are taken; kept with each block."""


def code_of_number(work: Work, campaign: Campaign, number: int) -> str:
    """The code of an issued or exported coupon of a generated supply; its block must be in the view."""
    block, version = work.block_at[campaign.number, (number - 1) >> BLOCK_BITS]
    return work.codes.code_of((block << BLOCK_BITS) | ((number - 1) & (BLOCK_SIZE - 1)), version)


def number_of_code(work: Work, campaign: Campaign, code: str) -> int | None:
    """The coupon number a code stands for in this campaign; None: not a code of this campaign's blocks."""
    serial = work.codes.serial_of(code)
    if serial is None:
        return None
    found = work.blocks.get(serial >> BLOCK_BITS)
    if found is None or found[0] != campaign.number or found[2] != version_of(code):
        return None
    number = (found[1] << BLOCK_BITS) + (serial & (BLOCK_SIZE - 1)) + 1
    return number if number <= campaign.last_number else None


def take_number(call: Call, campaign: Campaign, ahead: int) -> tuple[int, str]:
    """The campaign's next number and its code; moves `last_number`. Codes are computed in runs of about `ahead`."""
    codes = call.work.next_codes.get(campaign.number)
    if not codes:
        codes = call.work.next_codes[campaign.number] = _next_codes(call, campaign, ahead)
    campaign.last_number += 1
    return campaign.last_number, codes.popleft()


def _next_codes(call: Call, campaign: Campaign, ahead: int) -> deque[str]:
    """Codes of the numbers that follow, within one block; a new block is taken from the lane's share."""
    work = call.work
    index, offset = divmod(campaign.last_number, BLOCK_SIZE)
    at = work.block_at.get((campaign.number, index))
    if at is None:
        lane = call.lane
        block = lane.blocks * work.partitions + lane.partition
        lane.blocks += 1
        at = work.block_at[campaign.number, index] = (block, KEY_VERSION)
        work.blocks[block] = (campaign.number, index, KEY_VERSION)
        work.new_blocks.append((block, campaign.number, index, KEY_VERSION))
    count = min(max(ahead, work.expected.get(campaign.number, 0)), BLOCK_SIZE - offset)
    first = (at[0] << BLOCK_BITS) | offset
    return deque([work.codes.code_of(first, at[1])] if count == 1 else work.codes.codes_of(first, count, at[1]))
