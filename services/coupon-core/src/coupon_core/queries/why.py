"""Why a command was answered as it was: what was answered, and the decision taken again on what the lane held then.

The command is looked up in the log at the place its outcome names, the state before it is folded from the journal,
and the rules are those the lane had been told by then. `decide` does not know that this is the second time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import structlog
from aiokafka.errors import KafkaError
from pydantic import Field
from starlette.requests import Request

from contracts.commands import type_of
from contracts.fields import PLATFORM
from contracts.partitioner import partition_of
from contracts.refusals import CouponNotFound
from contracts.topics import COUPON_COMMANDS
from coupon_core.codes.generated import last_four
from coupon_core.decide import BARRIERS, decide
from coupon_core.model.campaign import STATE_NAMES, Campaign
from coupon_core.model.folding import Folding
from coupon_core.model.lane import Facts
from coupon_core.model.recording import instant
from coupon_core.queries.asking import Parameters, Problem, parameters
from coupon_core.queries.campaigns import campaign_item
from coupon_core.queries.commands import STATUS_NAMES, command_named, decided
from coupon_core.queries.looking_back import fold
from coupon_core.queries.rewinding import REWOUND, rewound
from coupon_core.queries.source import Source, instant_or_none
from coupon_core.storage import Connection, reading
from coupon_core.storage.journal import unpacked
from coupon_core.work import DEAD, REFUSED, RUNNING, Entry, Outcome, Work

EVENTS_AT_ONCE = 2_000
MOST_COUPONS = 20
"""Of those the command concerned, so many are shown."""

logger = structlog.get_logger()


class Why(Parameters):
    """`row`: one row of a bulk command, as a refusal's id `<command>/<row>` names it."""

    row: Annotated[int, Field(ge=0, le=100_000)] | None = None


@dataclass(slots=True)
class Decision:
    """An answer and the events behind it."""

    status: int
    body: dict[str, Any] | None
    events: list[str]

    def shown(self, row: int | None) -> dict[str, Any]:
        """As it stands in the answer: codes show their last four symbols."""
        body = self.body
        if row is not None and body is not None and "rows" in body:
            body = body | {"rows": [each for each in body["rows"] if each.get("row") == row]}
        refused = self.status == REFUSED
        return {
            "status": STATUS_NAMES[self.status],
            "result": None if refused else masked(body),
            "refusal": body if refused else None,
            "events": [json.loads(line) for line in self.events[:MOST_COUPONS]],
            "event_count": len(self.events),
        }


async def one(source: Source, request: Request) -> dict[str, Any]:
    """GET /commands/{id}/why."""
    asked = parameters(request, Why)
    command = command_named(request)
    async with source.snapshot() as connection:
        outcome, campaign = await decided(connection, command)
        entry, why_not = await _look_up(source, outcome)
        events = [] if campaign is None else await _events_of(connection, campaign, outcome)
        answered = Decision(outcome.status, outcome.body, events)
        answer: dict[str, Any] = {
            "command": str(command),
            "sent": None if entry is None else _sent(entry),
            "answered": answered.shown(asked.row) | {"at": instant(outcome.at)},
            "rules": None,
            "before": None,
            "again": None,
            "differences": [],
            "not_again": why_not,
        }
        if entry is None:
            return answer
        seq = await _seq_before(connection, campaign, outcome, events)
        work = await rewound(source, connection, entry, campaign, seq, outcome.at)
    answer["rules"] = _rules(work.lanes[entry.partition].facts, entry)
    answer["before"] = _before(work, outcome, seq)
    again, broke = _decide_again(work, entry)
    if again is None:
        return answer | {"not_again": broke}
    return answer | {"again": again.shown(asked.row), "differences": _differences(answered, again)}


async def _look_up(source: Source, outcome: Outcome) -> tuple[Entry | None, str | None]:
    """The command as it stands in the log; else why it cannot be decided again."""
    if outcome.campaign is None or outcome.position is None:
        return None, "a command to a whole lane is not decided again: what it told the lane is kept with its version"
    partition = partition_of(str(outcome.campaign).encode(), source.core.partitions)
    try:
        entry = await source.log.entry_at(partition, outcome.position)
    except (KafkaError, TimeoutError) as error:
        logger.warning("A command could not be looked up.", action="look_up_failed", error=repr(error))
        raise Problem(503, "not_now", "The log does not answer in time; try again.", retry=True) from None
    if entry is None or entry.record is None or entry.record.id != outcome.command:
        return None, "the log does not hold the command any more: it was kept for as long as the topic keeps records"
    if type(entry.record.data) in BARRIERS.difference(REWOUND):
        return None, "work over a range of coupons is not decided again"
    return entry, None


async def _events_of(connection: Connection, campaign: Campaign, outcome: Outcome) -> list[str]:
    """The events the command caused, in order. They have the time of its answer."""
    lines = await _lines_with(connection, campaign, f'"causationid":"{outcome.command}"', outcome.at)
    return [line for line in lines if json.loads(line)["causationid"] == str(outcome.command)]


async def _lines_with(connection: Connection, campaign: Campaign, text: str, at: datetime) -> list[str]:
    """Events up to that moment in which the text stands, in order; not all that are earlier are looked through."""
    lines: list[str] = []
    following = 1
    while following <= campaign.seq:
        rows = await reading.event_bodies(connection, campaign.id, following, at, EVENTS_AT_ONCE)
        if not rows:
            break
        lines += reading.lines_with(text.encode(), [body for _, _, body in rows])
        last = json.loads(unpacked(rows[-1][2])[-1])
        if datetime.fromisoformat(last["time"]) > at:
            break
        following = rows[-1][0] + rows[-1][1]
    return lines


