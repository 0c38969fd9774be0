"""Gateway processes for tests, beside coupon-core's on one database and one broker.

async with running_core(databases, bootstrap, folder) as core, running_gateway(core) as gateway:
    made = await gateway.staff("POST", "/campaigns", {...})
    shop = await gateway.add_merchant("Shop", dialect="scrip")
    answer = await shop.send("POST", "/merchant/v1/campaigns", {...})
"""

import asyncio
import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from scrip.home import pick_free_port
from tests.support.core import CorePlatform
from tests.support.databases import migrate
from tests.support.processes import start

READY_SECONDS = 30.0
STOP_SECONDS = 25.0


@dataclass
class Merchant:
    """A merchant that was added, and how it speaks to one gateway."""

    gateway: "GatewayPlatform"
    id: str
    terminal: str
    credentials: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        """What its requests show."""
        shown = self.credentials
        match shown["type"]:
            case "bearer":
                return {"authorization": f"Bearer {shown['key']}"}
            case "app_token":
                return {"x-app-id": shown["app_id"], "x-app-token": shown["app_token"]}
            case "header":
                return {shown["header"]: shown["key"]}
            case other:
                raise ValueError(other)

    async def send(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """One request with the merchant's credentials."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.gateway.request(method, path, body, headers=headers, **options)


@dataclass
class GatewayPlatform:
    """Gateway processes and a client; `url` is the first one's address."""

    core: CorePlatform
    folder: Path
    environment: dict[str, str]
    http: httpx.AsyncClient
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)

    def url(self, instance: int = 0) -> str:
        return f"http://127.0.0.1:{self.ports[instance]}"

    @property
    def admin_token(self) -> str:
        return (self.core.secrets_folder / "admin-token").read_text()

    def start_process(self, instance: int = 0, **environment: str) -> None:
        """Start (again) the process with this index, on the port it had."""
        self.ports.setdefault(instance, pick_free_port(taken=set(self.ports.values())))
        core = self.core
        with (self.folder / f"gateway-{instance}.log").open("ab") as output:
            self.processes[instance] = start(
                [sys.executable, "-m", "gateway"],
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("SCRIP_")},
                    "SCRIP_DATABASE_URL": core.database.url("gateway"),
                    "SCRIP_KAFKA_BOOTSTRAP": core.bootstrap,
                    "SCRIP_HTTP_PORT": str(self.ports[instance]),
                    "SCRIP_SECRETS_DIR": str(core.secrets_folder),
                    "SCRIP_PARTITIONS": str(core.partitions),
                    "SCRIP_INSTANCE": str(instance),
                    "SCRIP_PROFILE": "local",
                    "SCRIP_CLOCK": "told" if core.told else "record",
                    "SCRIP_CORE_URL": core.processes[0].url,
                    **self.environment,
                    **environment,
                },
                stdout=output,
                stderr=output,
            )

    async def wait_ready(self, instance: int = 0) -> None:
        """Raises RuntimeError with the log's end when the process does not get ready."""
        reasons = "it does not listen"
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if self.processes[instance].poll() is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                answer = await self.http.get(f"{self.url(instance)}/readyz")
                if answer.status_code == 200:
                    return
                reasons = answer.text
            await asyncio.sleep(0.1)
        raise RuntimeError(f"gateway {instance} is not ready: {reasons}\n{self.log_end(instance)}")

    def log_end(self, instance: int = 0, lines: int = 25) -> str:
        text = (self.folder / f"gateway-{instance}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def stop_process(self, instance: int = 0) -> int:
        """SIGTERM; the exit code."""
        self.processes[instance].terminate()
        return self.processes[instance].wait(STOP_SECONDS)

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """One request; a body that is not bytes goes as JSON; unsafe ones get an Idempotency-Key of their own."""
        instance = options.pop("instance", 0)
        headers = {name.lower(): value for name, value in options.pop("headers", {}).items()}
        if isinstance(body, bytes):
            options["content"] = body
        elif body is not None:
            options["content"] = json.dumps(body).encode()
            headers.setdefault("content-type", "application/json")
        key = options.pop("key", None)
        if key is None and method != "GET" and "idempotency-key" not in headers:
            key = uuid4().hex
        if key:
            headers["idempotency-key"] = key
        return await self.http.request(method, f"{self.url(instance)}{path}", headers=headers, **options)

    async def staff(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **options: Any
    ) -> httpx.Response:
        """A request of the internal API, with the admin token unless told another."""
        headers = {"authorization": f"Bearer {token or self.admin_token}", **options.pop("headers", {})}
        return await self.request(method, f"/internal/v1{path}", body, headers=headers, **options)

    async def done(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """As `staff`, and it must succeed; the JSON object."""
        answer = await self.staff(method, path, body, **options)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}\n{self.log_end()}"
        found: dict[str, Any] = answer.json()
        return found

    async def add_merchant(self, name: str, dialect: str = "scrip", **document: Any) -> Merchant:
        """An active merchant with one terminal."""
        added = await self.done("POST", "/merchants", {"name": name, "dialect": dialect, **document})
        assert added["state"] == "active", added
        return Merchant(self, added["id"], added["terminal"], added["credentials"])

    async def token(self, *roles: str, merchant: str | None = None) -> str:
        """A new token with these roles."""
        document = {"name": f"test-{uuid4().hex[:8]}", "roles": list(roles), "merchant": merchant}
        made = await self.done("POST", "/tokens", document)
        return str(made["token"])


@asynccontextmanager
async def running_gateway(
    core: CorePlatform, *, processes: int = 1, environment: dict[str, str] | None = None
) -> AsyncIterator[GatewayPlatform]:
    """`processes` gateway processes, ready; gone afterwards."""
    folder = core.secrets_folder
    kek = base64.b64encode(secrets.token_bytes(32)).decode()
    await asyncio.to_thread((folder / "kek.json").write_text, json.dumps({"1": kek}))
    await asyncio.to_thread((folder / "admin-token").write_text, secrets.token_urlsafe(32))
    await asyncio.to_thread(migrate, "gateway", core.database.url("gateway"))
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        platform = GatewayPlatform(core, core.folder, environment or {}, http)
        try:
            for instance in range(processes):
                platform.start_process(instance)
            for instance in range(processes):
                await platform.wait_ready(instance)
            yield platform
        finally:
            for process in platform.processes.values():
                if process.poll() is None:
                    process.terminate()
            for process in platform.processes.values():
                try:
                    await asyncio.to_thread(process.wait, STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
