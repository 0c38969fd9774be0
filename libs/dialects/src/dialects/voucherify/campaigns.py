"""Campaigns, both ways: what a Voucherify client says of one, and what it is told of one."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from contracts.campaigns import (
    AmountOff,
    Discount,
    FixedPrice,
    GiftCard,
    PercentOff,
    Terms,
    UploadedSupply,
    Validity,
)
from contracts.commands import GenerateCampaign, PublishCampaign
from contracts.fields import Contract
from contracts.identifiers import campaign_id
from dialects.calls import CreateCampaign
from dialects.json_body import refused_fields
from dialects.protocol import FieldProblem, Profile, invalid
from dialects.voucherify.codes import MAX_CODES, CodeConfig, make_codes
from dialects.voucherify.names import campaign_text
from dialects.voucherify.rules import assignments_object, rule_of_campaign
from dialects.voucherify.times import DaysOfWeek, HoursBody, TimeframeBody, times_object, times_of

UNSTATED_START, UNSTATED_END = date(2000, 1, 1), date(2099, 12, 31)
"""A Voucherify campaign need not say when it starts or ends. Fixed days, so that a repeated request is the same."""
OWN = "voucherify:"
"""Prefix of metadata that keeps what only Voucherify's clients know."""
NOT_TEXT = "json:"
"""Prefix of metadata values that are not text."""
CREATE = "create"
"""Request number of every creation: the name alone tells campaigns apart."""

CAMPAIGN_TYPES = {"DISCOUNT_VOUCHER": "DISCOUNT_COUPONS", "GIFT_VOUCHER": "GIFT_VOUCHERS"}
Number = int | Decimal
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class DiscountBody(Contract):
    """A discount. Only whole orders; units, formulas and product discounts are refused by name."""

    type: Literal["AMOUNT", "PERCENT", "FIXED"]
    amount_off: Number | None = None
    percent_off: Number | None = None
    fixed_amount: Number | None = None
    amount_limit: Number | None = None
    effect: Literal["APPLY_TO_ORDER"] | None = None
    is_dynamic: Literal[False] | None = None

    def canonical(self) -> Discount:
        """The discount in minor units and basis points. Raises RequestRefused."""
        cap = None if self.amount_limit is None else _whole(self.amount_limit, "amount_limit")
        if self.type == "PERCENT":
            return PercentOff(
                basis_points=_whole(_there(self.percent_off, "percent_off") * 100, "percent_off"), cap=cap
            )
        if cap is not None:
            raise _invalid("voucher/discount/amount_limit", "limits percentages only")
        if self.type == "AMOUNT":
            return AmountOff(amount=_whole(_there(self.amount_off, "amount_off"), "amount_off"))
        return FixedPrice(price=_whole(_there(self.fixed_amount, "fixed_amount"), "fixed_amount"))


class GiftBody(Contract):
    """What each gift card holds at first, in minor units."""

    amount: Number
    effect: Literal["APPLY_TO_ORDER"] | None = None

    def canonical(self) -> Discount:
        """The gift card. Raises RequestRefused."""
        amount = _whole(self.amount, "amount", "gift")
        if amount < 1:
            raise _invalid("voucher/gift/amount", "must be 1 or more")
        return GiftCard(balance=amount)


class RedemptionBody(Contract):
    """How often each code may be used; of gift cards nothing is said: they may be used until they are empty."""

    quantity: Annotated[int, Field(ge=1, le=1_000, strict=True)] | None = None


class VoucherBody(Contract):
    """What every voucher of the campaign is."""

    type: Literal["DISCOUNT_VOUCHER", "GIFT_VOUCHER"]
    discount: DiscountBody | None = None
    gift: GiftBody | None = None
    code_config: CodeConfig | None = None
    redemption: RedemptionBody | None = None
    is_referral_code: Literal[False] | None = None

    def canonical(self) -> Discount:
        """What the voucher is worth. Raises RequestRefused."""
        wanted, other = (self.gift, self.discount) if self.type == "GIFT_VOUCHER" else (self.discount, self.gift)
        name, others = ("gift", "discount") if self.type == "GIFT_VOUCHER" else ("discount", "gift")
        if other is not None:
            raise _invalid(f"voucher/{others}", f"does not go with a {self.type}")
        if wanted is None:
            raise _invalid(f"voucher/{name}", "is missing")
        return wanted.canonical()

    def uses(self) -> int:
        """How often each may be used. Raises RequestRefused."""
        quantity = None if self.redemption is None else self.redemption.quantity
        if quantity is not None and self.type == "GIFT_VOUCHER":
            raise _invalid("voucher/redemption/quantity", "must be null: a gift card may be used until it is empty")
        return quantity or 1


