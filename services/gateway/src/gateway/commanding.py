"""From a request to the log and back: one signed command, its acknowledgement, its reply."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

import structlog
from prometheus_client import Counter

from contracts.answers import Reply
from contracts.commands import CommandRecord, record_for
from contracts.fields import Contract
from contracts.identifiers import command_id, lane_key
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS, COUPON_REPLIES
from gateway.core_client import CoreClient
from gateway.service_client import ServiceAway
from gateway.user_attributes import UserAttributes
from messaging.replies import ReplyReader
from messaging.sending import NotAcknowledged, Sender
from process import logs
from process.failpoints import declare, failpoint

BEFORE_ACKNOWLEDGED = declare("gateway.before_acknowledged")
AFTER_ACKNOWLEDGED = declare("gateway.after_acknowledged")
WAIT_SECONDS = 5.0
AWAITED_LIFE = timedelta(seconds=30)
"""How long a command whose answer somebody awaits may take to the log."""
UNATTENDED_LIFE = timedelta(days=1)

logger = structlog.get_logger()
_outcomes = Counter("scrip_gateway_commands", "Commands sent, by what was known in time.", ["outcome"])


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a command acts and who acts."""

    party: str
    """`platform` or the merchant's id."""
    actor: str
    """`merchant:<id>/<terminal label>`, `staff:<name>`, `app:<name>` or `service:gateway`."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The command stands in the log and will be decided; its outcome is not known yet."""

    command: UUID


class OutcomeUnknown(Exception):
    """The broker did not acknowledge the command in the gateway's own time: it may or may not be in the log.

    The same request sent again meets itself. Answered 503 with Retry-After.
    """

    def __init__(self, command: UUID) -> None:
        super().__init__(f"no acknowledgement for command {command}")
        self.command = command


@dataclass(frozen=True, slots=True)
class Commanding:
    """Sends commands to coupon-core's log and waits for what became of them."""

    sender: Sender
    replies: ReplyReader
    core: CoreClient
    attributes: UserAttributes
    partitions: int
    reply_partition: int

    async def send_and_wait(
        self,
        command: Contract,
        caller: Caller,
        campaign: UUID,
        request_number: str,
        *,
        at: datetime | None = None,
        wait_seconds: float = WAIT_SECONDS,
        dry_run: bool = False,
    ) -> Reply | Pending:
        """Send a command to its campaign and wait for its outcome; `wait_seconds` 0 does not wait.

        With `dry_run` nothing happens, and the answer, which is always waited for, says what would.

        The same request number for the same operation and campaign is the same command: it is answered again
        (`Reply.replayed`) and has no second effect. It gets the attributes of its user that the campaign's rule asks
        for. Raises OutcomeUnknown, ServiceAway, messaging.sending.RecordTooLarge.
        """
        command = await self.attributes.completed(command, campaign, caller.party)
        name = command_id(caller.party, type(command).__name__, campaign, request_number)
        if dry_run:
            return await self.try_out(name, command, caller, campaign, at=at)
        return await self.deliver(name, command, caller, campaign, at=at, wait_seconds=wait_seconds)

    async def try_out(
        self, name: UUID, command: Contract, caller: Caller, campaign: UUID, *, at: datetime | None = None
    ) -> Reply:
        """What would become of a command. It goes under an id of its own, so that the real one never gets its answer.

        Raises OutcomeUnknown when no answer came: nothing of a dry run is kept that could be asked for.
        """
        own = uuid5(name, f"dry run {uuid4()}")
        outcome = await self.deliver(own, command, caller, campaign, at=at, dry_run=True)
        if isinstance(outcome, Pending):
            raise OutcomeUnknown(own)
        return outcome

    async def deliver(
        self,
        name: UUID,
        command: Contract,
        caller: Caller,
        campaign: UUID | None,
        *,
        lane: int | None = None,
        at: datetime | None = None,
        wait_seconds: float = WAIT_SECONDS,
        dry_run: bool = False,
    ) -> Reply | Pending:
        """As `send_and_wait`, under a command id chosen before; lane-wide commands name their `lane`."""
        subject = str(campaign) if lane is None else lane_key(lane)
        logs.bind(command=str(name), **({"lane": lane} if campaign is None else {"campaign": str(campaign)}))
        partition = partition_of(subject.encode(), self.partitions) if lane is None else lane
        record = record_for(
            command,
            id=name,
            source="/gateway",
            subject=subject,
            party=caller.party,
            actor=caller.actor,
            notafter=datetime.now(UTC) + (AWAITED_LIFE if wait_seconds else UNATTENDED_LIFE),
            at=at,
            replyto=COUPON_REPLIES.name if wait_seconds else None,
            replypartition=self.reply_partition if wait_seconds else None,
            dryrun=dry_run,
        )
        if not wait_seconds:
            await self.put(record, partition)
            _outcomes.labels("unattended").inc()
            return Pending(name)
        with self.replies.expecting(name) as expected:
            await self.put(record, partition)
            left = wait_seconds
            answer = None
            # A reply can be lost: core, which knows, is asked whenever the usual time has passed.
            while answer is None and left > 0:
                answer = await expected.within(min(left, WAIT_SECONDS)) or await self.look_up(name)
                left -= WAIT_SECONDS
        if answer is None:
            _outcomes.labels("pending").inc()
            return Pending(name)
        _outcomes.labels(answer.status).inc()
        return answer

    async def put(self, record: CommandRecord, partition: int) -> None:
        """Write a record to the log; returns when the broker has acknowledged it.

        Raises OutcomeUnknown, messaging.sending.RecordTooLarge.
        """
        value = record.model_dump_json(exclude_none=True).encode()
        failpoint(BEFORE_ACKNOWLEDGED)
        try:
            await self.sender.send(COUPON_COMMANDS.name, record.subject.encode(), value, partition)
        except NotAcknowledged:
            _outcomes.labels("unacknowledged").inc()
            raise OutcomeUnknown(record.id) from None
        failpoint(AFTER_ACKNOWLEDGED)

    async def look_up(self, command: UUID) -> Reply | None:
        """What core says of a command, when no reply came; None: not decided yet, or core is away."""
        try:
            return await self.core.outcome(command)
        except ServiceAway:
            logger.warning("Core did not answer for an outcome.", action="outcome_not_asked", command=str(command))
            return None
