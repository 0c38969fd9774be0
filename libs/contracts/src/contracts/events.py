"""Events of `coupon.events`: past-tense facts, one CloudEvent per record, key = campaign id.

`id` is `<campaign>:<seq>`; `seq` is the campaign's own number 1..n. Promise to readers: the first occurrences of a
campaign's events are exactly 1..n in order, and repeats are identical byte for byte. Events hold nothing of a
process, an epoch or a run. Fields may be added; readers ignore those they do not know.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter, create_model

from contracts.campaigns import CampaignState, CouponState, Origin
from contracts.fields import Fact

SEQ_HEADER = "lane-seq"
"""Record header: the lane's sequence number of the journal row, ASCII digits."""


class CampaignCreated(Fact):
    """nothing → draft: terms, supply, quantity, owner and origin, as accepted."""

    name: str
    terms: dict[str, Any]
    supply: str
    code: str | None = None
    """The public code of a `shared` supply."""
    pattern: dict[str, Any] | None = None
    """How generated codes look, where the campaign says so."""
    key_version: int | None = None
    """The code key's version under which codes of a pattern are made."""
    quantity: int | None
    starts: datetime
    ends: datetime
    rules: dict[str, int] = Field(default_factory=dict)
    """Versions of the building rules it was checked against, by party."""


class CampaignGenerationStarted(Fact):
    """draft → generating."""

    total: int | None = None
    """How many codes are written down first; None: none, they follow from numbers."""
    rules: dict[str, int] = Field(default_factory=dict)
    """Of a draft that is activated: versions of the building rules it was checked against then, by party."""


class CampaignGenerationProgressed(Fact):
    """Another slice of the codes is written down."""

    done: int
    total: int


class CampaignGenerationFailed(Fact):
    """generating → failed: given up, with the codes written down so far, which never become valid."""

    reason: str
    done: int
    total: int


class CampaignAmended(Fact):
    """Terms were changed; the state stays. `before` and `after` hold what changed, as it stands in the terms."""

    before: dict[str, Any]
    after: dict[str, Any]
    starts: datetime
    """As it is now, in UTC; so is `ends`."""
    ends: datetime
    rules: dict[str, int] = Field(default_factory=dict)
    """Versions of the building rules the new terms were checked against, by party."""


class CampaignGenerated(Fact):
    """generating → active: Scrip made the campaign; its codes exist."""

    quantity: int | None


class CampaignPublished(Fact):
    """draft → active: the merchant's own campaign is on the platform."""

    listed: bool


class CampaignUnpublished(Fact):
    """Taken out of the catalogue; the state stays."""


class CampaignPaused(Fact):
    """active (or exhausted) → paused."""

    reason: str


class CampaignResumed(Fact):
    """paused → active (or exhausted)."""

    state: CampaignState


class CampaignExhausted(Fact):
    """active → exhausted: as many as the quantity are issued or exported, or the budget holds no further coupon."""

    quantity: int
    """Coupons issued or exported by then."""
    by: Literal["quantity", "budget"] = "quantity"
    budget_reserved: int | None = None
    """Minor units kept for coupons that may still be used; None: the campaign has no budget."""
    budget_spent: int | None = None


class CampaignReplenished(Fact):
    """exhausted → active: the quantity was raised, or budget was freed."""

    quantity: int | None
    budget_reserved: int | None = None
    budget_spent: int | None = None


class CampaignLimitReached(Fact):
    """As many coupons are issued as may be in this period: once per period. The state stays."""

    period: Literal["day", "week", "month"]
    starts: datetime
    ends: datetime
    """When the next period begins."""
    limit: int


class CampaignPoolLow(Fact):
    """No more than `threshold` coupons are left; told when it is crossed downwards, again after a replenishment."""

    left: int
    threshold: int


class CampaignQuantityChanged(Fact):
    """The quantity is another one; the state follows as an event of its own."""

    before: int | None
    after: int
    reason: str | None = None
    """Why the job that wrote down the codes of a raised quantity was given up; `after` are those there are."""


class CampaignStopped(Fact):
    """active, paused or exhausted → stopped, for good."""

    reason: str