class CampaignBody(Contract):
    """Body of POST /v1/campaigns, as far as it is offered; everything else is refused by name."""

    name: Name
    description: Annotated[str, StringConstraints(max_length=500)] | None = None
    campaign_type: Literal["DISCOUNT_COUPONS", "GIFT_VOUCHERS"] | None = None
    type: Literal["STATIC", "AUTO_UPDATE"] = "STATIC"
    vouchers_count: Annotated[int, Field(ge=0, le=MAX_CODES, strict=True)] | None = None
    start_date: str | None = None
    expiration_date: str | None = None
    validity_day_of_week: DaysOfWeek | None = None
    validity_hours: HoursBody | None = None
    validity_timeframe: TimeframeBody | None = None
    voucher: VoucherBody
    metadata: Annotated[dict[str, Any], Field(max_length=40)] = Field(default_factory=dict)
    join_once: Literal[False] | None = None
    auto_join: Literal[False] | None = None
    use_voucher_metadata_schema: Literal[False] | None = None
    validation_rules: Annotated[tuple[str, ...], Field(max_length=1)] | None = None


def create(document: Any, profile: Profile) -> CreateCampaign:
    """A campaign to make: generated where codes are ordered (`vouchers_count`), else published for codes to come.

    Raises RequestRefused.
    """
    if unlimited(document):
        raise _invalid("voucher/redemption/quantity", "must be 1 to 1,000: codes without limit are not offered")
    try:
        body = CampaignBody.model_validate(without_nulls(document))
    except ValidationError as error:
        raise refused_fields(error, document) from None
    kind = CAMPAIGN_TYPES[body.voucher.type]
    if body.campaign_type not in (None, kind):
        raise _invalid("campaign_type", f"must be {kind} for a {body.voucher.type}")
    own: dict[str, str] = {OWN + "type": body.type}
    if body.description:
        own[OWN + "description"] = body.description
    config = body.voucher.code_config
    if config is not None:
        own[OWN + "code_config"] = config.model_dump_json(exclude_none=True)
    metadata = {key: _as_text(value) for key, value in body.metadata.items()}
    if any(key.startswith(OWN) for key in metadata):
        raise _invalid("metadata", f"keys that begin with {OWN} are kept for us")
    starts, ends = _moment(body.start_date, "start_date"), _moment(body.expiration_date, "expiration_date")
    days, hours, frame = body.validity_day_of_week, body.validity_hours, body.validity_timeframe
    weekly, irregular = times_of(days, hours, frame, starts, ends)
    try:
        terms = Terms(
            name=body.name,
            currency=profile.currency,
            discount=body.voucher.canonical(),
            uses=body.voucher.uses(),
            minimum_spend=rule_of_campaign(body.validation_rules),
            validity=Validity(
                starts=starts or UNSTATED_START,
                ends=ends or UNSTATED_END,
                zone=profile.zone,
                weekly=weekly,
                irregular=irregular,
            ),
            metadata=metadata | own,
        )
    except ValidationError as error:
        raise refused_fields(error, {}) from None
    codes: tuple[str, ...] = ()
    command: GenerateCampaign | PublishCampaign
    if body.vouchers_count:
        owner_campaign = campaign_id(profile.merchant, body.name)
        codes = make_codes(config or CodeConfig(), body.vouchers_count, owner_campaign, profile.secret)
        command = GenerateCampaign(terms=terms, supply=UploadedSupply())
    else:
        command = PublishCampaign(terms=terms, supply=UploadedSupply())
    return CreateCampaign(request=CREATE, natural_key=body.name, command=command, codes=codes, with_campaign=True)


def unlimited(document: Any) -> bool:
    """Whether the document says that each code may be used without limit (quantity null), and is no gift card."""
    voucher = document.get("voucher") if isinstance(document, dict) else None
    if isinstance(voucher, dict) and voucher.get("type") == "GIFT_VOUCHER":
        return False
    redemption = voucher.get("redemption") if isinstance(voucher, dict) else None
    return isinstance(redemption, dict) and "quantity" in redemption and redemption["quantity"] is None


def without_nulls(value: Any) -> Any:
    """The document without members that are null: clients send them for what they did not set."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def campaign_object(campaign: dict[str, Any]) -> dict[str, Any]:
    """A campaign as core shows it, in Voucherify's shape."""
    terms = campaign["terms"]
    own, metadata = split_metadata(terms)
    made = instant(campaign["created_at"])
    kind = voucher_type(terms)
    return {
        "id": campaign_text(campaign["id"]),
        "name": campaign["name"],
        "description": own.get("description"),
        "campaign_type": CAMPAIGN_TYPES[kind],
        "type": own.get("type", "STATIC"),
        "voucher": {
            "type": kind,
            **worth(terms),
            "redemption": {"quantity": uses(terms)},
            "code_config": json.loads(own["code_config"]) if "code_config" in own else {},
            "is_referral_code": False,
        },
        "auto_join": False,
        "join_once": False,
        "use_voucher_metadata_schema": False,
        "vouchers_count": voucher_count(campaign),
        **dates(campaign),
        **times_object(terms["validity"]),
        "active": campaign["state"] in ("active", "exhausted"),
        "metadata": metadata,
        "created_at": made,
        "updated_at": None,
        "category": None,
        "category_id": None,
        "categories": [],
        "creation_status": "DONE",
        "vouchers_generation_status": "DONE",
        "protected": False,
        "object": "campaign",
        "referral_program": None,
        "validation_rules_assignments": assignments_object(terms, campaign["id"], made),
    }


