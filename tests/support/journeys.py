"""A whole platform for journey tests, and the people around it: staff, merchants, tools, readers of events.

Blocking throughout: a journey is told in the order in which things happen. All clients are plain ones (HTTP, the
command line, librdkafka), so that nothing of ours stands between a test and the platform.
"""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from confluent_kafka import Consumer, Producer, TopicPartition
from pydantic import BaseModel
from typer.testing import CliRunner

from contracts.commands import record_for
from contracts.fields import Contract
from contracts.merchants import MerchantCommand
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS, COUPON_EVENTS, MERCHANT_EVENTS, Topic
from contracts.writers import Writer, sign
from scrip.__main__ import app
from scrip.platform import Platform
from scrip.waiting import run_coroutine
from tests.support.processes import start

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
"""How long a test waits for what must happen; the machine may be busy."""
SCRIP = (sys.executable, "-P", "-m", "scrip")


def until(what: str, found: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Ask again until the answer is true; the answer. Fails with `what` and the last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}; last: {answer!r}"
        time.sleep(0.1)
    return answer


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and stable code of a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["type"] == f"https://scrip.dev/problems/{problem['code']}"
    return answer.status_code, str(problem["code"])


@dataclass
class Shop:
    """A merchant with one terminal."""

    journey: "Journey"
    id: str
    terminal: str
    credentials: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        """What its requests show."""
        shown = self.credentials
        if shown["type"] == "app_token":
            return {"x-app-id": shown["app_id"], "x-app-token": shown["app_token"]}
        if shown["type"] == "header":
            return {shown["header"]: shown["key"]}
        return {"authorization": f"Bearer {shown['key']}"}

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """One request with the merchant's credentials; `path` from the root of the gateway."""
        headers = {**self.headers, **options.pop("headers", {})}
        return self.journey.ask(method, path, body, headers=headers, **options)

    def done(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """One request of Scrip's own dialect (`path` below /merchant/v1); it must succeed."""
        return answered(self.ask(method, f"/merchant/v1{path}", body, **options))

    def publish(self, code: str, **changes: Any) -> str:
        """Put an offer with this shared code on the platform; its campaign."""
        return str(self.done("POST", "/campaigns", offer(code, **changes))["campaign"])


def answered(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer that must be a success."""
    assert answer.status_code < 300, f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}"
    found: dict[str, Any] = answer.json()
    return found


def offer(code: str, **changes: Any) -> dict[str, Any]:
    """A merchant's own offer: five euros off, for three days, one public code."""
    now = datetime.now(UTC)
    document = {
        "name": f"Offer {code}",
        "currency": "EUR",
        "discount": {"kind": "amount_off", "amount": 500},
        "validity": {
            "starts": (now - timedelta(days=1)).isoformat(),
            "ends": (now + timedelta(days=2)).isoformat(),
            "zone": "Europe/Berlin",
        },
        "supply": {"kind": "shared", "code": code},
    }
    return document | changes


def order(quantity: int = 100, **changes: Any) -> dict[str, Any]:
    """The body by which staff order an internal campaign; `changes` are of its terms."""
    terms = offer("unused", name=f"Internal {uuid4().hex[:6]}", **changes)
    del terms["supply"]
    return {"terms": terms, "quantity": quantity}


class Stream:
    """A reader of the live stream that knows server-sent events and nothing of ours. Makes no request by itself."""

    def __init__(self, response: httpx.Response) -> None:
        self.lines = response.iter_lines()
        self.last_event_id = ""

    def next(self) -> dict[str, Any]:
        """The next event; waits for it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        data: list[str] = []
        for line in self.lines:
            assert time.monotonic() < deadline, "no event came on the live stream"
            if line.startswith("data:"):
                data.append(line.removeprefix("data:").strip())
            elif line.startswith("id:"):
                self.last_event_id = line.removeprefix("id:").strip()
            elif not line and data:
                event: dict[str, Any] = json.loads("\n".join(data))
                return event
        raise AssertionError("the live stream ended")

    def take(self, count: int) -> list[dict[str, Any]]:
        """The next events."""
        return [self.next() for _ in range(count)]

    def position(self) -> str:
        """Read on to the first id, which a stream gives at once."""
        while not self.last_event_id:
            line = next(self.lines)
            if line.startswith("id:"):
                self.last_event_id = line.removeprefix("id:").strip()
        return self.last_event_id


@dataclass
class Journey:
    """A running platform, and everything one does with it from outside."""

    platform: Platform
    http: httpx.Client

    # -- HTTP ---------------

    @property
    def url(self) -> str:
        return self.platform.url("gateway")

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """One request to the gateway; what is unsafe gets a request number of its own unless `key` names one."""
        headers = {name.lower(): value for name, value in options.pop("headers", {}).items()}
        key = options.pop("key", None) or (uuid4().hex if method != "GET" else None)
        if key is not None:
            headers.setdefault("idempotency-key", key)
        if body is not None:
            options["content"] = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault("content-type", "application/json")
        return self.http.request(method, self.url + path, headers=headers, **options)

    def staff(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """A request of the internal API as the administrator, or as who holds `token`."""
        token = options.pop("token", None) or self.platform.admin_token
        headers = {"authorization": f"Bearer {token}", **options.pop("headers", {})}
        return self.ask(method, f"/internal/v1{path}", body, headers=headers, **options)

    def done(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """As `staff`, and it must succeed."""
        return answered(self.staff(method, path, body, **options))

    def add_shop(self, name: str, dialect: str = "scrip", **document: Any) -> Shop:
        """A merchant added by staff, active at once."""
        added = self.done("POST", "/merchants", {"name": name, "dialect": dialect, **document})
        assert added["state"] == "active", added
        return Shop(self, added["id"], added["terminal"], added["credentials"])

    def token(self, *roles: str, merchant: str | None = None) -> str:
        """The text of a new token."""
        document = {"name": f"token-{uuid4().hex[:8]}", "roles": list(roles), "merchant": merchant}
        return str(self.done("POST", "/tokens", document)["token"])

    def campaign(self, campaign: str) -> dict[str, Any]:
        """A campaign as staff see it."""
        return self.done("GET", f"/campaigns/{campaign}")

    @contextmanager
    def live(self, last: str = "", **query: str) -> Iterator[Stream]:
        """The live stream."""
        headers = {"authorization": f"Bearer {self.platform.admin_token}"}
        if last:
            headers["last-event-id"] = last
        with self.http.stream(
            "GET", f"{self.url}/internal/v1/events", params=query, headers=headers, timeout=PATIENCE_SECONDS
        ) as response:
            assert response.status_code == 200, response.read()
            yield Stream(response)

    # -- the command line ---------------

    def environment(self) -> dict[str, str]:
        """Where the command line and the walk find this platform."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCRIP_")}
        return kept | {"SCRIP_HOME": str(self.platform.home.path), "SCRIP_GATEWAY_URL": self.url, "TERM": "dumb"}

    def scrip(self, *arguments: str) -> str:
        """`scrip …`; what it printed. In this process: to start one for each would be most of a journey's time."""
        ran = CliRunner().invoke(app, list(arguments), env=self.environment())
        assert ran.exit_code == 0, f"scrip {' '.join(arguments)}: {ran.exit_code}\n{ran.output}{ran.exception!r}"
        return ran.stdout

    def scrip_json(self, *arguments: str) -> Any:
        """`scrip … --json`."""
        return json.loads(self.scrip(*arguments, "--json"))

    @contextmanager
    def watch(self, *arguments: str) -> Iterator[Iterator[str]]:
        """`scrip watch …` as a process; its lines as they come. It goes on until it is ended."""
        process = start(
            [*SCRIP, "watch", *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        guard = threading.Timer(PATIENCE_SECONDS, process.kill)
        guard.start()
        try:
            assert process.stdout is not None
            yield (line.decode() for line in process.stdout)
        finally:
            guard.cancel()
            process.terminate()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    # -- behind the services' back ---------------

    def in_database(self, statement: str, *values: object) -> Any:
        """One statement as the database's administrator; the first value it returns."""

        async def execute() -> Any:
            connection = await asyncpg.connect(self.platform.database_admin_url)
            try:
                return await connection.fetchval(statement, *values)
            finally:
                await connection.close()

        return run_coroutine(execute())

    # -- Kafka ---------------

    def writer(self, service: str) -> Writer:
        """The key by which a service signs what it writes."""
        key = (self.platform.home.secrets / f"writer-{service}.key").read_text()
        return Writer(service, 1, base64.b64decode(key))

    def send(self, command: Contract, campaign: UUID | str, *, writer: Writer | None = None, **envelope: Any) -> UUID:
        """Append a command to the log, past the gateway but signed as by it, or by `writer`; its id."""
        record = record_for(
            command,
            **{
                "id": uuid4(),
                "source": "/journey",
                "subject": str(campaign),
                "party": "platform",
                "actor": "staff:journey",
                "notafter": datetime.now(UTC) + timedelta(minutes=5),
                **envelope,
            },
        )
        self._append(COUPON_COMMANDS, str(campaign), record, writer)
        return record.id

    def send_work(self, topic: Topic, command: MerchantCommand, key: UUID | str) -> None:
        """Append a command for the merchant adapter or the scheduler, signed as by the gateway."""
        self._append(topic, str(key), command)

    def _append(self, topic: Topic, key: str, record: BaseModel, writer: Writer | None = None) -> None:
        value = record.model_dump_json(exclude_none=True).encode()
        signature = sign(writer or self.writer("gateway"), topic.name, key.encode(), value)
        producer = Producer({"bootstrap.servers": self.platform.bootstrap, "enable.idempotence": True})
        partition = partition_of(key.encode(), topic.partition_count(self.platform.lanes))
        producer.produce(topic.name, value, key.encode(), partition, headers=[("scrip-writer", signature)])
        assert producer.flush(PATIENCE_SECONDS) == 0

    def outcome(self, command: UUID | str) -> httpx.Response:
        """What became of a command, once it is known."""
        asked: httpx.Response = until(
            f"the outcome of {command}",
            lambda: (answer := self.staff("GET", f"/commands/{command}")).status_code != 202 and answer,
        )
        return asked

    def events(self, campaign: str, *, least: int = 0) -> list[dict[str, Any]]:
        """Events of a campaign as they stand on `coupon.events`, read by a plain client; at least so many."""
        partition = partition_of(campaign.encode(), self.platform.lanes)
        events: list[dict[str, Any]] = until(
            f"{least} events of {campaign}",
            lambda: len(found := self._read(COUPON_EVENTS.name, partition, campaign)) >= least and found,
        )
        return events

    @contextmanager
    def consuming(self, campaign: str) -> Iterator[Iterator[dict[str, Any]]]:
        """A campaign's events as they come from now on, by a plain client; each within `PATIENCE_SECONDS`."""
        partition = TopicPartition(COUPON_EVENTS.name, partition_of(campaign.encode(), self.platform.lanes))
        consumer = Consumer(
            {"bootstrap.servers": self.platform.bootstrap, "group.id": "none", "enable.auto.commit": False}
        )
        _, partition.offset = consumer.get_watermark_offsets(partition, PATIENCE_SECONDS)
        consumer.assign([partition])

        def events() -> Iterator[dict[str, Any]]:
            while (record := consumer.poll(PATIENCE_SECONDS)) is not None:
                if record.error() is None and record.key() == campaign.encode():
                    yield json.loads(record.value() or b"")

        try:
            yield events()
        finally:
            consumer.close()

    def merchant_events(self, merchant: str, kind: str) -> list[dict[str, Any]]:
        """Events of this type in `merchant.events`, repeats dropped."""
        partitions = MERCHANT_EVENTS.partition_count(self.platform.lanes)
        found = self._read(MERCHANT_EVENTS.name, partition_of(merchant.encode(), partitions), merchant)
        return list({event["id"]: event for event in found if event["type"] == kind}.values())

    def _read(self, topic: str, partition: int, key: str) -> list[dict[str, Any]]:
        settings = {"bootstrap.servers": self.platform.bootstrap, "group.id": "none", "enable.auto.commit": False}
        consumer = Consumer(settings)
        found: list[dict[str, Any]] = []
        try:
            low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), PATIENCE_SECONDS)
            consumer.assign([TopicPartition(topic, partition, low)])
            reached = low
            while reached < end:
                for record in consumer.consume(1_000, 0.2):
                    assert record.error() is None, record.error()
                    reached = (record.offset() or 0) + 1
                    if record.key() == key.encode():
                        found.append(json.loads(record.value() or b""))
        finally:
            consumer.close()
        return found


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """Types of events without the frame: `coupon.redeemed`."""
    return [str(event["type"]).removeprefix("scrip.").removesuffix(".v1") for event in events]


def numbers(events: list[dict[str, Any]]) -> list[int]:
    """Sequence numbers, first occurrences only."""
    return list(dict.fromkeys(event["seq"] for event in events))


def program(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A program that is no part of ours, such as an example, run to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment or {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
