"""Settings of the scheduler, read once at start from SCRIP_* variables."""

from __future__ import annotations

from pydantic import Field

from process.settings import ServiceSettings


class SchedulerSettings(ServiceSettings):
    """All the scheduler needs to know beside its topics, which are contracts."""

    poll_seconds: float = Field(
        default=1.0, gt=0, le=60, description="Longest pause between two looks at what is due; ticks are up to so late."
    )
