"""The canonical documents of requests: what `scrip` takes as JSON and what a declared mapping makes.

Each knows the call it stands for; what a dialect says outside the document (request number, campaign in the path)
comes as `Named`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from contracts import commands
from contracts.campaigns import (
    ClearableTerm,
    GeneratedSupply,
    GivenSupply,
    SharedSupply,
    Terms,
    TermsChange,
    UploadedSupply,
)
from contracts.commands import CouponReference, IssueRow, OrderItem
from contracts.fields import CodeText, Contract, Count, Flag, Minor, OrderId, Reason, UserId
from contracts.identifiers import split_coupon_id
from dialects.calls import (
    Call,
    CampaignCommand,
    CampaignName,
    ChangeCampaign,
    ChangeCoupon,
    CouponCommand,
    CreateCampaign,
    FindCoupons,
    GetCampaign,
    IssueToUsers,
    UploadCodeList,
    ValidateCoupon,
)
from dialects.protocol import FieldProblem, invalid

MAX_ROWS = 50_000
"""Users or codes in one request."""

OrderItems = Annotated[tuple[OrderItem, ...], Field(max_length=100)]
NaturalKey = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


@dataclass(frozen=True, slots=True)
class Named:
    """What a request says outside its document."""

    request: str | None = None
    """The request number; None where there is none and every request is a new one."""
    campaign: CampaignName | None = None
    natural_key: str | None = None
    """Under which a campaign is made."""
    wait: bool = True
    dry_run: bool = False

    def a_campaign(self) -> CampaignName:
        """The campaign. Raises RequestRefused where none is named."""
        if self.campaign is None:
            raise invalid("Name the campaign.", FieldProblem("/campaign", "is missing"))
        return self.campaign


class Document(Contract):
    """Base of all documents."""

    def call(self, named: Named) -> Call:
        """What the document asks for. Raises RequestRefused where something it needs is not named."""
        raise NotImplementedError


def _is_coupon_id(text: str) -> str:
    split_coupon_id(text)
    return text


CouponId = Annotated[str, Field(max_length=64), AfterValidator(_is_coupon_id)]


class CampaignDocument(Terms, Document):
    """The terms of a campaign, flat, beside its quantity."""

    quantity: Count | None = None
    """Coupons that may be issued."""

    def terms(self) -> Terms:
        """The terms alone."""
        return Terms(**{name: getattr(self, name) for name in Terms.model_fields})

    def _create(
        self,
        named: Named,
        command: commands.GenerateCampaign | commands.PublishCampaign,
        codes: tuple[str, ...] = (),
    ) -> Call:
        key = named.natural_key or named.request
        if key is None:
            raise invalid("A campaign needs a key of yours, so that a retry meets it instead of making a second one.")
        return CreateCampaign(
            request=named.request or key,
            wait=named.wait,
            dry_run=named.dry_run,
            natural_key=key,
            command=command,
            codes=codes,
        )


class PublishDocument(CampaignDocument):
    """A campaign the merchant made in its own system."""

    supply: Annotated[SharedSupply | UploadedSupply | GivenSupply, Field(discriminator="kind")]
    codes: Annotated[tuple[CodeText, ...], Field(max_length=MAX_ROWS)] = ()
    """For `uploaded` supplies: codes to upload at once."""

    @model_validator(mode="after")
    def _codes_only_for_uploads(self) -> Self:
        if self.codes and self.supply.kind != "uploaded":
            raise ValueError("codes go with the supply `uploaded` only")
        return self

    def call(self, named: Named) -> Call:
        command = commands.PublishCampaign(terms=self.terms(), supply=self.supply, quantity=self.quantity)
        return self._create(named, command, self.codes)


class GenerateDocument(CampaignDocument):
    """A campaign the merchant orders from Scrip."""

    supply: Annotated[GeneratedSupply | SharedSupply, Field(discriminator="kind")] = GeneratedSupply()
    draft: Flag = False
    """Keep it as a draft until it is activated."""

    def call(self, named: Named) -> Call:
        command = commands.GenerateCampaign(
            terms=self.terms(), supply=self.supply, quantity=self.quantity, draft=self.draft
        )
        return self._create(named, command)


class ChangeDocument(Document):
    """Base of documents that change one campaign."""

    def command(self) -> CampaignCommand:
        """The command they stand for."""
        raise NotImplementedError

    def call(self, named: Named) -> Call:
        return ChangeCampaign(
            request=named.request,
            wait=named.wait,
            dry_run=named.dry_run,
            campaign=named.a_campaign(),
            command=self.command(),
        )


class ActivateDocument(ChangeDocument):
    """Bring a draft's codes into being."""

    def command(self) -> CampaignCommand:
        return commands.ActivateCampaign()


