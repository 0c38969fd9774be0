"""In core's place: answers every command at once, deciding and storing nothing. The gateway's own limit.

python -m benchmarks.answering_core BOOTSTRAP LANES
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic_core import from_json

from contracts.answers import Reply
from contracts.topics import COUPON_COMMANDS
from messaging.sending import producer_settings


async def answer(bootstrap: str, lanes: int) -> None:
    """Reply `done` to whatever asks for a reply, from now on."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=100)
    await consumer.start()
    consumer.assign([TopicPartition(COUPON_COMMANDS.name, number) for number in range(lanes)])
    await consumer.seek_to_end()
    producer = AIOKafkaProducer(**producer_settings(bootstrap, client_id="answering-core"))
    await producer.start()
    print("ready", flush=True)
    while True:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            batches: dict[tuple[str, int], Any] = {}
            for record in records:
                command = from_json(record.value)
                if "replyto" not in command:
                    continue
                reply = Reply(
                    command=command["id"],
                    status="done",
                    result={
                        "coupon": f"{command['subject']}.1",
                        "user": command["data"].get("user"),
                        "code": "100000000000",
                        "valid_from": "2020-01-01T00:00:00Z",
                        "valid_until": "2040-01-01T00:00:00Z",
                    },
                    as_of=datetime.now(UTC),
                )
                place = (command["replyto"], command["replypartition"])
                batch = batches.setdefault(place, producer.create_batch())
                batch.append(
                    key=command["id"].encode(), value=reply.model_dump_json().encode(), timestamp=None, headers=[]
                )
            for (topic, partition), batch in batches.items():
                batch.close()
                await producer.send_batch(batch, topic, partition=partition)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(answer(sys.argv[1], int(sys.argv[2])))
