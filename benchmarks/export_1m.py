"""1,000,000 codes as CSV over HTTP, from the gateway, which passes on what core streams: bearer codes taken out before.

Limit: the same bytes from the same server, read from memory. Rival: `COPY … TO STDOUT` of the same rows, stored in a
table of the same PostgreSQL, without HTTP.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg

from benchmarks.measure import Figure, alternate
from benchmarks.platforms import busy, make_campaign, platform, processor_seconds, staff
from benchmarks.processes import beside
from scrip.platform import CORE, GATEWAY, Platform

CODES = 1_000_000
RUNS = 5
BOUND = (
    "core's own part, some 0.16 µs a code (FF1 0.06, symbols 0.03, the text 0.05, SHA-256 0.02; timed apart), and the "
    "bytes' way through core's server, the gateway's client and server, and the reader"
)
TABLE = "CREATE TABLE rival_code (number bigint PRIMARY KEY, code text NOT NULL UNIQUE, state text NOT NULL)"


def run() -> list[Figure]:
    """The figure in codes per second."""
    figure = Figure("export_1m", "codes/s", bound=BOUND)
    with platform(services=(GATEWAY, CORE)) as running, tempfile.TemporaryDirectory(prefix="scrip-bench-") as folder:
        campaign = _taken_out(running)
        gateway = urlsplit(running.url("gateway")).port or 0
        target = f"/internal/v1/campaigns/{campaign}/export/codes"
        whole = asyncio.run(_read(gateway, target, running.admin_token))[1]
        _check(whole)
        file = Path(folder) / "codes.csv"
        file.write_bytes(whole)
        asyncio.run(_store(running.database_admin_url, whole))
        with beside("benchmarks.bare_server", str(file)) as bare:

            def over_http(port: int, token: str) -> float:
                seconds, content = asyncio.run(_read(port, target, token))
                if content != whole:
                    raise RuntimeError("the bytes of an export are not those of the one before")
                return CODES / seconds

            said: list[str] = []

            def ours() -> list[float]:
                before = processor_seconds(running)
                rate = over_http(gateway, running.admin_token)
                said.append(busy(running, before, CODES / rate))
                return [rate]

            alternate(
                [figure],
                ours=ours,
                limit=lambda: [over_http(int(bare), "")],
                rival=lambda: [asyncio.run(_copy(running.database_admin_url, len(whole)))],
                runs=RUNS,
            )
    seconds = ", ".join(f"{CODES / rate:.2f}" for rate in figure.ours)
    figure.notes.append(f"{len(whole):,} bytes; seconds: {seconds}; all {CODES:,} codes differ, the checksum holds")
    figure.notes.append(said[figure.ours.index(sorted(figure.ours)[RUNS // 2])])
    return [figure]


def _taken_out(running: Platform) -> UUID:
    campaign = make_campaign(running, 1_000_000_000)
    with staff(running) as client:
        answer = client.post(
            f"/campaigns/{campaign}/export-codes", json={"count": CODES}, headers={"Idempotency-Key": str(uuid4())}
        )
        answer.raise_for_status()
    return campaign


async def _read(port: int, target: str, token: str) -> tuple[float, bytes]:
    """Seconds from the request to the last byte, and the body; a client as light as Python allows."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 * 1024 * 1024)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200") or b"transfer-encoding: chunked" not in head.lower():
        raise RuntimeError(f"the export was answered {head[:300]!r}")
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    spent = time.perf_counter() - started
    writer.close()
    return spent, b"".join(parts)


def _check(whole: bytes) -> None:
    body, _, end = whole.rpartition(b"#end,")
    if end.decode().strip() != f"{CODES},{hashlib.sha256(body).hexdigest()}":
        raise RuntimeError(f"the export does not end as it should: {end[-100:]!r}")
    if len({row[1] for row in csv.reader(io.StringIO(body.decode(), newline=""))}) != CODES + 1:
        raise RuntimeError("a code stands in the export twice")


async def _store(url: str, whole: bytes) -> None:
    body = whole.rpartition(b"#end,")[0].partition(b"\r\n")[2]
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(TABLE)
        await connection.copy_to_table("rival_code", source=io.BytesIO(body), format="csv")
        await connection.execute("VACUUM (ANALYZE) rival_code")
    finally:
        await connection.close()


async def _copy(url: str, expected: int) -> float:
    """Codes per second of a bare COPY, read and thrown away."""
    size = 0

    async def take(part: bytes) -> None:
        nonlocal size
        size += len(part)

    connection = await asyncpg.connect(url)
    try:
        started = time.perf_counter()
        await connection.copy_from_table("rival_code", output=take, format="csv")
        spent = time.perf_counter() - started
    finally:
        await connection.close()
    # COPY ends lines with one byte; ours has a head and an end besides.
    if not expected - CODES - 200 < size < expected:
        raise RuntimeError(f"COPY gave {size:,} bytes, ours {expected:,}")
    return CODES / spent