class AmendDocument(TermsChange, ChangeDocument):
    """Other terms, flat: those left out stay as they are."""

    clear: Annotated[tuple[ClearableTerm, ...], Field(max_length=50)] = ()
    """Names of terms to be as if they had not been sent, such as `per_user_limit`: no limit."""

    def command(self) -> CampaignCommand:
        change = TermsChange(**{name: getattr(self, name) for name in TermsChange.model_fields})
        return commands.AmendCampaign(terms=change, clear=self.clear)


class UnpublishDocument(ChangeDocument):
    """Take a campaign out of the catalogue."""

    def command(self) -> CampaignCommand:
        return commands.UnpublishCampaign()


class PauseDocument(ChangeDocument):
    """Pause a campaign."""

    reason: Reason

    def command(self) -> CampaignCommand:
        return commands.PauseCampaign(reason=self.reason)


class ResumeDocument(ChangeDocument):
    """End a campaign's pause."""

    def command(self) -> CampaignCommand:
        return commands.ResumeCampaign()


class StopDocument(ChangeDocument):
    """End a campaign for good."""

    reason: Reason

    def command(self) -> CampaignCommand:
        return commands.StopCampaign(reason=self.reason)


class CancelGenerationDocument(ChangeDocument):
    """Give up writing codes down: the campaign fails.

    Where these are the codes of a raised quantity, it goes on, and its quantity falls to the codes that are there.
    """

    reason: Reason

    def command(self) -> CampaignCommand:
        return commands.CancelGeneration(reason=self.reason)


class QuantityDocument(ChangeDocument):
    """How many coupons may be issued from now on."""

    quantity: Count

    def command(self) -> CampaignCommand:
        return commands.ChangeQuantity(quantity=self.quantity)


class ExportDocument(ChangeDocument):
    """How many generated codes to take out of the platform; the answer lists 2,000 at most, the export all of them."""

    count: Annotated[int, Field(ge=1, le=1_000_000, strict=True)]

    def command(self) -> CampaignCommand:
        return commands.ExportCodes(count=self.count)


class ClaimDocument(ChangeDocument):
    """A user takes a coupon; `order` and `paid` where the offer has a price (minor units)."""

    user: UserId
    code: CodeText | None = None
    order: OrderId | None = None
    paid: Minor | None = None

    def command(self) -> CampaignCommand:
        return commands.ClaimCoupon(user=self.user, code=self.code, order=self.order, paid=self.paid)


class UploadDocument(Document):
    """Codes to upload."""

    codes: Annotated[tuple[CodeText, ...], Field(min_length=1, max_length=MAX_ROWS)]

    def call(self, named: Named) -> Call:
        return UploadCodeList(
            request=named.request,
            wait=named.wait,
            dry_run=named.dry_run,
            campaign=named.a_campaign(),
            codes=self.codes,
        )


class CodedUser(Contract):
    """A user, and the code the merchant names for it."""

    user: UserId
    code: CodeText | None = None


