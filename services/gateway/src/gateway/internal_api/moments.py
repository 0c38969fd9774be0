"""As of when a campaign or a coupon is looked at."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.fields import Instant


class Moment(BaseModel):
    """Neither: as it is now. `at` or `seq`: as it was, folded from its events, with `caused_by`."""

    model_config = ConfigDict(extra="forbid")

    at: Instant | None = Field(None, description="RFC 3339: with everything that happened up to then.")
    seq: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        None, description="Up to and with this event of the campaign."
    )

    @model_validator(mode="after")
    def _at_most_one(self) -> Moment:
        if self.at is not None and self.seq is not None:
            raise ValueError("give `at` or `seq`, not both")
        return self

    @property
    def given(self) -> bool:
        """Whether a moment was named."""
        return self.at is not None or self.seq is not None

    def query(self) -> dict[str, str | int | None]:
        """As core takes it."""
        return {"at": None if self.at is None else self.at.isoformat(), "seq": self.seq}
