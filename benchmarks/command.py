"""`scrip bench [NAME …] [--json FILE]`: run benchmarks, print one table, keep what was measured.

What is kept stands in benchmarks/results and in the README's table; a benchmark run alone replaces only its own rows.
With --json the figures go to that file instead and nothing is kept. A benchmark that fails does not stop the next.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.results import BENCHMARKS

INTERRUPTED = 130
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every benchmark named ran to its end, 1 when one failed, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="scrip bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="benchmarks to run; none: all")
    parser.add_argument("--json", type=Path, help="write the figures there, and keep none")
    given = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    interrupted = False
    with _interruptible():
        for name in given.names or BENCHMARKS:
            print(f"{name} …", file=sys.stderr, flush=True)
            load, started = os.getloadavg()[0], time.monotonic()
            try:
                measured = [figure.as_json() for figure in importlib.import_module(f"benchmarks.{name}").run()]
            except KeyboardInterrupt:
                failed.append(name)
                interrupted = True
                break
            except Exception:
                traceback.print_exc()
                failed.append(name)
                continue
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            rows += measured
            if given.json is None:
                results.keep(name, measured, load)
    _show(rows)
    if given.json is not None and rows:
        # Of one benchmark: its headline (the first figure), with all its lines below.
        written = {**rows[0], "lines": rows} if len(given.names) == 1 else rows
        given.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    if failed:
        print(f"{'Interrupted in' if interrupted else 'Failed'}: {', '.join(failed)}", file=sys.stderr)
    return INTERRUPTED if interrupted else 1 if failed else 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """A signal to end raises KeyboardInterrupt once; what is cleared away then is not disturbed by another one."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = [(each, signal.signal(each, end)) for each in ENDING]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)


def _show(rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = Table("name", "unit", "ours", "limit", "rival", "to limit", "to rival")
    for row in rows:
        table.add_row(
            *(_cell(row[part]) for part in ("name", "unit", "ours", "limit", "rival", "to_limit", "to_rival"))
        )
    console = Console(width=110)
    console.print(table)
    for row in rows:
        for note in row["notes"]:
            console.print(f"{row['name']}: {note}")


def _cell(value: object) -> str:
    return "–" if value is None else f"{value:,.1f}" if isinstance(value, float) and value >= 100 else str(value)


if __name__ == "__main__":
    sys.exit(main())
