"""A run of tests that is interrupted or killed leaves no process behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.support.processes import start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = [sys.executable, "-c", "import time; time.sleep(120)"]
TEST = """
import pathlib, time
from tests.support.processes import start

def test_that_never_ends():
    sleeper = start({sleeper!r})
    pathlib.Path({note!r}).write_text(str(sleeper.pid))
    time.sleep(120)
"""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def within(seconds: float, note: Path) -> int:
    deadline = time.monotonic() + seconds
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(note.read_text())


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, "0"), (signal.SIGKILL, "1")])
def test_a_run_that_is_ended_takes_its_services_along(tmp_path: Path, number: signal.Signals, workers: str) -> None:
    note = tmp_path / "pid"
    (tmp_path / "test_long.py").write_text(TEST.format(sleeper=SLEEPER, note=str(note)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", workers, "-c", os.devnull]
    run = subprocess.Popen(
        [*command, "-p", "tests.conftest", str(tmp_path / "test_long.py")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # as from another terminal: xdist's workers get no signal of their own
    )
    try:
        sleeper = within(30, note)
        assert not gone(sleeper)
        run.send_signal(number)
        run.wait(20)
        deadline = time.monotonic() + 20
        while not gone(sleeper) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert gone(sleeper)
    finally:
        if run.poll() is None:
            for child in psutil.Process(run.pid).children(recursive=True):
                child.kill()
            run.kill()
        run.wait()


def test_a_service_outlives_the_thread_it_was_started_from() -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(start(SLEEPER)))
    thread.start()
    thread.join()
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            started[0].wait(0.5)
    finally:
        started[0].kill()
        started[0].wait()
