"""Voucherify's API, version v2018-08-01, as its published clients speak it. See README.md."""

from __future__ import annotations

from contracts.merchants import DialectName
from dialects.calls import Call, Outcome
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
from dialects.voucherify import answers, errors, requests


class _Voucherify:
    name: DialectName = "voucherify"

    def locate(self, request: RawRequest) -> Credential | None:
        """`X-App-Id` (a key's public id) and `X-App-Token` (its secret)."""
        if not (request.has("x-app-id") or request.has("x-app-token")):
            return None
        return Credential(
            "app_token", request.header("x-app-id") or "", request.header("x-app-token") or "", "x-app-id"
        )

    def verify(self, request: RawRequest, credential: Credential, secret: Secret, now: float) -> None:
        check_shown(credential.proof, secret)

    def parse(self, request: RawRequest, profile: Profile) -> Call:
        return requests.parse(request, profile)

    def answer(self, call: Call, outcome: Outcome, profile: Profile) -> RawAnswer:
        return answers.answer(call, outcome, profile)

    def error(self, problem: Problem, call: Call | None, profile: Profile | None) -> RawAnswer:
        return errors.error(problem, call, profile)


VOUCHERIFY: Dialect = _Voucherify()
