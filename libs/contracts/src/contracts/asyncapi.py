"""docs/asyncapi.yaml, generated from topics and records: `python -m contracts.asyncapi --write | --check`.

AsyncAPI 3.0 of the whole platform, made without a broker. Payloads are the committed JSON Schemas, by reference.
A tool of the checkout: it needs PyYAML, which the package itself does not ask for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import yaml

from contracts.events import SEQ_HEADER
from contracts.generated_files import DOCS_FOLDER, asked_to_write, not_current, report, write
from contracts.records import RECORDS, RecordKind
from contracts.topics import (
    COUPON_COMMANDS,
    COUPON_DEAD_LETTERS,
    COUPON_EVENTS,
    COUPON_REFUSALS,
    COUPON_REPLIES,
    DAY_MS,
    FOREVER,
    MERCHANT_COMMANDS,
    SCHEDULE_COMMANDS,
    TOPICS,
    Topic,
)
from contracts.writers import WRITER_HEADER

FILE = DOCS_FOLDER / "asyncapi.yaml"
COMMAND = "python -m contracts.asyncapi"
SCHEMAS = "../libs/contracts/schemas"
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
BINDING_VERSION = "0.5.0"
SERVICES = {"gateway": "gateway", "core": "coupon-core", "adapter": "merchant-adapter", "scheduler": "scheduler"}
"""Names in the topics' lists of writers and readers that are services of the platform; the others are outside."""
SIGNED = (COUPON_COMMANDS, MERCHANT_COMMANDS, SCHEDULE_COMMANDS)
NUMBERED = (COUPON_EVENTS, COUPON_REFUSALS, COUPON_DEAD_LETTERS)
ABOUT = """\
Scrip is an event-driven coupon platform. Commands are sent, events are emitted, one JSON document per record; those of
the coupon topics are CloudEvents 1.0. The rules of signing, partitioning, retention and compatibility, and what readers
are promised, stand in `libs/contracts/README.md`; examples of every record in `libs/contracts/examples/`.
"""
WRITER_SCHEMA = {
    "type": "string",
    "description": "<writer>;k=<key version>;v1=<hex HMAC-SHA256 over topic, key and value>",
    "pattern": "^[a-z0-9:-]+;k=[0-9]+;v1=[0-9a-f]{64}$",
}
SEQ_SCHEMA = {
    "type": "string",
    "description": "The lane's own sequence number of the batch the record came with, as digits.",
    "pattern": "^[0-9]+$",
}


def document() -> dict[str, Any]:
    """The AsyncAPI document as plain data."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Scrip",
            "version": "1.0.0",
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {
            name: operation for topic in TOPICS for name, operation in (*_operations(topic), *_readings(topic))
        },
        "components": {"messages": {name: message for kind in RECORDS for name, message in _messages(kind)}},
    }


def _records_of(topic: Topic) -> list[RecordKind]:
    return [kind for kind in RECORDS if topic in kind.topics]


def _message_name(kind: RecordKind, topic: Topic) -> str:
    """A record that stands on several topics has another key on each, thus a message for each."""
    return kind.name if len(kind.topics) == 1 else f"{kind.name}.{topic.name}"


def _channel(topic: Topic) -> dict[str, Any]:
    partitions = "one per lane of the deployment" if topic.partitions is None else str(topic.partitions)
    kept = "for ever" if topic.retention_ms == FOREVER else f"{topic.retention_ms // DAY_MS} days"
    if topic.compacted:
        kept = "the latest of each key (compacted)"
    kafka: dict[str, Any] = {
        "topic": topic.name,
        "topicConfiguration": {
            "cleanup.policy": ["compact" if topic.compacted else "delete"],
            "retention.ms": topic.retention_ms,
            "max.message.bytes": int(topic.config()["max.message.bytes"]),
        },
        "bindingVersion": BINDING_VERSION,
    }
    if topic.partitions is not None:
        kafka["partitions"] = topic.partitions
    return {
        "address": topic.name,
        "description": (
            f"{topic.about or 'Records that could not be read or trusted.'}\n\n"
            f"Written by: {', '.join(topic.writers)}. Read by: {', '.join(topic.readers)}. Key: {topic.key}. "
            f"Partitions: {partitions}. Kept: {kept}."
        ),
        "messages": {
            kind.name: {"$ref": f"#/components/messages/{_message_name(kind, topic)}"} for kind in _records_of(topic)
        },
        "bindings": {"kafka": kafka},
    }


def _operations(topic: Topic) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{writer}.sends.{topic.name}", _operation("send", writer, topic)) for writer in _ours(topic.writers)]


def _readings(topic: Topic) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{reader}.takes.{topic.name}", _operation("receive", reader, topic)) for reader in _ours(topic.readers)]


def _ours(names: Sequence[str]) -> list[str]:
    return [name for name in names if name in SERVICES]


def _operation(action: str, service: str, topic: Topic) -> dict[str, Any]:
    does = "sends" if action == "send" else "takes"
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": f"{SERVICES[service]} {does} records of {topic.name}.",
    }
    if action == "receive" and topic is COUPON_COMMANDS:
        operation["description"] = "Answered on the topic that `replyto` names: this one, or a tool's registered topic."
        operation["reply"] = {"channel": {"$ref": f"#/channels/{COUPON_REPLIES.name}"}}
    return operation


def _messages(kind: RecordKind) -> list[tuple[str, dict[str, Any]]]:
    return [(_message_name(kind, topic), _message(kind, topic)) for topic in kind.topics]


def _message(kind: RecordKind, topic: Topic) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": kind.name,
        "summary": kind.about.splitlines()[0],
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"{SCHEMAS}/{kind.name}.json"}},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": BINDING_VERSION},
        },
    }
    if topic in SIGNED:
        message["headers"] = {
            "type": "object",
            "properties": {WRITER_HEADER: dict(WRITER_SCHEMA)},
            "required": [WRITER_HEADER],
        }
    elif topic in NUMBERED:
        message["headers"] = {"type": "object", "properties": {SEQ_HEADER: dict(SEQ_SCHEMA)}, "required": [SEQ_HEADER]}
    return message


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks; nothing as a reference to what stands elsewhere."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def as_yaml() -> str:
    """The content of the file."""
    body = yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return f"# Generated by `{COMMAND} --write` from contracts.topics and contracts.records.\n{body}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the file; the exit code."""
    files = {FILE: as_yaml()}
    if asked_to_write(COMMAND, "The AsyncAPI document", arguments):
        write(files)
    return report(not_current(files, COMMAND))


if __name__ == "__main__":
    sys.exit(main())
