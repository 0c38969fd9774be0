"""Commands of `coupon.commands`: imperatives, one CloudEvent each, validated straight from bytes.

Compatibility: a field added has a default; a changed meaning is a new class with a new type; nothing is removed
while records of it may be in the log.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, cast
from uuid import UUID

from pydantic import Field, StringConstraints, TypeAdapter, create_model, model_validator

from contracts.campaigns import (
    AttributeName,
    ClearableTerm,
    GeneratedSupply,
    GivenSupply,
    SharedSupply,
    Terms,
    TermsChange,
    UploadedSupply,
)
from contracts.fields import (
    CodeText,
    Contract,
    Count,
    Flag,
    Instant,
    Minor,
    Number,
    OrderId,
    Party,
    Reason,
    Text,
    UserId,
)

MAX_ROWS = 500
"""Rows of one bulk command."""
MOST_STORED = 10_000_000
"""Codes of a campaign that can be written down before somebody holds them."""
Cursor = Annotated[int, Field(ge=0, le=2**53 - 1, strict=True)]
"""How far sliced work has come. Core's own: from anybody else only 0 is taken."""


class GenerateCampaign(Contract):
    """Order Scrip to bring a campaign and its codes into being (internal staff and tools, or a merchant)."""

    terms: Terms
    supply: Annotated[GeneratedSupply | SharedSupply | UploadedSupply, Field(discriminator="kind")] = Field(
        default_factory=GeneratedSupply
    )
    quantity: Count | None = None
    """Coupons that may be issued; required for `generated`; None: as many as are asked for (or codes uploaded)."""
    draft: Flag = False
    """Keep it as a draft: it may be amended freely, and gives nothing out before `ActivateCampaign`."""

    @model_validator(mode="after")
    def _not_too_many_to_store(self) -> Self:
        if isinstance(self.supply, GeneratedSupply) and self.supply.stored and (self.quantity or 0) > MOST_STORED:
            raise ValueError(f"at most {MOST_STORED:,} codes can be stored; without `stored` none needs to be")
        return self


class ActivateCampaign(Contract):
    """Bring a draft's codes into being: draft → generating → active."""


class AmendCampaign(Contract):
    """Change the terms of a campaign. What holders of its coupons were promised cannot become worse.

    Of a draft, and as long as nothing is issued or exported, all terms may change; afterwards only `name`, `metadata`,
    `listed`, `price`, `senders`, `low_pool_at`, the limits per user, a limit per day, week or month from one number to
    another, a greater budget, more parties in `redeemable_by`, and, where coupons have no time of their own, a later
    end.
    """

    terms: TermsChange = Field(default_factory=TermsChange)
    """The terms to change, whole (a list or the validity replaces the one before); null changes nothing."""
    clear: Annotated[tuple[ClearableTerm, ...], Field(max_length=50)] = ()
    """Names of terms to be as if they had not been sent, such as `per_user_limit`: no limit."""


class PublishCampaign(Contract):
    """Put a merchant's own campaign, made in its own system, on the platform."""

    terms: Terms
    supply: Annotated[SharedSupply | UploadedSupply | GivenSupply, Field(discriminator="kind")]
    quantity: Count | None = None


class GenerateCodes(Contract):
    """Write down the next slice of a campaign's codes. Written by core only; `after` is its cursor."""

    after: Cursor


class CancelGeneration(Contract):
    """Give up writing codes down. A campaign that is being generated fails and can only be stopped.

    One that goes on while the codes of a raised quantity are written down keeps those that are there: its quantity
    falls to their number.
    """

    reason: Reason


class UnpublishCampaign(Contract):
    """Take a campaign out of the catalogue; coupons held stay usable."""


class PauseCampaign(Contract):
    """Stop issuing and redeeming until resumed."""

    reason: Reason


class ResumeCampaign(Contract):
    """End a pause."""


class StopCampaign(Contract):
    """End a campaign for good before its time; coupons not redeemed are voided, in slices that follow the answer.

    A dry run says how many there are.
    """

    reason: Reason


class ChangeQuantity(Contract):
    """Raise or lower how many coupons may be issued; never below issued + exported.

    Where codes are `stored`, those that a raised quantity lacks are written down by a job, 5,000 of them at once, which
    `CancelGeneration` ends.
    """

    quantity: Count


class UploadCodes(Contract):
    """Add unique codes to an `uploaded` campaign. Not atomic: each row has its own result."""

    codes: Annotated[tuple[CodeText, ...], Field(min_length=1, max_length=MAX_ROWS * 4)]


class ExportCodes(Contract):
    """Take codes nobody holds out of the platform as bearer codes; each redeems once, without a user.

    The answer names the range of coupon numbers taken, and up to 2,000 codes themselves; the export of the campaign's
    codes streams any range.
    """

    count: Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


