"""Was anything lost, and did anything happen twice? Reads what a run left behind and names every difference.

Each check is one promise, has a name, and looks from the outside: at the command log, the topics, the tables and
what clients were told. None of them uses core's own code for deciding, so that a mistake there is not made here too.
"""

import asyncio
import base64
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from contracts.answers import Reply
from contracts.commands import LANE_WIDE, type_of
from contracts.partitioner import partition_of
from tests.failures.evidence import (
    ClientJournal,
    Evidence,
    LogRecord,
    Row,
    as_json,
    read_evidence,
)
from tests.failures.story import EVENT_NAMES, Event, Story

MOST_TOLD = 20
"""Differences told of one check; the rest is only counted."""
STATES = {1: "held", 2: "reserved", 3: "redeemed", 4: "burned", 5: "voided", 6: "expired"}
EVENTS, REFUSALS, COMMANDS, DEAD_LETTERS = 1, 2, 3, 4
RUNNING, DONE, REFUSED, DEAD = 0, 1, 2, 3
WHOLE = -1
"""The row of a refusal that is of the whole command."""
STATUS = {DONE: "done", REFUSED: "refused", DEAD: "dead"}

ANOTHER_USERS = ("not_this_users_coupon", "coupon_not_found")
"""What is kept, and what all but the owner's staff are told: a coupon that is another's is as one that is not there."""
NO_CODE = (None, "coupon_not_found")
"""Of a code that arithmetic alone refuses nothing is kept but the answer."""
BY_THE_WAY = {
    *("CouponExpired", "CouponReleased", "CampaignExhausted", "CampaignReplenished", "CampaignLimitReached"),
    "CampaignPoolLow",
}
"""Events that any command may cause beside what it is for."""
COUNTERS = ("issued", "held", "reserved", "redeemed", "burned", "voided", "expired", "exported", "available")


@dataclass(frozen=True)
class Difference:
    """One broken promise: the check's name, and what was seen."""

    check: str
    detail: str

    def __str__(self) -> str:
        return f"{self.check}: {self.detail}"


