"""coupon-core as its own processes, for tests: real commands in by Kafka, replies out, its read API over HTTP.

    async with running_core(databases, bootstrap, tmp_path, told=True) as core:
        await core.tell_time("2026-03-01T00:00:00Z")
        reply = await core.send(GenerateCampaign(...), campaign=campaign_id(PLATFORM, "spring"))
        page = await core.read(f"/campaigns/{...}")

The topics are the contracts' own, emptied first; the database is new. One platform of this kind at a time on a
broker. `core.append` puts any record into the log, signed by anybody or nobody.
"""

import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from contracts.answers import Reply
from contracts.commands import LANE_WIDE, AdvanceClock, CommandRecord, SetBuildingRules, SetMerchant, record_for
from contracts.fields import PLATFORM, Contract
from contracts.identifiers import lane_key
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS, COUPON_REPLIES
from contracts.writers import WRITER_HEADER, Writer, sign, tool_key
from messaging.replies import ReplyReader
from scrip.home import pick_free_port
from tests.support.databases import Databases, FreshDatabase
from tests.support.processes import start
from tests.support.servers import Servers
from tests.support.topics import LANES, reset_topics

WRITERS = ("gateway", "core", "adapter", "scheduler")
REPLY_SECONDS = 30.0
READY_SECONDS = 40.0
STOP_SECONDS = 25.0
SESSION_TIMEOUT_SECONDS = 6
"""The least a broker allows; for so long a killed process keeps its lanes."""


class NoReply(Exception):
    """A command was not answered in time; the message holds the end of the processes' logs."""


def write_secrets(folder: Path) -> None:
    """All secrets a core process reads, new ones."""
    folder.mkdir(mode=0o700, parents=True)

    def key() -> str:
        return base64.b64encode(secrets.token_bytes(32)).decode()

    (folder / "writers.json").write_text(json.dumps({writer: {"1": key()} for writer in WRITERS}))
    (folder / "tool-master.key").write_text(key())
    (folder / "code-keys.json").write_text(json.dumps({"1": key()}))
    (folder / "service-token").write_text(secrets.token_urlsafe(32))


