"""The comparison: every answer beside ledger and event log. Pure, and without coupon-core's code."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scrip.prove.asking import CLAIM, REDEEM, RETURN, Asked, Opened
from scrip.prove.evidence import Evidence

ISSUED, REDEEMED, RETURNED = "scrip.coupon.issued.v1", "scrip.coupon.redeemed.v1", "scrip.coupon.returned.v1"
STATES = {ISSUED: "held", REDEEMED: "redeemed", RETURNED: "held"}
BEFORE = {ISSUED: None, REDEEMED: "held", RETURNED: "redeemed"}
CAUSES = {CLAIM: ISSUED, REDEEM: REDEEMED, RETURN: RETURNED}
COUNTED = ("issued", "held", "reserved", "redeemed", "burned", "voided", "expired")


@dataclass(frozen=True)
class Difference:
    """One promise that was not kept."""

    promise: str
    detail: str


@dataclass
class Verdict:
    """How many things were compared for each promise, and what differs."""

    compared: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


@dataclass
class Story:
    """A campaign as the first occurrences of its events tell it."""

    opened: Opened
    events: list[dict[str, Any]] = field(default_factory=list)
    records: int = 0
    repeats_that_differ: list[int] = field(default_factory=list)
    out_of_turn: list[tuple[int, int]] = field(default_factory=list)
    states: dict[int, list[tuple[datetime, str]]] = field(default_factory=lambda: defaultdict(list))
    """Coupon → when it came into which state."""
    users: dict[int, str] = field(default_factory=dict)
    issued: list[tuple[datetime, str]] = field(default_factory=list)
    """When, and to whom."""
    impossible: list[str] = field(default_factory=list)
    too_many: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, opened: Opened, records: Sequence[bytes]) -> Story:
        """Read records in the order of their partition."""
        story, seen = cls(opened), dict[int, bytes]()
        for record in records:
            event = json.loads(record)
            story.records += 1
            number = event["seq"]
            if number in seen:
                if seen[number] != record:
                    story.repeats_that_differ.append(number)
                continue
            seen[number] = record
            if number != len(seen):
                story.out_of_turn.append((len(seen), number))
            story._tell(event)
        return story

    def _tell(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        kind, data = event["type"], event["data"]
        if kind not in STATES:
            return
        coupon, time = int(data["coupon"]), datetime.fromisoformat(event["time"])
        before = self.states[coupon][-1][1] if self.states[coupon] else None
        if before != BEFORE[kind]:
            self.impossible.append(f"event {event['seq']}: coupon {coupon} was {before} before {kind}")
        self.states[coupon].append((time, STATES[kind]))
        if kind == ISSUED:
            self.users[coupon] = data["user"]
            self.issued.append((time, data["user"]))
            if len(self.issued) > self.opened.quantity:
                self.too_many.append(f"event {event['seq']}: coupon {len(self.issued)} of {self.opened.quantity}")
            if sum(user == data["user"] for _, user in self.issued) > self.opened.user_limit:
                self.too_many.append(f"event {event['seq']}: more than {self.opened.user_limit} for {data['user']}")

    def states_at(self, coupon: int, time: datetime) -> set[str | None]:
        """The states the coupon was in at this instant: several where it changed within the log's millisecond."""
        earlier: list[str | None] = [state for at, state in self.states.get(coupon, []) if at < time]
        return {([None, *earlier])[-1], *(state for at, state in self.states.get(coupon, []) if at == time)}

    def counters(self) -> dict[str, int]:
        """What the ledger must say."""
        last = Counter(states[-1][1] for states in self.states.values() if states)
        return dict.fromkeys(COUNTED, 0) | dict(last) | {"issued": len(self.issued)}


@dataclass
class Case:
    """All that is compared."""

    asked: Sequence[Asked]
    stories: dict[str, Story]
    evidence: Evidence


def judge(asked: Sequence[Asked], opened: Iterable[Opened], evidence: Evidence) -> Verdict:
    """Compare everything with everything."""
    stories = {each.id: Story.of(each, evidence.events.get(each.id, ())) for each in opened}
    case, verdict = Case(asked, stories, evidence), Verdict()
    for promise, check in PROMISES.items():
        counted = 0
        for detail in check(case):
            counted += 1
            if detail is not None:
                verdict.differences.append(Difference(promise, detail))
        verdict.compared[promise] = counted
    return verdict


Found = Iterator[str | None]
"""One item for each thing compared; None: as promised."""


def _numbered(case: Case) -> Found:
    for campaign, story in case.stories.items():
        seq = case.evidence.ledger[campaign]["seq"]
        yield f"{campaign}: {story.out_of_turn[0]} (place, number)" if story.out_of_turn else None
        yield (
            f"{campaign}: {len(story.events)} events in the log, {seq} in the ledger"
            if (len(story.events) != seq)
            else None
        )
        yield (
            f"{campaign}: numbers {story.repeats_that_differ} again with other bytes"
            if (story.repeats_that_differ)
            else None
        )


