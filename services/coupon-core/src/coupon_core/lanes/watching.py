"""What /metrics and /readyz say of this process's lanes: how far behind they are, since when something they have
committed waits for the broker, and whether the broker answers at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from contracts.topics import COUPON_COMMANDS
from coupon_core.lanes.lane import Lane
from coupon_core.lanes.metrics import LAG, OLDEST_NOT_EMITTED

ASK_SECONDS = 1.0
ANSWER_SECONDS = 5.0
SILENT_SECONDS = 8.0
"""The broker counts as away when it has not answered for so long: more than one question unanswered."""


class LaneWatch:
    """`run` asks the broker now and then where the log ends; the rest is told by the loop.

    `lanes` is the loop's own mapping, seen as it changes.
    """

    def __init__(self, consumer: AIOKafkaConsumer, lanes: Mapping[int, Lane]) -> None:
        self._consumer = consumer
        self._lanes = lanes
        self._owed: dict[int, float] = {}
        """Lane we do not hold at the moment → since when something of its journal waits to be emitted."""
        self._answered = time.monotonic()
        OLDEST_NOT_EMITTED.set_function(self.oldest_not_emitted_seconds)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            places = self._consumer.assignment() or {TopicPartition(COUPON_COMMANDS.name, 0)}
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    ends = await self._consumer.end_offsets(list(places))
            except (KafkaError, TimeoutError):
                continue_after = 0.5
            else:
                continue_after = ASK_SECONDS
                self._answered = time.monotonic()
                LAG.clear()
                for place, end in ends.items():
                    lane = self._lanes.get(place.partition)
                    if lane is not None:
                        LAG.labels(str(place.partition)).set(max(0, end - lane.position))
            await asyncio.sleep(continue_after)

    @property
    def broker_away(self) -> bool:
        """Whether the broker has not answered for a while."""
        return time.monotonic() - self._answered > SILENT_SECONDS

    def oldest_not_emitted_seconds(self) -> float:
        """Age of the oldest batch committed in a lane of ours that the broker has not acknowledged; 0: none waits."""
        waiting = [lane.unsent[0] for lane in self._lanes.values() if lane.unsent]
        waiting += self._owed.values()
        return max(0.0, time.monotonic() - min(waiting)) if waiting else 0.0

    def dropped(self, lane: Lane) -> None:
        """We hold this lane no more, and want it back: what it has not emitted is owed until its take-over ends."""
        if lane.unsent:
            self._owed.setdefault(lane.partition, lane.unsent[0])

    def found_unsent(self, partition: int, at: datetime | None) -> None:
        """A take-over has found what a former owner committed (`at`, of a log in record time) and never emitted."""
        age = 0.0 if at is None else max(0.0, (datetime.now(UTC) - at).total_seconds())
        self._owed.setdefault(partition, time.monotonic() - age)

    def settled(self, partition: int) -> None:
        """Everything of this lane is emitted, or it is another process's to emit."""
        self._owed.pop(partition, None)
