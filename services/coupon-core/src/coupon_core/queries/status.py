"""How the lanes stand."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from starlette.requests import Request

from contracts.topics import COUPON_COMMANDS
from coupon_core.model.recording import instant
from coupon_core.queries.asking import Parameters, parameters
from coupon_core.queries.source import Source, instant_or_none
from coupon_core.storage.reading import all_lanes

BROKER_SECONDS = 2.0


async def status(source: Source, request: Request) -> dict[str, Any]:
    """GET /status: every lane that was ever taken over; `lag` counts records not yet decided.

    `code_keys`: versions of the code key this process has.

    `as_of` is the process's time or, where time is told, the time every lane has reached.
    """
    parameters(request, Parameters)
    core = source.core
    async with source.pool.acquire() as connection:
        lanes = await all_lanes(connection)
    ends = await _ends(source, [lane.partition for lane in lanes])
    items = [
        {
            "partition": lane.partition,
            "epoch": lane.epoch,
            "position": lane.position,
            "clock": instant_or_none(lane.clock),
            "lane_seq": lane.lane_seq,
            "emitted_lane_seq": lane.emitted_lane_seq,
            "lag": None if lane.partition not in ends else max(0, ends[lane.partition] - lane.position),
        }
        for lane in lanes
    ]
    clocks = [lane.clock for lane in lanes if lane.clock is not None]
    told_to_all = min(clocks) if len(clocks) == core.partitions else None
    now = source.process_clock() or told_to_all
    return {
        "time": "told" if core.told else "record",
        "partitions": core.partitions,
        "code_keys": list(source.codes.versions),
        "lanes": items,
        "as_of": None if now is None else instant(now),
    }


async def _ends(source: Source, partitions: list[int]) -> dict[int, int]:
    """Where each lane's log ends, of this process's lanes and the others'; nothing while the broker is away."""
    wanted = [TopicPartition(COUPON_COMMANDS.name, partition) for partition in partitions]
    if not wanted:
        return {}
    try:
        async with asyncio.timeout(BROKER_SECONDS):
            ends = await source.core.consumer.end_offsets(wanted)
    except (KafkaError, TimeoutError):
        return {}
    return {topic_partition.partition: end for topic_partition, end in ends.items()}
