"""A platform's home: the one folder with its data, ports, secrets, logs and the lock of its supervisor."""

import contextlib
import fcntl
import json
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scrip.errors import PlatformError

# Below the range from which Linux and macOS take ports for outgoing connections, so that a port kept for the
# next start is not lost to some client in between.
PORT_RANGE = range(20_000, 32_000)


class Home:
    """Paths and small kept facts of one platform. Makes the folder (0700) and touches nothing above it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.mkdir(mode=0o700)
        except OSError as error:
            raise PlatformError(f"The folder {self.path} cannot be made: {error.strerror}.") from error
        self.logs = self.path / "logs"
        self.secrets = self.path / "secrets"
        self.kafka = self.path / "kafka"
        self.state_file = self.path / "state.json"
        self._lock: int | None = None
        self._making = threading.RLock()  # several services are prepared at once
        self._picked: set[str] = set()  # names whose ports were picked now, not at an earlier start

    # -- one supervisor a home ---------------

    def lock(self) -> None:
        """Take the home for this process; raises PlatformError when another process runs a platform in it."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not locked_within(descriptor, seconds=0.5):
            os.close(descriptor)
            raise PlatformError(
                f"A platform already runs in {self.path} (process {self.supervisor_pid()}); "
                "see `scrip status`, or stop it with `scrip down`."
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def supervisor_pid(self) -> int | None:
        """The process that runs a platform in this home now, or None."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            content = os.read(descriptor, 32).decode()
            return int(content) if content else None
        else:
            return None
        finally:
            os.close(descriptor)

    # -- ports ---------------

    def port(self, name: str, preferred: int | None = None) -> int:
        """The port kept for `name`; a free one is picked at the first call."""
        with self._making:
            ports = self._ports()
            if name not in ports:
                ports[name] = pick_free_port(taken=set(ports.values()), preferred=preferred)
                write_json(self.path / "ports.json", ports)
                self._picked.add(name)
            return ports[name]

    def require_free(self, name: str, preferred: int | None = None) -> int:
        """As `port`, and raises PlatformError when another process listens on it.

        In place of a preferred port picked just now another is picked: a platform beside this one was faster.
        """
        port = self.port(name, preferred)
        if preferred is not None and name in self._picked and not port_is_free(port):
            with self._making:
                write_json(self.path / "ports.json", {key: kept for key, kept in self._ports().items() if key != name})
                port = self.port(name)
        if not port_is_free(port):
            raise PlatformError(
                f"Port {port}, which this platform keeps for {name}, is taken by another process: end that "
                f"process, or delete {self.path / 'ports.json'} so that free ports are picked."
            )
        return port

    def _ports(self) -> dict[str, int]:
        with contextlib.suppress(FileNotFoundError):
            ports: dict[str, int] = json.loads((self.path / "ports.json").read_text())
            return ports
        return {}

    # -- kept words ---------------

    def kept(self, name: str, make: Callable[[], str]) -> str:
        """The content of a small file in the home, made when it does not exist yet."""
        file = self.path / name
        with self._making:
            if not file.exists():
                write_private(file, make())
        return file.read_text().strip()

    def secret(self, name: str) -> str:
        """A random secret under `secrets/`, made at the first call (URL-safe, 32 bytes of randomness)."""
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        return self.kept(f"secrets/{name}", lambda: secrets.token_urlsafe(32))

    # -- state for `status` and `down` ---------------

    def write_state(self, state: dict[str, Any]) -> None:
        write_json(self.state_file, state)

    def state(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            state: dict[str, Any] = json.loads(self.state_file.read_text())
            return state
        return {}


def locked_within(descriptor: int, seconds: float) -> bool:
    """Take the exclusive lock; who asks for `supervisor_pid` holds it for a moment, so try for a while."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def write_private(file: Path, content: str) -> None:
    """Write a file that only its owner can read, all at once: a reader or a crash never sees half of it."""
    draft = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def write_json(file: Path, value: Any) -> None:
    write_private(file, json.dumps(value, indent=1) + "\n")


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def pick_free_port(taken: set[int], preferred: int | None = None) -> int:
    if preferred is not None and preferred not in taken and port_is_free(preferred):
        return preferred
    for port in random.sample(PORT_RANGE, len(PORT_RANGE)):
        if port not in taken and port_is_free(port):
            return port
    raise PlatformError(f"No free port was found between {PORT_RANGE.start} and {PORT_RANGE.stop}.")
