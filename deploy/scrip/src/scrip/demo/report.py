"""What the demo shows: steps with a bar and a live line of figures, and at the end the table of promises.

Where the output is no terminal there are plain lines instead. Lines that begin with `~` hold what was measured and
differ from run to run; all other lines are the same in every run of the same part of the year (`fixed_lines`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

MEASURED = "~ "
WIDTH = 130
"""Of what is printed where there is no terminal: the widest table fits."""
QUIET_SECONDS = 5.0


def fixed_lines(text: str) -> list[str]:
    """The lines of a transcript that are the same in every run."""
    return [line.rstrip() for line in text.splitlines() if not line.lstrip().startswith(MEASURED.strip())]


@dataclass(frozen=True)
class Row:
    """One promise kept, or not. `figure` is its name in the JSON file; equal evidence is shown in one line."""

    figure: str
    promise: str
    evidence: str
    expected: int
    counted: int

    @property
    def right(self) -> bool:
        return self.expected == self.counted


@dataclass
class Rate:
    """How much was done in how long."""

    count: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return self.count / self.seconds if self.seconds else 0.0


@dataclass
class Results:
    """What `--json` writes."""

    rows: list[Row] = field(default_factory=list)
    rates: dict[str, Rate] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    """Peak resident bytes by process."""

    def row(self, figure: str, promise: str, evidence: str, expected: int, counted: int) -> None:
        self.rows.append(Row(figure, promise, evidence, expected, counted))

    def rate(self, name: str) -> Rate:
        return self.rates.setdefault(name, Rate())

    @contextmanager
    def timed(self, name: str) -> Iterator[Rate]:
        """Add the time of the block to a rate; the block adds to its count."""
        rate, started = self.rate(name), time.monotonic()
        try:
            yield rate
        finally:
            rate.seconds += time.monotonic() - started

    @property
    def right(self) -> bool:
        return bool(self.rows) and all(row.right for row in self.rows)

    def write(self, file: Path) -> None:
        """As JSON."""
        content: dict[str, Any] = {
            "figures": [{"figure": row.figure, "expected": row.expected, "counted": row.counted} for row in self.rows],
            "rates": {
                name: {
                    "count": rate.count,
                    "seconds": round(rate.seconds, 3),
                    "per_second": round(rate.per_second, 1),
                }
                for name, rate in self.rates.items()
            },
            "memory": self.memory,
        }
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


class Step:
    """One step that is under way."""

    def __init__(self, console: Console, bar: Progress | None, task: TaskID | None, total: int) -> None:
        self._console, self._bar, self._task = console, bar, task
        self._done, self._total, self._said = 0, total, time.monotonic()

    def advance(self, by: int = 1, figures: str = "") -> None:
        """So much more is done; `figures` is the live line."""
        self._done += by
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=by, figures=figures)
        elif figures and time.monotonic() - self._said > QUIET_SECONDS:
            self._said = time.monotonic()
            self._console.print(f"  {MEASURED}{self._done:,} of {self._total:,} · {figures}", markup=False)


class Report:
    """Prints to stdout."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = WIDTH
            self._console.soft_wrap = True

    def heading(self, text: str) -> None:
        """The first line of a step."""
        self._console.print(text, style="bold", markup=False)

    def line(self, text: str) -> None:
        """Something that is the same in every run."""
        self._console.print(f"  {text}", markup=False)

    def measured(self, text: str) -> None:
        """Something that differs from run to run."""
        self._console.print(f"  {MEASURED}{text}", markup=False)

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:
        """A step of `total` parts, with a bar where there is a terminal."""
        self.heading(title)
        if not self._console.is_terminal:
            yield Step(self._console, None, None, total)
            return
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[figures]}"))
        with Progress(*columns, console=self._console, transient=True) as bar:
            yield Step(self._console, bar, bar.add_task("", total=total, figures=""), total)

    def results(self, results: Results) -> None:
        """Rates, memory and the table."""
        self.heading("Measured on this machine")
        for name, rate in results.rates.items():
            self.measured(f"{name:<28} {rate.count:>9,} in {rate.seconds:6.1f} s  = {rate.per_second:>9,.0f} a second")
        memory = ", ".join(f"{name} {size / 2**20:,.0f} MB" for name, size in results.memory.items())
        self.measured(f"peak memory: {memory}")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("promise, and its evidence", overflow="fold")
        for heading in ("expected", "counted"):
            table.add_column(heading, justify="right", overflow="fold")
        table.add_column("", no_wrap=True)
        for promise, of_promise in groupby(results.rows, lambda row: row.promise):
            table.add_row(Text(promise, style="bold"))
            for evidence, of_evidence in groupby(of_promise, lambda row: row.evidence):
                shown = list(of_evidence)
                verdict = Text("right") if all(row.right for row in shown) else Text("WRONG", style="bold red")
                expected = "/".join(f"{row.expected:,}" for row in shown)
                counted = "/".join(f"{row.counted:,}" for row in shown)
                table.add_row(f"  {evidence}", expected, counted, verdict)
        self._console.print()
        self._console.print(table)
        self._console.print()
