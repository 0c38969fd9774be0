"""From a Kafka record to an entry: who wrote it, may it stand here, what does it say. Never raises for bad input."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from contracts.campaigns import GeneratedSupply
from contracts.commands import (
    COMMAND_RECORD,
    LANE_WIDE,
    ChangeQuantity,
    CommandRecord,
    GenerateCampaign,
    GenerateCodes,
    IssueCoupons,
    UploadCodes,
    VoidCoupons,
)
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS, MAX_RECORD_BYTES
from contracts.writers import WRITER_HEADER, UnsignedWriterError, named_in, verify
from coupon_core.operations.generating import SLICE
from coupon_core.work import Entry

LONGEST_LIFE = timedelta(days=30)
BYTES_OF_AN_EFFECT = 8 * 1024
"""A record counts as one effect for so many of its bytes, at least: what a batch writes must fit into one statement."""
TOPIC = COUPON_COMMANDS.name


class LogRecord(Protocol):
    """What a Kafka client gives for a record."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]: ...


def size_of(record: LogRecord) -> int:
    """Bytes of a record as it was sent, uncompressed: key, value and headers."""
    size = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += len(name) + len(value)
    return size


class Reader:
    """Reads records of one deployment: its number of lanes and the writers' keys it knows."""

    def __init__(self, partitions: int, keys: Mapping[str, Mapping[int, bytes]], tool_master: bytes | None) -> None:
        self._partitions = partitions
        self._keys = keys
        self._tool_master = tool_master

    def read(self, record: LogRecord) -> Entry:
        """The entry of a record; `dead` is set where it cannot be decided."""
        entry = Entry(
            partition=record.partition,
            offset=record.offset,
            time=datetime.fromtimestamp(record.timestamp / 1000, UTC),
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
        )
        try:
            entry.dead = self._fill(entry)
        except Exception as error:  # one record must not keep a lane from all that follow
            entry.dead = "our_bug", "".join(traceback.format_exception(error))[-4_000:]
        entry.effects = max(entry.effects, size_of(record) // BYTES_OF_AN_EFFECT)
        return entry

    def _fill(self, entry: Entry) -> tuple[str, str] | None:
        if entry.value is None or entry.key is None:
            return "unreadable", "the record has no key or no value"
        header = None
        for name, value in entry.headers:
            if name == WRITER_HEADER:
                header = value
                break
        try:
            writer, version = verify(header, TOPIC, entry.key, entry.value, self._keys, self._tool_master)
        except UnsignedWriterError as error:
            return "unsigned_writer", str(error)
        entry.writer, entry.writer_version = writer, version
        size = len(entry.key) + len(entry.value)
        if size > MAX_RECORD_BYTES:  # compressed, a broker takes it; what follows from it might fit nowhere
            return "unreadable", f"key and value have {size:,} bytes; a record has {MAX_RECORD_BYTES:,} at most"
        try:
            record = COMMAND_RECORD.validate_json(entry.value)
        except ValidationError as error:
            return "unreadable", _where(error)
        entry.record = record
        if record.redrive and writer == "gateway":
            entry.redriven = True
            if record.redriveof is not None:
                entry.writer, entry.writer_version = named_in(record.redriveof.encode() + b";")
        entry.hash = _hash(record)
        command = record.data
        if record.subject.encode() != entry.key:
            return "wrong_key", f"the record's key is not its subject {record.subject}"
        kind = type(command)
        if kind in LANE_WIDE:
            if command.partition != entry.partition:
                return "wrong_partition", f"this lane-wide command belongs to partition {command.partition}"
        else:
            try:
                entry.campaign, expected = _campaign(record.subject, self._partitions)
            except ValueError as error:
                return "wrong_key", str(error)
            if expected != entry.partition:
                return (
                    "wrong_partition",
                    f"murmur2 puts this key into partition {expected}; set your client's partitioner",
                )
        if entry.time > record.notafter:
            return "too_late", f"appended after its notafter {record.notafter.isoformat()}"
        if record.notafter - entry.time > LONGEST_LIFE:
            return "too_far_ahead", "notafter is more than 30 days ahead of the record"
        # By type and not by isinstance, which pydantic's classes answer slowly; here as in all that every record meets.
        if kind is IssueCoupons:
            entry.effects = len(command.rows)
        elif kind is UploadCodes:
            entry.effects = len(command.codes)
        elif kind is VoidCoupons:
            entry.effects = len(command.coupons)
        elif kind is GenerateCodes or kind is ChangeQuantity or (kind is GenerateCampaign and _writes_codes(command)):
            entry.effects = SLICE
        return None


def _writes_codes(command: GenerateCampaign) -> bool:
    return isinstance(command.supply, GeneratedSupply) and command.supply.stored


@lru_cache(maxsize=65_536)
def _campaign(subject: str, partitions: int) -> tuple[UUID, int]:
    """The campaign's id and its partition. Raises ValueError with what is wrong with the subject."""
    try:
        campaign = UUID(subject)
    except ValueError:
        raise ValueError("the subject of this command must be a campaign id") from None
    if str(campaign) != subject:
        raise ValueError("the campaign id must be written in lower case with dashes")
    return campaign, partition_of(subject.encode(), partitions)


def _hash(record: CommandRecord) -> int:
    """64 bits over what the command says; transport left out, and users' attributes, which change."""
    command = record.data
    if type(command) is IssueCoupons:
        if any(row.attributes is not None for row in command.rows):
            command = IssueCoupons(rows=tuple(row.model_copy(update={"attributes": None}) for row in command.rows))
    elif getattr(command, "attributes", None) is not None:
        command = command.model_copy(update={"attributes": None})
    text = command.__pydantic_serializer__.to_json(command)
    head = f"{record.type}\n{record.subject}\n{record.party}\n".encode()
    return int.from_bytes(blake2b(head + text, digest_size=8).digest(), "big", signed=True)


def _where(error: ValidationError) -> str:
    parts = [_said(problem) for problem in error.errors(include_input=False, include_url=False)[:5]]
    return "; ".join(parts)[:1_000]


def _said(problem: ErrorDetails) -> str:
    place, message = [str(part) for part in problem["loc"]], problem["msg"]
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        # pydantic's words are about the object around, and repeat what came.
        place.append(str(problem["ctx"]["discriminator"]).strip("'"))
        message = "is missing" if problem["type"] == "union_tag_not_found" else "is none of those known"
    return f"{'.'.join(place) or 'record'}: {message}"
