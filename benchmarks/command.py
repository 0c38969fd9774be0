"""`scrip bench [NAME …] [--json FILE]`: run benchmarks and print one table; all of them: keep the results too."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.measure import Figure

BENCHMARKS = (
    "claim_hot",
    "claim_64",
    "redeem",
    "bulk_issue",
    "http_claim",
    "http_claim_64_campaigns",
    "campaign_1e9",
    "events_lag",
    "real_year",
    "growth",
    "scale_workers",
    "audit",
)
"""Modules of this package with `run() -> list[Figure]`, in the order of the table."""


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every benchmark named ran to its end."""
    parser = argparse.ArgumentParser(prog="scrip bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="benchmarks to run; none: all")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args(arguments)
    figures: list[Figure] = []
    load = os.getloadavg()[0]
    for name in given.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        figures += importlib.import_module(f"benchmarks.{name}").run()
    rows = [figure.as_json() for figure in figures]
    if not given.names:
        results.keep(rows, load)
    table = Table("name", "unit", "ours", "limit", "rival", "to limit", "to rival")
    for row in rows:
        table.add_row(
            *(_cell(row[part]) for part in ("name", "unit", "ours", "limit", "rival", "to_limit", "to_rival"))
        )
    console = Console(width=110)
    console.print(table)
    for figure in figures:
        for note in figure.notes:
            console.print(f"{figure.name}: {note}")
    if given.json is not None:
        # Of one benchmark: its headline (the first figure), with all its lines below.
        written = {**rows[0], "lines": rows} if len(given.names) == 1 else rows
        given.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return 0


def _cell(value: object) -> str:
    return "–" if value is None else f"{value:,.1f}" if isinstance(value, float) and value >= 100 else str(value)


if __name__ == "__main__":
    sys.exit(main())
