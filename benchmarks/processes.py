"""Processes beside a benchmark: a rival, a bare server, a load. They end with it, whatever ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scrip.supervisor import dying_with_us, kill_group

ROOT = Path(__file__).parent.parent
READY_SECONDS = 60.0


@contextmanager
def beside(
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    ready: Callable[[], bool] | None = None,
) -> Iterator[str]:
    """`python -m module` while the block runs, from when it is ready; yields the first line it printed.

    With `ready` that is asked instead of waiting for a line. Raises RuntimeError when it ends before.
    """
    with _started(module, arguments, environment) as process:
        line = ""
        if ready is None:
            line = process.stdout.readline() if process.stdout is not None else ""
        deadline = time.monotonic() + READY_SECONDS
        while not (ready() if ready is not None else line):
            if process.poll() is not None or ready is None or time.monotonic() > deadline:
                raise RuntimeError(f"{module} did not become ready")
            time.sleep(0.1)
        yield line.strip()


def measured_by(module: str, *arguments: str, seconds: float) -> Any:
    """The JSON that `python -m module` prints. Raises RuntimeError, subprocess.TimeoutExpired."""
    with _started(module, arguments, None) as process:
        said, _ = process.communicate(timeout=seconds)
        if process.returncode:
            raise RuntimeError(f"{module} ended with {process.returncode}")
        return json.loads(said)


@contextmanager
def _started(
    module: str, arguments: Sequence[str], environment: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[str]]:
    """In a session of its own, which is killed as a whole; by Linux also when this process is killed."""
    process = subprocess.Popen(
        dying_with_us([sys.executable, "-m", module, *arguments]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill_group(process.pid)
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()
