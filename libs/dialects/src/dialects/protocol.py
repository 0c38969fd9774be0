"""What a dialect is given and what it gives: raw requests, credentials, problems and the Protocol itself."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from contracts.merchants import DialectName

if TYPE_CHECKING:
    from dialects.calls import Call, Outcome
    from dialects.declared.declaration import Declaration

TOLERANCE_SECONDS = 300
"""How far a signed request's time may be from ours."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as it stood on the wire.

    `target` is the path with its query exactly as sent (still escaped), header names are lower case, in the order
    they came, repeated ones kept. Signatures are verified over these very bytes.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only value of a header (lower-case name); None where it is absent or stands there more than once."""
        found = [value for key, value in self.headers if key == name]
        return found[0] if len(found) == 1 else None

    def has(self, name: str) -> bool:
        """Whether the header is there at all."""
        return any(key == name for key, _ in self.headers)

    @property
    def path(self) -> str:
        """The target without its query, still escaped."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query as sent, without the question mark."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer ready for the wire."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


CredentialKind = Literal["bearer", "signature", "app_token", "client_token", "api_key", "basic"]


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request shows to say who it is.

    `public_id` finds the key; `proof` is the secret itself, or the signatures. `place` is where it stood (a header's
    name), so that a profile can insist on its own place.
    """

    kind: CredentialKind
    public_id: str
    proof: str = field(repr=False)
    place: str


@dataclass(frozen=True, slots=True)
class HashedSecret:
    """A secret that is shown with each request: only its SHA-256 is kept."""

    sha256: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A secret that signs and is never sent: `whsec_` and base64."""

    text: str = field(repr=False)


Secret = HashedSecret | SigningSecret


class CredentialRefused(Exception):
    """The credential is not good. `reason` is for our log; an answer never says more than that it is not good."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field: a JSON pointer (or a header's, parameter's name) and a sentence."""

    pointer: str
    detail: str

    def as_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no other answer; each dialect says it in its own shape. `status` is the HTTP status for ours."""

    code: str
    status: int
    title: str
    detail: str
    errors: tuple[FieldProblem, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    retry_after_seconds: int | None = None


class RequestRefused(Exception):
    """The request cannot be understood or is not offered; nothing was done."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Profile:
    """What a dialect must know of the merchant that speaks it."""

    merchant: str
    """The merchant's id, as a party."""
    currency: str = "USD"
    """For dialects whose requests name none."""
    zone: str = "UTC"
    """For dates without a time or a zone."""
    secret: bytes = field(default=b"", repr=False)
    """32 bytes of this merchant's own that never change: codes from patterns and status references come from it."""
    declaration: Declaration | None = None


class Dialect(Protocol):
    """One shape of external API. All functions are pure; `parse` raises `RequestRefused`."""

    @property
    def name(self) -> DialectName: ...

    def locate(self, request: RawRequest) -> Credential | None:
        """The credential, where it stands in this dialect's place; None where nothing stands there."""

    def verify(self, request: RawRequest, credential: Credential, secret: Secret, now: float) -> None:
        """Check a credential that `locate` found. `now` is real time in seconds. Raises CredentialRefused."""

    def parse(self, request: RawRequest, profile: Profile) -> Call:
        """What the request asks for. Raises RequestRefused."""

    def answer(self, call: Call, outcome: Outcome, profile: Profile) -> RawAnswer:
        """The answer to a call that was carried out, or is still under way."""

    def error(self, problem: Problem, call: Call | None, profile: Profile | None) -> RawAnswer:
        """A problem in this dialect's shape; `call` and `profile` are there when it got that far."""


def check_shown(proof: str, secret: Secret) -> None:
    """Compare a secret that was shown with the hash that is kept, in constant time. Raises CredentialRefused."""
    if not isinstance(secret, HashedSecret):
        raise CredentialRefused("the key signs requests; it is not shown")
    if not hmac.compare_digest(hashlib.sha256(proof.encode("utf-8", "surrogateescape")).digest(), secret.sha256):
        raise CredentialRefused("the secret is not the key's")


def not_offered(detail: str, status: int = 404) -> RequestRefused:
    """What was asked for is no operation of this API."""
    return RequestRefused(Problem("not_found" if status == 404 else "not_offered", status, "Not found", detail))


def invalid(detail: str, *errors: FieldProblem, code: str = "invalid_request", status: int = 422) -> RequestRefused:
    """The request is not what the operation takes."""
    return RequestRefused(Problem(code, status, "Invalid request", detail, errors))
