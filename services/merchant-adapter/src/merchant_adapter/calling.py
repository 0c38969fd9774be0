"""From a merchant's profile to its open interface, and what failures mean for a job."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contracts.merchants import InterfaceSettings, MerchantProfile
from merchant_adapter.interfaces import (
    AnyProfile,
    MerchantInterface,
    MerchantUnavailable,
    Outbound,
    ProfileFault,
    open_interface,
    read_profile,
)
from merchant_adapter.settings import AdapterSettings
from merchant_adapter.storage import Connection, merchants
from process.secrets import SealBroken, open_sealed


class NotCallable(Exception):
    """The merchant's interface is not to be called at present; the message says why.

    `may_pass`: what is missing may be on its way.
    """

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class Caller:
    """What jobs need to call merchants."""

    outbound: Outbound
    keys: Mapping[int, bytes]
    settings: AdapterSettings

    async def open(self, connection: Connection, merchant: UUID) -> tuple[MerchantInterface, InterfaceSettings]:
        """The merchant's interface. Raises NotCallable."""
        found = await merchants.profile_of(connection, merchant)
        if found is None:
            raise NotCallable("the merchant is not known here yet", may_pass=True)
        profile, trouble = found
        if profile.state != "active":
            raise NotCallable(f"the merchant is {profile.state}")
        if profile.interface is None:
            raise NotCallable(
                "the merchant has opened no interface: set one with `scrip merchant interface set`", may_pass=True
            )
        if trouble is not None:
            raise NotCallable(trouble)
        return open_interface(self.outbound, str(merchant), self._profile(profile)), profile.interface

    def _profile(self, profile: MerchantProfile) -> AnyProfile:
        settings = profile.interface
        if settings is None:
            raise NotCallable("the merchant has opened no interface")
        secret = ""
        if settings.sealed_secret is not None:
            try:
                context = f"interface:{profile.merchant}".encode()
                secret = open_sealed(settings.sealed_secret, self.keys, context).decode()
            except SealBroken as error:
                raise NotCallable(str(error)) from None
        document: dict[str, Any] = {
            **(settings.declaration or {}),
            "kind": "openapi" if settings.kind == "scrip" else settings.kind,
            "base_url": settings.base_url,
            "requests_per_second": settings.requests_per_second,
        }
        document.setdefault("authentication", _authentication(settings, secret))
        text = json.dumps(document).replace('"{secret}"', json.dumps(secret))
        try:
            return read_profile(json.loads(text))
        except ProfileFault as error:
            raise NotCallable(f"the interface's settings cannot be used: {error}") from None

    def pause(self, failures: int, failure: Exception | None = None) -> float:
        """Seconds until the next try: exponential with full jitter, never before the merchant's own Retry-After."""
        longest = min(self.settings.longest_retry_seconds, self.settings.first_retry_seconds * 2.0 ** min(failures, 30))
        pause = random.uniform(longest / 2, longest)  # noqa: S311 (jitter)
        if isinstance(failure, MerchantUnavailable) and failure.retry_after_seconds is not None:
            return max(pause, min(failure.retry_after_seconds, 86_400.0))
        return pause


def _authentication(settings: InterfaceSettings, secret: str) -> dict[str, Any]:
    if settings.auth == "webhook_signature":
        return {"kind": "signed", "secrets": [secret]}
    return {"kind": "bearer", "token": secret or "none"}
