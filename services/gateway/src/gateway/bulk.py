"""Requests of many rows: cut into commands, sent, awaited, remembered, and their results read row by row.

A bulk request is not atomic. Its parts are commands with ids UUIDv5(bulk id, n); a table remembers which rows
each part holds and which rows were refused here. Rows are counted from 0, as they stood in the request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from contracts.answers import RefusalAnswer, Reply
from contracts.commands import IssueCoupons, IssueRow, UploadCodes
from contracts.fields import Contract
from contracts.identifiers import chunk_id, command_id
from contracts.refusals import IdempotencyConflict, RepeatedInRequest
from gateway.commanding import WAIT_SECONDS, Caller, Commanding, Pending
from gateway.storage import bulks
from process.database import Pool

Answer = TypeVar("Answer")
ROWS_PER_PART = 500
BYTES_PER_PART = 200 * 1024
PARTS_AT_ONCE = 32
"""Parts of one request that are under way together; bounds what one request may hold of the producer."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of the request that go into one command; `rows` are their numbers."""

    rows: tuple[int, ...]
    command: Contract


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRequest:
    """What goes with the rows of a request: who sends them, where to, under which number."""

    caller: Caller
    campaign: UUID
    number: str
    """The request number; sent again with the same rows it has no second effect."""
    total: int
    """Rows of the request, those that nobody could read included."""
    refused: Sequence[dict[str, Any]] = ()
    """Result rows of those nobody could read."""
    at: datetime | None = None
    """Told time only: the moment at which this happens."""
    wait_seconds: float = WAIT_SECONDS
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of a bulk request; `done` False: it stands in the log, the rest is not known yet."""

    bulk: UUID
    done: bool
    total: int
    accepted: int = 0
    refused: int = 0
    rows: tuple[dict[str, Any], ...] = ()
    """Results in the order of the request; only when done, and at most `ROWS_IN_ANSWER` of them."""
    refusal: RefusalAnswer | None = None
    """Set where every part was refused as a whole for the same reason."""
    replayed: bool = False


ROWS_IN_ANSWER = 1_000


class BulkConflict(Exception):
    """The same request number came before with other rows. Answered as the refusal `idempotency_conflict`."""

    def __init__(self, bulk: UUID) -> None:
        super().__init__(str(bulk))
        self.refusal = IdempotencyConflict(command=str(bulk))


class TooLargeToTry(Exception):
    """A dry run is one command: of several, each would be tried as if the others were not there. Answered 413."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """Sends requests of many rows and reads their results."""

    commanding: Commanding
    pool: Pool

    async def issue(self, rows: Sequence[tuple[int, IssueRow]], request: BulkRequest) -> BulkOutcome:
        """Issue a coupon to each row's user.

        A user or code that stands in an earlier row is refused in its row. Raises OutcomeUnknown, ServiceAway,
        BulkConflict, TooLargeToTry and what PostgreSQL raises when it is away.
        """
        fresh, repeated = _without_repeats(
            rows, lambda row: (row.user, row.code), lambda number, row: {"row": number, "user": row.user}
        )
        # Cut before the attributes come, which change: sent again, the request must be cut as it was.
        chunks = _cut(fresh, lambda row: len(row.user.encode()) + len((row.code or "").encode()) + 24)
        parts = [
            Part(tuple(number for number, _ in chunk), IssueCoupons(rows=tuple(row for _, row in chunk)))
            for chunk in [
                await self.commanding.attributes.completed_rows(chunk, request.campaign, request.caller.party)
                for chunk in chunks
            ]
        ]
        return await self._run(IssueCoupons, parts, repeated, request)

    async def upload(self, codes: Sequence[tuple[int, str]], request: BulkRequest) -> BulkOutcome:
        """Upload codes; as `issue`."""
        fresh, repeated = _without_repeats(
            codes, lambda code: (code,), lambda number, code: {"row": number, "code": code}
        )
        parts = [
            Part(tuple(number for number, _ in chunk), UploadCodes(codes=tuple(code for _, code in chunk)))
            for chunk in _cut(fresh, lambda code: len(code.encode()) + 3)
        ]
        return await self._run(UploadCodes, parts, repeated, request)

    async def _run(
        self, operation: type[Contract], parts: list[Part], repeated: list[dict[str, Any]], request: BulkRequest
    ) -> BulkOutcome:
        caller, campaign, at, total = request.caller, request.campaign, request.at, request.total
        refused = sorted([*request.refused, *repeated], key=lambda each: int(each["row"]))
        rows_of_parts = [part.rows for part in parts]
        name = command_id(caller.party, operation.__name__, campaign, request.number)
        if request.dry_run:
            if len(parts) > 1:
                raise TooLargeToTry
            tried = [await self.commanding.try_out(name, part.command, caller, campaign, at=at) for part in parts]
            return _outcome(name, total, refused, rows_of_parts, tried)
        row = bulks.NewBulk(
            id=name,
            party=caller.party,
            operation=operation.__name__,
            campaign=campaign,
            hash=_hash(parts, refused),
            total=total,
            refused=refused,
            parts=rows_of_parts,
        )
        known = await bulks.remember(self.pool, row)
        if known is not None and known != row.hash:
            raise BulkConflict(name)

        clock = asyncio.get_running_loop().time
        deadline = clock() + request.wait_seconds

        async def deliver(number: int) -> Reply | Pending:
            left = max(deadline - clock(), 0.0)
            return await self.commanding.deliver(
                chunk_id(name, number), parts[number].command, caller, campaign, at=at, wait_seconds=left
            )

        replies = await _some_at_once(deliver, range(len(parts)))
        settled = [reply for reply in replies if isinstance(reply, Reply)]
        if len(settled) < len(replies):
            return BulkOutcome(name, done=False, total=total, replayed=known is not None)
        return _outcome(name, total, refused, rows_of_parts, settled)

    async def find(self, bulk: UUID, party: str | None) -> bulks.StoredBulk | None:
        """A bulk request of this party (None: of anybody)."""
        return await bulks.find(self.pool, bulk, party)

    async def outcome(self, stored: bulks.StoredBulk) -> BulkOutcome:
        """What became of a bulk request so far. Raises ServiceAway."""
        parts = await bulks.parts(self.pool, stored.id)

        async def outcome_of(number: int) -> Reply | None:
            return await self.commanding.core.outcome(chunk_id(stored.id, number))

        replies = await _some_at_once(outcome_of, [part.number for part in parts])
        settled = [reply for reply in replies if reply is not None]
        if len(settled) < len(parts):
            return BulkOutcome(stored.id, done=False, total=stored.total)
        return _outcome(stored.id, stored.total, stored.refused, [part.rows for part in parts], settled)

    async def results(
        self, stored: bulks.StoredBulk, after: int, limit: int
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Result rows after row `after` (-1 from the start), and the row to go on after, or None at the end.

        Rows whose part is not decided yet have `"pending": true`. Raises ServiceAway.
        """
        wanted = await bulks.parts_after(self.pool, stored.id, after, limit)
        found = [row for row in stored.refused if row["row"] > after]
        for part in wanted:
            reply = await self.commanding.core.outcome(chunk_id(stored.id, part.number))
            found += [row for row in rows_of(reply, part.rows) if row["row"] > after]
        found.sort(key=lambda row: int(row["row"]))
        page = found[:limit]
        last = page[-1]["row"] if page else after
        return page, (last if page and last < stored.total - 1 else None)