AttributeText = Annotated[str, StringConstraints(max_length=200, strict=True)]
AttributeValue = (
    Annotated[bool, Field(strict=True)]
    | Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
    | Annotated[float, Field(strict=True, allow_inf_nan=False)]
    | AttributeText
    | Annotated[tuple[AttributeText, ...], Field(max_length=100)]
)
Attributes = Annotated[dict[AttributeName, AttributeValue], Field(max_length=20)]
"""Attributes of a user, as its merchant keeps them: those alone that the campaign's rule names.

They are no part of what makes a command the same one: sent again with other values it gets the first answer."""


class IssueRow(Contract):
    """One coupon for one user; `code` only for campaigns whose merchant names it (`given`)."""

    user: UserId
    code: CodeText | None = None
    attributes: Attributes | None = None


class IssueCoupons(Contract):
    """Give one coupon to each of these users. Not atomic: each row has its own result."""

    rows: Annotated[tuple[IssueRow, ...], Field(min_length=1, max_length=MAX_ROWS)]


class ClaimCoupon(Contract):
    """A user takes a coupon; with a priced offer `order` and `paid` say what was paid for it."""

    user: UserId
    code: CodeText | None = None
    order: OrderId | None = None
    paid: Minor | None = None
    attributes: Attributes | None = None


class CouponReference(Contract):
    """Names one coupon: by number, by code, or (shared codes) by code and user."""

    number: Number | None = None
    code: CodeText | None = None
    user: UserId | None = None


class ReserveCoupon(Contract):
    """Hold a coupon, one of its uses or a part of its balance for an order for some time.

    The same order may reserve again to hold it longer. One order at a time holds a coupon; what it does not hold of
    several uses or of a balance others may use meanwhile.
    """

    coupon: CouponReference
    order: OrderId
    seconds: Annotated[int, Field(ge=1, le=86_400, strict=True)] = 900
    amount: Annotated[Minor, Field(ge=1)] | None = None
    """Gift cards: how much of the balance to hold; None: all of it."""


class ReleaseCoupon(Contract):
    """Give a reserved coupon back before its time ran out; only the order that holds it may."""

    coupon: CouponReference
    order: OrderId


class OrderItem(Contract):
    """One line of an order: `quantity` pieces of `item` at `price` minor units each."""

    item: Text
    price: Minor
    quantity: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 1


class RedeemCoupon(Contract):
    """Use a coupon, once or for a part of its balance, for an order of `amount` minor units (before the discount)."""

    coupon: CouponReference
    order: OrderId | None = None
    amount: Minor | None = None
    discount: Minor | None = None
    """`merchant_decided`: what is taken off, required. Gift cards: how much of the balance to use; None: as much as
    the order comes to and the balance holds. Other kinds compute it: send none."""
    items: Annotated[tuple[OrderItem, ...], Field(max_length=100)] = ()
    """The order's lines, as far as the discount (`free_item`) or the campaign's rule asks for them."""
    attributes: Attributes | None = None


class ReturnCoupon(Contract):
    """Undo a redemption, or a part of one of a gift card; the campaign's return policy says what becomes of it."""

    coupon: CouponReference
    redemption: Number | None = None
    """The n-th redemption of the coupon; None: the latest that was not returned."""
    amount: Annotated[Minor, Field(ge=1)] | None = None
    """Gift cards: how much of what the redemption took is given back; None: all that is left of it."""
    reason: Reason


class VoidCoupons(Contract):
    """Take coupons out of life. Not atomic: each row has its own result."""

    coupons: Annotated[tuple[CouponReference, ...], Field(min_length=1, max_length=MAX_ROWS)]
    reason: Reason


class Waiting(Contract):
    """Whom the last slice of sliced work answers."""

    command: UUID
    reply_to: str | None = None
    reply_partition: Annotated[int, Field(strict=True)] | None = None


class WaitingForVoid(Waiting):
    """The same of a void, and how many the slices before made void, by the state they were in."""

    held: Cursor = 0
    reserved: Cursor = 0
    exported: Cursor = 0


class VoidCampaign(Contract):
    """Take every held or reserved coupon of a campaign out of life, in slices; codes that nobody holds stay usable.

    It is answered, with the number of all, when the last slice is done. A dry run says how many there are.
    """

    reason: Reason
    after: Cursor = 0
    waiting: WaitingForVoid | None = None
    """Core's own."""


