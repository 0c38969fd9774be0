"""Reads `coupon.events`, drops repeats and reports gaps. See README.md beside this file."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer


class Stream:
    """What a reader must remember: the last number seen of each campaign. Keep it where you keep your own effects."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.repeats = 0
        self.gaps: list[tuple[str, int, int]] = []
        """(stream, first number missing, last number missing)."""

    def take(self, value: bytes) -> dict[str, Any] | None:
        """The event, or None when it was seen before. Numbers left out are noted as a gap."""
        event: dict[str, Any] = json.loads(value)
        stream, number = event["stream"], event["seq"]
        last = self.last.get(stream, 0)
        if number <= last:
            self.repeats += 1
            return None
        if number > last + 1:
            self.gaps.append((stream, last + 1, number - 1))
        self.last[stream] = number
        return event

    def take_all(self, values: list[bytes]) -> Iterator[dict[str, Any]]:
        """The events among these that are new."""
        return (event for value in values if (event := self.take(value)) is not None)


async def read(bootstrap: str, until_idle_seconds: float | None) -> Stream:
    """Print each new event; without `until_idle_seconds` for ever."""
    stream = Stream()
    # From the beginning and without a group, so that the numbers start at 1. A reader that keeps `last` and the
    # offsets with its own effects goes on from there.
    consumer = AIOKafkaConsumer("coupon.events", bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        wait = 1_000 if until_idle_seconds is None else int(until_idle_seconds * 1_000)
        while (batches := await consumer.getmany(timeout_ms=wait)) or until_idle_seconds is None:
            for records in batches.values():
                for event in stream.take_all([record.value for record in records]):
                    print(event["time"], event["type"], event["subject"], event["data"], flush=True)
    finally:
        await consumer.stop()
    return stream


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bootstrap", required=True, help="host:port of Kafka")
    parser.add_argument("--until-idle", type=float, metavar="SECONDS", help="end when nothing came for so long")
    given = parser.parse_args()
    seen = asyncio.run(read(given.bootstrap, given.until_idle))
    print(json.dumps({"campaigns": len(seen.last), "events": sum(seen.last.values()), "repeats": seen.repeats,
                      "gaps": seen.gaps}))  # fmt: skip
