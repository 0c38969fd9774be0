"""A closed loop of claims over HTTP/1.1, as light as Python allows, in a process of its own.

python -m benchmarks.http_load HOST PORT PATH[,PATH…] TOKEN CONNECTIONS SECONDS [RATE]   → one JSON line

With a RATE the loop is open: requests are due at equal intervals, and the time waited begins when one was due.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import count, cycle, repeat
from uuid import uuid4

import uvloop


async def connection(
    host: str, port: int, heads: list[str], until: float, due: Iterator[float], latencies: list[float], bad: list[str]
) -> None:
    """One connection: a claim, its answer, the next claim, in turn over the heads."""
    reader, writer = await asyncio.open_connection(host, port)
    for head in cycle(heads):
        started = max(next(due), 0.0) or time.perf_counter()
        if started >= until:
            break
        await asyncio.sleep(max(0.0, started - time.perf_counter()))
        body = f'{{"user":"{uuid4().hex}"}}'
        writer.write(f"{head}Idempotency-Key: {uuid4().hex}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        lower = answer.lower()
        at = lower.index(b"content-length:") + 15
        content = await reader.readexactly(int(lower[at : lower.index(b"\r", at)]))
        latencies.append(time.perf_counter() - started)
        if answer[9:11] != b"20":
            bad.append(f"{answer[9:12].decode()} {content[:200].decode()}")
    writer.close()


async def load(
    host: str, port: int, paths: list[str], token: str, connections: int, seconds: float, rate: float
) -> None:
    """Run and print `{"rate", "p50_ms", "p99_ms", "bad", "example"}`."""
    heads = [
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\n"
        for path in paths
    ]
    latencies: list[float] = []
    bad: list[str] = []
    started = time.perf_counter()
    until = started + seconds
    due = (started + number / rate for number in count()) if rate else repeat(0.0)
    turns = [heads[first % len(heads) :] + heads[: first % len(heads)] for first in range(connections)]
    await asyncio.gather(*(connection(host, port, mine, until, due, latencies, bad) for mine in turns))
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
    host, port, paths, token, connections, seconds, rate = [*sys.argv[1:], "0"][:7]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load(host, int(port), paths.split(","), token, int(connections), float(seconds), float(rate)))
