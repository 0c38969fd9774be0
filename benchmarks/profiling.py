"""What a service's process does while a benchmark runs, by sampling: where the figures' bounds come from.

    make bench ARGS="export_1m --json /dev/null" &
    .venv/bin/python -m benchmarks.profiling coupon_core --after 20 --seconds 20

Waits for a process of that service (`coupon_core`, `gateway`, `merchant_adapter`) and until it has lived so long,
samples it with py-spy, and prints the share of its samples by function: its own, and with all it called. Only moments
at which it works are counted (threads that wait are left out). May need the right to trace other processes (root).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

SHOWN = 30


def process_of(service: str, patience_seconds: float, after_seconds: float) -> int:
    """The youngest process of a service, once it has lived for so long. Raises TimeoutError."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        found = [each for each in psutil.process_iter(["cmdline", "create_time"]) if _runs(each, service)]
        if found:
            youngest = max(found, key=lambda each: each.info["create_time"])
            time.sleep(max(0.0, youngest.info["create_time"] + after_seconds - time.time()))
            return int(youngest.pid)
        time.sleep(0.2)
    raise TimeoutError(f"No process of {service} was started within {patience_seconds:g} s.")


def _runs(process: psutil.Process, service: str) -> bool:
    return (process.info["cmdline"] or [])[-3:] == ["-P", "-m", service]


def sampled(pid: int, seconds: float, rate: int) -> Counter[str]:
    """How often each stack was met, its frames from the outermost, joined by `;`."""
    with tempfile.TemporaryDirectory(prefix="scrip-bench-") as folder:
        file = Path(folder) / "stacks"
        subprocess.run(
            [
                *(Path(sys.executable).with_name("py-spy"), "record", "--pid", str(pid), "--rate", str(rate)),
                *("--duration", str(round(seconds)), "--format", "raw", "--output", file),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        stacks: Counter[str] = Counter()
        for line in file.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            stacks[stack] += int(count)
    return stacks


def shares(stacks: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    """By function: samples in itself, and with all it called."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for stack, count in stacks.items():
        frames = [frame.rpartition(":")[0] or frame for frame in stack.split(";")]
        own[frames[-1]] += count
        for frame in set(frames):
            whole[frame] += count
    return own, whole


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("service")
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--wait", type=float, default=120, help="seconds to wait for the process")
    arguments.add_argument("--after", type=float, default=0, help="seconds the process must have lived")
    arguments.add_argument("--rate", type=int, default=200, help="samples per second")
    given = arguments.parse_args()
    stacks = sampled(process_of(given.service, given.wait, given.after), given.seconds, given.rate)
    own, whole = shares(stacks)
    total = sum(stacks.values())
    print(f"{total:,} samples at work in {given.seconds:g} s")
    for said, counted in (("its own", own), ("with all it calls", whole)):
        print(f"\n{said}")
        for frame, count in counted.most_common(SHOWN):
            print(f"{count / total:7.1%}  {frame}")


if __name__ == "__main__":
    main()
