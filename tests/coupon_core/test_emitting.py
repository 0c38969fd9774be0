"""Sending the journal: what is too large to be sent keeps nothing behind it from being sent."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from contracts.answers import DeadLetter
from contracts.commands import COMMAND_RECORD, GenerateCodes, record_for
from contracts.fields import PLATFORM
from contracts.topics import COUPON_COMMANDS, COUPON_DEAD_LETTERS, COUPON_EVENTS, COUPON_REFUSALS, MIB, Topic
from contracts.writers import Writer
from coupon_core.lanes.emitting import Emitter
from coupon_core.lanes.reading import Reader
from coupon_core.storage.journal import COMMANDS, DEAD_LETTERS, EVENTS, REFUSALS, JournalRow
from tests.messaging.support import read_all
from tests.support.deciding import KEYS
from tests.support.servers import Servers
from tests.support.topics import LANES, reset_topics


def letter(offset: int, value: bytes) -> DeadLetter:
    return DeadLetter(
        topic="coupon.commands",
        partition=0,
        offset=offset,
        reason="unsigned_writer",
        detail="the record has no scrip-writer header",
        key=None,
        value=base64.b64encode(value).decode(),
        headers=[],
        record_time=datetime(2026, 3, 10, tzinfo=UTC),
    )


def slice_of(notafter: datetime) -> str:
    record = record_for(
        GenerateCodes(after=7),
        id=uuid4(),
        source="/coupon-core",
        subject=str(uuid4()),
        party=PLATFORM,
        actor="staff:test",
        notafter=notafter,
    )
    return record.model_dump_json(exclude_none=True)


async def test_a_continuation_lives_from_when_it_is_sent_and_one_sent_in_time_stays_as_it_is(backend: Servers) -> None:
    await asyncio.to_thread(reset_topics, backend.bootstrap)
    now = datetime.now(UTC)
    in_time, late = slice_of(now + timedelta(days=20)), slice_of(now - timedelta(days=20))
    emitter = Emitter(backend.bootstrap, Writer("core", 1, KEYS["core"][1]))
    try:
        await emitter.emit([row(1, COMMANDS, in_time, late)])
    finally:
        await emitter.stop()
    reader = Reader(1, KEYS, None)
    first, second = await read_all(backend.bootstrap, COUPON_COMMANDS, LANES)
    assert (reader.read(first).value or b"").decode() == in_time
    entry = reader.read(second)
    assert (entry.dead, entry.writer) == (None, "core")
    assert entry.record is not None
    assert entry.record.model_dump(exclude={"notafter"}) == COMMAND_RECORD.validate_json(late).model_dump(
        exclude={"notafter"}
    )


def row(number: int, kind: int, *lines: str) -> JournalRow:
    return JournalRow(0, number, kind, uuid4() if kind == EVENTS else None, None, None, list(lines))


async def test_rows_too_large_for_their_topic_let_those_behind_them_pass(backend: Servers) -> None:
    await asyncio.to_thread(reset_topics, backend.bootstrap)
    large, small = (letter(number, b"x" * size) for number, size in ((1, 4 * MIB), (2, 10)))
    emitter = Emitter(backend.bootstrap, Writer("core", 1, b"k" * 32))
    try:
        await emitter.emit(
            [
                row(1, DEAD_LETTERS, large.model_dump_json(), small.model_dump_json()),
                row(2, EVENTS, f'"{"x" * 2 * MIB}"'),
                row(3, EVENTS, f'"{"x" * 2 * MIB}"', '"event"'),
                row(4, REFUSALS, f'{{"subject": "large", "more": "{"x" * 2 * MIB}"}}', '{"subject": "small"}'),
            ]
        )
    finally:
        await emitter.stop()

    async def values(topic: Topic) -> list[bytes | None]:
        return [record.value for record in await read_all(backend.bootstrap, topic, LANES)]

    first, second = (DeadLetter.model_validate_json(value or b"") for value in await values(COUPON_DEAD_LETTERS))
    assert (first.offset, first.cut, second) == (1, ["value"], small)
    assert first.value
    assert large.value is not None
    assert large.value.startswith(first.value)
    assert await values(COUPON_EVENTS) == [b'"event"']
    assert await values(COUPON_REFUSALS) == [b'{"subject": "small"}']
