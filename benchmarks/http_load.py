"""A closed loop of claims over HTTP/1.1, as light as Python allows, in a process of its own.

python -m benchmarks.http_load PORT PATH[,PATH…] TOKEN CONNECTIONS SECONDS [RATE]   → one JSON line

A TOKEN of the form KEY=whsec_… is no bearer token: requests are signed with that key, and ask not to be waited for.
With a RATE the loop is open: requests are due at equal intervals, and the time waited begins when one was due.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, cycle, repeat
from uuid import uuid4

import uvloop

from dialects.scrip.credentials import signature, signed_text

HOST = "127.0.0.1"

Make = Callable[[str], bytes]
"""A request with a claim, by its path."""


async def connection(
    port: int, paths: list[str], make: Make, until: float, due: Iterator[float], latencies: list[float], bad: list[str]
) -> None:
    """One connection: a claim, its answer, the next claim, in turn over the paths."""
    reader, writer = await asyncio.open_connection(HOST, port)
    for path in cycle(paths):
        started = max(next(due), 0.0) or time.perf_counter()
        if started >= until:
            break
        await asyncio.sleep(max(0.0, started - time.perf_counter()))
        writer.write(make(path))
        answer = await reader.readuntil(b"\r\n\r\n")
        lower = answer.lower()
        at = lower.index(b"content-length:") + 15
        content = await reader.readexactly(int(lower[at : lower.index(b"\r", at)]))
        latencies.append(time.perf_counter() - started)
        if answer[9:11] != b"20":
            bad.append(f"{answer[9:12].decode()} {content[:200].decode()}")
    writer.close()


def bearing(token: str, head: str) -> Make:
    """Claims that show a bearer token."""
    head += f"Authorization: Bearer {token}\r\n"

    def make(path: str) -> bytes:
        body = f'{{"user":"{uuid4().hex}"}}'
        more = f"Idempotency-Key: {uuid4().hex}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        return f"POST {path} {head}{more}".encode()

    return make


def signing(key: str, secret: str, head: str) -> Make:
    """Claims signed as `docs/signing.md` says, answered once they stand in the log."""
    head += f"Scrip-Key: {key}\r\nPrefer: respond-async\r\n"

    def make(path: str) -> bytes:
        body, number, now = f'{{"user":"{uuid4().hex}"}}', uuid4().hex, str(int(time.time()))
        signed = signature(secret, signed_text(number, now, "POST", path, body.encode()))
        more = f"webhook-id: {number}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: {signed}\r\n"
        return f"POST {path} {head}{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    return make


async def load(port: int, paths: list[str], token: str, connections: int, seconds: float, rate: float) -> None:
    """Run and print `{"rate", "p50_ms", "p99_ms", "bad", "example"}`."""
    head = f"HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
    key, _, secret = token.partition("=whsec_")
    make = signing(key, secret, head) if secret else bearing(token, head)
    latencies: list[float] = []
    bad: list[str] = []
    started = time.perf_counter()
    until = started + seconds
    due = (started + number / rate for number in count()) if rate else repeat(0.0)
    turns = [paths[first % len(paths) :] + paths[: first % len(paths)] for first in range(connections)]
    await asyncio.gather(*(connection(port, mine, make, until, due, latencies, bad) for mine in turns))
    spent = time.perf_counter() - started
    latencies.sort()
    print(
        json.dumps(
            {
                "rate": (len(latencies) - len(bad)) / spent,
                "p50_ms": latencies[len(latencies) // 2] * 1000,
                "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
                "bad": len(bad),
                "example": bad[0] if bad else None,
            }
        )
    )


if __name__ == "__main__":
    port, paths, token, connections, seconds, rate = [*sys.argv[1:], "0"][:6]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load(int(port), paths.split(","), token, int(connections), float(seconds), float(rate)))
