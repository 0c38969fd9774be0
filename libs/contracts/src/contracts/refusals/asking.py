"""Refusals: who asks, under which request number, and the lane's time."""

from __future__ import annotations

from datetime import datetime

from contracts.refusals.base import Refusal


class MerchantNotActive(Refusal):
    code = "merchant_not_active"
    message = "The merchant is {state}."
    state: str


class NotAllowed(Refusal):
    code = "not_allowed"
    message = "{actor} has no right to {operation}."
    actor: str
    operation: str


class IdempotencyConflict(Refusal):
    code = "idempotency_conflict"
    message = "This request number was used before with other content."
    command: str


class ClockIsRecorded(Refusal):
    code = "clock_is_recorded"
    message = "This platform's time is its log's; it cannot be told."


class ClockNotSet(Refusal):
    code = "clock_not_set"
    message = "This platform keeps told time and its clock was never set: advance it first."


class ClockMovesForward(Refusal):
    code = "clock_moves_forward"
    message = "The clock stands at {now} and only moves forward."
    now: datetime
