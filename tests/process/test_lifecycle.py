import json
import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys, time
from process import lifecycle, logs

async def main(stop):
    assert type(asyncio.get_running_loop()).__module__ == "uvloop"
    if way == "breaks":
        raise ValueError("it broke")
    print("started", flush=True)
    if way == "returns":
        return
    await stop.wait()
    print("stopping", flush=True)
    if way == "drains":
        await asyncio.sleep(0.1)
    elif way == "hangs":
        await asyncio.sleep(60)
    elif way == "blocks the loop":
        time.sleep(60)
    elif way == "leaves a thread":
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)

way = sys.argv[1]
logs.configure("trial", 0)
lifecycle.run(main, stop_limit_seconds=float(sys.argv[2]))
"""


def start(way: str, limit_seconds: float = 20, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, way, str(limit_seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_after_it_has_drained(number: signal.Signals) -> None:
    process = start("drains")
    wait_for(process, "started")
    process.send_signal(number)
    printed, logged = process.communicate(timeout=30)
    assert process.returncode == 0
    assert printed.strip() == "stopping"
    assert json.loads(logged)["action"] == "process_stopped"


def test_a_process_may_end_by_itself() -> None:
    process = start("returns")
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize("way", ["hangs", "blocks the loop"])
def test_a_second_signal_ends_it_at_once(way: str) -> None:
    process = start(way)
    wait_for(process, "started")
    process.send_signal(signal.SIGTERM)
    wait_for(process, "stopping")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize("way", ["hangs", "blocks the loop", "leaves a thread"])
def test_a_process_that_does_not_stop_is_ended_at_the_limit(way: str) -> None:
    process = start(way, limit_seconds=0.5)
    wait_for(process, "started")
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "did not stop within 0.5 s" in logged


def test_an_error_nobody_handled_is_logged_once_with_exit_code_1() -> None:
    process = start("breaks")
    _, logged = process.communicate(timeout=30)
    assert process.returncode == 1
    (line,) = [json.loads(text) for text in logged.splitlines()]
    assert line["action"] == "process_failed"
    assert "it broke" in line["exception"]


def test_a_failpoint_nobody_has_is_refused_at_start() -> None:
    process = start("returns", SCRIP_FAILPOINTS="nobody.has_this=kill")
    _, logged = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "nobody.has_this" in logged
