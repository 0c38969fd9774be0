"""A circuit breaker for each merchant and operation, so that a merchant who is down costs nobody else.

The states are purgatory's (closed, opened, half-opened); it is used in this module only. Ours is what it
lacks: one probe at a time when half open, and outcomes that count neither way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import Context, OpenedState

from merchant_adapter.interfaces.failures import (
    AddressRefused,
    InterfaceFailure,
    MerchantMisbehaves,
    MerchantUnavailable,
    OutcomeUnknown,
)

log = structlog.get_logger()

PROBE_SECONDS = 1.0


class Breakers:
    """Opens after `failures` in a row; after `open_seconds` one call goes through to see. One event loop."""

    def __init__(self, failures: int = 5, open_seconds: float = 30) -> None:
        self._factory = AsyncCircuitBreakerFactory(default_threshold=failures, default_ttl=open_seconds)
        self._probing: set[str] = set()

    async def state(self, merchant: str, operation: str) -> str:
        """`closed`, `opened` or `half-opened`."""
        return (await self._context(merchant, operation)).state

    @asynccontextmanager
    async def guard(self, merchant: str, operation: str) -> AsyncIterator[None]:
        """Around one call.

        Raises:
            MerchantUnavailable: the breaker is open; nothing was sent.
        """
        context = await self._context(merchant, operation)
        name = context.name
        try:
            context.handle_new_request()
        except OpenedState as opened:
            wait = max(0.0, opened.opened_at + context.ttl - time.time())
            raise MerchantUnavailable("calls are held back after repeated failures", wait) from None
        probe = context.state == "half-opened"
        if probe:
            if name in self._probing:
                raise MerchantUnavailable("one call is finding out whether the merchant is back", PROBE_SECONDS)
            self._probing.add(name)
        before = context.state
        try:
            yield
        except (asyncio.CancelledError, AddressRefused):
            raise  # says nothing about the merchant
        except InterfaceFailure as failure:
            if isinstance(failure, MerchantUnavailable) and failure.throttled:
                raise
            if isinstance(failure, MerchantUnavailable | OutcomeUnknown | MerchantMisbehaves):
                context.handle_exception(failure)
            else:
                context.handle_end_request()
            raise
        else:
            context.handle_end_request()
        finally:
            if probe:
                self._probing.discard(name)
            context.messages.clear()  # for purgatory's own listeners, of which there are none
            if context.state != before:
                log.warning(
                    "A breaker changed.",
                    action="breaker_changed",
                    merchant=merchant,
                    operation=operation,
                    before=before,
                    state=context.state,
                )

    async def _context(self, merchant: str, operation: str) -> Context:
        return (await self._factory.get_breaker(f"{merchant} {operation}")).context