class IssueDocument(Document):
    """Users who get a coupon each: `users`, or `rows` where the merchant names the codes."""

    users: Annotated[tuple[UserId, ...], Field(max_length=MAX_ROWS)] = ()
    rows: Annotated[tuple[CodedUser, ...], Field(max_length=MAX_ROWS)] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.users) == bool(self.rows):
            raise ValueError("send either `users` or `rows`, with at least one in it")
        return self

    def call(self, named: Named) -> Call:
        # The users are checked already; to check tens of thousands again would be a fifth of a busy gateway's work.
        rows = tuple(IssueRow.model_construct(user=row.user, code=row.code) for row in self.rows)
        rows = rows or tuple(IssueRow.model_construct(user=user) for user in self.users)
        return IssueToUsers(
            request=named.request, wait=named.wait, dry_run=named.dry_run, campaign=named.a_campaign(), rows=rows
        )


class CouponDocument(Document):
    """Names a coupon: by `coupon` (its id) or by `code`; a shared code needs `user` too.

    The campaign may be named by id or by the key under which it was made; without, the code finds it.
    """

    coupon: CouponId | None = None
    code: CodeText | None = None
    user: UserId | None = None
    campaign: UUID | None = None
    campaign_key: NaturalKey | None = None

    @model_validator(mode="after")
    def _named_somehow(self) -> Self:
        if (self.coupon is None) == (self.code is None):
            raise ValueError("name the coupon either by `coupon` or by `code`")
        return self

    def reference(self) -> CouponReference:
        """How core is told which coupon."""
        if self.coupon is not None:
            return CouponReference(number=split_coupon_id(self.coupon)[1])
        return CouponReference(code=self.code, user=self.user)

    def command(self) -> CouponCommand:
        """The command the document stands for."""
        raise NotImplementedError

    def call(self, named: Named) -> Call:
        campaign = named.campaign
        if self.coupon is not None:
            campaign = CampaignName(split_coupon_id(self.coupon)[0])
        elif self.campaign is not None or self.campaign_key is not None:
            campaign = CampaignName(self.campaign, self.campaign_key)
        return ChangeCoupon(
            request=named.request,
            wait=named.wait,
            dry_run=named.dry_run,
            campaign=campaign,
            command=self.command(),
        )


class RedeemDocument(CouponDocument):
    """Use a coupon for an order of `amount` minor units before the discount.

    `discount` is what the merchant decides, or how much of a gift card's balance to use; `items` are the order's lines.
    """

    order: OrderId | None = None
    amount: Minor | None = None
    discount: Minor | None = None
    items: OrderItems = ()

    def command(self) -> CouponCommand:
        return commands.RedeemCoupon(
            coupon=self.reference(), order=self.order, amount=self.amount, discount=self.discount, items=self.items
        )


class ReserveDocument(CouponDocument):
    """Hold a coupon for an order, or one of its uses, or `amount` of a gift card's balance (else all of it)."""

    order: OrderId
    seconds: Annotated[int, Field(ge=1, le=86_400, strict=True)] = 900
    amount: Annotated[Minor, Field(ge=1)] | None = None

    def command(self) -> CouponCommand:
        return commands.ReserveCoupon(
            coupon=self.reference(), order=self.order, seconds=self.seconds, amount=self.amount
        )


class ReleaseDocument(CouponDocument):
    """Let go of a coupon held for an order."""

    order: OrderId

    def command(self) -> CouponCommand:
        return commands.ReleaseCoupon(coupon=self.reference(), order=self.order)


class ReturnDocument(CouponDocument):
    """Undo a redemption: the `redemption`-th of the coupon, or the latest; of a gift card's `amount` or all of it."""

    redemption: Annotated[int, Field(ge=1, le=2**53 - 1, strict=True)] | None = None
    amount: Annotated[Minor, Field(ge=1)] | None = None
    reason: Reason = "returned"

    def command(self) -> CouponCommand:
        return commands.ReturnCoupon(
            coupon=self.reference(), redemption=self.redemption, amount=self.amount, reason=self.reason
        )


