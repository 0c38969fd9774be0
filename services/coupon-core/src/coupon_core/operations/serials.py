"""Serials of generated codes: which coupon number has which code, and taking new ones from the lane's share."""

from __future__ import annotations

from coupon_core.codes.generated import BLOCK_BITS, BLOCK_SIZE
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
    if found is None or found[0] != campaign.number:
        return None
    number = (found[1] << BLOCK_BITS) + (serial & (BLOCK_SIZE - 1)) + 1
    return number if number <= campaign.last_number else None


class NumberTaker:
    """Takes the campaign's next numbers one by one with their codes, computed in runs of at most `ahead`."""

    def __init__(self, call: Call, campaign: Campaign, ahead: int) -> None:
        self._call = call
        self._campaign = campaign
        self._ahead = ahead
        self._codes: list[str] = []
        self._place = 0

    def take(self) -> tuple[int, str]:
        """The next number and its code; moves `last_number`."""
        if self._place == len(self._codes):
            self._refill()
        code = self._codes[self._place]
        self._place += 1
        self._campaign.last_number += 1
        return self._campaign.last_number, code

    def _refill(self) -> None:
        campaign, work = self._campaign, self._call.work
        index, offset = divmod(campaign.last_number, BLOCK_SIZE)
        at = work.block_at.get((campaign.number, index))
        if at is None:
            lane = self._call.lane
            block = lane.blocks * work.partitions + lane.partition
            lane.blocks += 1
            at = work.block_at[campaign.number, index] = (block, KEY_VERSION)
            work.blocks[block] = (campaign.number, index, KEY_VERSION)
            work.new_blocks.append((block, campaign.number, index, KEY_VERSION))
        count = min(self._ahead, BLOCK_SIZE - offset)
        first = (at[0] << BLOCK_BITS) | offset
        self._codes = (
            [work.codes.code_of(first, at[1])] if count == 1 else work.codes.codes_of(first, count, at[1])
        )
        self._ahead = max(1, self._ahead - count)
        self._place = 0
