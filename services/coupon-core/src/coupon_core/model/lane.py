"""What a lane knows: its clock, its counters, and the facts every lane was told by command."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from contracts.commands import BuildingRules, SetTool


@dataclass(slots=True)
class Facts:
    """What `decide` may know beside campaigns: rules, merchants' states, tools' rights, each with its version."""

    rules: dict[str, tuple[int, BuildingRules]] = field(default_factory=dict)
    merchants: dict[str, tuple[int, str]] = field(default_factory=dict)
    tools: dict[str, SetTool] = field(default_factory=dict)
    code_key: int = 1
    """The version of the code key under which new codes are made."""

    def copy(self) -> Facts:
        """A copy to change while a batch is decided."""
        return Facts(dict(self.rules), dict(self.merchants), dict(self.tools), self.code_key)


@dataclass(slots=True)
class LaneState:
    """The lane's row as a batch sees it; assigned to the lane only after the commit."""

    partition: int
    clock: datetime | None
    lane_seq: int
    campaigns: int
    """Campaigns made in this lane; numbers them."""
    blocks: int
    """Blocks of serials taken from this lane's share."""
    facts: Facts
    next_due: datetime | None = None
    """Earliest due time of any campaign of the lane, or None; too early where something is not due any more."""

    def copy(self) -> LaneState:
        """A copy to change while a batch is decided."""
        return LaneState(
            self.partition,
            self.clock,
            self.lane_seq,
            self.campaigns,
            self.blocks,
            self.facts.copy(),
            self.next_due,
        )