def rows_of(reply: Reply | None, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The result rows of one part, under the numbers they have in the whole request."""
    if reply is None:
        return [{"row": number, "pending": True} for number in numbers]
    if reply.status != "done":
        refusal = reply.refusal.model_dump() if reply.refusal else {"code": "dead_letter", "message": "", "facts": {}}
        return [{"row": number, "refusal": refusal} for number in numbers]
    rows = (reply.result or {}).get("rows", [])
    return [{**row, "row": numbers[int(row["row"])]} for row in rows]


def _outcome(
    name: UUID,
    total: int,
    refused: Sequence[dict[str, Any]],
    parts: Sequence[Sequence[int]],
    replies: Sequence[Reply],
) -> BulkOutcome:
    whole = {reply.refusal.code: reply.refusal for reply in replies if reply.refusal is not None}
    all_refused = bool(replies) and all(reply.status == "refused" for reply in replies) and len(whole) == 1
    accepted = sum(int((reply.result or {}).get("accepted", 0)) for reply in replies if reply.status == "done")
    rows: list[dict[str, Any]] = []
    if total <= ROWS_IN_ANSWER:
        rows = list(refused)
        for numbers, reply in zip(parts, replies, strict=True):
            rows += rows_of(reply, numbers)
        rows.sort(key=lambda row: int(row["row"]))
    return BulkOutcome(
        name,
        done=True,
        total=total,
        accepted=accepted,
        refused=total - accepted,
        rows=tuple(rows),
        refusal=next(iter(whole.values())) if all_refused else None,
        replayed=bool(replies) and all(reply.replayed for reply in replies),
    )


def _without_repeats(
    rows: Sequence[tuple[int, Any]],
    marks: Callable[[Any], tuple[str | None, ...]],
    name: Callable[[int, Any], dict[str, Any]],
) -> tuple[list[tuple[int, Any]], list[dict[str, Any]]]:
    """The rows without those whose user or code stands in an earlier one, and result rows for these."""
    seen: list[set[str]] = []
    fresh, repeated = [], []
    for number, row in rows:
        of_row = marks(row)
        if not seen:
            seen = [set() for _ in of_row]
        if any(mark in known for mark, known in zip(of_row, seen, strict=True) if mark is not None):
            repeated.append({**name(number, row), "refusal": RepeatedInRequest().as_json()})
            continue
        for mark, known in zip(of_row, seen, strict=True):
            if mark is not None:
                known.add(mark)
        fresh.append((number, row))
    return fresh, repeated


def _cut(rows: Sequence[tuple[int, Any]], size: Callable[[Any], int]) -> list[list[tuple[int, Any]]]:
    """Pieces of at most `ROWS_PER_PART` rows and about `BYTES_PER_PART` bytes, in order."""
    pieces: list[list[tuple[int, Any]]] = []
    piece: list[tuple[int, Any]] = []
    weight = 0
    for row in rows:
        weight += size(row[1])
        if piece and (len(piece) == ROWS_PER_PART or weight > BYTES_PER_PART):
            pieces.append(piece)
            piece, weight = [], size(row[1])
        piece.append(row)
    if piece:
        pieces.append(piece)
    return pieces


NOT_HASHED: Any = {"rows": {"__all__": {"attributes"}}}


def _hash(parts: Sequence[Part], refused: Sequence[dict[str, Any]]) -> bytes:
    """Of the rows only, and not of users' attributes: the same rows are the same request."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.command.model_dump_json(exclude_none=True, exclude=NOT_HASHED).encode())
        digest.update(repr(part.rows).encode())
    digest.update(repr([(row["row"], row.get("user"), row.get("code")) for row in refused]).encode())
    return digest.digest()


async def _some_at_once(ask: Callable[[int], Awaitable[Answer]], numbers: Sequence[int]) -> list[Answer]:
    """What `ask` answers for each number, `PARTS_AT_ONCE` asked together; the first exception ends all."""
    gate = asyncio.Semaphore(PARTS_AT_ONCE)

    async def run(number: int) -> Answer:
        async with gate:
            return await ask(number)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(number)) for number in numbers]
    except* Exception as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
