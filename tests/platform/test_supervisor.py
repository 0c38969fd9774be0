"""Children: started again when they die, stopped for certain, never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scrip.errors import PlatformError
from scrip.supervisor import ChildSpec, Supervisor


def eventually(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(said.append)
    yield made
    made.stop(*made.names())
    made.close()


def child(folder: Path, program: str, name: str = "child", stop_seconds: float = 5.0) -> ChildSpec:
    return ChildSpec(
        name=name,
        command=[sys.executable, "-c", program],
        log=folder / "logs" / f"{name}.log",
        environment=dict(os.environ),
        directory=folder,
        stop_seconds=stop_seconds,
    )


def test_a_killed_child_is_reported_with_its_last_lines_and_started_again(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    supervisor.start(child(tmp_path, "import time; print('here I am', flush=True); time.sleep(60)"))
    eventually(lambda: "here I am" in (tmp_path / "logs" / "child.log").read_text())
    first = supervisor.pid("child")
    supervisor.signal("child", signal.SIGKILL)
    eventually(lambda: supervisor.child("child").restarts == 1)
    supervisor.wait_ready("child", after_death=True)
    assert supervisor.pid("child") != first
    assert said[0].startswith("child was ended by SIGKILL; it starts again in 1 s.")
    assert "here I am" in said[0]


def test_a_child_that_ends_while_starting_is_one_error_with_its_log(supervisor: Supervisor, tmp_path: Path) -> None:
    spec = child(tmp_path, "print('no database'); raise SystemExit(3)")
    supervisor.start(ChildSpec(**{**vars(spec), "ready": lambda: False}))
    with pytest.raises(PlatformError, match=r"child ended while starting; its last log lines:\n  no database"):
        supervisor.wait_ready("child")


def test_a_stopped_child_stays_stopped_until_it_is_resumed(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    supervisor.start(child(tmp_path, "import time; time.sleep(60)"))
    supervisor.stop("child")
    time.sleep(1.5)  # longer than the pause after which a death would be made good
    with pytest.raises(PlatformError, match="child is not running"):
        supervisor.pid("child")
    supervisor.resume("child")
    assert psutil.pid_exists(supervisor.pid("child"))
    assert said == []


def test_a_child_that_will_not_stop_is_killed_with_what_it_started(supervisor: Supervisor, tmp_path: Path) -> None:
    program = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""
    supervisor.start(child(tmp_path, program, stop_seconds=0.5))
    log = tmp_path / "logs" / "child.log"
    eventually(lambda: log.read_text().endswith("\n"))
    grandchild = int(log.read_text())
    supervisor.stop("child")
    eventually(lambda: gone(grandchild))


def test_a_paused_child_can_be_stopped(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(child(tmp_path, "import time; time.sleep(60)"))
    pid = supervisor.pid("child")
    supervisor.signal("child", signal.SIGSTOP)
    supervisor.stop("child")
    assert gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_a_supervisor_killed_with_minus_nine_leaves_no_child(tmp_path: Path) -> None:
    program = """
import os, sys, time
from pathlib import Path
from scrip.supervisor import ChildSpec, Supervisor
folder = Path(sys.argv[1])
supervisor = Supervisor(print)
sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
for name in ("one", "two"):
    supervisor.start(ChildSpec(name, sleeper, folder / name, dict(os.environ), folder))
print(supervisor.pid("one"), supervisor.pid("two"), flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    children = [int(word) for word in process.stdout.readline().split()]
    assert len(children) == 2
    process.kill()
    process.wait()
    process.stdout.close()
    eventually(lambda: all(gone(pid) for pid in children))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_a_demo_killed_with_minus_nine_leaves_no_merchant_listening(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from scrip.demo.companions import DemoMerchant
merchant = DemoMerchant(Path(sys.argv[1]), "token")
merchant.wait()
print(merchant.process.pid, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    merchant = int(process.stdout.readline())
    assert not gone(merchant)
    process.kill()
    process.wait()
    process.stdout.close()
    eventually(lambda: gone(merchant))
