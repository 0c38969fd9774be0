"""A closed loop of claims over HTTP/1.1, as light as Python allows, in a process of its own.

python -m benchmarks.http_load HOST PORT PATH TOKEN CONNECTIONS SECONDS   → one JSON line
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from uuid import uuid4

import uvloop


async def connection(host: str, port: int, head: str, until: float, latencies: list[float], bad: list[str]) -> None:
    """One connection: a claim, its answer, the next claim."""
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < until:
        body = f'{{"user":"{uuid4().hex}"}}'
        started = time.perf_counter()
        writer.write(f"{head}Idempotency-Key: {uuid4().hex}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        lower = answer.lower()
        at = lower.index(b"content-length:") + 15
        content = await reader.readexactly(int(lower[at : lower.index(b"\r", at)]))
        latencies.append(time.perf_counter() - started)
        if answer[9:11] != b"20":
            bad.append(f"{answer[9:12].decode()} {content[:200].decode()}")
    writer.close()


async def load(host: str, port: int, path: str, token: str, connections: int, seconds: float) -> None:
    """Run and print `{"rate", "p50_ms", "p99_ms", "bad", "example"}`."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\n"
    )
    latencies: list[float] = []
    bad: list[str] = []
    started = time.perf_counter()
    until = started + seconds
    await asyncio.gather(*(connection(host, port, head, until, latencies, bad) for _ in range(connections)))
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
    host, port, path, token, connections, seconds = sys.argv[1:7]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load(host, int(port), path, token, int(connections), float(seconds)))
