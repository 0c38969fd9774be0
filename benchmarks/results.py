"""Results that are kept: one JSON a run under `benchmarks/results/`, and the tables made from the newest.

python -m benchmarks.results [--check]   writes (or compares) benchmarks/results/README.md and the README's table
"""

from __future__ import annotations

import json
import os
import platform as machine
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / "results"
BEGIN, END = "<!-- performance table -->", "<!-- end of performance table -->"


def keep(rows: list[dict[str, Any]], load: float) -> None:
    """Write a run with the machine's facts, `load` its load average before, and make the tables anew."""
    FOLDER.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    run = {
        "at": now.isoformat(timespec="seconds"),
        "machine": {**facts(), "load_before": round(load, 2)},
        "figures": rows,
    }
    (FOLDER / f"{now:%Y-%m-%dT%H%M%SZ}.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    for path, text in written(run).items():
        path.write_text(text, encoding="utf-8")


def facts() -> dict[str, Any]:
    """What of the machine the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processors": os.cpu_count(),
        "architecture": machine.machine(),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{machine.system()} {machine.release()}",
        "python": machine.python_version(),
    }


def written(run: dict[str, Any]) -> dict[Path, str]:
    """The documents that follow from a run, by path."""
    documents = {FOLDER / "README.md": _document(run)}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if BEGIN in readme and END in readme:
        before, _, rest = readme.partition(BEGIN)
        documents[ROOT / "README.md"] = f"{before}{BEGIN}\n{_table(run)}\n{END}{rest.partition(END)[2]}"
    return documents


def _document(run: dict[str, Any]) -> str:
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in run["machine"].items())
    lines = ["# Results", "", f"`make bench`, {run['at']}: {said}.", "", _table(run), ""]
    for row in run["figures"]:
        spread = ", ".join(f"{name} {share:.0%}" for name, share in row["spread"].items() if share is not None)
        lines += [f"**{row['name']}** is bounded by {row['bound']}. Spread: {spread}.", ""]
        lines += [f"- {note}" for note in row["notes"]] + [""] * bool(row["notes"])
    return "\n".join(lines).rstrip() + "\n"


def _table(run: dict[str, Any]) -> str:
    lines = ["| name | unit | ours | limit | rival | to limit | to rival |", "|---|---|--:|--:|--:|--:|--:|"]
    for row in run["figures"]:
        cells = [_cell(row[part]) for part in ("ours", "limit", "rival", "to_limit", "to_rival")]
        lines.append(f"| `{row['name']}` | {row['unit']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:g}"


def main(arguments: list[str]) -> int:
    """Exit code 1 when `--check` finds a document that is not the newest run's."""
    runs = sorted(FOLDER.glob("*.json"))
    if not runs:
        return 0
    documents = written(json.loads(runs[-1].read_text(encoding="utf-8")))
    stale = [path for path, text in documents.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is not the newest run's: python -m benchmarks.results", file=sys.stderr)
        else:
            path.write_text(documents[path], encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
