"""The ordinary services as their own processes: `python -m scheduler`, `python -m merchant_adapter`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from messaging.sending import Sender, own_writer
from process.settings import Secrets
from scrip.home import pick_free_port
from tests.support.core import write_secrets
from tests.support.processes import start

READY_SECONDS = 30.0
STOP_SECONDS = 25.0


@dataclass
class ServiceProcess:
    """One process of a service; its log is in `log`."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def log_end(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class Service:
    """Processes of one service on one database and one broker."""

    module: str
    database_url: str
    bootstrap: str
    folder: Path
    secrets_folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: dict[int, ServiceProcess] = field(default_factory=dict)

    @property
    def failpoint_log(self) -> Path:
        return self.folder / f"{self.module}-failpoints.log"

    def start(self, instance: int = 0, **environment: str) -> ServiceProcess:
        """Start (again) the process with this index; `environment` on top, such as SCRIP_FAILPOINTS."""
        port = pick_free_port(taken=set())
        log = self.folder / f"{self.module}-{instance}.log"
        with log.open("ab") as output:
            process = start(
                [sys.executable, "-m", self.module],
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("SCRIP_")},
                    "SCRIP_DATABASE_URL": self.database_url,
                    "SCRIP_KAFKA_BOOTSTRAP": self.bootstrap,
                    "SCRIP_HTTP_PORT": str(port),
                    "SCRIP_SECRETS_DIR": str(self.secrets_folder),
                    "SCRIP_PARTITIONS": "8",
                    "SCRIP_INSTANCE": str(instance),
                    "SCRIP_PROFILE": "local",
                    "SCRIP_FAILPOINT_LOG": str(self.failpoint_log),
                    **self.environment,
                    **environment,
                },
                stdout=output,
                stderr=output,
            )
        started = ServiceProcess(f"http://127.0.0.1:{port}", log, process)
        self.processes[instance] = started
        return started

    async def wait_ready(self, instance: int = 0) -> None:
        """Wait until the process says it is ready. Raises RuntimeError with its reasons and the log's end."""
        process, reasons = self.processes[instance], "it does not listen"
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            while asyncio.get_running_loop().time() < deadline and process.process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    answer = await http.get(f"{process.url}/readyz")
                    if answer.status_code == 200:
                        return
                    reasons = answer.text
                await asyncio.sleep(0.1)
        raise RuntimeError(f"{self.module} {instance} is not ready: {reasons}\n{process.log_end()}")

    async def get(self, path: str, *, instance: int = 0, token: str | None = None, **query: Any) -> httpx.Response:
        """GET on the read API of one process."""
        shown = (self.secrets_folder / "service-token").read_text() if token is None else token
        async with httpx.AsyncClient(trust_env=False, timeout=15) as http:
            headers = {"Authorization": f"Bearer {shown}"}
            return await http.get(f"{self.processes[instance].url}{path}", params=query or None, headers=headers)

    async def read(self, path: str, **query: Any) -> dict[str, Any]:
        """GET that must succeed; the JSON object."""
        answer = await self.get(path, **query)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        body: dict[str, Any] = answer.json()
        return body

    def failpoints_hit(self) -> list[str]:
        """Lines `name hit action pid` of all processes."""
        return self.failpoint_log.read_text().splitlines() if self.failpoint_log.exists() else []

    def close(self) -> None:
        """Stop what runs."""
        for process in self.processes.values():
            if process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
                process.process.terminate()
        for process in self.processes.values():
            try:
                process.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def make_secrets(folder: Path) -> Path:
    """All secrets of a platform in one folder, made where they are missing."""
    if not folder.exists():
        write_secrets(folder)
    if not (folder / "kek.json").exists():
        (folder / "kek.json").write_text(json.dumps({"1": base64.b64encode(secrets.token_bytes(32)).decode()}))
    return folder


@asynccontextmanager
async def sending_as(writer: str, bootstrap: str, secrets_folder: Path) -> AsyncIterator[Sender]:
    """A sender that signs as one of the platform's writers."""
    sender = Sender(bootstrap, own_writer(Secrets(secrets_folder), writer))
    try:
        yield sender
    finally:
        await sender.stop()


async def until(true: Callable[[], Any], seconds: float = 30.0, why: Callable[[], object] = lambda: "") -> Any:
    """Wait until an async function says something true; returns that. `why` tells more when it never does."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := await true()):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"it did not come true in {seconds:g} s: {why()}")
        await asyncio.sleep(0.1)
    return found


def logs_of(services: Iterable[Service]) -> str:
    """The ends of all processes' logs."""
    return "\n".join(
        f"--- {process.log.name}\n{process.log_end()}" for each in services for process in each.processes.values()
    )
