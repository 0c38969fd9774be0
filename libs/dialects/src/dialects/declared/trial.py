"""Try a profile on a sample request without sending anything: the canonical command, or why there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel

from dialects.calls import (
    Call,
    ChangeCampaign,
    ChangeCoupon,
    CreateCampaign,
    IssueToUsers,
    Ordered,
    UploadCodeList,
)
from dialects.declared.declaration import Declaration, DeclarationInvalid, read_declaration
from dialects.declared.mapping import is_true
from dialects.declared.requests import call_of, parse, source_of
from dialects.documents import OperationName
from dialects.protocol import FieldProblem, Profile, RawRequest, RequestRefused

TRIAL_MERCHANT = "00000000-0000-0000-0000-000000000000"
REQUEST_MEMBERS = frozenset({"method", "path", "query", "headers", "body"})


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one operation: the canonical command, or the problems that stand in its way."""

    operation: str
    command: dict[str, Any] | None
    problems: tuple[FieldProblem, ...] = ()

    def as_json(self) -> dict[str, Any]:
        if self.command is not None:
            return {"operation": self.operation, "command": self.command}
        return {"operation": self.operation, "problems": [problem.as_json() for problem in self.problems]}


def try_profile(document: Any, sample: Any, operation: OperationName | None = None) -> list[Trial]:
    """Translate a sample with a declaration, or with a whole profile that has one.

    `sample` is a request body, or a whole request `{"method", "path", "query", "headers", "body"}`. With a whole
    request the profile finds the operation as the gateway would; with a body each operation of the profile is tried
    (or only `operation`), those that succeed first. Raises DeclarationInvalid when the profile itself is wrong.
    """
    if isinstance(document, dict) and "declaration" in document:
        document = document["declaration"]
    declaration = read_declaration(document)
    profile = Profile(
        TRIAL_MERCHANT,
        currency=declaration.currency or "USD",
        zone=declaration.zone or "UTC",
        secret=bytes(32),
        declaration=declaration,
    )
    if isinstance(sample, dict) and {"method", "path"} <= sample.keys() <= REQUEST_MEMBERS:
        return [_whole_request(sample, profile, declaration)]
    names: list[OperationName] = [operation] if operation is not None else list(declaration.operations)
    if operation is not None and operation not in declaration.operations:
        raise DeclarationInvalid(
            (FieldProblem("/operations", f"the profile does not declare the operation {operation}"),)
        )
    request = RawRequest("POST", "/", (), json.dumps(sample).encode())
    trials = [_one(name, request, profile, declaration) for name in names]
    return sorted(trials, key=lambda trial: trial.command is None)


def _whole_request(sample: dict[str, Any], profile: Profile, declaration: Declaration) -> Trial:
    query = urlencode(sample.get("query") or {})
    headers = {str(name).lower(): str(value) for name, value in (sample.get("headers") or {}).items()}
    if declaration.authentication.kind == "header":
        headers.setdefault(declaration.authentication.header, "sk_trial")
    body = sample.get("body")
    request = RawRequest(
        str(sample["method"]),
        str(sample["path"]) + (f"?{query}" if query else ""),
        tuple(headers.items()),
        b"" if body is None else json.dumps(body).encode(),
    )
    try:
        call = parse(request, profile)
    except RequestRefused as refused:
        return Trial("unknown", None, _problems(refused))
    return Trial(str(call.note["operation"]), describe(call))


def _one(name: OperationName, request: RawRequest, profile: Profile, declaration: Declaration) -> Trial:
    operation = declaration.operations[name]
    # Values that would come with the path are not in a body: they stand for themselves.
    path = {part[1:-1]: part[1:-1] for part in operation.path.split("/") if part.startswith("{")}
    try:
        source = source_of(request, path)
        if operation.when is not None and not is_true(operation.when, source):
            return Trial(name, None, (FieldProblem(operation.when, "does not hold for this sample"),))
        return Trial(name, describe(call_of(name, operation, source, profile)))
    except RequestRefused as refused:
        return Trial(name, None, _problems(refused))


def describe(call: Call) -> dict[str, Any]:
    """A call as JSON: which command it is, for which campaign, under which request number, with what data."""
    made: dict[str, Any] = {"call": type(call).__name__}
    if isinstance(call, Ordered):
        made["request_number"] = call.request
    match call:
        case CreateCampaign():
            made |= {"command": type(call.command).__name__, "natural_key": call.natural_key}
            if call.codes:
                made["codes"] = list(call.codes)
        case ChangeCampaign() | ChangeCoupon():
            made["command"] = type(call.command).__name__
        case UploadCodeList():
            made |= {"command": "UploadCodes", "data": {"codes": list(call.codes)}}
        case IssueToUsers():
            made |= {"command": "IssueCoupons", "data": {"rows": [_plain(row) for row in call.rows]}}
        case _:
            made["command"] = None
    campaign = getattr(call, "campaign", None)
    if campaign is not None:
        made["campaign"] = str(campaign.id) if campaign.id is not None else {"natural_key": campaign.natural_key}
    if isinstance(call, CreateCampaign | ChangeCampaign | ChangeCoupon):
        made["data"] = _plain(call.command)
    return made


def _plain(model: BaseModel) -> Any:
    return model.model_dump(mode="json", exclude_none=True)


def _problems(refused: RequestRefused) -> tuple[FieldProblem, ...]:
    return refused.problem.errors or (FieldProblem("", refused.problem.detail),)
