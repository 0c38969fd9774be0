"""Requests that change the gateway's own tables: each has its effect once, whatever is sent how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from contracts.refusals import IdempotencyConflict
from dialects.protocol import RequestRefused
from gateway import problems
from gateway.requests import body_hash
from gateway.storage.connections import Connection
from gateway.storage.tokens import EarlierAnswer, earlier_answer, keep_answer
from process.database import Pool

KEPT_DAYS = 35


@dataclass(frozen=True, slots=True)
class Once:
    """What a request led to. `facts` are kept and given again; `shown` (keys, orders) only the first time."""

    facts: dict[str, Any]
    shown: Any
    replayed: bool


class _AnotherWasFaster(Exception):
    pass


Work = Callable[[Connection], Awaitable[tuple[dict[str, Any], Any]]]


async def once(pool: Pool, actor: str, operation: str, number: str, content: bytes, work: Work) -> Once:
    """Run `work` in a transaction unless this actor's request number was used for the operation before.

    `work` gives what is to be kept and what is shown once. Raises RequestRefused when the number came before with
    other content, and whatever `work` raises: then nothing is kept, and the number may be used again.
    """
    hashed = body_hash(content)
    while True:
        earlier = await earlier_answer(pool, actor, operation, number)
        if earlier is not None:
            if earlier.hash != hashed:
                conflict = IdempotencyConflict(command=number)
                raise RequestRefused(problems.of_refusal(conflict))
            return Once(earlier.answer, None, replayed=True)
        try:
            async with pool.acquire() as connection, connection.transaction():
                facts, shown = await work(connection)
                kept = EarlierAnswer(hashed, 200, facts)
                if not await keep_answer(connection, actor, operation, number, kept):
                    raise _AnotherWasFaster
            return Once(facts, shown, replayed=False)
        except _AnotherWasFaster:
            continue
