"""The command `scrip prove`."""

from __future__ import annotations

import json
import secrets
from typing import Annotated

import typer

from scrip.platform_commands import HomeOption


def prove(
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long callers ask.")] = 30,
    callers: Annotated[int, typer.Option(min=0, max=2_000, help="Callers over HTTP at once.")] = 48,
    kafka_callers: Annotated[int, typer.Option(min=1, max=20_000, help="Commands under way by Kafka at once.")] = 3_000,
    campaigns: Annotated[int, typer.Option(min=1, max=1_000, help="Campaigns open at once.")] = 20,
    quantity: Annotated[int, typer.Option(min=1, max=100_000, help="Coupons of each.")] = 100,
    faults: Annotated[bool, typer.Option("--faults", help="Kill and restart core and gateway meanwhile.")] = False,
    seed: Annotated[int | None, typer.Option(help="Makes the callers' choices and the faults; default: any.")] = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Hammer the running platform and compare every answer with ledger and event log; exit code 1 when one differs.

    Makes campaigns of its own and a Kafka tool of its own, which is switched off afterwards.
    """
    # Only here: what it needs would double the start of every other command.
    from scrip.prove.running import Plan, lines, run

    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    plan = Plan(chosen, seconds, callers, kafka_callers, campaigns, quantity, faults)
    report = run(home, plan)
    typer.echo(json.dumps(report, indent=2) if as_json else "\n".join(lines(report)))
    if report["differences"]:
        raise typer.Exit(1)
