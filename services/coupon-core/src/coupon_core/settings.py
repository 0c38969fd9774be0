"""Settings of coupon-core, read once at start from SCRIP_* variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from process.settings import ServiceSettings


class CoreSettings(ServiceSettings):
    """All coupon-core needs to know; the topics are contracts, not settings."""

    clock: Literal["record", "told"] = Field(
        default="record",
        description="`record`: time is the log's. `told`: time moves by AdvanceClock only (tests, demos).",
    )
    batch_records: int = Field(default=2_000, ge=1, le=10_000, description="Most records of one transaction.")
    batch_effects: int = Field(
        default=10_000, ge=1, le=100_000, description="A batch is closed once it has this many effects."
    )
    session_timeout_seconds: float = Field(
        default=10.0,
        ge=1,
        le=300,
        description="After so long without a heartbeat the lanes go to another process.",
    )

    audit_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of its time the audit that always runs may be at work; 0: it does not run.",
    )

    rebuild: bool = Field(
        default=False,
        description="Fill an empty database from the log and send nothing. One process; stop it when there is no lag.",
    )

    @model_validator(mode="after")
    def _told_time_is_for_tests(self) -> CoreSettings:
        if self.clock == "told" and self.profile == "production":
            raise ValueError("told time is refused in the production profile: use SCRIP_CLOCK=record")
        return self
