"""What tests measured or reached, shown at the end of a run, whatever pytest keeps of their output.

    show(f"killed at {', '.join(reached)}")

`tests/conftest.py` prints these lines after the summary, those of xdist's processes too.
"""

from __future__ import annotations

from collections.abc import Iterable

MARK = "» "


def show(text: str) -> None:
    """A line for whoever reads the end of the run; a line break in it becomes a space."""
    print(f"\n{MARK}{' '.join(text.split())}")


def shown(output: str) -> list[str]:
    """The lines given to `show` in a test's captured output."""
    return [line.removeprefix(MARK) for line in output.splitlines() if line.startswith(MARK)]


def listing(reports: Iterable[tuple[str, str]]) -> list[str]:
    """Lines for (test, captured output), each once, in the order of the tests' names."""
    found = dict.fromkeys((test.removeprefix("tests/"), line) for test, output in reports for line in shown(output))
    return [f"{test}: {line}" for test, line in sorted(found, key=lambda each: each[0])]