def voucher_count(campaign: dict[str, Any]) -> int:
    """How many codes a campaign has: those held or used by somebody, and those nobody holds."""
    return (
        int(campaign.get("issued") or 0)
        + int(campaign.get("available_codes") or 0)
        + int(campaign.get("exported") or 0)
    )


def voucher_type(terms: dict[str, Any]) -> str:
    """What Voucherify calls the vouchers of canonical terms."""
    return "GIFT_VOUCHER" if terms["discount"]["kind"] == "gift_card" else "DISCOUNT_VOUCHER"


def uses(terms: dict[str, Any]) -> int | None:
    """How often each voucher may be used; None: until its balance is empty."""
    return None if terms["discount"]["kind"] == "gift_card" else int(terms.get("uses", 1))


def worth(terms: dict[str, Any], balance: int | None = None) -> dict[str, Any]:
    """`discount` and `gift` of a voucher, of which one is null; `balance` is what is left on a gift card."""
    if terms["discount"]["kind"] != "gift_card":
        return {"discount": discount_object(terms), "gift": None}
    amount = int(terms["discount"]["balance"])
    left = amount if balance is None else balance
    return {
        "discount": None,
        "gift": {"amount": amount, "subtracted_amount": 0, "balance": left, "effect": "APPLY_TO_ORDER"},
    }


def discount_object(terms: dict[str, Any]) -> dict[str, Any]:
    """The discount of canonical terms."""
    discount = terms["discount"]
    match discount["kind"]:
        case "amount_off":
            return {"type": "AMOUNT", "amount_off": discount["amount"], "effect": "APPLY_TO_ORDER", "is_dynamic": False}
        case "percent_off":
            percent = Decimal(discount["basis_points"]) / 100
            made = {
                "type": "PERCENT",
                "percent_off": int(percent) if percent == percent.to_integral_value() else float(percent),
                "effect": "APPLY_TO_ORDER",
                "is_dynamic": False,
            }
            if discount.get("cap") is not None:
                made["amount_limit"] = discount["cap"]
            return made
        case "fixed_price":
            return {"type": "FIXED", "fixed_amount": discount["price"], "effect": "APPLY_TO_ORDER", "is_dynamic": False}
        case _:
            # A kind Voucherify has no word for: no amount is said rather than a wrong one.
            return {"type": "AMOUNT", "effect": "APPLY_TO_ORDER", "is_dynamic": True}


def dates(campaign: dict[str, Any]) -> dict[str, str | None]:
    """Start and end; null where the merchant never said any."""
    validity = campaign["terms"]["validity"]
    starts, ends = validity["starts"], validity["ends"]
    return {
        "start_date": None if starts == UNSTATED_START.isoformat() else instant(campaign["starts"]),
        "expiration_date": None if ends == UNSTATED_END.isoformat() else instant(campaign["ends"]),
    }


def split_metadata(terms: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """What is kept for Voucherify's clients only, and the merchant's own metadata."""
    metadata = terms.get("metadata") or {}
    own = {key[len(OWN) :]: value for key, value in metadata.items() if key.startswith(OWN)}
    rest = {key: _from_text(value) for key, value in metadata.items() if not key.startswith(OWN)}
    return own, rest


def _as_text(value: Any) -> str:
    if isinstance(value, str) and not value.startswith(NOT_TEXT):
        return value
    return NOT_TEXT + json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=float)


def _from_text(value: str) -> Any:
    if not value.startswith(NOT_TEXT):
        return value
    try:
        return json.loads(value[len(NOT_TEXT) :])
    except ValueError:
        return value


def _moment(text: str | None, field: str) -> date | datetime | None:
    """A day, or an instant (UTC where no zone is said). Raises RequestRefused."""
    if text is None:
        return None
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid(field, "must be a date or an instant in ISO 8601") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def instant(value: str) -> str:
    moment = datetime.fromisoformat(value).astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _there(value: Number | None, field: str) -> Decimal:
    if value is None:
        raise _invalid(f"voucher/discount/{field}", "is missing")
    return Decimal(value)


def _whole(value: Number, field: str, of: str = "discount") -> int:
    if value != int(value) or not 0 <= value <= 10**15:
        raise _invalid(f"voucher/{of}/{field}", "cannot be said in whole minor units, or hundredths of a percent")
    return int(value)


def _invalid(field: str, detail: str) -> Exception:
    return invalid(
        f"`{field}` {detail}.", FieldProblem(f"/{field}", detail), code="invalid_campaign_params", status=400
    )