class CampaignEnded(Fact):
    """active, paused or exhausted → ended: its time is over."""

    ends: datetime


class CodesUploaded(Fact):
    """Unique codes came in; how many were taken and how many refused."""

    accepted: int
    refused: int
    available: int
    """Codes not yet given out."""


class CodesExported(Fact):
    """Codes `first`..`last` (coupon numbers) left the platform as bearer codes."""

    first: int
    last: int


class CodesVoided(Fact):
    """Exported codes that nobody held are void: all of `first`..`last` (coupon numbers) for which no coupon stands.

    They count as issued and voided from now on, and no longer as exported.
    """

    first: int
    last: int
    count: int
    """How many."""
    reason: str


class CouponIssued(Fact):
    """nothing → held."""

    coupon: int
    user: str
    code_last: str
    """The last four symbols of the code."""
    how: Literal["issue", "claim"]
    order: str | None = None
    paid: int | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    """Of campaigns whose coupons each have a time of their own; else the campaign's `starts` and `ends` hold."""


class CouponReserved(Fact):
    """held → reserved."""

    coupon: int
    user: str | None
    order: str
    until: datetime
    amount: int | None = None
    """Gift cards: how much of the balance is held."""


class CouponReleased(Fact):
    """reserved → held: given back, or its time ran out."""

    coupon: int
    user: str | None
    order: str
    why: Literal["released", "timed_out"]


class CouponUsed(Fact):
    """One of several uses, or a part of the balance, was taken; something is left and the coupon stays usable."""

    coupon: int
    user: str | None
    redemption: int
    order: str | None = None
    amount: int | None = None
    discount: int
    currency: str
    at_party: str
    """Where: `platform` or the merchant's id."""
    state: Literal["held", "reserved"]
    """`reserved`: another order still holds a part of it."""
    uses_left: int | None = None
    balance: int | None = None
    """What is left on a gift card."""


class CouponRedeemed(Fact):
    """held or reserved → redeemed (a bearer coupon: nothing → redeemed): the only or last use, or the balance's end."""

    coupon: int
    user: str | None
    redemption: int
    order: str | None = None
    amount: int | None = None
    discount: int | None = None
    currency: str
    at_party: str
    """Where: `platform` or the merchant's id."""


class CouponReturned(Fact):
    """redeemed → held: usable again."""

    coupon: int
    user: str | None
    redemption: int
    reason: str
    amount: int | None = None
    """The discount that was given back; of a gift card perhaps a part of it."""


class CouponRefunded(Fact):
    """A redemption was given back, wholly or in part, and the coupon stays in its state."""

    coupon: int
    user: str | None
    redemption: int
    reason: str
    amount: int
    state: CouponState
    restored: bool
    """Whether the coupon has the use or the amount again; False: the policy or the budget let it lapse."""


class CouponBurned(Fact):
    """redeemed → burned: returned, final."""

    coupon: int
    user: str | None
    redemption: int
    reason: str
    amount: int | None = None
    why: Literal["policy", "over", "budget"] = "policy"
    """`over`: its time is over, or the campaign stopped; `budget`: what the coupon would need again is given away."""


class CouponVoided(Fact):
    """held or reserved → voided."""

    coupon: int
    user: str | None
    reason: str


class CouponExpired(Fact):
    """held or reserved → expired; `due` is when its time was over."""

    coupon: int
    user: str | None
    due: datetime


