"""Settings of merchant-adapter, read once at start from SCRIP_* variables."""

from __future__ import annotations

from pydantic import Field

from process.settings import ServiceSettings


class AdapterSettings(ServiceSettings):
    """All merchant-adapter needs to know beside its topics, which are contracts."""

    allowed_loopback: bool = Field(
        default=False, description="Merchants' interfaces may stand on loopback and private addresses, by http."
    )
    workers: int = Field(default=32, ge=1, le=256, description="Jobs of different merchants worked on at once.")
    lease_seconds: float = Field(
        default=12,
        ge=1,
        le=120,
        description="So long the jobs of a killed process rest; of a living one it is renewed.",
    )
    call_deadline_seconds: float = Field(
        default=20, gt=0, le=120, description="Most one call to a merchant's interface may take, reply included."
    )
    first_retry_seconds: float = Field(
        default=1.0, gt=0, le=600, description="Pause after the first failed call; doubles with each further one."
    )
    longest_retry_seconds: float = Field(default=3_600, gt=0, description="Longest pause between two tries.")
    most_failures: int = Field(
        default=12, ge=1, description="A sync of users fails after so many failed calls in a row, about an hour."
    )
    most_attempts: int = Field(default=20, ge=1, description="A delivery that failed so often is dead.")
