"""An API of the merchant's own, declared in a profile: methods, paths, a key's place, JMESPath both ways."""

from __future__ import annotations

import base64
import binascii

from contracts.merchants import DialectName
from dialects.calls import Call, Outcome
from dialects.declared import answers, requests
from dialects.keys import read_key
from dialects.protocol import (
    Credential,
    Dialect,
    Problem,
    Profile,
    RawAnswer,
    RawRequest,
    Secret,
    check_shown,
)


class _Declared:
    name: DialectName = "declared"

    def locate(self, request: RawRequest) -> Credential | None:
        """A key in any header (it is recognisable by its form), or HTTP Basic."""
        for name, value in request.headers:
            key = read_key(value.strip()) if name != "authorization" else None
            if key is not None:
                return Credential("api_key", key.public_id, key.secret, name)
        scheme, _, text = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user, password = "", ""
        return Credential("basic", user, password, "authorization")

    def verify(self, request: RawRequest, credential: Credential, secret: Secret, now: float) -> None:
        check_shown(credential.proof, secret)

    def parse(self, request: RawRequest, profile: Profile) -> Call:
        return requests.parse(request, profile)

    def answer(self, call: Call, outcome: Outcome, profile: Profile) -> RawAnswer:
        return answers.answer(call, outcome, profile)

    def error(self, problem: Problem, call: Call | None, profile: Profile | None) -> RawAnswer:
        return answers.error(problem, call, profile)


DECLARED: Dialect = _Declared()
