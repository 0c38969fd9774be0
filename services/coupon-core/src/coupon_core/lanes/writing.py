"""Writes the difference of a view back: state after every segment, journal and outcomes once per batch."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TypeVar

from contracts.answers import DeadLetter
from contracts.commands import type_of
from contracts.topics import COUPON_COMMANDS, COUPON_DEAD_LETTERS
from coupon_core.model.recording import Recorder, instant
from coupon_core.storage import Connection, dead_letters, lanes, outcomes
from coupon_core.storage import campaigns as campaign_rows
from coupon_core.storage import codes as code_rows
from coupon_core.storage import coupons as coupon_rows
from coupon_core.storage import periods as period_rows
from coupon_core.storage.ends import end_batch
from coupon_core.storage.journal import COMMANDS, DEAD_LETTERS, EVENTS, REFUSALS, JournalRow
from coupon_core.work import Entry, StoredRefusal, Work
from messaging.dead_letters import cut_to_fit

T = TypeVar("T")


async def write_state(connection: Connection, work: Work) -> None:
    """Write campaigns, coupons, codes and blocks that changed, and mark them clean."""
    await campaign_rows.write_campaigns(connection, work.campaigns)
    dirty = [coupon for coupon in work.coupons.values() if coupon.new or coupon.changed]
    if dirty:
        await coupon_rows.write_coupons(connection, dirty)
    redemptions = [row for rows in work.redemptions.values() for row in rows if row.new or row.changed]
    if redemptions:
        await coupon_rows.write_redemptions(connection, redemptions)
    counts = [count for count in work.period_counts.values() if count.changed]
    if counts:
        await period_rows.write_counts(connection, counts)
    if work.new_codes or work.taken_codes:
        await code_rows.write_uploaded(connection, work.new_codes, work.taken_codes)
        work.new_codes, work.taken_codes = [], []
    if work.new_blocks:
        await code_rows.write_blocks(connection, work.new_blocks)
        work.new_blocks = []
    if work.new_exports:
        await code_rows.write_ranges(connection, work.new_exports)
        work.new_exports = []
    if work.new_voids:
        await code_rows.write_voids(connection, work.new_voids)
        work.new_voids = []


async def write_rest(connection: Connection, work: Work) -> list[JournalRow]:
    """Write outcomes, refusals, dead letters, facts, journal and the lanes' rows; the journal rows, to be emitted."""
    if work.refusals:
        await outcomes.write_refusals(connection, [_refusal_row(refusal) for refusal in work.refusals])
    if work.dead:
        await dead_letters.write_dead_letters(
            connection,
            [
                (
                    entry.partition,
                    entry.offset,
                    entry.time,
                    reason,
                    None if entry.record is None else entry.record.id,
                    dead_letter(entry, reason, detail).model_dump_json(),
                )
                for entry, reason, detail in work.dead
            ],
        )
    if work.changed_facts:
        await lanes.write_facts(connection, work.changed_facts)
    rows = journal_rows(work)
    await end_batch(
        connection,
        work.new_outcomes,
        rows,
        [(lane.partition, lane.clock, lane.lane_seq, lane.campaigns, lane.blocks) for lane in work.lanes.values()],
    )
    return rows


def journal_rows(work: Work) -> list[JournalRow]:
    """One row per campaign with events, then refusals, dead letters and continuations; numbers the lanes' rows."""
    rows: list[JournalRow] = []

    def add(partition: int, kind: int, lines: list[str], recorder: Recorder | None = None) -> None:
        lane = work.lanes[partition]
        lane.lane_seq += 1
        row = JournalRow(partition, lane.lane_seq, kind, None, None, lane.clock, lines)
        if recorder is not None:
            row.campaign, row.first_seq, row.chain = recorder.campaign.id, recorder.first_seq, recorder.campaign.chain
        rows.append(row)

    for recorder in work.recorders.values():
        if recorder.lines:
            add(recorder.campaign.partition, EVENTS, recorder.lines, recorder)
    for refusals in _by_partition(work.refusals, lambda refusal: refusal.entry.partition).values():
        add(refusals[0].entry.partition, REFUSALS, [_refusal_line(refusal) for refusal in refusals])
    for dead in _by_partition(work.dead, lambda letter: letter[0].partition).values():
        lines = [dead_letter(entry, reason, detail).model_dump_json() for entry, reason, detail in dead]
        add(dead[0][0].partition, DEAD_LETTERS, lines)
    for following in _by_partition(work.continuations, lambda pair: pair[0]).values():
        add(following[0][0], COMMANDS, [record.model_dump_json(exclude_none=True) for _, record in following])
    return rows


def _by_partition(items: list[T], partition: Callable[[T], int]) -> dict[int, list[T]]:
    grouped: dict[int, list[T]] = {}
    for item in items:
        grouped.setdefault(partition(item), []).append(item)
    return grouped


def _refusal_row(kept: StoredRefusal) -> outcomes.RefusalRow:
    record = kept.entry.record
    if record is None:
        raise ValueError("a refusal is always of a command")
    return (
        record.id,
        kept.entry.partition,
        -1 if kept.row is None else kept.row,
        kept.at,
        kept.entry.campaign,
        record.party,
        kept.refusal.code,
        kept.user,
        kept.order,
        kept.coupon,
        json.dumps(kept.refusal.as_json(), ensure_ascii=False),
        kept.seq,
    )


def _refusal_line(kept: StoredRefusal) -> str:
    """One record of `coupon.refusals` (contracts.events.RefusalRecord)."""
    record = kept.entry.record
    if record is None:
        raise ValueError("a refusal is always of a command")
    data = {
        **kept.refusal.as_json(),
        "row": kept.row,
        "user": kept.user,
        "order": kept.order,
        "coupon": kept.coupon,
    }
    return json.dumps(
        {
            "specversion": "1.0",
            "id": str(record.id) if kept.row is None else f"{record.id}/{kept.row}",
            "source": "/coupon-core",
            "type": "scrip.refusal.v1",
            "subject": record.subject,
            "time": instant(kept.at),
            "datacontenttype": "application/json",
            "causationid": str(record.id),
            "actor": record.actor,
            "party": record.party,
            "command": type_of(type(record.data)),
            "data": data,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def dead_letter(entry: Entry, reason: str, detail: str) -> DeadLetter:
    """The dead letter of a record, with everything needed to look at it and to send it again.

    Of a record that no writer of ours could have sent it says what was cut, so that it can be sent itself."""

    def text(value: bytes | None) -> str | None:
        return None if value is None else base64.b64encode(value).decode()

    letter = DeadLetter.model_validate(
        {
            "topic": COUPON_COMMANDS.name,
            "partition": entry.partition,
            "offset": entry.offset,
            "reason": reason,
            "detail": detail,
            "key": text(entry.key),
            "value": text(entry.value),
            "headers": [(name, text(value) or "") for name, value in entry.headers],
            "record_time": entry.time,
            "command": None if entry.record is None else str(entry.record.id),
            "writer": entry.writer,
        }
    )
    return cut_to_fit(letter, COUPON_DEAD_LETTERS.most_content_bytes)
