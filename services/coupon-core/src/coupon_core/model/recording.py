"""Event bytes. Hand-made for the events that come by the hundred thousand, equal to what the contract's models write.

A test compares each with `EventRecord` of `contracts.events`. Event bytes hold nothing of a process, an epoch or a run.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring as quoted

from contracts.events import EVENT_TYPES
from contracts.fields import Fact
from coupon_core.model.campaign import STATE_NAMES, Campaign, Coupon, Redemption
from coupon_core.model.chain import link

ISSUED = "scrip.coupon.issued.v1"
REDEEMED = "scrip.coupon.redeemed.v1"
USED = "scrip.coupon.used.v1"
EXPIRED = "scrip.coupon.expired.v1"


@lru_cache(maxsize=4_096)
def instant(moment: datetime) -> str:
    """RFC 3339 with `Z`, as pydantic writes it; `moment` is in UTC."""
    return moment.isoformat().replace("+00:00", "Z")


class Cause:
    """What all events of one command share: the command, the actor, the time; made once per command."""

    __slots__ = ("now", "tail")

    def __init__(self, command: str, actor: str, now: datetime) -> None:
        self.now = now
        self.tail = f'"causationid":"{command}","actor":{quoted(actor)}'


class Recorder:
    """Collects a campaign's events of one batch as JSON lines and gives them their numbers."""

    __slots__ = ("_now", "_own", "_time", "campaign", "first_seq", "lines")

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.first_seq = campaign.seq + 1
        self.lines: list[str] = []
        self._own = f'"owner":"{campaign.owner}","origin":"{campaign.origin}"'
        self._now: datetime | None = None
        self._time = ""

    def _line(self, cause: Cause, kind: str, subject: str, data: str) -> None:
        campaign = self.campaign
        campaign.seq += 1
        campaign.changed = True
        if cause.now is not self._now:
            self._now = cause.now
            self._time = instant(cause.now)
        own = campaign.text
        line = (
            f'{{"specversion":"1.0","id":"{own}:{campaign.seq}","source":"/coupon-core","type":"{kind}",'
            f'"subject":"{subject}","time":"{self._time}","datacontenttype":"application/json",'
            f'"stream":"{own}/0","seq":{campaign.seq},{cause.tail},{self._own},"data":{data}}}'
        )
        self.lines.append(line)
        campaign.chain = link(campaign.chain, line)

    def campaign_event(self, cause: Cause, event: Fact) -> None:
        """Record something that happened to the campaign itself."""
        self._line(cause, EVENT_TYPES[type(event)], self.campaign.text, event.model_dump_json())

    def coupon_event(self, cause: Cause, number: int, event: Fact) -> None:
        """Record something that happened to one coupon."""
        self._line(cause, EVENT_TYPES[type(event)], self.campaign.coupon_id(number), event.model_dump_json())

    def issued(
        self,
        cause: Cause,
        number: int,
        user: str,
        code_last: str,
        how: str,
        order: str | None,
        paid: int | None,
        span: tuple[str, str] | None = None,
    ) -> None:
        """`CouponIssued`; `span` from when until when it may be used, as text, where that is the coupon's own."""
        valid = '"valid_from":null,"valid_until":null'
        if span is not None:
            valid = f'"valid_from":"{span[0]}","valid_until":"{span[1]}"'
        self._line(
            cause,
            ISSUED,
            self.campaign.coupon_id(number),
            f'{{"coupon":{number},"user":{quoted(user)},"code_last":{quoted(code_last)},"how":"{how}",'
            f'"order":{"null" if order is None else quoted(order)},"paid":{"null" if paid is None else paid},{valid}}}',
        )

    def redeemed(self, cause: Cause, coupon: Coupon, row: Redemption, *, kind: str = REDEEMED, more: str = "") -> None:
        """`CouponRedeemed`; `more` is what another kind says besides."""
        user, order, amount = coupon.user, row.order, row.amount
        self._line(
            cause,
            kind,
            self.campaign.coupon_id(coupon.number),
            f'{{"coupon":{coupon.number},"user":{"null" if user is None else quoted(user)},"redemption":{row.number},'
            f'"order":{"null" if order is None else quoted(order)},"amount":{"null" if amount is None else amount},'
            f'"discount":{row.discount},"currency":"{self.campaign.terms.currency}","at_party":"{row.party}"{more}}}',
        )

    def used(self, cause: Cause, coupon: Coupon, row: Redemption, left: dict[str, int]) -> None:
        """`CouponUsed`; `left` holds `uses_left` or `balance`."""
        uses, balance = left.get("uses_left", "null"), left.get("balance", "null")
        more = f',"state":"{STATE_NAMES[coupon.state]}","uses_left":{uses},"balance":{balance}'
        self.redeemed(cause, coupon, row, kind=USED, more=more)

    def expired(self, cause: Cause, number: int, user: str | None, due: str) -> None:
        """`CouponExpired`; `due` already as text."""
        self._line(
            cause,
            EXPIRED,
            self.campaign.coupon_id(number),
            f'{{"coupon":{number},"user":{"null" if user is None else quoted(user)},"due":"{due}"}}',
        )
