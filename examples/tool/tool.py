"""A tool that writes signed commands to Kafka and reads its answers: librdkafka and the standard library, nothing else.

See README.md beside this file. Exit code: 0 done, 1 refused, 2 no answer in time, 3 dead letter.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

COMMANDS = "coupon.commands"
DEAD_LETTERS = "coupon.dead-letters"
SCRIP = UUID("5d0c1f1e-52f2-5a6e-9c6e-3b1f6e0f7a10")
ANSWER_SECONDS = 30.0
BROKER_SECONDS = 10.0


def campaign_id(natural_key: str) -> str:
    """The id of the platform's campaign with this natural key: the same key is the same campaign, also in a retry."""
    return str(uuid5(SCRIP, f"campaign\nplatform\n{natural_key}"))


def command_id(kind: str, campaign: str, request: str) -> str:
    """The id of a command: the same request number is the same command, has one effect and one answer."""
    return str(uuid5(SCRIP, f"command\nplatform\n{kind}\n{campaign}\n{request}"))


class Tool:
    """One registered tool. `credentials` is what `scrip tool add … --json` printed."""

    def __init__(self, bootstrap: str, credentials: dict[str, Any]) -> None:
        self.writer: str = credentials["writer"]
        self.key = base64.b64decode(credentials["key"])
        self.key_version: int = credentials["key_version"]
        self.reply_topic: str = credentials["reply_topic"]
        self.broker = {"bootstrap.servers": bootstrap, "client.id": self.writer}
        # murmur2, as Kafka's Java client has it; librdkafka's own default puts campaigns into the wrong lanes.
        self.producer = Producer(self.broker | {"partitioner": "murmur2_random", "enable.idempotence": True})

    def sign(self, key: bytes, value: bytes) -> bytes:
        """The scrip-writer header: HMAC-SHA256 over topic, key and value, with newlines between."""
        mac = hmac.new(self.key, b"\n".join((COMMANDS.encode(), key, value)), hashlib.sha256).hexdigest()
        return f"{self.writer};k={self.key_version};v1={mac}".encode()

    def send(self, key: bytes, value: bytes, *, signature: bytes | None = None) -> Message:
        """Append a record and wait until the broker has it; the record with its partition and offset."""
        delivered: list[tuple[KafkaError | None, Message]] = []
        headers: list[tuple[str, str | bytes | None]] = [("scrip-writer", signature or self.sign(key, value))]
        self.producer.produce(
            COMMANDS, value, key, headers=headers, on_delivery=lambda error, sent: delivered.append((error, sent))
        )
        self.producer.flush(BROKER_SECONDS)
        if not delivered or delivered[0][0] is not None:
            raise TimeoutError(f"the broker did not acknowledge: {delivered[0][0] if delivered else 'no answer'}")
        return delivered[0][1]

    def order(self, kind: str, campaign: str, data: dict[str, Any], request: str) -> dict[str, Any] | None:
        """Send a command and wait for its answer. None: none came; send it again with the same request number."""
        command = {
            "specversion": "1.0",
            "id": command_id(kind, campaign, request),
            "source": "/" + self.writer.replace(":", "s/"),
            "type": f"scrip.command.{kind}.v1",
            "subject": campaign,
            "party": "platform",
            "actor": self.writer,
            "notafter": (datetime.now(UTC) + timedelta(seconds=ANSWER_SECONDS)).isoformat(),
            "replyto": self.reply_topic,
            "data": data,
        }
        with Reader(self.broker, self.reply_topic) as replies:
            self.send(campaign.encode(), json.dumps(command).encode())
            return replies.wait_for(lambda record: record.key() == str(command["id"]).encode())

    def break_a_rule(self, how: str, campaign: str) -> dict[str, Any] | None:
        """Send what cannot be taken, and wait for its dead letter."""
        key, value = campaign.encode(), b'{"specversion": "1.0", "type": "scrip.command.Guess.v1"}'
        signature = self.sign(key, value) if how == "unreadable" else self.sign(key, b"another value")
        with Reader(self.broker, DEAD_LETTERS) as dead_letters:
            sent = self.send(key, value, signature=signature)
            name = f"{COMMANDS}-{sent.partition()}-{sent.offset()}".encode()
            return dead_letters.wait_for(lambda record: record.key() == name)

    def make_reply_topic(self) -> None:
        """Make the topic of the answers where it is missing; in production an operator has made it."""
        topic = NewTopic(self.reply_topic, num_partitions=1, config={"retention.ms": str(24 * 3_600_000)})
        admin = AdminClient(self.broker)
        try:
            admin.create_topics([topic])[self.reply_topic].result(BROKER_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


class Reader:
    """Reads all partitions of a topic from where it ended when the reader was made; no group, nothing committed."""

    def __init__(self, broker: dict[str, str], topic: str) -> None:
        self.consumer = Consumer(broker | {"group.id": "none", "enable.auto.commit": False})
        deadline = time.monotonic() + BROKER_SECONDS
        while not (partitions := self.consumer.list_topics(topic, BROKER_SECONDS).topics[topic].partitions):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the broker knows no topic {topic}")
            time.sleep(0.1)  # it was made a moment ago
        ends = []
        for partition in partitions:
            _, end = self.consumer.get_watermark_offsets(TopicPartition(topic, partition), BROKER_SECONDS)
            ends.append(TopicPartition(topic, partition, end))
        self.consumer.assign(ends)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.close()

    def wait_for(self, wanted: Callable[[Message], bool]) -> dict[str, Any] | None:
        """The first record that is wanted, as JSON; None when none came in time."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            record = self.consumer.poll(min(left, 0.5))
            if record is not None and record.error() is None and wanted(record):
                content: dict[str, Any] = json.loads(record.value() or b"null")
                return content
        return None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--credentials", type=Path, required=True, help="file with what `scrip tool add --json` printed"
    )
    parser.add_argument("--bootstrap", required=True, help="host:port of Kafka")
    verbs = parser.add_subparsers(dest="verb", required=True)
    generate = verbs.add_parser("generate", help="order a campaign with generated codes: an amount off")
    generate.add_argument("--campaign", required=True, help="your own unique key of the campaign, such as spring-2026")
    generate.add_argument("--name", required=True)
    generate.add_argument("--amount-off", type=int, required=True, help="minor units (cents)")
    generate.add_argument("--currency", default="EUR")
    generate.add_argument("--quantity", type=int, required=True)
    generate.add_argument("--starts", required=True, help="date, or instant with an offset")
    generate.add_argument("--ends", required=True, help="a date includes that day")
    generate.add_argument("--zone", default="UTC")
    generate.add_argument("--redeemable-by", action="append", default=[], help="a merchant's id; may be repeated")
    issue = verbs.add_parser("issue", help="give one coupon to each user, at most 500")
    issue.add_argument("--campaign", required=True)
    issue.add_argument("--request", required=True, help="your own number of this request: send it again with the same")
    issue.add_argument("users", nargs="+")
    broken = verbs.add_parser("break", help="send what cannot be taken and show its dead letter")
    broken.add_argument("--campaign", default="nothing")
    broken.add_argument("how", choices=("unreadable", "forged"))
    return parser.parse_args()


def main() -> int:
    """Do what the command line says and print the answer."""
    given = arguments()
    tool = Tool(given.bootstrap, json.loads(given.credentials.read_text()))
    tool.make_reply_topic()
    campaign = campaign_id(given.campaign)
    if given.verb == "break":
        letter = tool.break_a_rule(given.how, campaign)
        print(json.dumps(letter, indent=2))
        return 2 if letter is None else 3
    if given.verb == "generate":
        terms = {
            "name": given.name,
            "currency": given.currency,
            "discount": {"kind": "amount_off", "amount": given.amount_off},
            "validity": {"starts": given.starts, "ends": given.ends, "zone": given.zone},
            "redeemable_by": given.redeemable_by,
        }
        data = {"terms": terms, "supply": {"kind": "generated"}, "quantity": given.quantity}
        answer = tool.order("GenerateCampaign", campaign, data, given.campaign)
    else:
        data = {"rows": [{"user": user} for user in given.users]}
        answer = tool.order("IssueCoupons", campaign, data, given.request)
    print(json.dumps(answer, indent=2))
    if answer is None:
        print("no answer in time; send the same again", file=sys.stderr)
        return 2
    return 0 if answer["status"] == "done" else 1


if __name__ == "__main__":
    sys.exit(main())
