"""What a campaign is made of: its terms and its code supply. Used by commands and repeated in events."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    create_model,
    model_validator,
)

from contracts.fields import CodeText, Contract, Count, Currency, Flag, Minor, Party, Text, written_out

Origin = Literal["internal", "external"]
CampaignState = Literal["draft", "generating", "active", "paused", "exhausted", "ended", "stopped", "failed"]
CouponState = Literal["held", "reserved", "redeemed", "burned", "voided", "expired"]


class AmountOff(Contract):
    """A fixed amount off, in minor units of the campaign's currency."""

    kind: Literal["amount_off"] = "amount_off"
    amount: Annotated[Minor, Field(ge=1)]


class PercentOff(Contract):
    """A share off in basis points (1,250 = 12.5 %), at most `cap` minor units."""

    kind: Literal["percent_off"] = "percent_off"
    basis_points: Annotated[int, Field(ge=1, le=10_000, strict=True)]
    cap: Annotated[Minor, Field(ge=1)] | None = None


class FixedPrice(Contract):
    """The goods cost `price` minor units instead of the order's amount (an exchange coupon); at most `cap` off."""

    kind: Literal["fixed_price"] = "fixed_price"
    price: Minor
    cap: Annotated[Minor, Field(ge=1)] | None = None


class FreeItem(Contract):
    """One piece of `item` is free: the order's lines say its price, of several the lowest counts; at most `cap` off."""

    kind: Literal["free_item"] = "free_item"
    item: Text
    cap: Annotated[Minor, Field(ge=1)] | None = None


class MerchantDecided(Contract):
    """The merchant names the discount when the coupon is redeemed: at most `cap`, never more than the order."""

    kind: Literal["merchant_decided"] = "merchant_decided"
    cap: Annotated[Minor, Field(ge=1)] | None = None


class GiftCard(Contract):
    """Each coupon has a balance of its own, from which orders are paid in parts until it is empty."""

    kind: Literal["gift_card"] = "gift_card"
    balance: Annotated[Minor, Field(ge=1)]
    """With which each coupon begins."""


Discount = Annotated[
    AmountOff | PercentOff | FixedPrice | FreeItem | MerchantDecided | GiftCard, Field(discriminator="kind")
]
Rounding = Literal["half_up", "down", "up"]
"""How a percentage becomes whole minor units: to the nearest (halves up), down, or up."""


@cache
def _zones() -> frozenset[str]:
    # Reads the whole zone folder. `localtime` is whatever the machine is set to: each would decide otherwise.
    return frozenset(available_timezones() - {"localtime"})


def _known_zone(value: str) -> str:
    if value not in _zones():
        raise ValueError(f"{value!r} is not an IANA time zone such as Asia/Shanghai")
    return value


Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_zone)]
_OFFSET = re.compile(r"(Z|z|[+-]\d\d:?\d\d)$")


def _day_or_instant(value: object) -> object:
    """Else a midnight without its offset would be taken for a day."""
    value = written_out(value)
    local = (
        len(value) > 10 and not _OFFSET.search(value)
        if isinstance(value, str)
        else (isinstance(value, datetime) and value.tzinfo is None)
    )
    if local:
        raise ValueError("must say its offset from UTC, as 2026-03-31T12:00:00+02:00 does, or be a day alone")
    return value


Moment = Annotated[AwareDatetime | date, Field(union_mode="left_to_right"), BeforeValidator(_day_or_instant)]
"""An instant, or a whole day (2026-03-31)."""


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Days = Annotated[int, Field(ge=1, le=3_650, strict=True)]


class WeeklyHours(Contract):
    """Hours of some weekdays as the clocks of the campaign's zone show them: `opens` inclusive, `closes` exclusive.

    Where `closes` is not after `opens` it is the next day's: fri 22:00 to 02:00 ends on Saturday.
    """

    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7)]
    opens: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "00:00"
    closes: Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")] = "24:00"


class TimeRange(Contract):
    """One stretch of time: `starts` inclusive, `ends` exclusive; a date-only end includes that day."""

    starts: Moment
    ends: Moment


