"""The audit: how many events a second a whole audit gets through, what folding them costs, and what the audit that
always runs takes of core while claims are drained.

Limit: the same journal rows, unpacked and hashed event by event, nothing else.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID, uuid4

import asyncpg
import cramjam
import httpx
import psutil

from benchmarks.measure import Figure, alternate
from benchmarks.platforms import Commands, log_of, platform, terms
from contracts.commands import ClaimCoupon, GenerateCampaign
from contracts.topics import COUPON_EVENTS
from coupon_core.model.chain import linked
from scrip.platform import Platform

CLAIMS = 60_000
RATE = 2_000
"""Claims per second while the audit that always runs is watched."""
AT_WORK, FOLLOWED = "scrip_core_audit_seconds_total", "scrip_core_audit_events_total"
CREATED = 3
"""Events of a new campaign."""


def run() -> list[Figure]:
    """Events per second of a whole audit, and of a campaign folded as of its last event."""
    figures = [
        Figure("audit", "events/s", bound="unpacking and hashing events (the limit), then the checks in PostgreSQL"),
        Figure("as_of", "events/s", bound="the fold of each event, in Python"),
    ]
    with platform() as running:
        campaign = uuid4()
        figures[0].notes.append(asyncio.run(_under_load(running, campaign)))
        alternate(
            figures,
            ours=lambda: [_whole_audit(running), _as_of(running, campaign)],
            limit=lambda: [asyncio.run(_hashes_alone(running, campaign))] * 2,
        )
    return figures


async def _under_load(running: Platform, campaign: UUID) -> str:
    """Append claims on one campaign at a steady rate; what the audit took of the machine meanwhile, in words.

    At work is what its budget counts: the clock's time from a step's beginning to its end, whoever has the processor.
    A step is paid for afterwards, so the time counted ends where a rest ends.
    """
    commands, every = Commands(running), 0.1
    records = [commands.record(ClaimCoupon(user=f"user-{n}"), campaign) for n in range(CLAIMS)]
    async with log_of(running) as log:
        before = await log.count(COUPON_EVENTS.name)
        await log.append([commands.record(GenerateCampaign(terms=terms(), quantity=CLAIMS), campaign)])
        await log.reach(COUPON_EVENTS.name, before + CREATED)
        began, at_work, processor = time.monotonic(), _metric(running, AT_WORK), await _backends(running)
        some = int(RATE * every)
        for number, first in enumerate(range(0, CLAIMS, some)):
            await asyncio.sleep(max(0.0, began + number * every - time.monotonic()))
            await log.append(records[first : first + some])
        await log.reach(COUPON_EVENTS.name, before + CREATED + CLAIMS)
        seconds = time.monotonic() - began
    at_work, followed = _metric(running, AT_WORK) - at_work, _metric(running, FOLLOWED)
    processor = await _backends(running) - processor
    return (
        f"beside {CLAIMS / seconds:,.0f} claims/s it was at work for {at_work / seconds:.1%} of the time, took "
        f"{processor / seconds:.1%} of a processor in PostgreSQL, and followed {followed:,.0f} events"
    )


def _metric(running: Platform, name: str) -> float:
    text = httpx.get(f"{_core(running)}/metrics", timeout=10, trust_env=False).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


async def _backends(running: Platform) -> float:
    """Processor seconds of the backends that answer the read API; during the load the audit alone asks."""
    connection = await asyncpg.connect(running.database_admin_url)
    try:
        rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'scrip-core-queries'")
    finally:
        await connection.close()
    times = [psutil.Process(row["pid"]).cpu_times() for row in rows]
    return sum(each.user + each.system for each in times)


def _core(running: Platform) -> str:
    return str(running.home.state()["addresses"]["coupon_core"])


def _ask(running: Platform, path: str) -> dict[str, object]:
    headers = {"authorization": f"Bearer {running.home.secret('service-token')}"}
    answer = httpx.get(_core(running) + path, headers=headers, timeout=300, trust_env=False)
    answer.raise_for_status()
    found: dict[str, object] = answer.json()
    return found


def _whole_audit(running: Platform) -> float:
    report = _ask(running, "/audit")
    if report["differences"]:
        raise AssertionError(f"the audit found {report['differences']}")
    checked = report["checked"]
    if not isinstance(checked, dict):
        raise TypeError("an audit says how much it checked")
    return float(checked["events"] / float(str(report["seconds"])))


def _as_of(running: Platform, campaign: UUID) -> float:
    started = time.monotonic()
    seen = _ask(running, f"/campaigns/{campaign}/as-of?seq={CLAIMS + CREATED}")
    if seen["issued"] != CLAIMS:
        raise AssertionError(f"{seen['issued']} were issued, not {CLAIMS}")
    return (CLAIMS + CREATED) / (time.monotonic() - started)


async def _hashes_alone(running: Platform, campaign: UUID) -> float:
    connection = await asyncpg.connect(running.database_admin_url)
    try:
        rows = await connection.fetch(
            "SELECT body FROM core.journal WHERE kind = 1 AND campaign = $1 ORDER BY first_seq", campaign
        )
    finally:
        await connection.close()
    started, value, events = time.monotonic(), campaign.bytes, 0
    for row in rows:
        lines = bytes(cramjam.zstd.decompress(row["body"])).split(b"\n")
        value, events = linked(value, lines), events + len(lines)
    return events / (time.monotonic() - started)
