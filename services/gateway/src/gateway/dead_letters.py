"""Dead letters of all three loops: listed together, shown, and sent again by an operator."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError

from contracts.commands import COMMAND_RECORD
from contracts.merchants import MERCHANT_COMMAND
from contracts.partitioner import partition_of
from contracts.schedules import SCHEDULE_COMMAND
from contracts.topics import COUPON_COMMANDS, MERCHANT_COMMANDS, SCHEDULE_COMMANDS
from contracts.writers import WRITER_HEADER, named_in
from dialects.protocol import Problem, RequestRefused
from gateway.service_client import ServiceAway, ServiceClient
from messaging.sending import Sender

REDRIVEN_LIFE = timedelta(days=1)

logger = structlog.get_logger()


@dataclass(frozen=True)
class DeadLetters:
    """The services' dead letters, by the topic of the dead record."""

    services: Mapping[str, ServiceClient]
    """The service that reads a topic, by the topic's name."""
    sender: Sender
    partitions: int

    async def page(self, after: Mapping[str, str], reason: str | None, limit: int) -> dict[str, Any]:
        """Up to `limit` letters of each topic, oldest first; `next` names where each goes on.

        A service that is away is named in `away`; the others' letters are given.
        """
        letters: list[dict[str, Any]] = []
        following: dict[str, str] = {}
        away: list[str] = []
        for topic, service in self.services.items():
            if after and topic not in after:
                continue
            try:
                found = await service.get("/dead-letters", after=after.get(topic), limit=limit, reason=reason)
            except ServiceAway:
                away.append(service.service)
                continue
            page = (found or {}).get("dead_letters", [])
            letters += page
            if found is not None and found.get("next") and page:
                following[topic] = str(page[-1]["id"])
        letters.sort(key=lambda letter: str(letter.get("record_time")))
        return {"dead_letters": letters, "next": following or None, "away": away}

    async def letter(self, name: str) -> dict[str, Any]:
        """One dead letter. Raises RequestRefused (404), ServiceAway."""
        topic = name.rsplit("-", 2)[0]
        service = self.services.get(topic)
        found = None if service is None else await service.get(f"/dead-letters/{name}")
        if found is None:
            raise RequestRefused(
                Problem("dead_letter_not_found", 404, "Dead letter not found", "There is no such dead letter.")
            )
        return found

    async def redrive(self, name: str, actor: str) -> dict[str, Any]:
        """Send the command of a dead letter again, under its own id, signed by the gateway, with new life.

        A coupon command names who had signed it, and core lets it do what that writer may when it is decided.
        Raises RequestRefused where there is no command in it that can be read whole, or none that its writer might
        send; NotAcknowledged, ServiceAway.
        """
        letter = await self.letter(name)
        _refuse_to_sign(letter)
        topic = str(letter["topic"])
        record = _record_of(topic, letter)
        life = datetime.now(UTC) + REDRIVEN_LIFE
        if topic == COUPON_COMMANDS.name:
            again = {"redrive": True, "redriveof": _signed_by(letter, record), "replyto": None, "replypartition": None}
            record = record.model_copy(update={"notafter": life, **again})
            key = str(record.subject).encode()  # type: ignore[attr-defined]
            lane = getattr(record.data, "partition", None)  # type: ignore[attr-defined]
            partition = partition_of(key, self.partitions) if lane is None else lane
            if not 0 <= partition < self.partitions:
                raise _not_redrivable("it names a lane that does not exist")
        else:
            record = record.model_copy(update={"notafter": life})
            key = base64.b64decode(letter["key"] or "")
            partition = None
        value = record.model_dump_json(exclude_none=True).encode()
        await self.sender.send(topic, key, value, partition)
        command = str(record.id)  # type: ignore[attr-defined]
        logger.info("A dead letter was sent again.", action="dead_letter_redriven", command=command, actor=actor)
        if topic == COUPON_COMMANDS.name:
            # For the list of letters alone: a letter that is not marked can be sent again, and does nothing twice.
            with contextlib.suppress(ServiceAway):
                await self.services[topic].post(f"/dead-letters/{name}/redriven", {})
        return {"id": name, "command": command, "topic": topic, "sent": True}


NOT_ENTITLED = {
    "unsigned_writer": "it carries the signature of no writer known there",
    "writer_not_allowed": "who signed it may not send it",
}


def _refuse_to_sign(letter: Mapping[str, Any]) -> None:
    """Refuse what the gateway's own signature would make good."""
    if letter["reason"] in NOT_ENTITLED:
        raise _not_redrivable(f"{NOT_ENTITLED[letter['reason']]} ({letter['detail']})")
    if letter.get("cut"):
        raise _not_redrivable(
            f"it was too large to be kept whole, and of its {' and '.join(letter['cut'])} a part is missing"
        )
    if letter["writer"] is None:
        raise _not_redrivable("nobody looked at its signature before it died")


def _signed_by(letter: Mapping[str, Any], record: Any) -> str:
    """Writer and key version by which the command was signed at first, before any redrive."""
    signature = next(base64.b64decode(value) for name, value in letter["headers"] if name == WRITER_HEADER)
    writer, version = named_in(signature)
    if writer == "gateway" and record.redrive and record.redriveof is not None:
        return str(record.redriveof)
    return f"{writer};k={version}"


def _record_of(topic: str, letter: Mapping[str, Any]) -> BaseModel:
    try:
        value = base64.b64decode(letter["value"] or "", validate=True)
        if topic == COUPON_COMMANDS.name:
            return COMMAND_RECORD.validate_json(value)
        if topic == MERCHANT_COMMANDS.name:
            return MERCHANT_COMMAND.validate_json(value)
        if topic == SCHEDULE_COMMANDS.name:
            return SCHEDULE_COMMAND.validate_json(value)
    except (ValidationError, binascii.Error, json.JSONDecodeError):
        raise _not_redrivable("its value is no command of this topic") from None
    raise _not_redrivable(f"{topic} holds no commands")


def _not_redrivable(why: str) -> RequestRefused:
    return RequestRefused(
        Problem(
            "dead_letter_not_redrivable",
            409,
            "Dead letter not redrivable",
            f"The record cannot be sent again: {why}. Its writer must send a right one.",
        )
    )
