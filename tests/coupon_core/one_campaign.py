"""One campaign in two lanes on a database: batches of commands decided by the loop's own code, without a broker."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg

from contracts.answers import Reply
from contracts.commands import record_for
from contracts.fields import PLATFORM, Contract
from contracts.partitioner import partition_of
from tests.coupon_core.never_wrong.simulated import LANES
from tests.coupon_core.never_wrong.stored import StoredLanes

CAMPAIGN = UUID("5f0c1a52-7f44-5d2a-9a57-60b3f1f2c9d7")
START = datetime(2026, 3, 10, 12, tzinfo=UTC)
LANE = partition_of(str(CAMPAIGN).encode(), LANES)


class Lanes:
    """Two lanes on a database of their own, and one campaign in them; the time was told: START."""

    def __init__(self, connection: asyncpg.Connection, url: str) -> None:
        self.stored = StoredLanes(connection, url, START)

    def append(self, command: Contract, subject: str = str(CAMPAIGN), at: datetime | None = None) -> None:
        record = record_for(
            command,
            id=uuid4(),
            source="/test",
            subject=subject,
            party=PLATFORM,
            actor="staff:test",
            notafter=START.replace(hour=13),
            at=at,
            replyto="coupon.replies",
            replypartition=0,
        )
        self.stored.append(record, LANE)

    async def answers(self, *commands: Contract) -> list[Reply]:
        """Decide these in one batch."""
        for command in commands:
            self.append(command)
        await self.stored.decide(1_000)
        heard, self.stored.heard = self.stored.heard, []
        return heard

    async def done(self, *commands: Contract) -> list[str]:
        """Decide these in one batch; what was answered: the coupon, or the campaign's state."""
        heard = await self.answers(*commands)
        assert [reply.status for reply in heard] == ["done"] * len(commands), heard
        return [str((reply.result or {}).get("coupon", (reply.result or {}).get("state"))) for reply in heard]
