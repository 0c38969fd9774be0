"""Every topic as a typed object: who writes, who reads, its key, its partitions, how long it is kept.

Topic names are contracts, not settings. `partitions=None` means the number of lanes, a property of the deployment
(`SCRIP_PARTITIONS`) that is part of the log's identity and never changes. All topics use `LogAppendTime`.

How a late reader catches up: the events of a campaign are kept for ever in coupon-core's journal and for
`retention_ms` on the topic; a reader that was away longer asks the gateway for each campaign
(`GET /internal/v1/campaigns/{id}/events?after_seq=`) and goes on with the topic from there; the first occurrences of a
campaign's events are exactly 1..n, so it can tell that nothing is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

FOREVER = -1
DAY_MS = 86_400_000
MAX_RECORD_BYTES = 900 * 1024
"""Checked before sending; the broker's own limit is 1 MiB."""
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `key` says what the record key is; `partitions` is None where it follows the lanes."""

    name: str
    key: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    partitions: int | None
    retention_ms: int
    compacted: bool = False
    about: str = ""
    max_message_bytes: int = MIB
    """A dead letter holds the whole dead record in base64, so it may be larger than any other record."""

    @property
    def most_content_bytes(self) -> int:
        """Of key and value together; what is left of `max_message_bytes` is the batch's and the headers'."""
        return self.max_message_bytes - 4 * 1024

    def partition_count(self, lanes: int) -> int:
        """Partitions in a deployment with this many lanes."""
        return lanes if self.partitions is None else self.partitions

    def config(self) -> dict[str, str]:
        """The topic's broker configuration."""
        config = {
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
        }
        if self.compacted:
            config["cleanup.policy"] = "compact"
        return config


COUPON_COMMANDS = Topic(
    "coupon.commands",
    "campaign id (lane-wide commands: `lane-<n>`, partition n)",
    ("gateway", "adapter", "core", "tools"),
    ("core",),
    None,
    FOREVER,
    about="Every command that may change a campaign. Kept for ever where time is told, else as long as a backup.",
)
COUPON_EVENTS = Topic(
    "coupon.events",
    "campaign id",
    ("core",),
    ("adapter", "gateway", "anyone"),
    None,
    FOREVER,
    about="What happened to campaigns and coupons; per campaign numbered 1..n.",
)
COUPON_REFUSALS = Topic(
    "coupon.refusals", "campaign id", ("core",), ("anyone",), None, 400 * DAY_MS, about="Rules that said no."
)
COUPON_REPLIES = Topic(
    "coupon.replies",
    "command id",
    ("core",),
    ("gateway",),
    16,
    DAY_MS,
    about="Best-effort answers; gateway instance i reads partition i. The outcome row is the truth.",
)
COUPON_DEAD_LETTERS = Topic(
    "coupon.dead-letters",
    "topic-partition-offset of the dead record",
    ("core",),
    ("tools",),
    1,
    400 * DAY_MS,
    about="Records of coupon.commands that could not be read, trusted or decided.",
    max_message_bytes=2 * MIB,
)
MERCHANT_COMMANDS = Topic(
    "merchant.commands",
    "merchant id",
    ("gateway",),
    ("adapter",),
    8,
    35 * DAY_MS,
    about="Sync users, push, recall.",
)
MERCHANT_EVENTS = Topic(
    "merchant.events",
    "merchant id",
    ("gateway", "adapter"),
    ("anyone",),
    8,
    FOREVER,
    about="Access, profiles matched, sync reports, deliveries.",
)
MERCHANT_PROFILES = Topic(
    "merchant.profiles",
    "merchant id",
    ("gateway",),
    ("adapter",),
    1,
    FOREVER,
    compacted=True,
    about="The latest profile of each merchant; secrets sealed.",
)
MERCHANT_DEAD_LETTERS = Topic(
    "merchant.dead-letters",
    "topic-partition-offset of the dead record",
    ("adapter",),
    ("tools",),
    1,
    400 * DAY_MS,
)
SCHEDULE_COMMANDS = Topic(
    "schedule.commands",
    "task id",
    ("gateway",),
    ("scheduler",),
    4,
    35 * DAY_MS,
    about="File or cancel a timed task.",
)
SCHEDULE_EVENTS = Topic(
    "schedule.events", "task id", ("scheduler",), ("adapter", "anyone"), 4, 35 * DAY_MS, about="Ticks of timed tasks."
)
SCHEDULE_DEAD_LETTERS = Topic(
    "schedule.dead-letters",
    "topic-partition-offset of the dead record",
    ("scheduler",),
    ("tools",),
    1,
    400 * DAY_MS,
)

TOPICS: tuple[Topic, ...] = (
    COUPON_COMMANDS,
    COUPON_EVENTS,
    COUPON_REFUSALS,
    COUPON_REPLIES,
    COUPON_DEAD_LETTERS,
    MERCHANT_COMMANDS,
    MERCHANT_EVENTS,
    MERCHANT_PROFILES,
    MERCHANT_DEAD_LETTERS,
    SCHEDULE_COMMANDS,
    SCHEDULE_EVENTS,
    SCHEDULE_DEAD_LETTERS,
)
