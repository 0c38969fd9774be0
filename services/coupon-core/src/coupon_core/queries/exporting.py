"""Exports: codes, coupons and events of a campaign as CSV or JSON Lines, streamed page by page with flat memory.

Rows come by their key (coupon number, or sequence number), so a client that was cut off goes on with `after` = the
key of its last whole row; such a continuation has no header, so that the parts join. The last line says how many rows
there are and which SHA-256 the bytes before it have; an export without that line is not whole. Each page is a read of
its own: states are those of the moment it was read at.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from contracts.campaigns import CouponState
from contracts.events import EVENT_TYPES
from coupon_core.codes.generated import BLOCK_SIZE
from coupon_core.model.campaign import STATE_NAMES, STATE_NUMBERS, Campaign
from coupon_core.operations.serials import symbols_of_range
from coupon_core.queries import code_columns
from coupon_core.queries.asking import Number, Problem, Search, campaign_named, campaign_not_found, parameters
from coupon_core.queries.campaigns import OfParty, visible_campaign
from coupon_core.queries.coupons import coupon_item, may_list_codes
from coupon_core.queries.events import BEGINNING
from coupon_core.queries.source import Source
from coupon_core.storage import reading
from coupon_core.storage.journal import unpacked

CODES_PAGE, COUPONS_PAGE, EVENTS_PAGE = 16_384, 2_000, 5_000
GENERATED_PAGE = BLOCK_SIZE
"""A block of serials: some 2 MB of text."""
AT_ONCE = 4
"""Exports a process streams at the same time."""
AT_ONCE_OF_ONE = 2
"""Exports of one merchant at the same time: who reads slowly must not keep the others from theirs."""
SLOWEST_SECONDS = 60.0
"""A reader who takes nothing for so long is cut off."""
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
FORMULA = re.compile(r"(^|[;\t\r\n])(?=[\s\"']*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n\x00])")
"""Before what a spreadsheet could take for a formula: at the beginning of a cell, and behind what some spreadsheets
take for the end of one (the semicolon in much of Europe), quotes or not. The wide forms count in East Asia."""

CODES = ("number", "code", "state")
COUPONS = (
    *("number", "id", "user", "state", "code_last", "issued_at", "expires_at", "redemptions", "uses_left", "balance"),
)
EVENTS = ("seq", "time", "type", "subject", "actor", "causationid", "data")

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class Written:
    """So many rows, written already."""

    count: int
    text: bytes


Page = tuple[list[Row] | Callable[[], Written], int | None]
"""Rows, or what writes them (in a thread), and the key to go on after; None: there are no more."""
Pages = Callable[[int, int], Coroutine[Any, Any, Page]]
"""The page after a key, up to a last one."""

_running: Counter[str | None] = Counter()
"""Exports under way, by party; None: staff."""


class Asked(OfParty):
    """`last`: the greatest key wanted, both ends included with `after` + 1."""

    format: Literal["csv", "jsonl"] = "csv"
    after: Number = 0
    last: Number | None = None


class AskedCodes(Asked):
    state: CouponState | Literal["exported", "available"] | None = None


class AskedCoupons(Asked):
    state: CouponState | None = None
    user: Search | None = None


class AskedEvents(Asked):
    type: Annotated[str | None, Field(max_length=60)] = None
    """An event's type in full, or without `scrip.` and `.v1`."""


