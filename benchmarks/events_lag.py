"""From the command's place in the log to its event at a Kafka consumer, under a steady load of claims: milliseconds.

That holds the decision and the commit: what passes between commit and consumer is less. Beside it, as the limit, one
`send_and_wait` to the same broker under the same load.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.claim_hot import CREATED, claims, created
from benchmarks.measure import Figure, alternate
from benchmarks.platforms import Commands, Log, Record, busy, log_of, platform, processor_seconds
from contracts.topics import COUPON_EVENTS
from scrip.platform import Platform

RATE = 1_000
"""Claims per second."""
SECONDS = 8.0
EVERY = 0.02


def run() -> list[Figure]:
    """The 99th hundredth in milliseconds, less is better."""
    figure = Figure(
        "events_lag", "ms (p99)", bound="core's transactions, one after the other, and the acknowledgement after each"
    )
    medians: list[float] = []
    with platform() as running:
        both: list[tuple[float, float]] = []
        began, before = time.monotonic(), processor_seconds(running)

        def measure() -> list[float]:
            lag, sent, middle = asyncio.run(_lag(running))
            both.append((lag, sent))
            medians.append(middle)
            return [lag]

        alternate([figure], ours=measure, limit=lambda: [both[-1][1]])
        seconds, batches = _batches(running)
        figure.notes.append(f"a batch took {1000 * seconds / batches:.1f} ms on average, from its fence to its commit")
        figure.notes.append(busy(running, before, time.monotonic() - began))
    figure.notes.append(f"p50 {sorted(medians)[len(medians) // 2]:.1f} ms at {RATE:,} claims/s on one hot campaign")
    return [figure]


def _batches(running: Platform) -> tuple[float, float]:
    """Core's seconds in transactions, and their number."""
    text = httpx.get(f"{running.url('coupon_core')}/metrics", timeout=10, trust_env=False).text
    found = dict(line.split() for line in text.splitlines() if line.startswith("scrip_core_batch_seconds_"))
    return float(found["scrip_core_batch_seconds_sum"]), float(found["scrip_core_batch_seconds_count"])


async def _lag(running: Platform) -> tuple[float, float, float]:
    commands, campaign = Commands(running), uuid4()
    count = int(RATE * SECONDS)
    records = claims(commands, [campaign], count)
    consumer = AIOKafkaConsumer(bootstrap_servers=running.bootstrap, fetch_max_wait_ms=500)
    async with log_of(running) as log, consumer:
        partitions = [TopicPartition(COUPON_EVENTS.name, number) for number in range(running.lanes)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        before = await log.count(COUPON_EVENTS.name)
        await log.append(created(commands, [campaign]))
        await log.reach(COUPON_EVENTS.name, before + CREATED)
        sending = asyncio.create_task(_send(log, records))
        lags: list[float] = []
        async with asyncio.timeout(60):
            while len(lags) < count:
                for events in (await consumer.getmany(timeout_ms=200)).values():
                    now = time.time()
                    lags += [
                        1000 * (now - _appended(event.value)) for event in events if b"coupon.issued" in event.value
                    ]
        sent = await sending
    lags, sent = sorted(lags), sorted(sent)
    return lags[int(len(lags) * 0.99)], sent[int(len(sent) * 0.99)], lags[len(lags) // 2]


async def _send(log: Log, records: list[Record]) -> list[float]:
    """Append at a steady rate; milliseconds each append took to be acknowledged."""
    some = int(RATE * EVERY)
    started, took = time.perf_counter(), []
    for number, first in enumerate(range(0, len(records), some)):
        await asyncio.sleep(max(0.0, started + number * EVERY - time.perf_counter()))
        begun = time.perf_counter()
        await log.append(records[first : first + some])
        took.append(1000 * (time.perf_counter() - begun))
    return took


def _appended(event: bytes) -> float:
    """The event's time: when its command was appended, by the same machine's clock."""
    text = event.partition(b'"time":"')[2].partition(b'"')[0].decode()
    return datetime.fromisoformat(text).timestamp()
