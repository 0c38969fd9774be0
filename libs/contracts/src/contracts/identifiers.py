"""Identifiers are derived, so that a retry meets itself instead of making a second thing."""

from __future__ import annotations

from uuid import UUID, uuid5

SCRIP = UUID("5d0c1f1e-52f2-5a6e-9c6e-3b1f6e0f7a10")
"""Namespace of every identifier derived here."""


def campaign_id(owner: str, natural_key: str) -> UUID:
    """The id of `owner`'s campaign with this natural key (the dialect's unique name or its request number)."""
    return uuid5(SCRIP, f"campaign\n{owner}\n{natural_key}")


def command_id(party: str, operation: str, campaign: UUID | str, request_number: str) -> UUID:
    """The id of a command: the same request number for the same operation and campaign is the same command."""
    return uuid5(SCRIP, f"command\n{party}\n{operation}\n{campaign}\n{request_number}")


def chunk_id(bulk: UUID, number: int) -> UUID:
    """The id of the n-th command (from 0) of a bulk request."""
    return uuid5(bulk, str(number))


def tick_id(task: UUID, due: str) -> UUID:
    """The id of one tick of a timed task; `due` is RFC 3339 in UTC with seconds."""
    return uuid5(task, due)


def continuation_id(command: UUID, number: int) -> UUID:
    """The id of the n-th continuation (from 1) of a sliced command."""
    return uuid5(command, f"continuation {number}")


def coupon_id(campaign: UUID | str, number: int) -> str:
    """A coupon's public id: its campaign and its number there, from 1."""
    return f"{campaign}.{number}"


def split_coupon_id(text: str) -> tuple[UUID, int]:
    """The parts of a coupon id.

    Raises:
        ValueError: the text is not `<campaign id>.<number>`.
    """
    campaign, _, number = text.rpartition(".")
    if not number.isascii() or not number.isdigit() or len(number) > 12:
        raise ValueError("a coupon id is <campaign id>.<number>")
    return UUID(campaign), int(number)


def event_id(campaign: UUID | str, sequence: int) -> str:
    """An event's id: its campaign and the campaign's sequence number."""
    return f"{campaign}:{sequence}"


def lane_key(partition: int) -> str:
    """The record key of lane-wide commands; they name their partition in the signed body too."""
    return f"lane-{partition}"