async def codes(source: Source, request: Request) -> Response:
    """GET /campaigns/{id}/export/codes: every code that exists, by coupon number."""
    asked = parameters(request, AskedCodes)
    campaign = await _campaign(source, request, asked)
    if not may_list_codes(campaign, asked.party):
        raise campaign_not_found()

    async def page(after: int, last: int) -> Page:
        if campaign.supply == "generated":
            return await _generated_page(source, campaign, after, last, asked)
        async with source.snapshot() as connection:
            if campaign.supply == "uploaded":
                found = await reading.uploaded_after(connection, campaign.number, after, CODES_PAGE)
            else:
                held = await reading.coupons_after(connection, campaign.number, after, None, None, CODES_PAGE)
                texts = await source.codes_of(connection, [(campaign, coupon) for coupon in held])
                found = [(coupon.number, text or "", coupon.state) for coupon, text in zip(held, texts, strict=True)]
        named = [(number, code, "available" if state is None else STATE_NAMES[state]) for number, code, state in found]
        rows: list[Row] = [row for row in named if row[0] <= last and asked.state in (None, row[2])]
        return rows, found[-1][0] if len(found) == CODES_PAGE and found[-1][0] < last else None

    return _Export(asked, CODES, campaign.last_number, page)


async def _generated_page(source: Source, campaign: Campaign, after: int, last: int, asked: AskedCodes) -> Page:
    """Codes follow from numbers, so only states are read: of all that is not merely exported."""
    end = min(after + GENERATED_PAGE, last)
    if after >= end or asked.state == "available":
        return [], None
    async with source.snapshot() as connection:
        states = await reading.states_between(connection, campaign.number, after, end)
        blocks = await source.blocks_between(connection, campaign, after + 1, end)

    def write() -> Written:
        numbers = numpy.arange(after + 1, end + 1)
        held = numpy.zeros(len(numbers), dtype=numpy.uint8)
        held[numpy.fromiter(states.keys(), dtype=numpy.int64, count=len(states)) - (after + 1)] = list(states.values())
        symbols = symbols_of_range(source.codes, campaign, blocks, after + 1, end)
        if asked.state is not None:
            wanted = held == code_columns.STATES.index(asked.state)
            numbers, symbols, held = numbers[wanted], symbols[wanted], held[wanted]
        return Written(len(numbers), code_columns.write(asked.format, numbers, symbols, held))

    return write, end if end < last else None


async def coupons(source: Source, request: Request) -> Response:
    """GET /campaigns/{id}/export/coupons: what was issued or used, by number, without codes."""
    asked = parameters(request, AskedCoupons)
    campaign = await _campaign(source, request, asked)
    state = None if asked.state is None else STATE_NUMBERS[asked.state]

    async def page(after: int, last: int) -> Page:
        async with source.snapshot() as connection:
            found = await reading.coupons_after(
                connection, campaign.number, after, state, asked.user, COUPONS_PAGE, last
            )
            texts = await source.codes_of(connection, [(campaign, coupon) for coupon in found])

        def rows() -> list[Row]:
            items = [
                coupon_item(campaign, coupon, text, with_code=False) for coupon, text in zip(found, texts, strict=True)
            ]
            return [[item.get(column) for column in COUPONS] for item in items]

        return await asyncio.to_thread(rows), found[-1].number if len(found) == COUPONS_PAGE else None

    return _Export(asked, COUPONS, campaign.last_number, page)


async def history(source: Source, request: Request) -> Response:
    """GET /campaigns/{id}/export/history: the campaign's events, by sequence number; for the owner and staff."""
    asked = parameters(request, AskedEvents)
    campaign = await _campaign(source, request, asked)
    if asked.party is not None and asked.party != campaign.owner:
        raise campaign_not_found()
    wanted = None if asked.type is None else _event_type(asked.type)

    async def page(after: int, last: int) -> Page:
        async with source.snapshot() as connection:
            packed = await reading.event_bodies(connection, campaign.id, after + 1, BEGINNING, EVENTS_PAGE)

        def rows() -> list[Row]:
            found: list[Row] = []
            for first, _, body in packed:
                for seq, line in enumerate(unpacked(body), start=first):
                    if after < seq <= last and (wanted is None or _is_of_type(line, wanted)):
                        found.append((line,) if asked.format == "jsonl" else _event_cells(line))
            return found

        end = packed[-1][0] + packed[-1][1] - 1 if packed else last
        return await asyncio.to_thread(rows), end if end < last else None

    return _Export(asked, EVENTS, campaign.seq, page)