class Validity(Contract):
    """When coupons may be used: `starts` inclusive, `ends` exclusive.

    A date without a time means the whole day in `zone`: a date-only end includes that day.
    """

    starts: Moment
    ends: Moment
    zone: Zone = "UTC"
    days_after_issue: Days | None = None
    """Each coupon lasts so many calendar days of `zone`, its first one included, and never beyond `ends`.

    Its first day is the one it was issued on, or `starts` where that is later, or the one after the waiting days."""
    waiting_days: Annotated[int, Field(ge=0, le=3_650, strict=True)] = 0
    """So many calendar days after that day a coupon may be used for the first time: 1 is from the next midnight on."""
    weekly: Annotated[tuple[WeeklyHours, ...], Field(max_length=50)] = ()
    """Coupons may be used only while one of these, or one of `irregular`, is open; none of both: at any time."""
    irregular: Annotated[tuple[TimeRange, ...], Field(max_length=200)] = ()
    """More times at which coupons may be used, beside `weekly`."""


CHARSETS = {
    "digits": "0123456789",
    "letters": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "letters_and_digits": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "no_look_alikes": "0123456789ABCDEFGHJKMNPQRSTVWXYZ",
}
MOST_CODES_OF_A_PATTERN = 2**64
MOST_SYMBOLS_OF_A_CODE = 64


class CodePattern(Contract):
    """How the codes of a campaign look: prefix, `length` symbols of the charset, suffix. Case and dashes do not matter.

    A code leads to its coupon by arithmetic, so one pattern has at most 2^64 codes (12 places of letters and digits).
    """

    prefix: Annotated[str, StringConstraints(max_length=20, pattern=r"^([0-9A-Za-z][0-9A-Za-z_-]*)?$")] = ""
    charset: Annotated[
        str, StringConstraints(pattern=r"^(digits|letters|letters_and_digits|no_look_alikes|[0-9A-Z]{2,36})$")
    ] = "no_look_alikes"
    """`digits`, `letters`, `letters_and_digits`, `no_look_alikes` (without I, L, O, U), or the symbols themselves."""
    length: Annotated[int, Field(ge=1, le=64, strict=True)]
    suffix: Annotated[str, StringConstraints(max_length=20, pattern=r"^[0-9A-Za-z_-]*$")] = ""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        symbols = self.symbols()
        if len(self.prefix) + self.length + len(self.suffix) > MOST_SYMBOLS_OF_A_CODE:
            raise ValueError(f"prefix, symbols and suffix are longer than {MOST_SYMBOLS_OF_A_CODE} characters together")
        if len(set(symbols)) < len(symbols):
            raise ValueError("a symbol stands in the charset twice")
        if self.space() > MOST_CODES_OF_A_PATTERN:
            most = next(length for length in range(64, 0, -1) if len(symbols) ** length <= MOST_CODES_OF_A_PATTERN)
            raise ValueError(f"with {len(symbols)} symbols the length is {most} at most; use prefix or suffix for more")
        return self

    def symbols(self) -> str:
        """The symbols that fill the places."""
        return CHARSETS.get(self.charset, self.charset)

    def space(self) -> int:
        """How many codes there can be."""
        return int(len(self.symbols()) ** self.length)


class GeneratedSupply(Contract):
    """Scrip makes the codes; none is stored before somebody holds it."""

    kind: Literal["generated"] = "generated"
    pattern: CodePattern | None = None
    """How they look; None: 12 symbols without look-alikes, of which a wrong one is refused by arithmetic."""
    stored: Flag = False
    """Write every code down first (a job with progress), so that all can be listed before somebody holds one."""


class SharedSupply(Contract):
    """One public code for all holders; a coupon is found by campaign, code and user."""

    kind: Literal["shared"] = "shared"
    code: CodeText


class UploadedSupply(Contract):
    """Unique codes that are uploaded and given out in the order they came."""

    kind: Literal["uploaded"] = "uploaded"


class GivenSupply(Contract):
    """The merchant names the code at each issue."""

    kind: Literal["given"] = "given"


