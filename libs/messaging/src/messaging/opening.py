"""From a record to what a handler takes: signature, decoding from bytes, key, partition, time limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeAlias, TypeVar

from aiokafka import ConsumerRecord
from pydantic import ValidationError

from contracts.answers import DeadLetterReason
from contracts.partitioner import partition_of
from contracts.topics import Topic
from messaging.outbox import Connection
from messaging.trusting import Trust, Untrusted

Record: TypeAlias = ConsumerRecord
LONGEST_NOT_AFTER = timedelta(days=30)

Command = TypeVar("Command")


@dataclass(frozen=True, kw_only=True)
class Subscription(Generic[Command]):
    """What a service does with the records of one topic."""

    topic: Topic
    decode: Callable[[bytes], Command]
    """Raises ValueError (pydantic's ValidationError is one) for what cannot be read."""
    handle: Callable[[Connection, Command, datetime], Awaitable[None]]
    """Called in a transaction with the record's time; raises only what is our bug or the database's absence.
    """
    dead_letters: Topic
    writers: frozenset[str] | None
    """Who may write here; None: records of this topic carry no signature."""
    command_id: Callable[[Command], str] | None = None
    """The id that makes a command take effect once; None: the handler itself bears repeats."""
    not_after: Callable[[Command], datetime] | None = None
    key: Callable[[Command], str] | None = None
    """The key the record must have."""
    interesting: Callable[[Connection, list[bytes]], Awaitable[set[bytes]]] | None = None
    """Which of these keys matter; records of others are passed over without being decoded."""


@dataclass(frozen=True, slots=True)
class Dead:
    """The record will be a dead letter, and why."""

    reason: DeadLetterReason
    detail: str
    command: str | None = None
    writer: str | None = None


def open_record(subscription: Subscription[Command], trust: Trust, record: Record) -> Command | Dead:
    """The record's content, or why it is none."""
    key, value = record.key or b"", record.value or b""
    writer = None
    if subscription.writers is not None:
        try:
            writer = trust.writer_of(record.topic, key, value, record.headers, subscription.writers)
        except Untrusted as error:
            return Dead(error.reason, error.detail, writer=error.writer)
    try:
        content = subscription.decode(value)
    except ValueError as error:
        return Dead("unreadable", _what_is_wrong(error), writer=writer)
    command = subscription.command_id(content) if subscription.command_id else None
    if subscription.key is not None and key != subscription.key(content).encode():
        return Dead("wrong_key", f"the key should be {subscription.key(content)}", command, writer)
    partitions = subscription.topic.partitions
    if partitions is not None and record.partition != partition_of(key, partitions):
        right = partition_of(key, partitions)
        return Dead("wrong_partition", f"the key belongs into partition {right}", command, writer)
    if subscription.not_after is not None:
        limit, time = subscription.not_after(content), time_of(record)
        if time > limit:
            return Dead("too_late", f"it came at {time}, not after {limit}", command, writer)
        if limit - time > LONGEST_NOT_AFTER:
            return Dead("too_far_ahead", "notafter is more than 30 days ahead", command, writer)
    return content


def time_of(record: Record) -> datetime:
    """When the broker appended the record."""
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


def _what_is_wrong(error: ValueError) -> str:
    """A sentence without any of the input's values."""
    if not isinstance(error, ValidationError):
        return str(error)
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'record'}: {problem['msg']}" for problem in problems[:5]
    )