def _never_too_many(case: Case) -> Found:
    for campaign, story in case.stories.items():
        yield f"{campaign}: {story.too_many[0]}" if story.too_many else None
        issued, quantity = case.evidence.ledger[campaign]["issued"], story.opened.quantity
        yield f"{campaign}: the ledger counts {issued} of {quantity}" if issued > quantity else None


def _once(case: Case) -> Found:
    for campaign, story in case.stories.items():
        yield f"{campaign}: {story.impossible[0]}" if story.impossible else None
        causes = Counter(event["causationid"] for event in story.events if event["type"] in STATES)
        for command, times in causes.items():
            yield f"{command} happened {times} times" if times > 1 else None


def _ledger(case: Case) -> Found:
    for campaign, story in case.stories.items():
        view = case.evidence.ledger[campaign]
        told = {name: view[name] for name in COUNTED}
        yield f"{campaign} counts {told}, its events {story.counters()}" if told != story.counters() else None
        rows = {row["number"]: row for row in case.evidence.coupons[campaign]}
        for number in sorted(rows.keys() | story.users.keys()):
            row = rows.get(number)
            kept = None if row is None else (row["user"], row["state"])
            states = story.states.get(number)
            events = (story.users.get(number), states[-1][1]) if states else None
            yield f"coupon {campaign}.{number} is {kept}, its events say {events}" if kept != events else None


def _done(case: Case) -> Found:
    """Each done answer has its one event, with the same facts."""
    by_cause = {
        event["causationid"]: event
        for story in case.stories.values()
        for event in story.events
        if event["type"] in STATES
    }
    told: set[str] = set()
    for asked in case.asked:
        if not asked.answers or asked.answers[0].status != "done":
            continue
        told.add(asked.command)
        yield _untrue(asked, by_cause.get(asked.command))
    for command, event in by_cause.items():
        yield f"{command} caused {event['type']} {event['id']}, and nobody was told so" if command not in told else None


def _untrue(asked: Asked, event: dict[str, Any] | None) -> str | None:
    facts, wrong = asked.answers[0].facts, f"{asked.kind} {asked.command} was told done"
    if event is None:
        return f"{wrong}, and no event says so"
    data = event["data"]
    must = {"coupon": f"{asked.campaign}.{data['coupon']}"}
    if asked.kind == CLAIM:
        must["user"] = data["user"]
        right = data["user"] == asked.data["user"]
    else:
        must["redemption"] = data["redemption"]
        right = data["coupon"] == asked.coupon
    if asked.kind == REDEEM:
        must["order"] = data["order"]
        right = right and data["order"] == asked.number
    if event["type"] != CAUSES[asked.kind] or not right:
        return f"{wrong}, its event is {event['type']} {data}"
    said = {name: facts.get(name) for name in must}
    return None if said == must else f"{wrong} with {said}, its event says {must}"


def _refused(case: Case) -> Found:
    """Each refusal is kept as it was told, and was right at the moment the log says it was decided."""
    for asked in case.asked:
        if not asked.answers or asked.answers[0].status == "done":
            continue
        code = asked.answers[0].code
        kept = case.evidence.refusals.get(asked.command)
        wrong = f"{asked.kind} {asked.command} was refused ({code})"
        if kept is None:
            yield f"{wrong}, and no refusal is in the log"
        elif kept["data"]["code"] != code:
            yield f"{wrong}, the log says {kept['data']['code']}"
        else:
            time = datetime.fromisoformat(kept["time"])
            yield None if _justified(asked, str(code), case.stories[asked.campaign], time) else f"{wrong} unjustly"


def _justified(asked: Asked, code: str, story: Story, time: datetime) -> bool:
    given = [user for at, user in story.issued if at <= time]
    match asked.kind, code:
        case "ClaimCoupon", "campaign_exhausted":
            return len(given) >= story.opened.quantity
        case "ClaimCoupon", "user_limit_reached":
            return given.count(asked.data["user"]) >= story.opened.user_limit
        case "RedeemCoupon", "coupon_already_redeemed":
            return "redeemed" in story.states_at(asked.coupon or 0, time)
        case "ReturnCoupon", "coupon_not_redeemed":
            return bool(story.states_at(asked.coupon or 0, time) - {"redeemed"})
        case _:
            return False


def _same(case: Case) -> Found:
    """Everything asked was answered, and each time with the same."""
    for asked in case.asked:
        if not asked.answers:
            yield f"{asked.kind} {asked.command} was never answered ({asked.sent} times sent)"
            continue
        first = asked.answers[0]
        for again in asked.answers:
            same = (again.status, again.code) == (first.status, first.code)
            same = same and again.facts.get("coupon") == first.facts.get("coupon")
            same = same and again.facts.get("command", asked.command) == asked.command
            yield None if same else f"{asked.kind} {asked.command} was told {first}, then {again}"


PROMISES: dict[str, Callable[[Case], Found]] = {
    "events are 1..n, repeats identical": _numbered,
    "never a coupon too many": _never_too_many,
    "nothing twice": _once,
    "ledger and coupons are what the events say": _ledger,
    "every done answer is true, and nothing was done untold": _done,
    "every refusal was right when it was decided": _refused,
    "everything was answered, again with the same": _same,
}
