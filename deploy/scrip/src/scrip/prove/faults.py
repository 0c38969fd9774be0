"""Kills and restarts of a local platform's services while they are hammered; its supervisor starts them again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from scrip.errors import PlatformError
from scrip.home import Home
from scrip.status import platform_status

SERVICES = ("coupon_core", "gateway")
EVERY_SECONDS = 6.0
"""The supervisor waits longer each time before it starts what keeps dying."""
BACK_SECONDS = 120.0


@dataclass(frozen=True)
class Fault:
    """What was done to a process, and when after the beginning."""

    process: str
    done: str
    after_seconds: float


async def disturb(home: Path, seconds: float, seed: int) -> list[Fault]:
    """Kill (-9) or stop (SIGTERM) a core or a gateway every few seconds; each kind of process is met."""
    chance, started, done = random.Random(seed), time.monotonic(), []  # noqa: S311
    number = 0
    await asyncio.sleep(min(2.0, seconds / 4))
    while time.monotonic() - started < seconds - 1:
        wanted = SERVICES[number % len(SERVICES)]
        there = [name for name in running(home) if name.split("-")[0] == wanted]
        if there:
            name = chance.choice(there)
            kind = signal.SIGKILL if number % 4 != 3 else signal.SIGTERM
            os.kill(running(home)[name], kind)
            done.append(Fault(name, kind.name, round(time.monotonic() - started, 1)))
        number += 1
        await asyncio.sleep(min(EVERY_SECONDS, max(1.0, seconds / 4)))
    return done


def running(home: Path) -> dict[str, int]:
    """Process ids by name of the services that the home's own supervisor started and that live.

    Raises PlatformError when no platform of this machine runs in the home.
    """
    supervisor = Home(home).supervisor_pid()
    if supervisor is None:
        raise PlatformError(f"No platform runs in {home}: --faults disturbs only the local one.")
    found = {}
    for name, kept in Home(home).state()["processes"].items():
        try:
            ours = psutil.Process(kept["pid"]).ppid() == supervisor
        except psutil.NoSuchProcess:
            continue
        if ours and name.split("-")[0] in SERVICES:
            found[name] = int(kept["pid"])
    return found


async def all_back(home: Path) -> None:
    """Wait until everything can work again. Raises PlatformError with the reasons when it does not."""
    deadline = time.monotonic() + BACK_SECONDS
    while not (status := await asyncio.to_thread(platform_status, home))["ready"]:
        if time.monotonic() > deadline:
            reasons = {process["name"]: process["reasons"] for process in status.get("processes", ())}
            raise PlatformError(f"The platform did not become ready again: {reasons}")
        await asyncio.sleep(0.5)
