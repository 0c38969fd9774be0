"""A registered Kafka tool that asks and hears its answers: thousands may be under way at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS
from contracts.writers import WRITER_HEADER, Writer, sign
from messaging.header_names import read_any_header_name
from messaging.sending import close_producer, producer_settings
from scrip.prove.asking import Asked, Said

LIFE = timedelta(seconds=30)
PATIENCE_SECONDS = 5.0
START_SECONDS = 20.0


class Tool:
    """`async with`: its reply topic exists meanwhile."""

    def __init__(self, bootstrap: str, partitions: int, name: str, reply_topic: str, key: str, version: int) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._writer = Writer(f"tool:{name}", version, base64.b64decode(key))
        self._topic = reply_topic
        self._waiting: dict[str, list[asyncio.Future[Said]]] = defaultdict(list)
        self._producer = AIOKafkaProducer(**producer_settings(bootstrap, client_id=f"tool:{name}", linger_ms=2))
        self._replies = AIOKafkaConsumer(bootstrap_servers=bootstrap.split(","), group_id=None)
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Tool:
        read_any_header_name()
        async with asyncio.timeout(START_SECONDS):
            admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap.split(","))
            await admin.start()
            try:
                await admin.create_topics([NewTopic(self._topic, 1, -1, {}, {"retention.ms": "86400000"})])
                while self._topic not in await admin.list_topics():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            finally:
                await admin.close()
            await self._producer.start()
            await self._replies.start()
            place = TopicPartition(self._topic, 0)
            self._replies.assign([place])
            await self._replies.seek_to_beginning(place)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await close_producer(self._producer, 5)
        await self._replies.stop()
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap.split(","))
        with contextlib.suppress(KafkaError, TimeoutError):
            await admin.start()
            await admin.delete_topics([self._topic])
        await admin.close()

    async def ask(self, asked: Asked) -> bool:
        """Send once and wait a while; whether an answer came."""
        key, value = asked.campaign.encode(), json.dumps(self._record(asked)).encode()
        header = (WRITER_HEADER, sign(self._writer, COUPON_COMMANDS.name, key, value))
        future: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[asked.command]
        waiting.append(future)
        asked.sent += 1
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._producer.send(
                    COUPON_COMMANDS.name,
                    value,
                    key=key,
                    partition=partition_of(key, self._partitions),
                    headers=[header],
                )
                asked.hear(await future)
                return True
        except (KafkaError, TimeoutError):
            return False
        finally:
            waiting.remove(future)
            if not waiting:
                self._waiting.pop(asked.command, None)

    def _record(self, asked: Asked) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": asked.command,
            "source": "/tools/prove",
            "type": f"scrip.command.{asked.kind}.v1",
            "subject": asked.campaign,
            "datacontenttype": "application/json",
            "party": "platform",
            "actor": self._writer.name,
            "notafter": (datetime.now(UTC) + LIFE).isoformat(),
            "replyto": self._topic,
            "data": asked.data,
        }

    async def _read(self) -> None:
        while True:
            for records in (await self._replies.getmany(timeout_ms=200)).values():
                for record in records:
                    reply = json.loads(record.value)
                    refusal = reply.get("refusal")
                    facts = reply.get("result") or {}
                    said = Said(reply["status"], None if refusal is None else refusal["code"], facts, "kafka")
                    for future in self._waiting.get(reply["command"], ()):
                        if not future.done():
                            future.set_result(said)