def _event_type(name: str) -> str:
    for kind in EVENT_TYPES.values():
        if name in (kind, kind[6:-3]):
            return kind
    raise Problem(422, "invalid_request", f"There is no event of the type {name!r}.", [
        {"pointer": "/type", "detail": "is none of coupon.events"}])  # fmt: skip


def _is_of_type(line: str, wanted: str) -> bool:
    # Only what has the words at all is read: a campaign's own metadata may have them too.
    return f'"type":"{wanted}"' in line and json.loads(line)["type"] == wanted


def _event_cells(line: str) -> Row:
    event: dict[str, Any] = json.loads(line)
    data = json.dumps(event["data"], ensure_ascii=False, separators=(",", ":"))
    return [*(event[column] for column in EVENTS[:-1]), data]


async def _campaign(source: Source, request: Request, asked: Asked) -> Campaign:
    async with source.snapshot() as connection:
        return await visible_campaign(connection, campaign_named(request), asked.party)


class _Export(StreamingResponse):
    """The stream of one export. Takes a slot while it runs; 503 where none is free."""

    def __init__(self, asked: Asked, columns: Sequence[str], end: int, page: Pages) -> None:
        self._party = asked.party
        last = end if asked.last is None else min(asked.last, end)
        parts = _parts(asked, columns, last, page)
        super().__init__(parts, media_type=MEDIA_TYPES[asked.format], headers={"cache-control": "no-store"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _running.total() >= AT_ONCE or (self._party is not None and _running[self._party] >= AT_ONCE_OF_ONE):
            detail = f"This process streams {AT_ONCE} exports at once, {AT_ONCE_OF_ONE} for one merchant; ask later."
            await Problem(503, "exports_running", detail, retry=True).answer()(scope, receive, send)
            return

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SLOWEST_SECONDS):
                await send(message)

        _running[self._party] += 1
        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            _running[self._party] -= 1


async def _parts(asked: Asked, columns: Sequence[str], last: int, page: Pages) -> AsyncIterator[bytes]:
    """The text, part by part. The page after the one that is being written or sent is read and written meanwhile."""
    digest, count = hashlib.sha256(), 0
    as_text = as_csv if asked.format == "csv" else as_json_lines

    async def begun(after: int) -> tuple[asyncio.Task[Written], int | None]:
        rows, going_on = await page(after, last)
        write = rows if callable(rows) else lambda: Written(len(rows), as_text(columns, rows) if rows else b"")
        # In a thread: the lanes share this event loop.
        return asyncio.create_task(asyncio.to_thread(write)), going_on

    coming = asyncio.create_task(begun(asked.after)) if asked.after < last else None
    try:
        if asked.format == "csv" and asked.after == 0:
            head = as_csv(columns, [columns])
            digest.update(head)
            yield head
        while coming is not None:
            writing, going_on = await coming
            goes_on = going_on is not None and going_on < last
            coming = asyncio.create_task(begun(going_on or 0)) if goes_on else None
            part = await writing
            if part.text:
                await asyncio.to_thread(digest.update, part.text)
                count += part.count
                yield part.text
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
    yield _end(asked.format, columns, count, digest.hexdigest())


def _end(form: str, columns: Sequence[str], count: int, digest: str) -> bytes:
    if form == "csv":
        return as_csv(columns, [["#end", count, digest, *[None] * (len(columns) - 3)]])
    return json.dumps({"end": {"rows": count, "sha256": digest}}, separators=(",", ":")).encode() + b"\n"


def as_csv(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """Rows in the form of RFC 4180; a text that a spreadsheet could take for a formula gets `'` in front."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([safe(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue().encode()


def safe(cell: str) -> str:
    """The text, which no spreadsheet takes for a formula."""
    return FORMULA.sub(r"\1'", cell)


def as_json_lines(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """An object per row; a row of one text is a line as it stands."""
    return "".join(
        f"{row[0]}\n"
        if len(row) == 1
        else json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, separators=(",", ":")) + "\n"
        for row in rows
    ).encode()
