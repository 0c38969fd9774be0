"""Hearing at once of what other processes change: PostgreSQL's LISTEN, on one connection of the pool."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from messaging.not_now import backoff_seconds, database_is_away
from process.database import Pool

IDENTITY_CHANNEL = "gateway_identity"
"""Payload: the id of the merchant whose state, profile, terminals or keys changed."""
TOKEN_CHANNEL = "gateway_token"  # noqa: S105 - the name of a channel
"""Payload: the id of the token that was revoked."""
ALIVE_SECONDS = 1.0

logger = structlog.get_logger()


class Watch:
    """Listens as long as `run` runs; `listening` is False while changes may be missed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._hear: dict[str, list[Callable[[str], None]]] = {}
        self.listening = False

    def on_change(self, channel: str, hear: Callable[[str], None]) -> None:
        """Call `hear` with the payload of each notification, and with "" whenever some may have been missed."""
        self._hear.setdefault(channel, []).append(hear)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop`; connects anew when the connection is lost."""
        failures = 0
        while not stop.is_set():
            try:
                async with self._pool.acquire() as connection:
                    for channel in self._hear:
                        await connection.add_listener(channel, self._heard)
                    self._missed()
                    self.listening = True
                    failures = 0
                    while not stop.is_set():
                        # Also proves that the connection lives: a peer that vanished says nothing.
                        await connection.fetchval("SELECT 1", timeout=ALIVE_SECONDS)
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(ALIVE_SECONDS):
                                await stop.wait()
                    for channel in self._hear:
                        await connection.remove_listener(channel, self._heard)
            except Exception as error:
                if not database_is_away(error):
                    raise
                failures += 1
                if failures == 1:
                    logger.warning(
                        "Changes of merchants are not heard of now; every request asks the database.",
                        action="watch_lost",
                        reason=type(error).__name__,
                    )
            finally:
                self.listening = False
                self._missed()
            if failures:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(backoff_seconds(failures)):
                        await stop.wait()

    def _heard(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        for hear in self._hear.get(channel, ()):
            hear(str(payload))

    def _missed(self) -> None:
        for hears in self._hear.values():
            for hear in hears:
                hear("")