class CouponFilter(Contract):
    """Which coupons of a campaign are meant, and which codes that nobody holds: all that is given must hold.

    Codes that were exported and that nobody holds have no user and no time of issue, so they are meant only where
    nothing is asked about these.
    """

    states: Annotated[tuple[Literal["held", "reserved", "exported"], ...], Field(max_length=3)] = ()
    """None given: all three. `exported`: codes taken out of the platform that nobody holds."""
    issued_from: Instant | None = None
    issued_before: Instant | None = None
    users: Annotated[tuple[UserId, ...], Field(max_length=MAX_ROWS)] = ()
    user_prefix: UserId | None = None
    """What the user's id begins with."""
    first: Number | None = None
    """The least coupon number; of generated codes also of those that nobody holds."""
    last: Number | None = None
    """The greatest one."""

    @model_validator(mode="after")
    def _something_to_go_by(self) -> Self:
        if not self.model_dump(exclude_defaults=True):
            raise ValueError("say which coupons: a state, a time, a user or a number at least")
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ValueError("`last` must not be less than `first`")
        if self.issued_from is not None and self.issued_before is not None and self.issued_before <= self.issued_from:
            raise ValueError("`issued_before` must lie after `issued_from`")
        return self


class VoidMatching(Contract):
    """Take the coupons and codes of a campaign that match out of life, in slices. A dry run says how many there are.

    Meant is what the campaign has when the command is decided; a coupon is looked at when its slice comes. It is
    answered, with the number of all, when the last slice is done.
    """

    matching: CouponFilter
    reason: Reason
    after: Cursor = 0
    upto: Cursor = 0
    """The greatest number when the command was decided; core's own."""
    waiting: WaitingForVoid | None = None
    """Core's own."""


class RunDue(Contract):
    """Lane-wide: let happen what is due in this lane up to its clock. Written by core only."""

    partition: Annotated[int, Field(ge=0, strict=True)]
    until: Instant
    part: Annotated[int, Field(ge=0, strict=True)] = 0
    waiting: Waiting | None = None


class AdvanceClock(Contract):
    """Lane-wide, told time only: move the lane's clock forward to `to`; answered when all that became due is done."""

    partition: Annotated[int, Field(ge=0, strict=True)]
    to: Instant


