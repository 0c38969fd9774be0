"""What a question needs: parameters that are checked, and problems in words when it cannot be answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from contracts.identifiers import split_coupon_id

PROBLEM_TYPE = "https://scrip.dev/problems/"
LARGEST_BODY = 64 * 1024
GREATEST_NUMBER = 2**63 - 1
RETRY_AFTER_SECONDS = 2

Number = Annotated[int, Field(ge=0, le=GREATEST_NUMBER)]
Search = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A code, user or order as a caller looks for it: wider than what can exist, so that a wrong one finds nothing."""


class Parameters(BaseModel):
    """Base of the parameters of a question: unknown ones are refused, so that a misspelt filter is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


AnyParameters = TypeVar("AnyParameters", bound=BaseModel)


class Problem(Exception):
    """Why a question has no other answer; becomes problem+json."""

    def __init__(
        self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = (), retry: bool = False
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry = retry

    def answer(self) -> Response:
        """The problem document (RFC 9457)."""
        document: dict[str, Any] = {
            "type": PROBLEM_TYPE + self.code,
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            document["errors"] = list(self.errors)
        headers = {}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.retry:
            headers["retry-after"] = str(RETRY_AFTER_SECONDS)
        return Response(json_bytes(document), self.status, headers, "application/problem+json")


def json_bytes(value: object) -> bytes:
    """JSON as our own services exchange it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def parameters(request: Request, model: type[AnyParameters]) -> AnyParameters:
    """The query's parameters. Raises Problem: 422, naming each wrong, unknown or repeated one."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise _invalid([{"pointer": f"/{name}", "detail": "is given twice"}])
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _invalid(_errors(error)) from None


async def body(request: Request, model: type[AnyParameters]) -> AnyParameters:
    """The body's JSON object. Raises Problem: 413 too large, 400 not JSON, 422 with the fields."""
    content = b""
    try:
        async for part in request.stream():
            content += part
            if len(content) > LARGEST_BODY:
                raise Problem(413, "too_large", f"The body may hold at most {LARGEST_BODY} bytes.")
    except ClientDisconnect:
        raise Problem(400, "malformed_json", "The body ended before it was complete.") from None
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        if any(problem["type"] == "json_invalid" for problem in error.errors()):
            raise Problem(400, "malformed_json", "The body is not JSON in UTF-8.") from None
        raise _invalid(_errors(error)) from None


def campaign_named(request: Request) -> UUID:
    """The campaign of the path. Raises Problem 404: a text that is no id names nothing."""
    try:
        return UUID(request.path_params["campaign"])
    except ValueError:
        raise campaign_not_found() from None


def coupon_named(request: Request) -> tuple[UUID, int]:
    """Campaign and number of the coupon of the path. Raises Problem 404."""
    try:
        return split_coupon_id(request.path_params["coupon"])
    except ValueError:
        raise coupon_not_found() from None


def campaign_not_found() -> Problem:
    """No such campaign, or none this party may know of: the two look the same."""
    return Problem(404, "campaign_not_found", "There is no such campaign for you.")


def coupon_not_found() -> Problem:
    """No such coupon, or none this party may know of: the two look the same."""
    return Problem(404, "coupon_not_found", "There is no such coupon for you.")


def _invalid(errors: Sequence[Mapping[str, str]]) -> Problem:
    named = ", ".join(error["pointer"] for error in errors)
    return Problem(422, "invalid_request", f"Not as it must be: {named or 'the request'}. See `errors`.", errors)


def _errors(error: ValidationError) -> list[dict[str, str]]:
    return [
        {"pointer": "".join(f"/{place}" for place in problem["loc"]), "detail": problem["msg"]}
        for problem in error.errors(include_url=False, include_input=False, include_context=False)[:20]
    ]
