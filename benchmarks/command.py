"""`scrip bench [NAME …] [--json FILE]`: run benchmarks and print one table."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Figure

BENCHMARKS = {
    "claim_hot": "benchmarks.claim_hot",
    "real_year": "benchmarks.real_year",
    "http_claim": "benchmarks.http_claim",
    "audit": "benchmarks.audit",
}
"""Each module has `run() -> list[Figure]`."""


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every benchmark named ran to its end."""
    parser = argparse.ArgumentParser(prog="scrip bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="benchmarks to run; none: all")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args(arguments)
    figures: list[Figure] = []
    for name in given.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        figures += importlib.import_module(BENCHMARKS[name]).run()
    rows = [figure.as_json() for figure in figures]
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