class Findings:
    """The evidence, with what several checks need of it worked out once."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.tables = evidence.tables
        self.topics = evidence.topics
        self.campaigns: dict[str, Row] = {str(row["id"]): row for row in self.tables.campaign}
        self.outcomes: dict[str, Row] = {str(row["command"]): row for row in self.tables.outcome}
        self.log: dict[str, tuple[LogRecord, dict[str, Any]]] = {}
        """Commands of the log by id, each where it stands first."""
        for record in self.topics.commands:
            command = as_json(record.value)
            if isinstance(command, dict) and isinstance(command.get("id"), str):
                self.log.setdefault(command["id"], (record, command))
        self.slices: dict[str, list[str]] = defaultdict(list)
        """Of a command whose work went on in slices, those that followed, in order."""
        for command_id, (_, command) in self.log.items():
            data = command.get("data")
            waiting = data.get("waiting") if isinstance(data, dict) else None
            if isinstance(waiting, dict):
                self.slices[waiting["command"]].append(command_id)
        self.stories: dict[str, Story] = {}
        self.reading: list[tuple[str, str]] = []
        self._read_events()
        self.by_cause: dict[str, list[Event]] = defaultdict(list)
        for story in self.stories.values():
            for event in story.events:
                self.by_cause[event.cause].append(event)

    def caused_by(self, command_id: str) -> list[Event]:
        """The events of a command; of one that went on in slices those of all, of a slice those up to it."""
        data = self.log[command_id][1].get("data") or {}
        first = (data.get("waiting") or {}).get("command", command_id)
        work = [first, *self.slices[first]]
        if command_id != first:
            work = work[: work.index(command_id) + 1]
        return [event for each in work for event in self.by_cause.get(each, [])]

    def _read_events(self) -> None:
        seen: dict[tuple[str, int], bytes] = {}
        for record in self.topics.events:
            event = as_json(record.value)
            if not isinstance(event, dict) or record.value is None or event.get("type") not in EVENT_NAMES:
                self.reading.append(("numbers", f"{record.place} holds no event"))
                continue
            campaign, seq = event["stream"].partition("/")[0], event["seq"]
            first = seen.get((campaign, seq))
            if first is not None:
                if first != record.value:
                    self.reading.append(
                        ("repeats", f"{campaign}:{seq} stands again at {record.place}, with other bytes")
                    )
                continue
            seen[campaign, seq] = record.value
            if event["id"] != f"{campaign}:{seq}" or record.key != campaign.encode():
                self.reading.append(("numbers", f"{record.place}: id {event['id']}, key {record.key!r}, number {seq}"))
            if record.partition != partition_of(campaign.encode(), self.evidence.partitions):
                self.reading.append(("numbers", f"{campaign}:{seq} stands in partition {record.partition}"))
            story = self.stories.setdefault(campaign, Story(campaign))
            if seq != len(story.events) + 1:
                self.reading.append(("numbers", f"{campaign}: {seq} follows {len(story.events)} at {record.place}"))
            told = Event(
                campaign, seq, EVENT_NAMES[event["type"]], event["causationid"], event["data"], record.value, record
            )
            story.events.append(told)
            story.tell(told)


Told = Iterator[str]


def outcomes(found: Findings) -> Told:
    """Every command the broker acknowledged to its client, and every other one in the log, was decided."""
    dead = {(row["partition"], row["position"]) for row in found.tables.dead_letter}
    for asked, sent in found.evidence.journal.items():
        if sent.acknowledged and str(asked) not in found.log:
            yield f"{asked} was acknowledged and is not in the log"
    run_due = type_of(next(kind for kind in LANE_WIDE if kind.__name__ == "RunDue"))
    for command_id, (record, command) in found.log.items():
        outcome = found.outcomes.get(command_id)
        if command.get("type") == run_due or (record.partition, record.offset) in dead:
            continue
        if command.get("dryrun"):
            if outcome is not None or found.by_cause.get(command_id):
                yield f"{command['type']} {command_id} was only tried, and left an outcome or events"
        elif outcome is None:
            yield f"{command['type']} {command_id} at {record.place} has no outcome"
        elif outcome["status"] == RUNNING:
            yield f"{command['type']} {command_id} was never finished"
    for command_id, outcome in found.outcomes.items():
        if command_id not in found.log:
            yield f"{command_id} has an outcome and is not in the log"
        if outcome["status"] == DEAD:
            yield f"{command_id} died of a bug"


def numbers(found: Findings) -> Told:
    """First occurrences of each campaign's events are exactly 1..n, and n is what the campaign's row says."""
    yield from (detail for check, detail in found.reading if check == "numbers")
    for campaign, row in found.campaigns.items():
        story = found.stories.get(campaign)
        last = 0 if story is None else len(story.events)
        if last != row["seq"]:
            yield f"{campaign}: {last} events on the topic, {row['seq']} in the table"
    for campaign in found.stories.keys() - found.campaigns.keys():
        yield f"{campaign} has events and no row"


def repeats(found: Findings) -> Told:
    """What stands on a topic again is identical, byte for byte."""
    yield from (detail for check, detail in found.reading if check == "repeats")
    for records in (found.topics.refusals, found.topics.dead_letters):
        seen: dict[str, bytes | None] = {}
        for record in records:
            value = as_json(record.value) or {}
            name = str(value.get("id") or record.key)
            if seen.setdefault(name, record.value) != record.value:
                yield f"{name} stands again at {record.place}, with other bytes"


def effects(found: Findings) -> Told:
    """An accepted command had exactly the effect it was told, once; a refused one had none."""
    for story in found.stories.values():
        yield from (detail for check, detail in story.wrongs if check == "effects")
    for cause in found.by_cause.keys() - found.log.keys():
        yield f"{cause} caused events and is not in the log"
    redeemed = Counter(str(row["command"]) for row in found.tables.redemption)
    given: dict[str, str] = {}
    for command_id, outcome in found.outcomes.items():
        if command_id not in found.log:
            continue
        name = str(found.log[command_id][1].get("type")).split(".")[2]
        events = found.by_cause.get(command_id, [])
        own = [event for event in events if event.name not in BY_THE_WAY]
        if outcome["status"] != DONE:
            if own or redeemed[command_id]:
                yield f"{name} {command_id} was {STATUS.get(outcome['status'])} and caused {[e.name for e in own]}"
            continue
        body = as_json(outcome["body"]) or {}
        if name.startswith("Void"):
            own = [event for event in found.caused_by(command_id) if event.name not in BY_THE_WAY]
        yield from (f"{name} {command_id}: {detail}" for detail in _not_as_told(name, body, own, events))
        if redeemed[command_id] != (1 if name == "RedeemCoupon" else 0):
            yield f"{name} {command_id} left {redeemed[command_id]} redemptions"
        for coupon in _coupons_given(name, body):
            if coupon in given:
                yield f"coupon {coupon} was given by {given[coupon]} and by {command_id}"
            given[coupon] = command_id


def _coupons_given(name: str, body: dict[str, Any]) -> list[str]:
    if name == "ClaimCoupon":
        return [body["coupon"]]
    if name == "IssueCoupons":
        return [row["coupon"] for row in body["rows"] if "coupon" in row]
    return []


def _not_as_told(name: str, body: dict[str, Any], own: list[Event], events: list[Event]) -> Told:
    """How the events of a done command differ from its answer."""
    names = [event.name for event in own]
    coupons = sorted(f"{event.campaign}.{event.data['coupon']}" for event in own if "coupon" in event.data)

    def expect(*wanted: str) -> Told:
        if names != list(wanted):
            yield f"caused {names}, not {list(wanted)}"

    match name:
        case "GenerateCampaign":
            made = ["CampaignGenerated"] if body["state"] == "active" else ["CampaignGenerationProgressed"]
            draft = body["state"] == "draft"
            yield from expect("CampaignCreated", *([] if draft else ["CampaignGenerationStarted", *made]))
        case "ActivateCampaign":
            made = ["CampaignGenerated"] if body["state"] == "active" else ["CampaignGenerationProgressed"]
            yield from expect("CampaignGenerationStarted", *made)
        case "GenerateCodes":
            following = {"generating": ["CampaignGenerationProgressed"], "failed": ["CampaignGenerationFailed"]}
            going_on: tuple[list[str], ...] = (
                ["CampaignGenerated"],
                ["CampaignGenerationProgressed"],
                [],
            )  # or the quantity was lowered
            if names not in ([following[body["state"]]] if body["state"] in following else going_on):
                yield f"caused {names} of a campaign that is {body['state']}"
        case "CancelGeneration":
            yield from expect("CampaignGenerationFailed" if body["state"] == "failed" else "CampaignQuantityChanged")
        case "AmendCampaign":
            yield from expect(*(["CampaignAmended"] if body["amended"] else []))
        case "PublishCampaign":
            yield from expect("CampaignCreated", "CampaignPublished")
        case "PauseCampaign" | "ResumeCampaign" | "StopCampaign" | "UploadCodes" | "ExportCodes" | "ChangeQuantity":
            wanted = {
                "PauseCampaign": "CampaignPaused",
                "ResumeCampaign": "CampaignResumed",
                "StopCampaign": "CampaignStopped",
                "UploadCodes": "CodesUploaded",
                "ExportCodes": "CodesExported",
                "ChangeQuantity": "CampaignQuantityChanged",
            }[name]
            begun = names[1:] if name == "ChangeQuantity" and names[1:] == ["CampaignGenerationProgressed"] else []
            yield from expect(wanted, *begun)
        case "ClaimCoupon" | "IssueCoupons":
            given = _coupons_given(name, body)
            yield from expect(*["CouponIssued"] * len(given))
            if coupons != sorted(given):
                yield f"issued {coupons}, told {sorted(given)}"
        case "RedeemCoupon" | "ReserveCoupon":
            if name == "ReserveCoupon":
                yield from expect("CouponReserved")
            elif names not in (["CouponRedeemed"], ["CouponUsed"]):
                yield f"caused {names}"
            if coupons != [body["coupon"]]:
                yield f"was about {coupons}, told {body['coupon']}"
        case "ReturnCoupon":
            if names not in (["CouponReturned"], ["CouponRefunded"], ["CouponBurned"]) or coupons != [body["coupon"]]:
                yield f"caused {names} of {coupons}, told {body['coupon']}"
        case "ReleaseCoupon":
            released = [event for event in events if event.name == "CouponReleased"]
            if names or len(released) != 1:
                yield f"caused {names} and {len(released)} releases"
        case "VoidCoupons":
            told = sorted(row["coupon"] for row in body["rows"] if "coupon" in row)
            yield from expect(*["CouponVoided"] * len(told))
            if coupons != told:
                yield f"voided {coupons}, told {told}"
        case "VoidCampaign" | "VoidMatching":
            codes = sum(event.data["count"] for event in own if event.name == "CodesVoided")
            if set(names) - {"CouponVoided", "CodesVoided"} or names.count("CouponVoided") + codes != body["accepted"]:
                yield f"caused {names} with {codes} codes, told {body['accepted']}"
        case "UnpublishCampaign":
            if names not in ([], ["CampaignUnpublished"]):
                yield f"caused {names}"
        case _:
            yield from expect()


def bounds(found: Findings) -> Told:
    """Never more coupons than the quantity, never more for a user than the limit, at no moment."""
    for story in found.stories.values():
        yield from (detail for check, detail in story.wrongs if check == "bounds")


def states(found: Findings) -> Told:
    """Each coupon and each campaign is in the state its last event says."""
    of_campaign: dict[int, dict[int, Row]] = defaultdict(dict)
    for row in found.tables.coupon:
        of_campaign[row["campaign"]][row["number"]] = row
    for campaign, row in found.campaigns.items():
        story = found.stories.get(campaign, Story(campaign))
        rows = of_campaign.get(row["number"], {})
        if story.state != row["state"]:
            yield f"{campaign} is {row['state']}, its events say {story.state}"
        for number in sorted(story.coupons.keys() | rows.keys()):
            coupon = rows.get(number)
            if coupon is None or number not in story.coupons:
                yield f"coupon {campaign}.{number} is {'only in events' if coupon is None else 'only in the table'}"
                continue
            table = (STATES[coupon["state"]], coupon["user_id"], coupon["redemptions"])
            events = (story.coupons[number], story.users[number], story.redemptions.get(number, 0))
            if table != events:
                yield f"coupon {campaign}.{number} is {table}, its events say {events}"
    numbers_of = {row["number"]: campaign for campaign, row in found.campaigns.items()}
    redeemed = Counter((numbers_of.get(row["campaign"], ""), row["coupon"]) for row in found.tables.redemption)
    told = Counter(
        {(story.campaign, number): n for story in found.stories.values() for number, n in story.redemptions.items()}
    )
    for campaign, number in sorted((redeemed - told) + (told - redeemed)):
        key = (campaign, number)
        yield f"coupon {campaign}.{number}: {redeemed[key]} redemptions in the table, {told[key]} in events"
    for row in found.tables.redemption:
        campaign = numbers_of.get(row["campaign"], "")
        number, nth = row["coupon"], row["number"]
        back = found.stories[campaign].returned.get((number, nth)) if campaign in found.stories else None
        if row["returned"] != back or (row["returned_at"] is not None) != (back == (row["discount"] or 0)):
            kept = f"{row['returned']}, {row['returned_at']}"
            yield f"redemption {nth} of {campaign}.{number} was given back: {kept}, in events {back}"


def ledger(found: Findings) -> Told:
    """A campaign's counters are the coupons counted, and both are what the events add up to."""
    counted: dict[int, Counter[str]] = defaultdict(Counter)
    for row in found.tables.coupon:
        counted[row["campaign"]][STATES[row["state"]]] += 1
        counted[row["campaign"]]["issued"] += 1
    free = Counter(row["campaign"] for row in found.tables.uploaded_code if not row["taken"])
    for row in found.tables.voided_range:
        counted[row["campaign"]].update({"issued": row["codes"], "voided": row["codes"]})
    for campaign, row in found.campaigns.items():
        story = found.stories.get(campaign, Story(campaign))
        by_state = Counter(story.coupons.values())
        by_state["voided"] += story.void_codes
        coupons = counted.get(row["number"], Counter())
        for name in COUNTERS:
            table = {"exported": story.exported, "available": free[row["number"]]}.get(name, coupons[name])
            told = {
                "issued": story.issued,
                "exported": story.exported,
                "available": story.available,
            }.get(name, by_state[name])
            if not row[name] == table == told:
                yield f"{campaign} {name}: counter {row[name]}, rows {table}, events {told}"