class VoidDocument(CouponDocument):
    """Take a coupon out of life."""

    reason: Reason

    def command(self) -> CouponCommand:
        return commands.VoidCoupons(coupons=(self.reference(),), reason=self.reason)


class VoidMatchingDocument(ChangeDocument):
    """Take the coupons, and the exported codes that nobody holds, out of life that match.

    A dry run counts them; the answer says how many they were in all.
    """

    matching: commands.CouponFilter
    reason: Reason

    def command(self) -> CampaignCommand:
        return commands.VoidMatching(matching=self.matching, reason=self.reason)


class VoidAllDocument(ChangeDocument):
    """Take every held or reserved coupon of a campaign out of life; codes that nobody holds stay usable.

    A dry run counts them; the answer says how many they were in all.
    """

    reason: Reason

    def command(self) -> CampaignCommand:
        return commands.VoidCampaign(reason=self.reason)


class ValidateCodeDocument(Document):
    """Would this code be accepted? `order`: the one that may have reserved it; the others as in a redemption."""

    code: CodeText
    user: UserId | None = None
    order: OrderId | None = None
    amount: Minor | None = None
    discount: Minor | None = None
    items: OrderItems = ()
    campaign: UUID | None = None
    campaign_key: NaturalKey | None = None

    def call(self, named: Named) -> Call:
        campaign = named.campaign
        if self.campaign is not None or self.campaign_key is not None:
            campaign = CampaignName(self.campaign, self.campaign_key)
        return ValidateCoupon(
            campaign=campaign,
            code=self.code,
            user=self.user,
            order=self.order,
            amount=self.amount,
            discount=self.discount,
            items=self.items,
        )


class GetCampaignDocument(Document):
    """A question about one campaign."""

    def call(self, named: Named) -> Call:
        return GetCampaign(campaign=named.a_campaign())


class FindDocument(Document):
    """A question about coupons, by code, user or order."""

    code: CodeText | None = None
    user: UserId | None = None
    order: OrderId | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.code is None and self.user is None and self.order is None:
            raise ValueError("say what to look for: `code`, `user` or `order`")
        return self

    def call(self, named: Named) -> Call:
        return FindCoupons(code=self.code, user=self.user, order=self.order)


OperationName = Literal[
    "publish",
    "generate",
    "activate",
    "amend",
    "unpublish",
    "pause",
    "resume",
    "stop",
    "cancel_generation",
    "change_quantity",
    "upload_codes",
    "export_codes",
    "issue",
    "claim",
    "validate",
    "redeem",
    "return",
    "void",
    "void_matching",
    "void_all",
    "reserve",
    "release",
    "get_campaign",
    "find_coupons",
]
DOCUMENTS: dict[OperationName, type[Document]] = {
    "publish": PublishDocument,
    "generate": GenerateDocument,
    "activate": ActivateDocument,
    "amend": AmendDocument,
    "unpublish": UnpublishDocument,
    "pause": PauseDocument,
    "resume": ResumeDocument,
    "stop": StopDocument,
    "cancel_generation": CancelGenerationDocument,
    "change_quantity": QuantityDocument,
    "upload_codes": UploadDocument,
    "export_codes": ExportDocument,
    "issue": IssueDocument,
    "claim": ClaimDocument,
    "validate": ValidateCodeDocument,
    "redeem": RedeemDocument,
    "return": ReturnDocument,
    "void": VoidDocument,
    "void_matching": VoidMatchingDocument,
    "void_all": VoidAllDocument,
    "reserve": ReserveDocument,
    "release": ReleaseDocument,
    "get_campaign": GetCampaignDocument,
    "find_coupons": FindDocument,
}
"""Every operation there is, and its document."""
QUESTIONS: frozenset[OperationName] = frozenset({"validate", "get_campaign", "find_coupons"})
"""Operations that change nothing and need no request number."""
