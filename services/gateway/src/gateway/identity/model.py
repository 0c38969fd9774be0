"""What the front door knows of who came in."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from contracts.merchants import DialectName, MerchantState
from dialects.protocol import Credential, Profile
from gateway.commanding import Caller


@dataclass(frozen=True, slots=True)
class Identity:
    """A merchant's terminal, and the API matched to it. Shared between requests: never changed."""

    merchant: UUID
    name: str
    state: MerchantState
    terminal: UUID
    terminal_label: str
    dialect: DialectName
    profile_version: int
    requests_per_second: int
    """What the merchant may ask of one gateway process."""
    profile: Profile
    """What the dialect must know: merchant, currency, zone, secret, declaration."""
    caller: Caller
    """As whom its commands act."""


class CredentialUnknown(Exception):
    """No credential, or one that is not good: nobody can be told from the request. Answered 401.

    The reason is for our log only. `credential` is what the request showed: its place tells the dialect spoken.
    """

    def __init__(self, reason: str, credential: Credential | None) -> None:
        super().__init__(reason)
        self.credential = credential


class MerchantShut(Exception):
    """The merchant is known but not active. Answered 403."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(f"merchant {identity.merchant} is {identity.state}")
        self.identity = identity


class TooManyRequests(Exception):
    """The merchant's limit is reached. Answered 429 with Retry-After."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(f"merchant {identity.merchant} is over its limit")
        self.identity = identity
        self.retry_after_seconds = 1
