"""Starts child processes, watches them, starts again what dies, and stops them in order."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from scrip.errors import PlatformError

FIRST_RESTART_SECONDS = 1.0
LONGEST_RESTART_SECONDS = 30.0
CALM_SECONDS = 60.0  # a child that lived this long starts again at the shortest pause
WATCH_SECONDS = 0.1
LOG_LINES_SHOWN = 15
LARGEST_LOG_BYTES = 20 * 1024 * 1024

Result = TypeVar("Result")


@dataclass(frozen=True)
class ChildSpec:
    """How one child process is started and stopped.

    `ready` is called repeatedly until it returns true; it may block for a second or so and must not raise.
    `before_start` runs before every start, also before a restart (it removes what a killed run left behind).
    `user` is (user id, group id) to run as, for a supervisor that is root.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    directory: Path
    ready: Callable[[], bool] = field(default=lambda: True)
    before_start: Callable[[], None] = field(default=lambda: None)
    death_signal: signal.Signals = signal.SIGKILL
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0
    ready_seconds: float = 120.0  # far more than is needed, except on a machine that does ten other things
    user: tuple[int, int] | None = None


@dataclass
class Child:
    spec: ChildSpec
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    restarts: int = 0
    wanted: bool = False
    restart_at: float | None = None
    pause_seconds: float = FIRST_RESTART_SECONDS

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Owns the children of one platform.

    All starts happen in one thread of its own, because a child's parent-death signal is bound to the starting
    *thread*. Public methods may be called from any thread; they block until done. `report` receives one
    sentence and the last log lines when a child dies, `changed` is called after each start; both are called
    from the supervisor's thread.
    """

    def __init__(self, report: Callable[[str], None], changed: Callable[[], None] = lambda: None) -> None:
        self._report = report
        self._changed = changed
        self._children: dict[str, Child] = {}
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scrip-supervisor", daemon=True)
        self._thread.start()

    # -- what callers ask for ---------------

    def start(self, spec: ChildSpec) -> None:
        """Start the child without waiting until it is ready."""
        self._ask(lambda: self._launch_wanted(spec))

    def wait_ready(self, name: str, *, after_death: bool = False) -> None:
        """Block until the child runs and its `ready` holds; raise PlatformError if that takes too long.

        A child that ends meanwhile is an error too, unless `after_death` says that its restart is awaited.
        """
        child = self._children[name]
        deadline = time.monotonic() + child.spec.ready_seconds
        restarts = child.restarts
        while not (child.running and child.spec.ready()):
            ended = child.restarts > restarts or child.restart_at is not None
            if not child.wanted or (ended and not after_death):
                raise PlatformError(f"{name} ended while starting; its last log lines:\n{last_lines(child.spec.log)}")
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{name} is not ready after {child.spec.ready_seconds:.0f} s; its last log lines:\n"
                    f"{last_lines(child.spec.log)}"
                )
            time.sleep(0.05)

    def stop(self, *names: str) -> None:
        """Stop these children, all at once, and leave them stopped until `resume`."""
        children = [self._children[name] for name in names]

        def ask_to_end() -> None:
            for child in children:
                child.wanted = False
                child.restart_at = None
                if child.running and child.process is not None:
                    child.process.send_signal(child.spec.stop_signal)
                    child.process.send_signal(signal.SIGCONT)  # a paused child could not answer

        self._ask(ask_to_end)
        asked_at = time.monotonic()
        for child in children:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.1, asked_at + child.spec.stop_seconds - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._report(f"{child.spec.name} did not end within {child.spec.stop_seconds:.0f} s; it is killed.")
                kill_group(child.process.pid)
                child.process.wait()

    def configure(self, name: str, environment: Mapping[str, str]) -> None:
        """Replace the environment the child gets at its next start."""
        child = self._children[name]
        child.spec = replace(child.spec, environment=environment)

    def resume(self, name: str) -> None:
        """Start a stopped child again and wait until it is ready."""
        child = self._children[name]
        if not child.running:
            self._ask(lambda: self._launch_wanted(child.spec))
        self.wait_ready(name)

    def signal(self, name: str, number: int) -> None:
        """Send a signal; a child that dies of it is started again after the pause."""
        process = self._children[name].process
        if process is None or process.poll() is not None:
            raise PlatformError(f"{name} is not running.")
        process.send_signal(number)

    def pid(self, name: str) -> int:
        process = self._children[name].process
        if process is None or process.poll() is not None:
            raise PlatformError(f"{name} is not running.")
        return process.pid

    def names(self) -> list[str]:
        return list(self._children)

    def child(self, name: str) -> Child:
        return self._children[name]

    def close(self) -> None:
        """End the thread; what still runs goes with it. May be called twice."""
        if self._thread.is_alive():
            self._requests.put(None)
            self._thread.join()

    # -- in the supervisor's thread ---------------

    def _ask(self, action: Callable[[], Result]) -> Result:
        answer: Future[Result] = Future()

        def perform() -> None:
            try:
                answer.set_result(action())
            except BaseException as error:
                answer.set_exception(error)

        if not self._thread.is_alive():
            raise PlatformError("This platform has been stopped.")
        self._requests.put(perform)
        return answer.result()

    def _run(self) -> None:
        while True:
            try:
                request = self._requests.get(timeout=WATCH_SECONDS)
            except queue.Empty:
                self._watch()
                continue
            if request is None:
                return
            request()

    def _launch_wanted(self, spec: ChildSpec) -> None:
        child = self._children.setdefault(spec.name, Child(spec))
        child.spec = spec
        child.wanted = True
        child.pause_seconds = FIRST_RESTART_SECONDS
        self._launch(child)

    def _launch(self, child: Child) -> None:
        spec = child.spec
        child.restart_at = None
        spec.before_start()
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        if spec.log.exists() and spec.log.stat().st_size > LARGEST_LOG_BYTES:
            spec.log.replace(spec.log.with_suffix(spec.log.suffix + ".1"))
        with spec.log.open("ab") as log:
            child.process = subprocess.Popen(
                dying_with_us(spec.command, spec.death_signal, spec.user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=spec.directory,
                env=dict(spec.environment),
                start_new_session=True,  # a terminal's Ctrl-C is for the supervisor, which stops in order
            )
        child.started_at = time.monotonic()
        self._changed()

    def _watch(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if not child.wanted:
                continue
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._restart(child)
                continue
            if child.process is None or child.process.poll() is None:
                continue
            if now - child.started_at > CALM_SECONDS:
                child.pause_seconds = FIRST_RESTART_SECONDS
            child.restart_at = now + child.pause_seconds
            self._report(
                f"{child.spec.name} {how_it_ended(child.process.returncode)}; it starts again in "
                f"{child.pause_seconds:.0f} s. Its last log lines:\n{last_lines(child.spec.log)}"
            )
            child.pause_seconds = min(child.pause_seconds * 2, LONGEST_RESTART_SECONDS)

    def _restart(self, child: Child) -> None:
        child.restarts += 1
        try:
            self._launch(child)
        except (OSError, PlatformError) as error:
            child.restart_at = time.monotonic() + child.pause_seconds
            self._report(f"{child.spec.name} could not be started: {error}")


def dying_with_us(
    command: Sequence[str], death_signal: signal.Signals = signal.SIGKILL, user: tuple[int, int] | None = None
) -> list[str]:
    """The command of a child that gets this signal when the *thread* that starts it ends, however it ends (on Linux).

    `user`: (user id, group id) to run as.
    """
    user_id, group_id = user if user is not None else ("-", "-")
    shim = [sys.executable, "-I", "-S", str(Path(__file__).with_name("child_exec.py"))]
    return [*shim, str(os.getpid()), str(int(death_signal)), str(user_id), str(group_id), *command]


def kill_group(pid: int) -> None:
    """SIGKILL a child with everything it started (each child leads a session of its own)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def last_lines(log: Path, count: int = LOG_LINES_SHOWN) -> str:
    if not log.exists():
        return "  (no log)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64 * 1024))
        lines: list[Any] = file.read().decode(errors="replace").splitlines()[-count:]
    return "\n".join(f"  {line}" for line in lines) or "  (empty log)"