SumByCurrency = dict[Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")], Minor]


class BuildingRules(Contract):
    """What campaigns may be: the platform's, or one merchant's override (which wins field by field).

    They are asked when a campaign is made, activated or amended, and when its quantity changes.
    """

    kinds: (
        tuple[Literal["amount_off", "percent_off", "fixed_price", "free_item", "merchant_decided", "gift_card"], ...]
        | None
    ) = None
    supplies: tuple[Literal["generated", "shared", "uploaded", "given"], ...] | None = None
    greatest_percent: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = None
    """Basis points."""
    greatest_amount: SumByCurrency | None = None
    """Minor units by currency: of an amount off, a gift card's balance, and the cap that a fixed price, a free item
    and what the merchant decides then need. Percentages have `greatest_percent`."""
    greatest_balance: SumByCurrency | None = None
    """Of a gift card, instead of `greatest_amount`."""
    greatest_budget: SumByCurrency | None = None
    """Minor units by currency; a campaign in one of these currencies then needs a budget."""
    greatest_quantity: Count | None = None
    """A campaign then needs a quantity."""
    greatest_uses: Annotated[int, Field(ge=1, le=1_000, strict=True)] | None = None
    """Of each coupon; a gift card has no such count."""
    greatest_per_user: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    """Coupons of one campaign that one user may get; a campaign then needs a limit per user."""
    longest_days: Annotated[int, Field(ge=1, le=36_500, strict=True)] | None = None
    eligibility: Flag | None = None
    """Whether campaigns may have a rule that says who may have or use a coupon."""
    attributes: Annotated[tuple[AttributeName, ...], Field(max_length=100)] | None = None
    """The attributes of users that such rules may ask for; none in it: no attribute at all."""
    least_code_length: Annotated[int, Field(ge=1, le=64, strict=True)] | None = None
    """Symbols that are filled in codes of an own pattern, prefix and suffix not counted."""
    least_codes_per_coupon: Number | None = None
    """How many codes of an own pattern there must be for each coupon: who guesses needs so many tries on average."""
    partners: Annotated[tuple[Party, ...], Field(max_length=1_000)] | None = None
    """Parties that a campaign may name in `redeemable_by` and `senders`. Where nobody states it, a merchant's campaign
    may name none, and the platform's any: a till takes only coupons to which its merchant, or the platform, agreed."""
    required: tuple[Literal["minimum_spend", "per_user_limit", "quantity", "budget", "cap"], ...] | None = None
    """Terms a campaign must have; `cap` where the discount is not a fixed amount or a balance."""


class SetBuildingRules(Contract):
    """Lane-wide: building rules of the platform (`party` = platform) or of one merchant, with a version."""

    partition: Annotated[int, Field(ge=0, strict=True)]
    party: Party
    version: Number
    rules: BuildingRules


class SetCodeKey(Contract):
    """Lane-wide: the version of the code key under which codes are made from now on; it only goes up."""

    partition: Annotated[int, Field(ge=0, strict=True)]
    version: Annotated[int, Field(ge=1, le=31, strict=True)]


class SetMerchant(Contract):
    """Lane-wide: a merchant's state; a suspended or closed one has every command refused."""

    partition: Annotated[int, Field(ge=0, strict=True)]
    merchant: UUID
    version: Number
    state: Literal["active", "suspended", "closed"]


ToolRight = Literal["generate", "issue", "redeem", "void", "manage"]


class SetTool(Contract):
    """Lane-wide: a Kafka tool's rights, and the one topic it may be answered on."""

    partition: Annotated[int, Field(ge=0, strict=True)]
    tool: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    version: Number
    key_versions: tuple[Annotated[int, Field(strict=True)], ...]
    rights: tuple[ToolRight, ...]
    reply_topic: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")] | None = None
    active: Flag = True


COMMANDS: tuple[type[Contract], ...] = (
    GenerateCampaign,
    ActivateCampaign,
    AmendCampaign,
    PublishCampaign,
    GenerateCodes,
    CancelGeneration,
    UnpublishCampaign,
    PauseCampaign,
    ResumeCampaign,
    StopCampaign,
    ChangeQuantity,
    UploadCodes,
    ExportCodes,
    IssueCoupons,
    ClaimCoupon,
    ReserveCoupon,
    ReleaseCoupon,
    RedeemCoupon,
    ReturnCoupon,
    VoidCoupons,
    VoidCampaign,
    VoidMatching,
    RunDue,
    AdvanceClock,
    SetBuildingRules,
    SetCodeKey,
    SetMerchant,
    SetTool,
)
LANE_WIDE: frozenset[type[Contract]] = frozenset(
    {RunDue, AdvanceClock, SetBuildingRules, SetCodeKey, SetMerchant, SetTool}
)


def type_of(command: type[Contract]) -> str:
    """The CloudEvents type of a command class, such as `scrip.command.RedeemCoupon.v1`."""
    return f"scrip.command.{command.__name__}.v1"


class CommandRecord(Contract):
    """The envelope of a command: CloudEvents 1.0, structured JSON. Concrete classes fix `type` and `data`."""

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    """The command id: the same id with the same data is answered again and has no second effect. Use it for one
    campaign only: in the lane of another it is another command, in the same lane it is refused."""
    source: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    type: str
    subject: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """The campaign id, and the record's key; lane-wide commands: `lane-<n>`."""
    datacontenttype: Literal["application/json"] = "application/json"
    party: Party
    """For whom it acts: `platform` or a merchant's id."""
    actor: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
    """Who acts: `merchant:<id>/<terminal label>`, `staff:<name>`, `tool:<name>`, `app:<name>`, `service:<name>`."""
    notafter: Instant
    """A record appended later than this is a dead letter `too_late`. At most 30 days ahead of the record."""
    at: Instant | None = None
    """Told time only: the moment at which this happens."""
    replyto: Annotated[str, StringConstraints(max_length=249)] | None = None
    replypartition: Annotated[int, Field(ge=0, strict=True)] | None = None
    redrive: Flag = False
    """An operator sends a dead letter's command again; replaces its outcome."""
    redriveof: Annotated[str, StringConstraints(pattern=r"^[a-z0-9:-]{1,100};k=[0-9]{1,9}$")] | None = None
    """Of a redrive: who had signed the command, as its signature named it (`tool:till;k=1`). It may do what that writer
    may when it is decided, and nothing more; only the gateway's word counts."""
    dryrun: Flag = False
    """Only say what would happen: it is decided on a view that is thrown away, and answered without codes. Nothing is
    kept of it: no state, no event, no number, no outcome, no refusal."""
    traceparent: Annotated[str, StringConstraints(max_length=64)] | None = None
    data: Any


def _record_class(command: type[Contract]) -> type[CommandRecord]:
    fixed: Any = Literal[type_of(command)]
    made = create_model(
        f"{command.__name__}Record",
        __base__=CommandRecord,
        type=(fixed, type_of(command)),
        data=(command, ...),
    )
    return cast("type[CommandRecord]", made)


RECORD_CLASSES: dict[type[Contract], type[CommandRecord]] = {command: _record_class(command) for command in COMMANDS}
_union: Any = RECORD_CLASSES[COMMANDS[0]]
for _record in list(RECORD_CLASSES.values())[1:]:
    _union = _union | _record
COMMAND_RECORD: TypeAdapter[CommandRecord] = TypeAdapter(Annotated[_union, Field(discriminator="type")])
"""`COMMAND_RECORD.validate_json(bytes)` gives a CommandRecord whose `data` is one of COMMANDS, or ValidationError."""


def record_for(command: Contract, **envelope: Any) -> CommandRecord:
    """The record of a command; the envelope's fields by name (id, source, subject, party, actor, notafter, …)."""
    return RECORD_CLASSES[type(command)](data=command, **envelope)
