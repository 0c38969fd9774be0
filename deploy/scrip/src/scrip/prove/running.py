"""One run of `scrip prove` and its report."""

from __future__ import annotations

import asyncio
import os
import secrets
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from scrip.checkout import default_home
from scrip.errors import PlatformError
from scrip.gateway_client import GatewayClient
from scrip.home import Home
from scrip.prove.asking import CLAIM, REDEEM, RETURN, Asked
from scrip.prove.callers import Callers
from scrip.prove.evidence import Evidence, Log, collect
from scrip.prove.faults import Fault, all_back, disturb, running
from scrip.prove.judging import Verdict, judge
from scrip.prove.tool import Tool
from scrip.waiting import run_coroutine

SHOWN = 20
WIDTH = 118
CALL_SECONDS = 20.0
NAMES = {CLAIM: "claims", REDEEM: "redemptions", RETURN: "returns"}


@dataclass(frozen=True)
class Plan:
    """What a run does."""

    seed: int
    seconds: float
    callers: int
    kafka_callers: int
    campaigns: int
    quantity: int
    faults: bool


def run(home: Path | None, plan: Plan, before_reading: Callable[[Sequence[Asked]], None] | None = None) -> Any:
    """Do it; the report as JSON-ready values. Blocking.

    `before_reading` is called with all that was asked once everything is answered; tests plant differences there.
    Raises PlatformError.
    """
    return run_coroutine(_run((home or default_home()).absolute(), plan, before_reading))


async def _run(home: Path, plan: Plan, before_reading: Callable[[Sequence[Asked]], None] | None) -> dict[str, Any]:
    state = Home(home).state()
    if not state or state.get("phase") != "running":
        raise PlatformError(f"No platform runs in {home}: start one with `scrip up`.")
    if state["clock"] == "told":
        raise PlatformError("This platform keeps told time; a proof needs one that keeps the log's own.")
    if plan.faults:
        running(home)  # says so when there is none to disturb
    staff = GatewayClient(home)
    token = os.environ.get("SCRIP_TOKEN") or Home(home).secret("admin-token")
    gateways = [address for name, address in state["addresses"].items() if name.split("-")[0] == "gateway"]
    name = f"prove-{secrets.token_hex(4)}"
    topic = f"scrip.{name}.replies"
    document = {"name": name, "rights": ["issue", "redeem"], "reply_topic": topic}
    made = await asyncio.to_thread(staff.call, "POST", "/tools", document)
    limits = httpx.Limits(max_connections=max(64, plan.callers + 32))
    try:
        async with (
            httpx.AsyncClient(timeout=CALL_SECONDS, trust_env=False, limits=limits) as http,
            Log(state["addresses"]["kafka"]) as log,
            Tool(
                state["addresses"]["kafka"], state["partitions"], name, topic, made["key"], made["key_version"]
            ) as tool,
        ):
            callers = Callers(
                http,
                gateways,
                token,
                tool,
                seed=plan.seed,
                run=name,
                campaigns=plan.campaigns,
                quantity=plan.quantity,
            )
            await callers.prepare()
            started = time.monotonic()
            hammering = asyncio.create_task(callers.hammer(plan.seconds, plan.callers, plan.kafka_callers))
            done: list[Fault] = []
            if plan.faults:
                done = await disturb(home, plan.seconds, plan.seed)
            await hammering
            took = time.monotonic() - started
            if plan.faults:
                await all_back(home)
            await callers.ask_what_is_open()
            if before_reading is not None:
                await asyncio.to_thread(before_reading, callers.asked)
            found = await collect(http, gateways[0], token, log, [each.id for each in callers.opened])
    finally:
        await asyncio.to_thread(staff.call, "POST", "/tools", {**document, "active": False})
    verdict = judge(callers.asked, callers.opened, found)
    return _report(plan, callers, done, found, verdict, took)


def _report(
    plan: Plan, callers: Callers, faults: list[Fault], found: Evidence, verdict: Verdict, took: float
) -> dict[str, Any]:
    asked = callers.asked
    answered = [each for each in asked if each.answers]
    waits = sorted(each.answered_at - each.asked_at for each in answered if each.answered_at is not None)
    said = Counter(each.answers[0].code or each.answers[0].status for each in answered)
    via = Counter(said.via for each in asked for said in each.answers)
    options = asdict(plan)
    flags = [f"--{name.replace('_', '-')} {value:g}" for name, value in options.items() if name != "faults"]
    return {
        "repeat": " ".join(["scrip prove", *flags, *(["--faults"] if plan.faults else [])]),
        "plan": options,
        "asked": {NAMES[kind]: count for kind, count in sorted(Counter(each.kind for each in asked).items())},
        "sent": sum(each.sent for each in asked),
        "answers": {"http": via["http"], "kafka": via["kafka"]},
        "answered": dict(said.most_common()),
        "campaigns": len(callers.opened),
        "coupons": sum(view["issued"] for view in found.ledger.values()),
        "event_records": sum(map(len, found.events.values())),
        "faults": [asdict(fault) for fault in faults],
        "seconds": round(took, 1),
        "answers_a_second": round(len(answered) / took),
        "wait_seconds": {
            "median": round(_share(waits, 0.5), 3),
            "p99": round(_share(waits, 0.99), 3),
            "longest": round(_share(waits, 1), 3),
        },
        "compared": verdict.compared,
        "differences": [asdict(difference) for difference in verdict.differences],
    }


def _share(waits: list[float], share: float) -> float:
    return waits[min(len(waits) - 1, int(len(waits) * share))] if waits else 0.0


def lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    waits, wrong = report["wait_seconds"], Counter(each["promise"] for each in report["differences"])

    def counts(of: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in of.items())

    def line(name: str, said: str) -> str:
        return textwrap.fill(f"{name:10} {said}", WIDTH, subsequent_indent=" " * 11)

    disturbed = [f"{fault['process']} {fault['done']} after {fault['after_seconds']} s" for fault in report["faults"]]
    told = [
        line("Asked", f"{counts(report['asked'])}; {report['sent']:,} requests and records in {report['seconds']} s"),
        line("Answered", counts(report["answered"])),
        line("Heard", f"{report['answers']['http']:,} answers by HTTP, {report['answers']['kafka']:,} by Kafka"),
        line(
            "Speed",
            f"{report['answers_a_second']:,} answers a second; a caller waited {waits['median']} s (median), "
            f"{waits['p99']} s (p99), {waits['longest']} s at most",
        ),
        line(
            "Came of it",
            f"{report['campaigns']:,} campaigns, {report['coupons']:,} coupons, "
            f"{report['event_records']:,} records of coupon.events",
        ),
        line("Disturbed", "; ".join(disturbed) or "nothing"),
        "",
    ]
    for promise, compared in report["compared"].items():
        verdict = f"{wrong[promise]:,} DIFFER" if wrong[promise] else "right"
        told.append(f"  {promise:58} {compared:>9,} compared  {verdict}")
    told += [f"    {each['promise']}: {each['detail']}" for each in report["differences"][:SHOWN]]
    if len(report["differences"]) > SHOWN:
        told.append(f"    and {len(report['differences']) - SHOWN:,} more (--json shows all)")
    total = sum(report["compared"].values())
    told += [
        "",
        f"{len(report['differences']):,} of {total:,} comparisons DIFFER."
        if report["differences"]
        else f"All {total:,} comparisons are right.",
        f"Again: {report['repeat']}",
    ]
    return told
