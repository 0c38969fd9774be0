"""What the API says of itself: OpenAPI 3.1 with the bodies that handlers read themselves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response as PlainResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dialects.scrip import openapi as scrip

DOCUMENT = Path("docs/openapi/gateway.json")
_bodies: set[type[BaseModel]] = set()
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "A problem of the request: `code` says which", "content": _PROBLEM},
    503: {"description": "Not now, or the outcome is not known: send the same again", "content": _PROBLEM},
}
"""What every operation may answer beside what it is for. 500 is not among them: that would be a fault of ours."""
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "A number of the caller's own for this request. The same number and content is answered "
    "again and has no second effect; other content is refused (422).",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`respond-async`: answer 202 once the log has the command, without waiting for its outcome.",
    "schema": {"type": "string"},
}
_AT = {
    "name": "Scrip-At",
    "in": "header",
    "required": False,
    "description": "Told time only: the instant at which the command happens.",
    "schema": {"type": "string", "format": "date-time"},
}
DRY_RUN = {
    "name": "dry_run",
    "in": "query",
    "required": False,
    "description": "`true`: nothing happens, and the answer says what would, without codes. It is decided in its place "
    "in the log, under an id of its own: an Idempotency-Key used before is not looked at.",
    "schema": {"type": "boolean", "default": False},
}


class Problem(BaseModel):
    """RFC 9457. `code` is stable; facts of the refusal stand beside these members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, str]] | None = None


def described(
    body: type[BaseModel] | None = None,
    *,
    answers: dict[int, type[BaseModel] | None],
    unsafe: bool = False,
    command: bool = False,
    rows: tuple[str, ...] = (),
    tried: bool = True,
    anyone: bool = False,
) -> dict[str, Any]:
    """Arguments for a route: its answers, its JSON body, media types of row bodies, and its headers.

    `unsafe`: it needs an Idempotency-Key. `command`: it may be waited for, and `tried` without effect.
    `anyone`: who is not known is answered too.
    """
    extra: dict[str, Any] = {"parameters": []}
    if anyone:
        extra["security"] = [{}, *({scheme: []} for scheme in scrip.SECURITY)]
    if unsafe:
        extra["parameters"].append(_IDEMPOTENCY_KEY)
    if command:
        extra["parameters"] += [_PREFER, _AT, *([DRY_RUN] if tried else [])]
    content: dict[str, Any] = {media: {"schema": {"type": "string"}} for media in rows}
    if body is not None:
        _bodies.add(body)
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}
    if content:
        # Whoever has nothing to say may send no body.
        needed = body is None or bool(rows) or any(field.is_required() for field in body.model_fields.values())
        extra["requestBody"] = {"required": needed, "content": content}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": "Done" if status < 202 else "Accepted", **({"model": model} if model else {})}
        for status, model in answers.items()
    }
    if 201 in answers:
        responses[200] = {**responses[201], "description": "Done before: the same request again"}
    responses |= PROBLEMS
    # FastAPI documents its own default status otherwise, which these routes may never answer.
    return {
        "response_model": None,
        "status_code": min(answers, default=200),
        "responses": responses,
        "openapi_extra": extra,
    }


def streamed(*media: str) -> dict[str, Any]:
    """Arguments for a route whose answer is a stream of one of these media types."""
    made = described(answers={})
    content = {kind: {"schema": {"type": "string"}} for kind in media}
    made["responses"][200] = {"description": "Rows, and at the end how many and their SHA-256", "content": content}
    return made | {"response_class": PlainResponse}


def document(app: FastAPI) -> dict[str, Any]:
    """The whole OpenAPI document."""
    made = app.openapi()
    models = sorted(_bodies | {Problem}, key=lambda model: model.__name__)
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    for name, schema in scrip.schemas().items():
        schemas.setdefault(name, schema)
    # FastAPI's own shape of validation errors is never answered.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in made["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # stands under 4XX
    made["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A staff or app token."},
        **scrip.SECURITY,
    }
    made["paths"].update(scrip.paths())
    made["security"] = [{"token": []}]
    return made


def text(app: FastAPI) -> str:
    """The document as it is committed."""
    return json.dumps(document(app), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """`python -m gateway openapi [--check]`: write the document, or say whether the committed one is current."""
    from gateway.application import own_apis

    current = text(own_apis())
    if arguments == ["--check"]:
        if DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == current:
            return 0
        sys.stderr.write(f"{DOCUMENT} is not current: run `python -m gateway openapi`.\n")
        return 1
    DOCUMENT.parent.mkdir(parents=True, exist_ok=True)
    DOCUMENT.write_text(current, encoding="utf-8")
    return 0
