"""A lane as its owner holds it between batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from coupon_core.lanes.reading import LogRecord
from coupon_core.model.campaign import Campaign
from coupon_core.model.lane import LaneState
from coupon_core.work import Entry

KEPT_CAMPAIGNS = 1_024


class LanesLost(Exception):
    """These lanes are not ours any more, or not where we hold them: nothing of the batch was written."""

    def __init__(self, partitions: set[int]) -> None:
        super().__init__(f"lanes {sorted(partitions)} moved under us")
        self.partitions = partitions


class DecisionBroke(Exception):
    """An operation raised: our bug, with this record. Nothing of the batch was written."""

    def __init__(self, entry: Entry, detail: str) -> None:
        super().__init__(detail)
        self.entry = entry
        self.detail = detail


class LaneDamaged(Exception):
    """The lane's row and the log do not belong together; an operator must look."""


@dataclass(slots=True, eq=False)
class Lane:
    """One partition while this process owns it. A take-over makes a new object; the old one stays `lost`."""

    partition: int
    epoch: int
    position: int
    """Offset of the next record to decide."""
    state: LaneState
    emitted: int
    """Journal rows up to this lane sequence number are acknowledged by the broker."""
    fetched: deque[LogRecord] = field(default_factory=deque)
    fetched_bytes: int = 0
    buffer: deque[Entry] = field(default_factory=deque)
    """Read and not decided."""
    buffer_effects: int = 0
    read_up_to: int = 0
    """Offset of the next record to read into the buffer."""
    lost: bool = False
    stopped: str | None = None
    """Why nothing more is read at present; an operator should look."""
    stopped_until: datetime | None = None
    """When this machine's clock lets it go on."""
    unsent: deque[float] = field(default_factory=deque)
    """When each batch was committed (monotonic) that the broker has not acknowledged yet, in order."""
    due_sent_at: float = 0.0
    kept: dict[UUID, Campaign] = field(default_factory=dict)
    """Campaigns as the tables hold them, so that a batch need not read again what the one before wrote.

    Only a lane writes its campaigns, and each batch's fence says that the lane is still ours and stands where the last
    one left it. A batch takes out what it works on (`lanes/loading.py`), and only its commit puts it back."""

    def add(self, entry: Entry) -> None:
        """Take in the next entry that was read."""
        self.buffer.append(entry)
        self.buffer_effects += entry.effects
        self.read_up_to = entry.offset + 1

    def take(self) -> Entry:
        """The next entry to decide, out of the buffer."""
        entry = self.buffer.popleft()
        self.buffer_effects -= entry.effects
        return entry

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Entries that were taken last, in order, back in front of the buffer; those decided by now are left out."""
        again = [entry for entry in entries if entry.offset >= self.position]
        self.buffer.extendleft(reversed(again))
        self.buffer_effects += sum(entry.effects for entry in again)

    def keep(self, campaigns: Iterable[Campaign]) -> None:
        """Keep campaigns as a committed batch left them; those not used for longest make room."""
        for campaign in campaigns:
            self.kept.pop(campaign.id, None)
            self.kept[campaign.id] = campaign
        while len(self.kept) > KEPT_CAMPAIGNS:
            del self.kept[next(iter(self.kept))]