@dataclass
class CoreProcess:
    """One `python -m coupon_core`; its log is in `log`."""

    instance: int
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; the exit code. One that does not end in time is killed."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def log_end(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class CorePlatform:
    """Core processes on one database and one broker, and a gateway's way to talk to them."""

    database: FreshDatabase
    bootstrap: str
    folder: Path
    told: bool
    partitions: int
    environment: dict[str, str]
    program: Sequence[str] = ("-m", "coupon_core")
    """What Python is started with."""
    processes: dict[int, CoreProcess] = field(default_factory=dict)
    _producer: AIOKafkaProducer | None = None
    _replies: ReplyReader | None = None
    _http: httpx.AsyncClient | None = None
    _versions: int = 0

    # --- processes

    @property
    def secrets_folder(self) -> Path:
        return self.folder / "secrets"

    @property
    def service_token(self) -> str:
        return (self.secrets_folder / "service-token").read_text()

    def start_process(self, instance: int, **environment: str) -> CoreProcess:
        """Start (again) the process with this index; `environment` on top, SCRIP_FAILPOINTS for instance."""
        port = pick_free_port(taken=set())
        log = self.folder / f"core-{instance}.log"
        with log.open("ab") as output:
            process = start(
                [sys.executable, *self.program],
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("SCRIP_")},
                    "SCRIP_DATABASE_URL": self.database.url("core"),
                    "SCRIP_KAFKA_BOOTSTRAP": self.bootstrap,
                    "SCRIP_HTTP_PORT": str(port),
                    "SCRIP_SECRETS_DIR": str(self.secrets_folder),
                    "SCRIP_PARTITIONS": str(self.partitions),
                    "SCRIP_INSTANCE": str(instance),
                    "SCRIP_PROFILE": "local",
                    "SCRIP_CLOCK": "told" if self.told else "record",
                    "SCRIP_SESSION_TIMEOUT_SECONDS": str(SESSION_TIMEOUT_SECONDS),
                    **self.environment,
                    **environment,
                },
                stdout=output,
                stderr=output,
            )
        started = CoreProcess(instance, f"http://127.0.0.1:{port}", log, process)
        self.processes[instance] = started
        return started

    async def wait_ready(self, instance: int = 0, within: float = READY_SECONDS) -> None:
        """Wait until the process says it is ready. Raises RuntimeError with its reasons and the log's end."""
        process = self.processes[instance]
        reasons = "it does not listen"
        deadline = asyncio.get_running_loop().time() + within
        while asyncio.get_running_loop().time() < deadline:
            if process.process.poll() is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                answer = await self.http.get(f"{process.url}/readyz")
                if answer.status_code == 200:
                    return
                reasons = answer.text
            await asyncio.sleep(0.1)
        code = process.process.poll()
        ended = "" if code is None else f" (it ended with {code})"
        raise RuntimeError(f"core {instance} is not ready{ended}: {reasons}\n{process.log_end()}")

    def log_ends(self) -> str:
        """The last lines of every process's log: why a command was not answered, or died."""
        return "\n".join(f"core {process.instance}:\n{process.log_end()}" for process in self.processes.values())

    # --- commands

    def writer(self, name: str = "gateway", version: int = 1) -> Writer:
        """A writer of this platform: a service by name, or `tool:<name>`."""
        if name.startswith("tool:"):
            master = base64.b64decode((self.secrets_folder / "tool-master.key").read_text())
            return Writer(name, version, tool_key(master, name[5:], version))
        keys = json.loads((self.secrets_folder / "writers.json").read_text())
        return Writer(name, version, base64.b64decode(keys[name]["1"]))

    def record(
        self,
        command: Contract,
        *,
        campaign: UUID | str | None = None,
        party: str = PLATFORM,
        actor: str = "staff:test",
        id: UUID | None = None,
        at: datetime | str | None = None,
        notafter: datetime | None = None,
        **envelope: Any,
    ) -> CommandRecord:
        """The record of a command, answered to this test; lane-wide commands need no campaign."""
        subject = lane_key(command.partition) if type(command) in LANE_WIDE else str(campaign)  # type: ignore[attr-defined]
        return record_for(
            command,
            **{
                "id": id or uuid4(),
                "source": "/test",
                "subject": subject,
                "party": party,
                "actor": actor,
                "notafter": notafter or datetime.now(UTC) + timedelta(minutes=5),
                "at": at,
                "replyto": COUPON_REPLIES.name,
                "replypartition": 0,
                **envelope,
            },
        )

    async def append(
        self,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        writer: Writer | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """Put a record into the command log as it is; signed only when a writer is given. Returns the offset."""
        if self._producer is None:
            raise RuntimeError("the platform is not running")
        signed = list(headers)
        if writer is not None:
            signed.insert(0, (WRITER_HEADER, sign(writer, COUPON_COMMANDS.name, key or b"", value or b"")))
        if partition is None:
            partition = partition_of(key or b"", self.partitions)
        sent = await self._producer.send_and_wait(
            COUPON_COMMANDS.name, value, key=key, partition=partition, headers=signed
        )
        return int(sent.offset)

    async def append_record(self, record: CommandRecord, writer: str = "gateway") -> int:
        """Sign a command as the writer named and put it into its lane; returns the offset."""
        key, value = record.subject.encode(), record.model_dump_json(exclude_none=True).encode()
        lane = record.data.partition if type(record.data) in LANE_WIDE else None
        return await self.append(key, value, partition=lane, writer=self.writer(writer))

    async def send(
        self,
        command: Contract | CommandRecord,
        *,
        writer: str = "gateway",
        within: float = REPLY_SECONDS,
        **envelope: Any,
    ) -> Reply:
        """Send a command and wait for its reply. Raises NoReply.

        `envelope` as in `record`: campaign=, party=, actor=, id=, at=, … Give a CommandRecord to send it again.
        """
        record = command if isinstance(command, CommandRecord) else self.record(command, **envelope)
        if self._replies is None:
            raise RuntimeError("the platform is not running")
        with self._replies.expecting(record.id) as expected:
            await self.append_record(record, writer)
            reply = await expected.within(within)
        if reply is None:
            raise NoReply(f"{type(record.data).__name__} was not answered in {within:g} s\n{self.log_ends()}")
        return reply

    async def done(self, command: Contract | CommandRecord, **arguments: Any) -> dict[str, Any]:
        """Send a command that must be done; its result."""
        reply = await self.send(command, **arguments)
        assert reply.status == "done", f"{type(command).__name__}: {reply}\n{self.log_ends()}"
        return reply.result or {}

    async def refused(self, command: Contract | CommandRecord, **arguments: Any) -> str:
        """Send a command that must be refused; the refusal's code."""
        reply = await self.send(command, **arguments)
        assert reply.refusal is not None, f"{type(command).__name__}: {reply}"
        return reply.refusal.code

    async def on_all_lanes(self, command: Callable[[int], Contract], **arguments: Any) -> list[Reply]:
        """Send a lane-wide command to every lane and wait for all replies; so every lane has an owner."""
        return await asyncio.gather(*(self.send(command(lane), **arguments) for lane in range(self.partitions)))

    async def tell_time(self, to: datetime | str) -> None:
        """Told time: move all lanes' clocks, and wait until everything due by then has happened."""
        for reply in await self.on_all_lanes(
            lambda lane: AdvanceClock.model_validate({"partition": lane, "to": to}), within=60.0
        ):
            assert reply.status == "done", reply

    async def set_merchant(self, merchant: UUID | str, state: str = "active") -> None:
        """Make a merchant known to all lanes."""
        self._versions += 1
        version = self._versions
        for reply in await self.on_all_lanes(
            lambda lane: SetMerchant.model_validate(
                {"partition": lane, "merchant": str(merchant), "version": version, "state": state}
            )
        ):
            assert reply.status == "done", reply

    async def set_rules(self, party: str, **rules: Any) -> None:
        """Building rules of a party in all lanes."""
        self._versions += 1
        command = {"party": party, "version": self._versions, "rules": rules}
        for reply in await self.on_all_lanes(
            lambda lane: SetBuildingRules.model_validate(command | {"partition": lane})
        ):
            assert reply.status == "done", reply

    # --- reads

    @property
    def http(self) -> httpx.AsyncClient:
        if self._http is None:
            raise RuntimeError("the platform is not running")
        return self._http

    async def get(self, path: str, *, instance: int = 0, token: str | None = None, **query: Any) -> httpx.Response:
        """GET on the read API of one process; parameters that are None are left out."""
        headers = {"Authorization": f"Bearer {self.service_token if token is None else token}"}
        params = {name: value for name, value in query.items() if value is not None} or None
        return await self.http.get(f"{self.processes[instance].url}{path}", params=params, headers=headers)

    async def post(self, path: str, body: Any = None, *, instance: int = 0, **query: Any) -> httpx.Response:
        """POST on the read API of one process."""
        headers = {"Authorization": f"Bearer {self.service_token}"}
        params = {name: value for name, value in query.items() if value is not None} or None
        return await self.http.post(f"{self.processes[instance].url}{path}", json=body, params=params, headers=headers)

    async def read(self, path: str, **query: Any) -> dict[str, Any]:
        """GET that must succeed; the JSON object."""
        answer = await self.get(path, **query)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        body: dict[str, Any] = answer.json()
        return body

    # --- life

    async def open(self) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, enable_idempotence=True, acks="all", linger_ms=0
        )
        await self._producer.start()
        self._replies = ReplyReader(self.bootstrap, 0)
        await self._replies.start()
        self._http = httpx.AsyncClient(trust_env=False, timeout=30)

    async def close(self) -> None:
        for process in self.processes.values():
            if process.process.poll() is None:
                process.signal(signal.SIGCONT)
                process.process.terminate()
        for process in self.processes.values():
            try:
                await asyncio.to_thread(process.process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._replies is not None:
            await self._replies.stop()
        if self._producer is not None:
            await self._producer.stop()
        if self._http is not None:
            await self._http.aclose()


@asynccontextmanager
async def running_core(
    databases: Databases,
    bootstrap: str,
    folder: Path,
    *,
    told: bool = True,
    processes: int = 1,
    partitions: int = LANES,
    environment: dict[str, str] | None = None,
) -> AsyncIterator[CorePlatform]:
    """`processes` core processes, ready, on a new database and emptied topics; all gone afterwards.

    With several processes each owns some lanes. Every lane is owned once `tell_time` or `set_merchant` returns.
    """
    await asyncio.to_thread(reset_topics, bootstrap, partitions)
    database = await asyncio.to_thread(databases.fresh, "core")
    await asyncio.to_thread(write_secrets, folder / "secrets")
    platform = CorePlatform(database, bootstrap, folder, told, partitions, environment or {})
    try:
        await platform.open()
        for instance in range(processes):
            platform.start_process(instance)
        for instance in range(processes):
            await platform.wait_ready(instance)
        yield platform
    finally:
        await platform.close()
        await asyncio.to_thread(databases.drop, database)


def core_at(now: str, *merchants: str, partners: Sequence[str] = ()) -> Any:
    """A module's fixture: one core process at this told time, to which these merchants are known.

        core = core_at("2026-03-01T00:00:00Z", OWNER, REDEEMER, partners=[REDEEMER])

    `partners`: parties that the first merchant may name in its campaigns.
    """

    @pytest_asyncio.fixture(scope="module")
    async def core(
        databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
    ) -> AsyncIterator[CorePlatform]:
        async with running_core(databases, backend.bootstrap, tmp_path_factory.mktemp("core")) as platform:
            await platform.tell_time(now)
            for merchant in merchants:
                await platform.set_merchant(merchant)
            if partners:
                await platform.set_rules(merchants[0], partners=list(partners))
            yield platform

    return core
