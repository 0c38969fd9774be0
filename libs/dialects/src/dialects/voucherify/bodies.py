"""What is read from the bodies of Voucherify's clients."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from contracts.fields import CodeText, Minor, OrderId, UserId
from dialects.documents import MAX_ROWS
from dialects.json_body import refused_fields
from dialects.protocol import FieldProblem, invalid
from dialects.voucherify.campaigns import without_nulls
from dialects.voucherify.names import read_customer

Wanted = TypeVar("Wanted", bound="Body")


class Body(BaseModel):
    """Base of what is read from bodies. What has no effect on the outcome is let pass; see README.md."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class CustomerBody(Body):
    """Who: the merchant's own id, or the id an earlier answer named."""

    source_id: UserId | None = None
    id: str | None = None

    def user(self) -> str | None:
        """The user's id; None where none is said. Raises RequestRefused for an id that is not ours."""
        if self.source_id is not None:
            return self.source_id
        if self.id is None:
            return None
        found = read_customer(self.id)
        if found is None:
            raise invalid(
                "The customer's id is none that this API has named; send source_id.",
                FieldProblem("/customer/id", "is none that this API has named"),
                code="invalid_customer",
                status=400,
            )
        return found


class ItemBody(Body):
    """One line of an order."""

    quantity: Annotated[int, Field(ge=0, le=10**6)] = 1
    price: Minor | None = None
    amount: Minor | None = None


class OrderBody(Body):
    """An order: its number and its amount, or the amounts of its lines."""

    id: OrderId | None = None
    source_id: OrderId | None = None
    amount: Minor | None = None
    items: Annotated[list[ItemBody], Field(max_length=500)] = Field(default_factory=list)

    def number(self) -> str | None:
        """The merchant's number of the order."""
        return self.source_id or self.id

    def total(self) -> int | None:
        """The order's amount; the sum of its lines where it is not said. None where nothing says it."""
        if self.amount is not None:
            return self.amount
        sums = [
            item.amount if item.amount is not None else None if item.price is None else item.price * item.quantity
            for item in self.items
        ]
        known = [one for one in sums if one is not None]
        return sum(known) if known and len(known) == len(sums) else None


class CreditsBody(Body):
    """How much of a gift card's balance to use; None: as much as the order comes to."""

    credits: Minor | None = None


class RedeemableBody(Body):
    """What is to be used: vouchers only."""

    object: Literal["voucher"]
    id: CodeText
    gift: CreditsBody = CreditsBody()


class RedemptionBody(Body):
    """Body of validations and redemptions."""

    redeemables: Annotated[list[RedeemableBody], Field(min_length=1, max_length=1)]
    order: OrderBody = OrderBody()
    customer: CustomerBody = CustomerBody()
    tracking_id: str | None = None
    session: None = None


class SingleBody(Body):
    """Body of the calls for one voucher whose code stands in the path."""

    gift: CreditsBody = CreditsBody()
    order: OrderBody = OrderBody()
    customer: CustomerBody = CustomerBody()
    tracking_id: str | None = None


class PublicationCampaign(Body):
    """From which campaign."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    count: Literal[1] = 1


class PublicationBody(Body):
    """Body of POST /v1/publications."""

    campaign: PublicationCampaign
    customer: CustomerBody
    source_id: str | None = None
    metadata: dict[str, Any] | None = None


class AssignmentBody(Body):
    """Body of POST /v1/validation-rules/{id}/assignments: rules count for whole campaigns."""

    related_object_type: Literal["campaign"]
    related_object_id: Annotated[str, Field(min_length=1, max_length=255)]


class ImportedRedemption(Body):
    """How often an imported code may be used: once."""

    quantity: Literal[1] = 1


class ImportedVoucher(Body):
    """One code to import into a campaign."""

    code: CodeText
    redemption: ImportedRedemption = ImportedRedemption()
    active: Literal[True] = True


IMPORT: TypeAdapter[list[ImportedVoucher]] = TypeAdapter(
    Annotated[list[ImportedVoucher], Field(min_length=1, max_length=MAX_ROWS)]
)


def read_body(document: Any, kind: type[Wanted]) -> Wanted:
    """The document as a body of this kind; members that are null count as absent. Raises RequestRefused."""
    cleaned = without_nulls(document)
    try:
        return kind.model_validate(cleaned)
    except ValidationError as error:
        raise refused_fields(error, cleaned) from None