EVENT_TYPES: dict[type[Fact], str] = {
    CampaignCreated: "scrip.campaign.created.v1",
    CampaignAmended: "scrip.campaign.amended.v1",
    CampaignGenerationStarted: "scrip.campaign.generation_started.v1",
    CampaignGenerationProgressed: "scrip.campaign.generation_progressed.v1",
    CampaignGenerationFailed: "scrip.campaign.generation_failed.v1",
    CampaignGenerated: "scrip.campaign.generated.v1",
    CampaignPublished: "scrip.campaign.published.v1",
    CampaignUnpublished: "scrip.campaign.unpublished.v1",
    CampaignPaused: "scrip.campaign.paused.v1",
    CampaignResumed: "scrip.campaign.resumed.v1",
    CampaignExhausted: "scrip.campaign.exhausted.v1",
    CampaignReplenished: "scrip.campaign.replenished.v1",
    CampaignLimitReached: "scrip.campaign.limit_reached.v1",
    CampaignPoolLow: "scrip.campaign.pool_low.v1",
    CampaignQuantityChanged: "scrip.campaign.quantity_changed.v1",
    CampaignStopped: "scrip.campaign.stopped.v1",
    CampaignEnded: "scrip.campaign.ended.v1",
    CodesUploaded: "scrip.codes.uploaded.v1",
    CodesExported: "scrip.codes.exported.v1",
    CodesVoided: "scrip.codes.voided.v1",
    CouponIssued: "scrip.coupon.issued.v1",
    CouponReserved: "scrip.coupon.reserved.v1",
    CouponReleased: "scrip.coupon.released.v1",
    CouponUsed: "scrip.coupon.used.v1",
    CouponRedeemed: "scrip.coupon.redeemed.v1",
    CouponReturned: "scrip.coupon.returned.v1",
    CouponRefunded: "scrip.coupon.refunded.v1",
    CouponBurned: "scrip.coupon.burned.v1",
    CouponVoided: "scrip.coupon.voided.v1",
    CouponExpired: "scrip.coupon.expired.v1",
}


class EventRecord(Fact):
    """The envelope of an event: CloudEvents 1.0, structured JSON, in this order of members."""

    specversion: Literal["1.0"]
    id: str
    source: Literal["/coupon-core"]
    type: str
    subject: str
    """The coupon id `<campaign>.<number>`, or the campaign id."""
    time: datetime
    """The lane's clock when it was decided."""
    datacontenttype: Literal["application/json"]
    stream: str
    """`<campaign>/<slice>`; the slice is 0 today."""
    seq: int
    """1..n within the stream."""
    causationid: str
    """The command that caused it."""
    actor: str
    owner: str
    origin: Origin
    data: Any


def _record_class(event: type[Fact], name: str) -> type[EventRecord]:
    fixed: Any = Literal[name]
    made = create_model(f"{event.__name__}Record", __base__=EventRecord, type=(fixed, name), data=(event, ...))
    return cast("type[EventRecord]", made)


EVENT_RECORDS: dict[type[Fact], type[EventRecord]] = {
    event: _record_class(event, name) for event, name in EVENT_TYPES.items()
}
_union: Any = next(iter(EVENT_RECORDS.values()))
for _record in list(EVENT_RECORDS.values())[1:]:
    _union = _union | _record
EVENT_RECORD: TypeAdapter[EventRecord] = TypeAdapter(Annotated[_union, Field(discriminator="type")])
"""`EVENT_RECORD.validate_json(bytes)` gives an EventRecord whose `data` is the event's class."""

ENDS: dict[type[Fact], CouponState] = {
    CouponIssued: "held",
    CouponReserved: "reserved",
    CouponReleased: "held",
    CouponRedeemed: "redeemed",
    CouponReturned: "held",
    CouponBurned: "burned",
    CouponVoided: "voided",
    CouponExpired: "expired",
}
"""The state a coupon is in after each event; `CouponUsed` and `CouponRefunded` name it themselves."""


class RefusalRecord(Fact):
    """One refusal on `coupon.refusals` (CloudEvent `scrip.refusal.v1`): takes no sequence number, changes no state."""

    specversion: Literal["1.0"]
    id: str
    """`<command id>` or `<command id>/<row>`."""
    source: Literal["/coupon-core"]
    type: Literal["scrip.refusal.v1"]
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"]
    causationid: str
    actor: str
    party: str
    command: str
    """The command's type."""
    data: RefusalData


class RefusalData(Fact):
    """What was refused, why, and whom it concerned."""

    code: str
    message: str
    facts: dict[str, Any]
    row: int | None = None
    user: str | None = None
    order: str | None = None
    coupon: int | None = None


RefusalRecord.model_rebuild()
