import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from process import failpoints

PROGRAM = """
from process.failpoints import declare, failpoint, refuse_unknown
POINT = declare("trial.point")
OTHER = declare("trial.other")
refuse_unknown()
for number in range(5):
    print(number, flush=True)
    failpoint(POINT)
    failpoint(OTHER)
"""


def start(armed: str, log: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"SCRIP_FAILPOINTS": armed, "SCRIP_FAILPOINT_LOG": str(log)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_kill_ends_the_process_at_the_chosen_hit_and_every_hit_is_written_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start("trial.point=kill@3", log)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert printed.split() == ["0", "1", "2"]
    assert log.read_text().splitlines() == [
        f"trial.point 1 pass {process.pid}",
        f"trial.point 2 pass {process.pid}",
        f"trial.point 3 kill {process.pid}",
    ]


def test_stop_halts_the_process_until_it_is_continued(tmp_path: Path) -> None:
    process = start("trial.point=stop", tmp_path / "log")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    os.kill(process.pid, signal.SIGCONT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert printed.split() == ["0", "1", "2", "3", "4"]


def test_raise_raises_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "_armed", failpoints.parse("trial.here=raise@2"))
    failpoints.failpoint("trial.here")
    failpoints.failpoint("trial.elsewhere")
    with pytest.raises(RuntimeError, match=r"trial\.here"):
        failpoints.failpoint("trial.here")
    failpoints.failpoint("trial.here")
    assert failpoints.armed() == frozenset()


def test_a_point_nobody_declares_is_refused_at_start(tmp_path: Path) -> None:
    process = start("trial.misspelt=kill", tmp_path / "log")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "trial.misspelt" in errors


@pytest.mark.parametrize("text", ["x", "x=", "=kill", "x=explode", "x=kill@0", "x=kill@-1", "x=kill@two"])
def test_a_wrong_setting_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SCRIP_FAILPOINTS"):
        failpoints.parse(text)


def test_declared_points_can_be_listed() -> None:
    assert failpoints.declare("trial.listed") in failpoints.declared()
