"""What every handler of our own APIs does with a request: read its body, its request number, its preferences."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request

from dialects.json_body import read_model
from dialects.protocol import FieldProblem, Problem, RawRequest, RequestRefused, invalid
from gateway.commanding import WAIT_SECONDS

MAX_BODY = 1024 * 1024
MAX_ROWS_BODY = 16 * 1024 * 1024
"""For bodies that are rows (JSON Lines, CSV, files): they are read row by row."""
ROW_TYPES = frozenset({"application/x-ndjson", "application/jsonl", "text/csv", "multipart/form-data"})
LARGE_AT_ONCE = 4
"""Bodies over MAX_BODY held at the same time; others wait."""

Model = TypeVar("Model", bound=BaseModel)
_KEY = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
_INSTANT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)
_large = asyncio.Semaphore(LARGE_AT_ONCE)


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """The whole body. Raises RequestRefused (413) before more than `most` bytes are held."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:18]) > most:
        raise too_large(most)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise too_large(most)
            chunks.append(chunk)
    except ClientDisconnect:
        raise invalid("The body ended early.", code="body_incomplete", status=400) from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def body_limit(content_type: str) -> int:
    """How large a body of this type may be."""
    return MAX_ROWS_BODY if media_type(content_type) in ROW_TYPES else MAX_BODY


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


@asynccontextmanager
async def room_for(request: Request) -> AsyncIterator[None]:
    """Held while a body that may be large is read and worked on: only a few at a time."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:18]) <= MAX_BODY:
        yield
        return
    async with _large:
        yield


def too_large(most: int) -> RequestRefused:
    """The body is over the limit."""
    limit = f"{most // (1024 * 1024)} MiB"
    return RequestRefused(Problem("body_too_large", 413, "Body too large", f"The body may have {limit} at most."))


async def read_document(request: Request, model: type[Model]) -> Model:
    """The JSON body as a document; no body is an empty one. Raises RequestRefused, pointing at what is wrong."""
    return read_model(await read_body(request) or b"{}", model)


def request_number(request: Request) -> str:
    """The Idempotency-Key. Raises RequestRefused (400) when it is missing or not usable."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) == 1 and _KEY.fullmatch(keys[0]):
        return keys[0]
    if not keys:
        detail = "An unsafe request needs the header Idempotency-Key: a number of your own for this request."
        raise RequestRefused(Problem("idempotency_key_required", 400, "Idempotency-Key required", detail))
    raise invalid(
        "Idempotency-Key must stand there once, with 1 to 255 characters.",
        FieldProblem("Idempotency-Key", "must have 1 to 255 characters and stand there once"),
        status=400,
    )


def seconds_to_wait(request: Request) -> float:
    """How long the caller wants to wait for the outcome: 0 with `Prefer: respond-async`."""
    preferred = ",".join(request.headers.getlist("prefer"))
    asked = {part.strip().lower() for part in preferred.replace(";", ",").split(",")}
    return 0.0 if "respond-async" in asked else WAIT_SECONDS


def dry_run(request: Request) -> bool:
    """Whether the query says `dry_run=true`. Raises RequestRefused for another value than true or false."""
    if not request.scope["query_string"]:
        return False
    said = request.query_params.getlist("dry_run")
    if said in ([], ["true"], ["false"]):
        return said == ["true"]
    raise invalid("`dry_run` must be true or false.", FieldProblem("dry_run", "must be true or false"))


def told_moment(request: Request, *, told: bool) -> datetime | None:
    """The header Scrip-At: the moment at which a command happens, where time is told. Raises RequestRefused."""
    text = request.headers.get("scrip-at")
    if text is None:
        return None
    if not told:
        raise invalid(
            "This platform's time is its log's; Scrip-At is for told time only.",
            FieldProblem("Scrip-At", "is not taken here"),
            status=400,
        )
    try:
        return _INSTANT.validate_strings(text)
    except ValidationError:
        raise invalid(
            "Scrip-At must be an instant (RFC 3339).",
            FieldProblem("Scrip-At", "must be an instant such as 2017-03-01T00:00:00Z"),
            status=400,
        ) from None


def body_hash(body: bytes) -> bytes:
    """What tells whether a request number came again with the same content."""
    return hashlib.sha256(body).digest()


def raw_request(request: Request, body: bytes) -> RawRequest:
    """The request as it stood on the wire, for dialects."""
    scope = request.scope
    target = scope.get("raw_path", b"").decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return RawRequest(
        method=scope["method"],
        target=f"{target}?{query}" if query else target,
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        body=body,
    )
