"""Faults that tests plant, so that what a merchant's server can do wrong happens when it is wanted.

An HTTP status or a `…_before_apply` strikes instead of the work; every other kind does the work first (the
coupon is given) and then spoils the answer.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

OPERATIONS = ("users", "deliver", "find", "recall", "health")
STATUSES = {
    "400": "invalid",
    "401": "not_authenticated",
    "403": "not_allowed",
    "404": "not_found",
    "409": "key_conflict",
    "410": "interface_closed",
    "422": "refused",
    "429": "too_many_requests",
    "500": "failed",
    "502": "bad_gateway",
    "503": "unavailable",
}
INSTEAD = (*STATUSES, "timeout_before_apply")
AFTERWARDS = (
    "timeout_after_apply",
    "500_after_apply",
    "drip",
    "html",
    "bad_json",
    "wrong_shape",
    "huge",
    "gzip_bomb",
    "redirect",
)
LISTING = ("loop_paging", "stuck_paging")
"""For `users`: a cursor that leads back to the second page; ever new cursors, all to the first page."""
DELIVERING = ("forget_keys", "missing_receipt")
"""For `deliver`: the merchant who does not look at delivery_id; an answer that lacks its last receipt."""
KINDS = (*INSTEAD, *AFTERWARDS, *LISTING, *DELIVERING)


def problem(status: int, code: str, title: str, *, headers: dict[str, str] | None = None, **more: object) -> Response:
    """An RFC 9457 answer."""
    return JSONResponse(
        {"type": f"urn:demo-merchant:{code}", "title": title, "status": status, "code": code, **more},
        status,
        headers,
        media_type="application/problem+json",
    )


async def instead(kind: str, options: dict[str, Any]) -> Response:
    """The answer of a fault that strikes before anything is done."""
    if kind == "timeout_before_apply":
        await asyncio.sleep(options.get("seconds", 60))
        return problem(503, "unavailable", "Too late")
    status = int(kind)
    later = options.get("retry_after", 1 if status in (429, 503) else None)
    headers = None if later is None else {"Retry-After": str(later)}
    return problem(status, STATUSES[kind], "A planted fault", headers=headers)


async def spoiled(kind: str, options: dict[str, Any], answer: Response) -> Response:
    """What the caller gets instead of `answer`, whose work is done."""
    body = bytes(answer.body)
    match kind:
        case "timeout_after_apply":
            await asyncio.sleep(options.get("seconds", 60))
            return answer
        case "500_after_apply":
            return problem(500, "failed", "A planted fault, after the work was done")
        case "drip":
            return StreamingResponse(_drip(body, options.get("seconds", 60)), media_type="application/json")
        case "html":
            return Response("<!doctype html><title>Welcome</title><p>Please log in.", media_type="text/html")
        case "bad_json":
            return Response(body[: len(body) // 2], media_type="application/json")
        case "wrong_shape":
            return JSONResponse({"result": "OK", "data": [1, 2, 3]})
        case "huge":
            return StreamingResponse(_huge(options.get("megabytes", 64)), media_type="application/json")
        case "gzip_bomb":
            bomb = gzip.compress(b" " * 2**20) * options.get("megabytes", 200)  # gzip members may be joined
            return Response(bomb, headers={"Content-Encoding": "gzip"}, media_type="application/json")
        case "redirect":
            return RedirectResponse(options.get("location", "http://169.254.169.254/latest/meta-data/"), 302)
        case "missing_receipt":
            return JSONResponse({"receipts": json.loads(body).get("receipts", [])[:-1]})
    return answer


async def _drip(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    yield b" "
    for _ in range(round(seconds / 0.2)):  # each byte comes well before any read time-out
        await asyncio.sleep(0.2)
        yield b" "
    yield body


async def _huge(megabytes: int) -> AsyncIterator[bytes]:
    yield b'{"items": ['
    for _ in range(megabytes):
        yield b'{"id": "x"},' * 87_381
        await asyncio.sleep(0)
    yield b'{"id": "x"}]}'
