"""A client that can be believed: writes each command down before it is sent, and keeps every answer.

It sends as the gateway does, signed, straight to the log, and sends the same command again until it is answered:
the way a merchant's system with a durable request number behaves.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from contracts.answers import Reply
from contracts.commands import LANE_WIDE, CommandRecord
from contracts.fields import PLATFORM, Contract
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS
from messaging.replies import ReplyReader
from messaging.sending import NotAcknowledged, Sender
from tests.failures.evidence import ClientJournal, Sent
from tests.support.core import CorePlatform

REPLY_PARTITION = 1
"""The platform's own reader has partition 0."""
PATIENCE_SECONDS = 2.0
SETTLE_SECONDS = 60.0
AT_ONCE = 100


class Unanswered(Exception):
    """Commands that got no answer, however often they were sent; the message holds the ends of core's logs."""


class Client:
    """Asks one platform; its journal goes into the checker."""

    def __init__(self, platform: CorePlatform) -> None:
        self.platform = platform
        self.journal: ClientJournal = {}
        self.stopping = asyncio.Event()
        self._sender = Sender(platform.bootstrap, platform.writer("gateway"))
        self._replies = ReplyReader(platform.bootstrap, REPLY_PARTITION)

    async def __aenter__(self) -> Self:
        await self._sender.start()
        await self._replies.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._replies.stop()
        await self._sender.stop()

    async def ask(
        self, command: Contract, *, campaign: UUID | str | None = None, party: str = PLATFORM, **envelope: Any
    ) -> Reply | None:
        """Send until it is answered; None when the client was told to stop before that."""
        record = self.platform.record(
            command, campaign=campaign, party=party, replypartition=REPLY_PARTITION, **envelope
        )
        self.journal[record.id] = Sent(record)
        while not self.stopping.is_set():
            reply = await self.send(record)
            if reply is not None:
                return reply
        return None

    async def send(self, record: CommandRecord, within: float = PATIENCE_SECONDS) -> Reply | None:
        """Send once and wait for the answer, which goes into the journal."""
        sent = self.journal[record.id]
        with self._replies.expecting(record.id) as expected:
            try:
                await self._append(record)
            except NotAcknowledged:
                await asyncio.sleep(0.2)
                return None
            sent.acknowledged += 1
            reply = await expected.within(within)
        if reply is not None:
            sent.answers.append(reply)
        return reply

    async def send_again(self, command: UUID, within: float = PATIENCE_SECONDS) -> Reply | None:
        """The same command as a vendor's retry sends it: same id, same content, another envelope."""
        return await self.send(self._anew(command), within)

    async def ask_all_again(self, within: float = SETTLE_SECONDS) -> None:
        """Send every command of the journal once more and wait for each answer; raises Unanswered."""
        deadline = asyncio.get_running_loop().time() + within
        waiting = list(self.journal)
        while waiting:
            if asyncio.get_running_loop().time() > deadline:
                raise Unanswered(self._told(waiting))
            unanswered: list[UUID] = []
            for part in _parts(waiting, AT_ONCE):
                replies = await asyncio.gather(*(self.send_again(command, 5.0) for command in part))
                unanswered += [command for command, reply in zip(part, replies, strict=True) if reply is None]
            waiting = unanswered

    def _anew(self, command: UUID) -> CommandRecord:
        notafter = datetime.now(UTC) + timedelta(minutes=5)
        return self.journal[command].record.model_copy(update={"notafter": notafter})

    async def _append(self, record: CommandRecord) -> None:
        key, value = record.subject.encode(), record.model_dump_json(exclude_none=True).encode()
        lane = record.data.partition if type(record.data) in LANE_WIDE else None
        partition = partition_of(key, self.platform.partitions) if lane is None else lane
        await self._sender.send(COUPON_COMMANDS.name, key, value, partition)

    def _told(self, commands: Iterable[UUID]) -> str:
        some = [f"{type(self.journal[command].record.data).__name__} {command}" for command in commands]
        ends = [f"core {process.instance}:\n{process.log_end()}" for process in self.platform.processes.values()]
        return "\n".join([f"{len(some)} commands, {', '.join(some[:5])}", *ends])


def _parts(items: list[UUID], size: int) -> list[list[UUID]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
