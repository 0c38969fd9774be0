"""What is settled for one merchant: how it proves who it is, its currency and zone, its limits, its own mapping."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from contracts.campaigns import Zone
from contracts.fields import Contract, Currency
from contracts.merchants import DialectName
from dialects.declared.declaration import Declaration, DeclarationInvalid, read_declaration
from dialects.protocol import FieldProblem, Profile, invalid
from process.secrets import seal

BASE_PATHS: dict[DialectName, str] = {"scrip": "/merchant/v1", "voucherify": "/v1", "declared": "/"}
"""Where the operations of a dialect begin; the host is the gateway's for all of them."""


class ProfileSettings(Contract):
    """The part of a profile that is set by staff; `declaration` is the document of a `declared` API."""

    authentication: Literal["bearer", "signed"] = "bearer"
    """How `scrip` terminals prove who they are; other dialects have their own way."""
    currency: Currency = "USD"
    zone: Zone = "UTC"
    requests_per_second: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 500
    """Of one gateway process."""
    declaration: dict[str, Any] | None = None

    def for_dialect(self, merchant: str, secret: bytes) -> Profile:
        """What the dialect is given."""
        declaration = self.declared()
        return Profile(
            merchant=merchant,
            currency=(declaration.currency if declaration else None) or self.currency,
            zone=(declaration.zone if declaration else None) or self.zone,
            secret=secret,
            declaration=declaration,
        )

    def declared(self) -> Declaration | None:
        """The declaration, read. Raises DeclarationInvalid."""
        return None if self.declaration is None else read_declaration(self.declaration)


class ProfileDocument(ProfileSettings):
    """A profile as it is put: the dialect and its settings."""

    dialect: DialectName

    def settings(self) -> ProfileSettings:
        """The settings alone, checked against the dialect. Raises RequestRefused."""
        made = ProfileSettings(**{name: getattr(self, name) for name in ProfileSettings.model_fields})
        check_settings(self.dialect, made)
        return made


def check_settings(dialect: DialectName, settings: ProfileSettings) -> None:
    """Refuse settings that do not fit the dialect. Raises RequestRefused."""
    if dialect == "declared" and settings.declaration is None:
        raise invalid("The dialect `declared` needs a `declaration`.", FieldProblem("/declaration", "is missing"))
    if dialect != "declared" and settings.declaration is not None:
        raise invalid(
            f"The dialect `{dialect}` takes no `declaration`.",
            FieldProblem("/declaration", "only for the dialect declared"),
        )
    if dialect != "scrip" and settings.authentication != "bearer":
        raise invalid(
            f"The dialect `{dialect}` has its own way to prove who calls.",
            FieldProblem("/authentication", "signed is for the dialect scrip"),
        )
    try:
        settings.declared()
    except DeclarationInvalid as wrong:
        errors = tuple(FieldProblem(f"/declaration{each.pointer}", each.detail) for each in wrong.errors)
        raise invalid("The declaration is not usable.", *errors) from None


def new_sealed_secret(keys: Mapping[int, bytes], merchant: UUID) -> str:
    """32 new bytes of the merchant's own, sealed: the source of its references and code patterns."""
    newest = max(keys)
    return seal(newest, keys[newest], os.urandom(32), merchant_context(merchant))


def merchant_context(merchant: UUID) -> bytes:
    """What a merchant's own 32 bytes are sealed with."""
    return f"merchant:{merchant}".encode()


def interface_context(merchant: UUID) -> bytes:
    """What the secret of a merchant's interface is sealed with, known to the adapter too."""
    return f"interface:{merchant}".encode()