def journal(found: Findings) -> Told:
    """What the journal holds is on the topics, and nothing else is."""
    lines: dict[int, Counter[bytes]] = defaultdict(Counter)
    for row in found.tables.journal:
        if row["count"] != len(row["lines"]):
            yield f"journal {row['partition']}/{row['lane_seq']} counts {row['count']} of {len(row['lines'])}"
        for line in row["lines"]:
            lines[row["kind"]][line.encode()] += 1
    on_topics = {
        EVENTS: found.topics.events,
        REFUSALS: found.topics.refusals,
        DEAD_LETTERS: found.topics.dead_letters,
    }
    for kind, records in on_topics.items():
        emitted = {record.value for record in records}
        for line in lines[kind].keys() - emitted:
            yield f"never emitted: {line[:160]!r}"
        for value in emitted - lines[kind].keys():
            yield f"emitted without a journal row: {(value or b'')[:160]!r}"
    in_the_log = {record.value for record in found.topics.commands}
    for line in lines[COMMANDS].keys() - in_the_log:
        yield f"a continuation was never sent: {line[:160]!r}"
    for line, count in lines[EVENTS].items():
        if count > 1:
            yield f"{count} times in the journal: {line[:160]!r}"
    last = {row["partition"]: row["lane_seq"] for row in found.tables.journal}
    for row in found.tables.lane:
        if row["lane_seq"] != last.get(row["partition"], 0):
            yield f"lane {row['partition']} is at {row['lane_seq']}, its journal at {last.get(row['partition'], 0)}"


