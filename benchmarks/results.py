"""Results that are kept: one JSON a benchmark under `benchmarks/results/`, and the tables made from all of them.

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
BENCHMARKS = (
    "claim_hot",
    "claim_64",
    "redeem",
    "bulk_issue",
    "http_claim",
    "http_claim_64_campaigns",
    "gateway_alone",
    "campaign_1e9",
    "export_1m",
    "events_lag",
    "real_year",
    "growth",
    "recovery",
    "scale_workers",
    "audit",
)
"""Modules of this package with `run() -> list[Figure]`, in the order of the table."""

Run = dict[str, Any]
"""One benchmark's last run: `benchmark`, `at`, `machine`, `figures`."""


def keep(benchmark: str, rows: list[dict[str, Any]], load: float) -> None:
    """Keep a run in place of the benchmark's last one, with the machine's facts, `load` its load average before."""
    FOLDER.mkdir(exist_ok=True)
    run = {
        "benchmark": benchmark,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**facts(), "load_before": round(load, 2)},
        "figures": rows,
    }
    (FOLDER / f"{benchmark}.json").write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path, text in documents(kept()).items():
        path.write_text(text, encoding="utf-8")


def kept() -> list[Run]:
    """The last run of each benchmark that was kept, in the order of the table."""
    paths = [FOLDER / f"{name}.json" for name in BENCHMARKS]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def facts() -> dict[str, Any]:
    """What of the machine the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processors": os.cpu_count(),
        "processor": _processor(),
        "architecture": machine.machine(),
        "memory_gib": round(memory / 2**30, 1),
        "system": machine.system(),
        "python": machine.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return machine.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def documents(runs: list[Run]) -> dict[Path, str]:
    """What follows from the runs, by path."""
    found = {FOLDER / "README.md": _document(runs)}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if BEGIN in readme and END in readme:
        before, _, rest = readme.partition(BEGIN)
        found[ROOT / "README.md"] = f"{before}{BEGIN}\n{_table(runs)}\n{END}{rest.partition(END)[2]}"
    return found


def _document(runs: list[Run]) -> str:
    lines = ["# Results", "", "What `make bench` measured last, each figure with what bounds it.", "", _table(runs), ""]
    for run in runs:
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in run["machine"].items())
        lines += [f"## {run['benchmark']}", "", f"{run['at']}: {facts}.", ""]
        for row in run["figures"]:
            spread = ", ".join(f"{name} {share:.0%}" for name, share in row["spread"].items() if share is not None)
            lines += [f"**{row['name']}** is bounded by {row['bound']}. Spread: {spread or 'one run'}.", ""]
            lines += [f"- {note}" for note in row["notes"]] + [""] * bool(row["notes"])
    return "\n".join(lines).rstrip() + "\n"


def _table(runs: list[Run]) -> str:
    machines = sorted({(run["machine"]["processors"], run["machine"]["processor"]) for run in runs})
    said = " and ".join(f"{count} processors ({name or 'unnamed'})" for count, name in machines)
    days = sorted(run["at"][:10] for run in runs)
    lines = ["| name | unit | ours | limit | rival | to limit | to rival |", "|---|---|--:|--:|--:|--:|--:|"]
    for row in (row for run in runs for row in run["figures"]):
        cells = [_cell(row[part]) for part in ("ours", "limit", "rival", "to_limit", "to_rival")]
        lines.append(f"| `{row['name']}` | {row['unit']} | {' | '.join(cells)} |")
    if days:
        when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
        lines += ["", f"Medians of alternating runs on {said}, {when}."]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:g}"


def main(arguments: list[str]) -> int:
    """Exit code 1 when `--check` finds a document that does not follow from what is kept."""
    runs = kept()
    if not runs:
        return 0
    wanted = documents(runs)
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} does not follow: python -m benchmarks.results", file=sys.stderr)
        else:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
