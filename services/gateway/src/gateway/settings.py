"""What the gateway reads from its environment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from process.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """Built once at start by `process.settings.read_settings`."""

    http_port: int = Field(default=8080, ge=0, le=65535, description="Port of the HTTP server; 0 picks a free one.")
    auto_verify: bool = Field(
        default=False, description="Verify access requests at once, without staff; only in the local profile."
    )
    clock: Literal["record", "told"] = Field(
        default="record",
        description="`told`: time moves by POST /internal/v1/clock only; never in production.",
    )
    access_requests_per_minute: int = Field(
        default=6,
        ge=1,
        description="Access requests of unknown applicants accepted from one address per minute.",
    )
    wrong_codes_per_minute: int = Field(
        default=300,
        ge=1,
        description="Wrong codes one terminal, token or app may name per minute before it is answered 429.",
    )
    stream_connections: int = Field(default=100, ge=1, description="Live streams served at the same time.")
    connections: int = Field(
        default=2_000, ge=1, description="Connections and requests open at the same time; more are answered 503."
    )
    advance_clock_seconds: float = Field(
        default=600.0, gt=0, description="How long POST /internal/v1/clock waits before it answers 202."
    )

    @model_validator(mode="after")
    def _shortcuts_are_for_tests(self) -> GatewaySettings:
        if self.profile == "production" and self.clock == "told":
            raise ValueError("told time is refused in the production profile: use SCRIP_CLOCK=record")
        if self.profile == "production" and self.auto_verify:
            raise ValueError("SCRIP_AUTO_VERIFY is refused in the production profile: staff verify there")
        return self