def refusals(found: Findings) -> Told:
    """Each refusal of a command is kept and told; nothing is told that was not refused."""
    kept = {(str(row["command"]), row["row"]): row["code"] for row in found.tables.refusal}
    told: dict[tuple[str, int], str] = {}
    for record in found.topics.refusals:
        value = as_json(record.value)
        if not isinstance(value, dict):
            yield f"{record.place} holds no refusal"
            continue
        command, _, row = value["id"].partition("/")
        told[command, int(row) if row else WHOLE] = value["data"]["code"]
    for command, row in kept.keys() | told.keys():
        if kept.get((command, row)) != told.get((command, row)):
            yield f"{command}/{row}: kept {kept.get((command, row))}, told {told.get((command, row))}"
    for command_id, outcome in found.outcomes.items():
        if outcome["status"] == REFUSED:
            code = (as_json(outcome["body"]) or {}).get("code")
            if (kept.get((command_id, WHOLE)), code) in (ANOTHER_USERS, NO_CODE):
                continue
            if kept.get((command_id, WHOLE)) != code:
                yield f"{command_id} was refused as {code}, kept as {kept.get((command_id, WHOLE))}"


def dead_letters(found: Findings) -> Told:
    """Each dead letter is the record of the log it names, whole or as it says, and none is of our own making."""
    log = {(record.partition, record.offset): record for record in found.topics.commands}
    for row in found.tables.dead_letter:
        place = (row["partition"], row["position"])
        body = as_json(row["body"]) or {}
        if row["reason"] == "our_bug":
            yield f"{place}: our bug: {str(body.get('detail'))[-300:]}"
        record = log.get(place)
        if record is None:
            yield f"{place} is a dead letter and not in the log"
            continue
        for part, whole in (("key", _text(record.key)), ("value", _text(record.value))):
            held = body.get(part)
            cut = part in body.get("cut", []) and held and (whole or "").startswith(held)
            if held != whole and not cut:
                yield f"{place}: the dead letter does not hold the record's {part}"
    told = {record.key for record in found.topics.dead_letters}
    for row in found.tables.dead_letter:
        if f"coupon.commands-{row['partition']}-{row['position']}".encode() not in told:
            yield f"{row['partition']}/{row['position']} is not on the topic"


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def answers(found: Findings) -> Told:
    """What a client was ever told is what the outcome says, however often it asked."""
    told: dict[str, list[Reply]] = defaultdict(list)
    for record in found.topics.replies:
        reply = Reply.model_validate_json(record.value or b"")
        if reply.refusal is None or reply.refusal.code != "idempotency_conflict":  # that answers other content
            told[str(reply.command)].append(reply)
    for command, sent in found.evidence.journal.items():
        if sent.answers:
            told[str(command)] += sent.answers
        elif sent.acknowledged:
            yield f"{type(sent.record.data).__name__} {command} was never answered"
    for command_id, replies in told.items():
        first = _said(replies[0])
        for reply in replies[1:]:
            if _said(reply) != first:
                yield f"{command_id} was told {first}, then {_said(reply)}"
        outcome = found.outcomes.get(command_id)
        if outcome is None:
            yield f"{command_id} was answered and has no outcome"
        elif STATUS.get(outcome["status"]) != replies[0].status:
            yield f"{command_id} was told {replies[0].status}, its outcome is {STATUS.get(outcome['status'])}"
        elif not holds(first[1] or first[2], as_json(outcome["body"])):
            yield f"{command_id} was told {first}, its outcome is {outcome['body']}"


