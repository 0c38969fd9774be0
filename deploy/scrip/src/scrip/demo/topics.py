"""Counts from Kafka: a plain consumer that reads from the beginning, drops repeats and looks for gaps."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, Message, TopicPartition

EVENTS = "coupon.events"
REFUSALS = "coupon.refusals"
MERCHANT_EVENTS = "merchant.events"
SCHEDULE_EVENTS = "schedule.events"
ISSUED, REDEEMED = "scrip.coupon.issued.v1", "scrip.coupon.redeemed.v1"
RETURNED, EXPIRED = "scrip.coupon.returned.v1", "scrip.coupon.expired.v1"
AT_ONCE = 10_000
QUIET_SECONDS = 20.0


@dataclass
class EventsCounted:
    """What the first occurrences of all events say, by owner of the campaign."""

    by_type: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Owner → type → how many."""
    by_moment: dict[str, list[Counter[str]]] = field(default_factory=dict)
    """Owner → for each moment asked for: type → how many up to it."""
    last: dict[str, int] = field(default_factory=dict)
    """Stream → the last number seen."""
    records: int = 0
    repeats: int = 0
    gaps: int = 0

    @property
    def campaigns(self) -> int:
        return len(self.last)


def count_events(
    bootstrap: str, moments: Sequence[str] = (), told: Callable[[int], None] = lambda records: None
) -> EventsCounted:
    """Read the whole of coupon.events. `moments` are instants as the events write them, in order."""
    found = EventsCounted()
    last = found.last
    marks = [moment[:19] for moment in moments]
    spans: dict[str, list[Counter[str]]] = defaultdict(lambda: [Counter() for _ in (*moments, None)])

    def take(message: Message) -> None:
        event = json.loads(message.value() or b"")
        stream, number = event["stream"], event["seq"]
        before = last.get(stream, 0)
        found.records += 1
        if number <= before:
            found.repeats += 1
            return
        found.gaps += number - before - 1
        last[stream] = number
        owner, kind, time = event["owner"], event["type"], event["time"]
        found.by_type[owner][kind] += 1
        # The text of an instant in UTC sorts like the instant, to the second; nothing of the story happens in between.
        spans[owner][bisect_left(marks, time[:19])][kind] += 1

    read_all(bootstrap, EVENTS, take, told)
    for owner, counted in spans.items():
        sums, so_far = [], Counter[str]()
        for span in counted[:-1]:
            so_far = so_far + span
            sums.append(so_far)
        found.by_moment[owner] = sums
    return found


def count_refusals(bootstrap: str) -> dict[tuple[str, str], int]:
    """Refusals by party and code."""
    seen: dict[str, tuple[str, str]] = {}

    def take(message: Message) -> None:
        refusal = json.loads(message.value() or b"")
        seen[refusal["id"]] = (refusal["party"], refusal["data"]["code"])

    read_all(bootstrap, REFUSALS, take)
    return Counter(seen.values())


def count_types(bootstrap: str, topic: str) -> Counter[str]:
    """Records of a topic whose values have `type` and `id`, by type; repeats are dropped."""
    seen: dict[str, str] = {}

    def take(message: Message) -> None:
        value = json.loads(message.value() or b"")
        seen[value["id"]] = value["type"]

    read_all(bootstrap, topic, take)
    return Counter(seen.values())


def read_all(
    bootstrap: str, topic: str, take: Callable[[Message], None], told: Callable[[int], None] = lambda records: None
) -> None:
    """Hand over every record of a topic from its beginning to where it ends now; each partition in order."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "scrip-demo",  # needed by the client; nothing is committed
        "enable.auto.commit": False,
        "enable.partition.eof": False,
        "fetch.max.bytes": 32 * 1024 * 1024,
        "queued.max.messages.kbytes": 131_072,
    }
    consumer = Consumer(settings)
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        ends: dict[int, int] = {}
        starts = []
        for partition in partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
            if high > low:
                ends[partition] = high
                starts.append(TopicPartition(topic, partition, low))
        consumer.assign(starts)
        while ends:
            messages = consumer.consume(AT_ONCE, 0.5 if starts else 0)
            for message in messages:
                if message.error() is not None:
                    raise RuntimeError(f"{topic} cannot be read: {message.error()}")
                take(message)
            told(len(messages))
            done = {place.partition: place.offset for place in consumer.position(starts)}
            ends = {partition: end for partition, end in ends.items() if done[partition] < end}
    finally:
        consumer.close()


def count_records(bootstrap: str, topic: str = "coupon.dead-letters") -> int:
    """How many records a topic holds."""
    counted: Counter[None] = Counter()
    read_all(bootstrap, topic, lambda message: counted.update([None]))
    return counted[None]
