"""Child processes of the tests. They end with the process that runs the tests, however that ends."""

import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from scrip.supervisor import dying_with_us

_starter = ThreadPoolExecutor(1, "starts-processes")
"""One thread that lives as long as this process: a child is told of the end of the thread that started it."""


def start(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a program by its path; it gets SIGKILL when this process ends. May be called in any thread."""

    def begin() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(dying_with_us(command), env=env, stdout=stdout, stderr=stderr)

    return _starter.submit(begin).result()


def end_in_order_when_terminated() -> None:
    """Let SIGTERM do here what Ctrl-C does: fixtures end, and with them servers and their folders."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