def _said(reply: Reply) -> tuple[str, Any, Any]:
    refusal = None if reply.refusal is None else reply.refusal.model_dump(mode="json")
    return reply.status, reply.result, refusal


def holds(told: Any, kept: Any) -> bool:
    """Whether all that is kept was told; an answer may say more (codes, which are computed)."""
    if isinstance(kept, dict):
        return isinstance(told, dict) and all(name in told and holds(told[name], kept[name]) for name in kept)
    if isinstance(kept, list):
        return isinstance(told, list) and len(told) == len(kept) and all(map(holds, told, kept))
    return bool(told == kept)


def lanes(found: Findings) -> Told:
    """Every lane has decided its log to the end."""
    at = {row["partition"]: row["position"] for row in found.tables.lane}
    for partition, end in found.topics.command_ends.items():
        if end > 0 and at.get(partition) != end:
            yield f"lane {partition} stands at {at.get(partition)} of {end}"


CHECKS: dict[str, Callable[[Findings], Told]] = {
    check.__name__: check
    for check in (
        outcomes, numbers, repeats, effects, bounds, states, ledger, journal, refusals, dead_letters, answers, lanes,
    )
}  # fmt: skip


def differences(evidence: Evidence) -> list[Difference]:
    """All differences between what was promised and what is there; none is the only good answer."""
    found = Findings(evidence)
    result: list[Difference] = []
    for name, check in CHECKS.items():
        details = list(check(found))
        result += [Difference(name, detail) for detail in details[:MOST_TOLD]]
        if len(details) > MOST_TOLD:
            result.append(Difference(name, f"and {len(details) - MOST_TOLD} more"))
    return result


async def check(
    bootstrap: str, database_url: str, journal: ClientJournal, partitions: int, *, within: float = 20.0
) -> list[Difference]:
    """The differences that are still there `within` seconds from now: what was decided last may be under way."""
    deadline = time.monotonic() + within
    while True:
        found = differences(await read_evidence(bootstrap, database_url, journal, partitions))
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)