async def _seq_before(connection: Connection, campaign: Campaign | None, outcome: Outcome, events: list[str]) -> int:
    """How many events the campaign had before the command; 0: it was not there."""
    if events:
        return int(json.loads(events[0])["seq"]) - 1
    known = await reading.seq_of_refusals(connection, outcome.command, outcome.partition)
    not_kept = outcome.status == REFUSED and (outcome.body or {}).get("code") == CouponNotFound.code
    if campaign is None or known is not None or (outcome.status == REFUSED and not not_kept):
        return known or 0
    folding = Folding(campaign.id, upto=await _seq_before_later(connection, campaign, outcome), until=outcome.at)
    await fold(connection, campaign, folding)
    return 0 if folding.campaign is None else folding.campaign.seq


async def _seq_before_later(connection: Connection, campaign: Campaign, outcome: Outcome) -> int | None:
    """The last event before those that commands further on in the log caused at the same moment; None: none did.

    What fell due at that moment counts as before, unless such a command came before it.
    """
    first: dict[UUID, int] = {}
    for line in await _lines_with(connection, campaign, f'"time":"{instant(outcome.at)}"', outcome.at):
        event = json.loads(line)
        if datetime.fromisoformat(event["time"]) == outcome.at:
            first.setdefault(UUID(event["causationid"]), event["seq"])
    later = await reading.decided_behind(connection, outcome, list(first))
    return min((first[command] - 1 for command in later), default=None)


def _decide_again(work: Work, entry: Entry) -> tuple[Decision | None, str | None]:
    record = entry.record
    if record is None:
        return None, "the record holds no command"
    try:
        decide(work, entry)
    except Exception as error:
        return Decision(DEAD, {"error": f"{type(error).__name__}: {error}"[:500]}, []), None
    outcome = work.outcomes[entry.partition].get(record.id)
    if outcome is None:
        return None, f"it would be a dead letter now: {work.dead[-1][1]}: {work.dead[-1][2]}"
    lines = [line for recorder in work.recorders.values() for line in recorder.lines]
    body = None if outcome.body is None else json.loads(json.dumps(outcome.body))
    return Decision(outcome.status, body, lines), None


def _differences(answered: Decision, again: Decision) -> list[str]:
    """In words, where the two decisions are not the same."""
    found = []
    if again.status == RUNNING:
        pass  # of work in slices the first one is decided again, and the last one gave the answer
    elif answered.status != again.status:
        found.append(f"it was {STATUS_NAMES[answered.status]} and would be {STATUS_NAMES[again.status]}")
    elif answered.status != DEAD and answered.body != again.body:
        found.append("the answer would be another one")
    if answered.events != again.events:
        unequal = sum(a != b for a, b in zip(answered.events, again.events, strict=False))
        found.append(
            f"{len(answered.events)} events were recorded and {len(again.events)} would be; {unequal} of them unequal"
        )
    return found


def _sent(entry: Entry) -> dict[str, Any] | None:
    record = entry.record
    if record is None:
        return None
    return {
        "type": type_of(type(record.data)),
        "party": record.party,
        "actor": record.actor,
        "writer": entry.writer,
        "appended_at": instant(entry.time),
        "at": instant_or_none(record.at),
        "topic": COUPON_COMMANDS.name,
        "partition": entry.partition,
        "offset": entry.offset,
        "campaign": str(entry.campaign),
        "data": masked(record.data.model_dump(mode="json")),
    }


def _rules(facts: Facts, entry: Entry) -> dict[str, Any]:
    """What the lane had been told by then about whom the command concerned, with versions."""
    record = entry.record
    party = PLATFORM if record is None else record.party
    merchant = facts.merchants.get(party)
    tool = facts.tools.get((entry.writer or "").removeprefix("tool:"))
    building = {name: facts.rules[name] for name in dict.fromkeys((PLATFORM, party)) if name in facts.rules}
    return {
        "building_rules": {
            name: {"version": version, "rules": rules.model_dump(mode="json", exclude_none=True)}
            for name, (version, rules) in building.items()
        },
        "merchant": None if merchant is None else {"version": merchant[0], "state": merchant[1]},
        "tool": None if tool is None else {"version": tool.version, "rights": list(tool.rights), "active": tool.active},
    }


def _before(work: Work, outcome: Outcome, seq: int) -> dict[str, Any]:
    """What the command met: its campaign, and the coupons it may have concerned."""
    campaign = None if outcome.campaign is None else work.campaigns.get(outcome.campaign)
    coupons = [] if campaign is None else list(work.coupons.values())[:MOST_COUPONS]
    return {
        "seq": seq,
        "campaign": None if campaign is None else campaign_item(campaign, outcome.at),
        "coupons": [
            {
                "number": coupon.number,
                "user": coupon.user,
                "state": STATE_NAMES[coupon.state],
                "issued_at": instant(coupon.issued_at),
                "redemptions": coupon.redemptions,
                "reserved_by": coupon.reserved_order,
                "due_at": instant_or_none(coupon.due_at),
                "spent": coupon.spent,
            }
            for coupon in coupons
        ],
    }


def masked(value: Any) -> Any:
    """The value with codes cut to their last four symbols."""
    if isinstance(value, Mapping):
        return {
            name: _masked_code(each) if name in ("code", "codes") and _are_texts(each) else masked(each)
            for name, each in value.items()
            if name != "refusal"
        } | {
            name: each
            for name, each in value.items()
            if name == "refusal"  # whose code is no coupon's
        }
    if isinstance(value, list | tuple):
        return [masked(each) for each in value]
    return value


def _are_texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _masked_code(value: Any) -> Any:
    return [_masked_code(each) for each in value] if isinstance(value, list) else f"…{last_four(value)}"
