"""What every lane must hear: told to each lane as a command, until each has answered, whatever stops in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4, uuid5

import structlog
from prometheus_client import Gauge

from contracts.answers import RefusalAnswer, Reply
from contracts.commands import SetBuildingRules, SetCodeKey, SetMerchant, SetTool
from contracts.fields import PLATFORM, Contract
from gateway.commanding import WAIT_SECONDS, Caller, Commanding, OutcomeUnknown
from gateway.storage import lane_orders
from gateway.storage.connections import Connection
from gateway.storage.lane_orders import Kind, LaneOrder
from messaging.not_now import backoff_seconds, database_is_away
from process.database import Pool

AGAIN_SECONDS = 15.0
POLL_SECONDS = 2.0
ORDERS_AT_ONCE = 20
SERVICE = Caller(PLATFORM, "service:gateway")
COMMANDS: dict[Kind, type[Contract]] = {
    "merchant": SetMerchant,
    "rules": SetBuildingRules,
    "tool": SetTool,
    "code_key": SetCodeKey,
}

logger = structlog.get_logger()
_open = Gauge("scrip_gateway_lane_orders_retried", "Lane orders the last round had to try again.")

Settled = Callable[[Connection, LaneOrder], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Told:
    """How far the lanes were told; `refusal` is what a lane said no with."""

    everywhere: bool
    refusal: RefusalAnswer | None = None


def new_order(kind: Kind, subject: str, version: int, command: dict[str, Any]) -> LaneOrder:
    """An order to be filed in the transaction of the change; `command` without its partition."""
    return LaneOrder(uuid4(), kind, subject, version, command, [], 0)


async def file_order(connection: Connection, order: LaneOrder) -> None:
    """File it and give up telling of earlier versions of the same fact."""
    await lane_orders.supersede(connection, order.kind, order.subject, order.version)
    await lane_orders.file_order(connection, order, AGAIN_SECONDS)


class Lanes:
    """Tells lanes; `settled` runs in the transaction that notes that all have answered."""

    def __init__(self, pool: Pool, commanding: Commanding, settled: Settled) -> None:
        self._pool = pool
        self._commanding = commanding
        self._settled = settled

    async def tell(self, order: LaneOrder, wait_seconds: float = WAIT_SECONDS) -> Told:
        """Tell every lane that has not answered yet and wait; an order half told is gone on with by `run`.

        Safe to repeat: a lane knows versions, and the same try has the same command ids.
        """
        waiting = [lane for lane in range(self._commanding.partitions) if lane not in order.lanes_done]
        answers = await asyncio.gather(*(self._tell_lane(order, lane, wait_seconds) for lane in waiting))
        done = [lane for lane, reply in zip(waiting, answers, strict=True) if reply and reply.status == "done"]
        refusal = next((reply.refusal for reply in answers if reply and reply.status != "done"), None)
        refused = any(reply is not None and reply.status != "done" for reply in answers)
        if len(done) < len(waiting):
            # A refusal stays the answer to its command id: the next try needs another one.
            attempt = order.attempt + 1 if refused else order.attempt
            said = None if refusal is None else refusal.model_dump(mode="json")
            await lane_orders.progress(self._pool, order.id, done, attempt, said)
            return Told(False, refusal)
        async with self._pool.acquire() as connection, connection.transaction():
            if await lane_orders.settle(connection, order.id):
                await self._settled(connection, order)
        logger.info(
            "All lanes know it.",
            action="lanes_told",
            kind=order.kind,
            subject=order.subject,
            version=order.version,
        )
        return Told(True)

    async def _tell_lane(self, order: LaneOrder, lane: int, wait_seconds: float) -> Reply | None:
        command = COMMANDS[order.kind].model_validate({**order.command, "partition": lane})
        name = lane_command_id(order, lane)
        try:
            reply = await self._commanding.deliver(name, command, SERVICE, None, lane=lane, wait_seconds=wait_seconds)
        except OutcomeUnknown:
            return None
        return reply if isinstance(reply, Reply) else None

    async def run(self, stop: asyncio.Event) -> None:
        """Go on with orders nobody finished, until `stop`."""
        failures = 0
        while not stop.is_set():
            try:
                orders = await lane_orders.take_open_orders(self._pool, AGAIN_SECONDS, ORDERS_AT_ONCE)
                _open.set(len(orders))
                for order in orders:
                    await self.tell(order)
                failures = 0
            except Exception as error:
                if not database_is_away(error):
                    raise
                failures += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff_seconds(failures) if failures else POLL_SECONDS):
                    await stop.wait()


def lane_command_id(order: LaneOrder, lane: int) -> UUID:
    """The id of the command that tells one lane, at this try."""
    return uuid5(order.id, f"{lane} {order.attempt}")
