"""Scrip's own dialect: REST and JSON under `/merchant/v1`, problem+json, the outcome in the answer."""

from __future__ import annotations

from contracts.merchants import DialectName
from dialects.calls import Call, Outcome
from dialects.protocol import Credential, Dialect, Problem, Profile, RawAnswer, RawRequest, Secret
from dialects.scrip import answers, credentials, requests


class _Scrip:
    name: DialectName = "scrip"

    def locate(self, request: RawRequest) -> Credential | None:
        return credentials.locate(request)

    def verify(self, request: RawRequest, credential: Credential, secret: Secret, now: float) -> None:
        credentials.verify(request, credential, secret, now)

    def parse(self, request: RawRequest, profile: Profile) -> Call:
        return requests.parse(request, profile)

    def answer(self, call: Call, outcome: Outcome, profile: Profile) -> RawAnswer:
        return answers.answer(call, outcome, profile)

    def error(self, problem: Problem, call: Call | None, profile: Profile | None) -> RawAnswer:
        return answers.error(problem, call, profile)


SCRIP: Dialect = _Scrip()
