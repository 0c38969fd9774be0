"""A lane on a real database, decided by the loop's own batch in the test's process, so that a test may turn its screws.

Two lanes, of which tests use the one of CAMPAIGN; the log is a list (`never_wrong/stored.py`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg

from contracts.answers import Reply
from contracts.commands import COMMAND_RECORD, AdvanceClock, record_for
from contracts.fields import PLATFORM, Contract
from contracts.identifiers import lane_key
from contracts.partitioner import partition_of
from coupon_core.__main__ import LOOP_PLANNER
from coupon_core.model.campaign import Campaign
from coupon_core.storage import campaigns as campaign_rows
from tests.coupon_core.never_wrong.simulated import LANES
from tests.coupon_core.never_wrong.stored import StoredLanes
from tests.support.databases import Databases

CAMPAIGN = UUID("5f0c1a52-7f44-5d2a-9a57-60b3f1f2c9d7")
START = datetime(2026, 3, 10, 12, tzinfo=UTC)
LANE = partition_of(str(CAMPAIGN).encode(), LANES)
SLICES = 100
"""More than any work here has."""


def another() -> UUID:
    """The id of a campaign of the same lane."""
    return next(found for found in iter(uuid4, None) if partition_of(str(found).encode(), LANES) == LANE)


class OneLane:
    """Told time is START; `stored.decide` decides what was appended."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", url: str) -> None:
        self.stored = StoredLanes(connection, url, START)

    def append(self, command: Contract, subject: UUID | str = CAMPAIGN) -> UUID:
        """Put a command into the log; its id."""
        record = record_for(
            command,
            id=uuid4(),
            source="/test",
            subject=str(subject),
            party=PLATFORM,
            actor="staff:test",
            notafter=START.replace(hour=13),
            replyto="coupon.replies",
            replypartition=0,
        )
        self.stored.append(record, LANE)
        return record.id

    async def answers(self, *commands: Contract, campaign: UUID = CAMPAIGN) -> list[Reply]:
        """Decide these in one batch; their replies."""
        for command in commands:
            self.append(command, campaign)
        await self.stored.decide(1_000)
        heard, self.stored.heard = self.stored.heard, []
        return heard

    async def done(self, *commands: Contract, campaign: UUID = CAMPAIGN) -> list[Reply]:
        """As `answers`, and all must be done."""
        heard = await self.answers(*commands, campaign=campaign)
        assert [reply.status for reply in heard] == ["done"] * len(commands), heard
        return heard

    async def tell_time(self, to: datetime) -> int:
        """Move the clock, and decide one continuation after the other until that is answered; how many it took."""
        return await self.slice_by_slice(self.append(AdvanceClock(partition=LANE, to=to), lane_key(LANE)))

    async def slice_by_slice(self, command: UUID | None = None) -> int:
        """Decide what waits, and one continuation after the other: until the command is answered, or none is left."""
        for slices in range(SLICES):
            await self.stored.decide(1)
            heard, self.stored.heard = self.stored.heard, []
            if command in [reply.command for reply in heard if reply.status == "done"]:
                return slices
            if not self.stored.following:
                assert command is None, "nothing follows, and it is not answered"
                return slices
            lane, line = self.stored.following.pop(0)
            self.stored.append(COMMAND_RECORD.validate_json(line), lane, "core")
        raise AssertionError("it never ends")

    async def campaign(self, campaign: UUID = CAMPAIGN) -> Campaign:
        """As its row says."""
        (row,) = await campaign_rows.campaigns_by_id(self.stored.connection, [campaign])
        return row


@asynccontextmanager
async def one_lane(databases: Databases) -> AsyncIterator[OneLane]:
    """On a new database, gone afterwards."""
    database = databases.fresh("core")
    connection = await asyncpg.connect(database.url("core"), server_settings=LOOP_PLANNER)
    lane = OneLane(connection, database.url("core"))
    await lane.stored.take_over()
    await lane.tell_time(START)
    yield lane
    await connection.close()
    databases.drop(database)