Supply = Annotated[GeneratedSupply | SharedSupply | UploadedSupply | GivenSupply, Field(discriminator="kind")]
ReturnPolicy = Literal["usable_again", "usable_if_not_expired", "burned"]


AttributeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")]
AttributeType = Literal["string", "int", "double", "bool", "strings"]
"""`strings` is a list of texts."""


class Eligibility(Contract):
    """Who may have a coupon, or use one: a CEL expression (cel.dev) that says true or false.

    It may name the attributes it declares, `user` (the user's id), and at redemption `amount` (of the order, in minor
    units) and `items` (a list of the names of the order's items). It `matches` two patterns at most, each of up to 60
    characters of ASCII without backslash, and of no more when all that it repeats is written out: `[0-9]{6}` is six.
    """

    expression: Annotated[str, StringConstraints(min_length=1, max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]+$")]
    attributes: Annotated[dict[AttributeName, AttributeType], Field(max_length=20)] = Field(default_factory=dict)
    """Attributes of the user that the expression names, and their types. Only these travel in a command."""
    applies_at: Literal["issue", "redeem", "both"] = "issue"
    """`issue` is claim, too."""
    users_of: Party | None = None
    """The merchant of whose users, as they were fetched from it, the attributes are; None: the campaign's owner."""


class Terms(Contract):
    """What a campaign promises and to whom. Amounts in minor units of `currency`."""

    name: Text
    currency: Currency
    discount: Discount
    rounding: Rounding = "half_up"
    minimum_spend: Minor = 0
    uses: Annotated[int, Field(ge=1, le=1_000, strict=True)] = 1
    """How often each coupon may be redeemed; it stays held until no use is left. A gift card has no such count."""
    budget: Annotated[Minor, Field(ge=1)] | None = None
    """What all discounts may come to. A coupon reserves its greatest discount and spends the real one."""
    validity: Validity
    per_user_limit: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    per_user_day_limit: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    """Coupons one user may get on one calendar day of the campaign's zone."""
    per_day_limit: Count | None = None
    """Coupons issued on one calendar day of the zone; codes that left as bearer codes are not counted."""
    per_week_limit: Count | None = None
    """The same from Monday to Sunday."""
    per_month_limit: Count | None = None
    eligibility: Eligibility | None = None
    low_pool_at: Count | None = None
    """When no more than so many coupons (or uploaded codes) are left, `campaign.pool_low` tells it."""
    price: Minor = 0
    """What a user pays to claim one; 0 is free."""
    listed: Flag = True
    """Stands in the catalogue while it is live."""
    return_policy: ReturnPolicy = "usable_again"
    redeemable_by: tuple[Party, ...] = ()
    """Parties besides the owner at which coupons may be redeemed."""
    senders: tuple[Party, ...] = ()
    """Parties besides the owner that may issue."""
    metadata: Annotated[
        dict[
            Annotated[str, StringConstraints(max_length=40, pattern=r"^[^\x00]*$")],
            Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")],
        ],
        Field(max_length=50),
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _a_gift_card_counts_money(self) -> Self:
        if self.discount.kind == "gift_card" and self.uses != 1:
            raise ValueError("a gift card may be used until it is empty: leave uses out")
        return self

    @model_validator(mode="after")
    def _parties_are_few(self) -> Self:
        if len(self.redeemable_by) > 100 or len(self.senders) > 100:
            raise ValueError("redeemable_by and senders take at most 100 parties each")
        return self


if TYPE_CHECKING:

    class TermsChange(Contract):
        """Terms of which each may be left out: None changes nothing."""

    ClearableTerm = str
else:
    _hints = get_type_hints(Terms, include_extras=True)
    _fields: dict[str, Any] = {name: (_hints[name] | None, None) for name in Terms.model_fields}
    TermsChange = create_model("TermsChange", __base__=Contract, __module__=__name__, **_fields)
    TermsChange.__doc__ = "Terms of which each may be left out: None changes nothing."
    ClearableTerm = Literal[tuple(name for name, field in Terms.model_fields.items() if not field.is_required())]
