"""The one front door: from a raw request to the merchant's terminal and the API matched to it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import structlog
from prometheus_client import Counter

from dialects.protocol import Credential, CredentialRefused, HashedSecret, RawRequest, Secret, SigningSecret
from dialects.registry import locate, verify
from gateway.access.profiles import ProfileSettings, merchant_context
from gateway.commanding import Caller
from gateway.identity.model import CredentialUnknown, Identity, MerchantShut, TooManyRequests
from gateway.identity.watching import IDENTITY_CHANNEL, Watch
from gateway.storage import credentials
from gateway.storage.credentials import StoredCredential
from process.database import Pool
from process.secrets import open_sealed

REMEMBERED_SECONDS = 2.0
REMEMBERED_LIMIT = 20_000

logger = structlog.get_logger()
_identified = Counter("scrip_gateway_identified", "Requests of merchants by what the front door said.", ["outcome"])


@dataclass(frozen=True, slots=True)
class Known:
    """A key that exists: what is kept of its secret, and whose it is."""

    secret: Secret
    identity: Identity


class FrontDoor:
    """Finds out who sends a request. What it read is remembered for two seconds, and forgotten at once when another
    process changes it; while changes cannot be heard of, nothing is remembered.
    """

    def __init__(self, pool: Pool, keys: Mapping[int, bytes], watch: Watch) -> None:
        self._pool = pool
        self._keys = keys
        self._watch = watch
        self._remembered: OrderedDict[str, tuple[float, Known]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[Known | None]] = {}
        self._windows: dict[UUID, tuple[int, int]] = {}
        self._generation = 0
        watch.on_change(IDENTITY_CHANNEL, self._forget)

    @property
    def hears_changes(self) -> bool:
        """Whether changes made by other processes are heard of at once."""
        return self._watch.listening

    async def identify(self, request: RawRequest, credential: Credential | None = None) -> Identity:
        """Who sends the request; every external request passes here. The body must be there: it may be signed.

        `credential` is what `dialects.registry.locate` found in it, where the caller has asked already.
        Raises CredentialUnknown, and what PostgreSQL raises when it is away.
        """
        credential = credential or locate(request)
        if credential is None:
            _identified.labels("none").inc()
            raise CredentialUnknown("the request shows no credential", None)
        known = await self._known(credential.public_id) if credential.public_id else None
        try:
            verify(request, credential, None if known is None else known.secret, time.time())
        except CredentialRefused as refused:
            _identified.labels("refused").inc()
            logger.info(
                "A credential was refused.",
                action="credential_refused",
                reason=refused.reason,
                place=credential.place,
                public_id=credential.public_id[:20],
            )
            raise CredentialUnknown(refused.reason, credential) from None
        if known is None:
            raise CredentialUnknown("there is no such key", credential)
        _identified.labels("known").inc()
        return known.identity

    def admit(self, identity: Identity) -> int:
        """Let an active merchant within its limit in; gives how many requests are left in this second.

        Raises MerchantShut, TooManyRequests.
        """
        if identity.state != "active":
            raise MerchantShut(identity)
        second = int(time.monotonic())
        window, count = self._windows.get(identity.merchant, (second, 0))
        if window != second:
            count = 0
        if count >= identity.requests_per_second:
            raise TooManyRequests(identity)
        self._windows[identity.merchant] = (second, count + 1)
        return identity.requests_per_second - count - 1

    async def _known(self, public_id: str) -> Known | None:
        found = self._remembered.get(public_id)
        if found is not None and found[0] > time.monotonic():
            return found[1]
        reading = self._reading.get(public_id)
        if reading is None:
            reading = self._reading[public_id] = asyncio.create_task(self._read(public_id))
        try:
            # Shielded: who waits with others must not end their reading.
            return await asyncio.shield(reading)
        finally:
            if reading.done() and self._reading.get(public_id) is reading:
                del self._reading[public_id]

    async def _read(self, public_id: str) -> Known | None:
        generation = self._generation
        stored = await credentials.valid_credential(self._pool, public_id)
        if stored is None:
            self._remembered.pop(public_id, None)
            return None
        known = known_of(stored, self._keys)
        # A change heard of meanwhile may be newer than what was read.
        if self._watch.listening and generation == self._generation:
            self._remembered[public_id] = (time.monotonic() + REMEMBERED_SECONDS, known)
            self._remembered.move_to_end(public_id)
            if len(self._remembered) > REMEMBERED_LIMIT:
                self._remembered.popitem(last=False)
        return known

    def _forget(self, merchant: str) -> None:
        """Called for each change; an empty text means that changes may have been missed."""
        self._generation += 1
        # Those who come from now on must not join a reading that began before the change.
        self._reading = {}
        gone = [
            public_id
            for public_id, (_, known) in self._remembered.items()
            if not merchant or str(known.identity.merchant) == merchant
        ]
        for public_id in gone:
            del self._remembered[public_id]


def known_of(stored: StoredCredential, keys: Mapping[int, bytes]) -> Known:
    """A stored credential, opened. Raises SealBroken when its secrets are sealed under a key we do not hold."""
    settings = ProfileSettings.model_validate(stored.settings)
    party = str(stored.merchant)
    merchant_secret = open_sealed(stored.sealed_merchant_secret, keys, merchant_context(stored.merchant))
    secret: Secret
    if stored.sha256 is not None:
        secret = HashedSecret(stored.sha256)
    else:
        sealed = stored.sealed_secret or ""
        secret = SigningSecret(open_sealed(sealed, keys, credential_context(stored.public_id)).decode())
    return Known(
        secret,
        Identity(
            merchant=stored.merchant,
            name=stored.name,
            state=stored.state,
            terminal=stored.terminal,
            terminal_label=stored.terminal_label,
            dialect=stored.dialect,
            profile_version=stored.profile_version,
            requests_per_second=settings.requests_per_second,
            profile=settings.for_dialect(party, merchant_secret),
            caller=Caller(party, f"merchant:{party}/{stored.terminal_label}"),
        ),
    )


def credential_context(public_id: str) -> bytes:
    """What a signing secret is sealed with."""
    return f"credential:{public_id}".encode()
