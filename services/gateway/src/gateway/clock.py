"""Told time: one order to every lane, answered when all have passed."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from starlette.responses import JSONResponse, Response

from contracts.answers import Reply
from contracts.commands import AdvanceClock
from contracts.fields import PLATFORM
from contracts.identifiers import chunk_id, command_id
from gateway.answering import pending, problem
from gateway.bulk import BulkConflict
from gateway.commanding import Caller, Commanding, Pending
from gateway.problems import answer
from gateway.storage import bulks
from gateway.storage.bulks import StoredBulk
from process.database import Pool


@dataclass(frozen=True, slots=True)
class ClockControl:
    """Advances the clocks of all lanes. Remembered like a bulk request, whose parts are the lanes."""

    commanding: Commanding
    pool: Pool

    async def advance(self, to: datetime, caller: Caller, request_number: str, wait_seconds: float) -> Response:
        """Order every lane's clock to `to` and wait until all that became due has happened.

        Raises OutcomeUnknown, BulkConflict.
        """
        name = command_id(PLATFORM, AdvanceClock.__name__, "lanes", request_number)
        lanes = range(self.commanding.partitions)
        hashed = hashlib.sha256(to.isoformat().encode()).digest()
        new = bulks.NewBulk(
            name, PLATFORM, AdvanceClock.__name__, None, hashed, len(lanes), [], [(lane,) for lane in lanes]
        )
        known = await bulks.remember(self.pool, new)
        if known is not None and known != hashed:
            raise BulkConflict(name)

        async def tell(lane: int) -> Reply | Pending:
            command = AdvanceClock(partition=lane, to=to)
            return await self.commanding.deliver(
                chunk_id(name, lane), command, caller, None, lane=lane, wait_seconds=wait_seconds
            )

        return _answer(name, await asyncio.gather(*(tell(lane) for lane in lanes)))

    async def outcome(self, stored: StoredBulk) -> Response:
        """How far an order to all lanes has come. Raises ServiceAway."""
        asked = [self.commanding.core.outcome(chunk_id(stored.id, lane)) for lane in range(stored.total)]
        return _answer(stored.id, await asyncio.gather(*asked))


def _answer(name: UUID, replies: list[Reply | Pending] | list[Reply | None]) -> Response:
    settled = [reply for reply in replies if isinstance(reply, Reply)]
    refused = next((reply for reply in settled if reply.status != "done"), None)
    if refused is not None:
        return answer(problem(refused))
    if len(settled) < len(replies):
        return pending(name)
    lanes = [reply.result or {} for reply in settled]
    nows = [str(lane["now"]) for lane in lanes if "now" in lane]
    return JSONResponse(
        {"command": str(name), "status": "done", "now": min(nows, default=None), "lanes": lanes},
        headers={"idempotent-replayed": "true"} if all(reply.replayed for reply in settled) else {},
    )
