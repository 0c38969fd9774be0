"""Requests of Voucherify's clients as calls."""

from __future__ import annotations

import email.parser
import email.policy
from collections.abc import Callable
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from contracts.campaigns import TermsChange
from contracts.commands import (
    AmendCampaign,
    CouponReference,
    IssueRow,
    PauseCampaign,
    RedeemCoupon,
    ResumeCampaign,
    ReturnCoupon,
    VoidCoupons,
)
from contracts.fields import CodeText, Reason
from dialects.calls import (
    AskNothing,
    Call,
    CampaignName,
    ChangeCampaign,
    ChangeCoupon,
    GetCampaign,
    GetCode,
    GetOutcome,
    IssueToUsers,
    ListAllCodes,
    ListCampaigns,
    UploadCodeList,
    ValidateCoupon,
)
from dialects.documents import MAX_ROWS
from dialects.json_body import read_json, refused_fields
from dialects.protocol import FieldProblem, Profile, RawRequest, invalid, not_offered
from dialects.references import read_reference
from dialects.routes import Route, RouteTable, query_of, whole_number
from dialects.scrip.code_lists import codes_of_csv
from dialects.voucherify.bodies import (
    IMPORT,
    AssignmentBody,
    CustomerBody,
    PublicationBody,
    RedemptionBody,
    SingleBody,
    read_body,
)
from dialects.voucherify.campaigns import create, unlimited, without_nulls
from dialects.voucherify.names import campaign_name, read_redemption
from dialects.voucherify.rules import least_amount, read_rule

MAX_PAGE = 100
REASON = "disabled through the Voucherify API"
ROLLED_BACK = "rolled back through the Voucherify API"
CODES: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[CodeText, ...])

Parameters = dict[str, str]
Operation = Callable[[RawRequest, Parameters, Profile], Call]


def parse(request: RawRequest, profile: Profile) -> Call:
    """What the request asks for. Raises RequestRefused."""
    operation, parameters = TABLE.find(request)
    return operation(request, parameters, profile)


def create_campaign(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    return create(read_json(request.body), profile)


def get_campaign(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    return GetCampaign(campaign=campaign_name(parameters["campaign"]))


def list_campaigns(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query = query_of(request, None)
    page, limit = whole_number(query, "page", 1, 1, 100), whole_number(query, "limit", 10, 1, MAX_PAGE)
    return ListCampaigns(limit=limit, page=page)


def import_codes(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    listed = read_json(request.body)
    for position, one in enumerate(listed if isinstance(listed, list) else ()):
        if unlimited({"voucher": one}):
            raise invalid(
                "Codes that work without limit are not offered.",
                FieldProblem(f"/{position}/redemption/quantity", "must be 1, or left out"),
                code="invalid_voucher",
                status=400,
            )
    document = without_nulls(listed)
    try:
        codes = tuple(one.code for one in IMPORT.validate_python(document))
    except ValidationError as error:
        raise refused_fields(error, document) from None
    return _upload(parameters, codes)


def import_csv(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    rows = codes_of_csv(_file_of(request))
    if len(rows) > MAX_ROWS:
        raise invalid(f"At most {MAX_ROWS} codes go into one request.", status=400)
    try:
        codes = CODES.validate_python([value for _, value in rows])
    except ValidationError as error:
        bad = rows[int(error.errors()[0]["loc"][0])][0]
        raise invalid(f"{bad} holds no usable code.", FieldProblem(bad, "holds no code"), status=400) from None
    if not codes:
        raise invalid("There is no code in the file.", status=400)
    return _upload(parameters, codes)


def add_code(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    try:
        codes = CODES.validate_python([parameters["code"]])
    except ValidationError:
        raise invalid("The path holds no usable code.", code="invalid_voucher", status=400) from None
    return UploadCodeList(
        request=None,
        campaign=campaign_name(parameters["campaign"]),
        codes=codes,
        with_campaign=True,
        with_code=codes[0],
        note={"answer": "voucher"},
    )


def publish(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    document = read_json(request.body)
    if isinstance(document, dict) and document.get("voucher") is not None:
        raise not_offered(
            "Publishing a voucher of one's choice is not offered: name the campaign, and its next code is given out.",
            status=400,
        )
    body = read_body(document, PublicationBody)
    user = _needed(body.customer)
    return IssueToUsers(
        request=None,
        campaign=campaign_name(body.campaign.name),
        rows=(IssueRow(user=user),),
        with_campaign=True,
        note={"answer": "publication", "user": user, "source_id": body.source_id, "metadata": body.metadata or {}},
    )


def validate(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    body = read_body(read_json(request.body), RedemptionBody)
    return ValidateCoupon(
        campaign=None,
        code=body.redeemables[0].id,
        user=body.customer.user(),
        amount=body.order.total(),
        discount=body.redeemables[0].gift.credits,
        with_campaign=True,
        note={"answer": "stackable", **_order(body)},
    )


def validate_voucher(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    body = read_body(_optional(request), SingleBody)
    return ValidateCoupon(
        campaign=None,
        code=_code(parameters),
        user=body.customer.user(),
        amount=body.order.total(),
        discount=body.gift.credits,
        with_campaign=True,
        note={"answer": "single", **_order(body)},
    )


def redeem(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    body = read_body(read_json(request.body), RedemptionBody)
    return _redeem(body.redeemables[0].id, body, "stackable", body.redeemables[0].gift.credits)


def redeem_voucher(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    body = read_body(_optional(request), SingleBody)
    return _redeem(_code(parameters), body, "single", body.gift.credits)


def roll_back(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    return _roll_back(request, parameters, "single")


def roll_back_all(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    return _roll_back(request, parameters, "stackable")


def get_voucher(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    return GetCode(code=_code(parameters), with_campaign=True)


def list_vouchers(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query = query_of(request, None)
    for name in query.keys() - {"limit", "page", "campaign", "campaign_id", "order"}:
        raise invalid(
            f"The filter {name} is not offered here; campaign, limit, page and order are.",
            FieldProblem(name, "is not offered"),
            code="invalid_query_params",
            status=400,
        )
    named = query.get("campaign") or query.get("campaign_id")
    return ListAllCodes(
        campaign=None if named is None else campaign_name(named),
        page=whole_number(query, "page", 1, 1, 1_000),
        limit=whole_number(query, "limit", 10, 1, MAX_PAGE),
        with_campaign=True,
    )


def disable_voucher(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    reference = CouponReference(code=_code(parameters))
    return ChangeCoupon(
        request=None,
        campaign=None,
        command=VoidCoupons(coupons=(reference,), reason=REASON),
        with_campaign=True,
        with_code=parameters["code"],
        note={"answer": "voucher"},
    )


def enable_voucher(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    raise not_offered("A voucher that was disabled stays so: it is void. Publish another one.", status=400)


def disable_campaign(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    return ChangeCampaign(
        request=None,
        campaign=campaign_name(parameters["campaign"]),
        command=PauseCampaign(reason=REASON),
        with_campaign=True,
    )


def enable_campaign(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    return ChangeCampaign(
        request=None, campaign=campaign_name(parameters["campaign"]), command=ResumeCampaign(), with_campaign=True
    )


def create_rule(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    document = without_nulls(read_json(request.body))
    least = least_amount(document)
    return AskNothing(note={"least": least, "name": document.get("name")})


def get_rule(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    return AskNothing(note={"least": _least(parameters), "name": None})


def assign_rule(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    least = _least(parameters)
    body = read_body(read_json(request.body), AssignmentBody)
    return ChangeCampaign(
        request=None,
        campaign=campaign_name(body.related_object_id),
        command=AmendCampaign(terms=TermsChange.model_validate({"minimum_spend": least})),
        with_campaign=True,
        note={"answer": "assignment", "least": least},
    )


def get_async_action(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    text = parameters["action"]
    try:
        return GetOutcome(bulk=UUID(text.removeprefix("aa_")), note={"action": text})
    except ValueError:
        command = read_reference(profile.secret, text.removeprefix("aa_"))
    if command is None:
        raise not_offered("There is no such async action.")
    return GetOutcome(command=command, note={"action": text})


def refuse(detail: str) -> Operation:
    """An operation that Voucherify has and this API does not."""

    def operation(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
        raise not_offered(detail, status=400)

    return operation


ROUTES: tuple[Route[Operation], ...] = tuple(
    Route(method, "/v1" + path, operation)
    for method, path, operation in (
        ("POST", "/campaigns", create_campaign),
        ("GET", "/campaigns", list_campaigns),
        ("GET", "/campaigns/{campaign}", get_campaign),
        ("POST", "/campaigns/{campaign}/import", import_codes),
        ("POST", "/campaigns/{campaign}/importCSV", import_csv),
        ("POST", "/campaigns/{campaign}/vouchers/{code}", add_code),
        ("POST", "/campaigns/{campaign}/disable", disable_campaign),
        ("POST", "/campaigns/{campaign}/enable", enable_campaign),
        ("POST", "/publications", publish),
        ("POST", "/validations", validate),
        ("POST", "/redemptions", redeem),
        ("POST", "/redemptions/{redemption}/rollback", roll_back),
        ("POST", "/redemptions/{redemption}/rollbacks", roll_back_all),
        ("POST", "/vouchers/{code}/redemption", redeem_voucher),
        ("POST", "/vouchers/{code}/validate", validate_voucher),
        ("POST", "/vouchers/{code}/disable", disable_voucher),
        ("POST", "/vouchers/{code}/enable", enable_voucher),
        ("GET", "/vouchers", list_vouchers),
        ("GET", "/vouchers/{code}", get_voucher),
        ("GET", "/async-actions/{action}", get_async_action),
        ("POST", "/campaigns/{campaign}/vouchers", refuse("Adding codes by number is not offered; import them.")),
        ("PUT", "/campaigns/{campaign}", refuse("A campaign's terms do not change; make another one.")),
        ("DELETE", "/campaigns/{campaign}", refuse("Campaigns are never deleted; disable it.")),
        ("POST", "/vouchers", refuse("Vouchers outside a campaign are not offered; make a campaign.")),
        ("POST", "/vouchers/import", refuse("Import codes into a campaign: /v1/campaigns/{id}/import.")),
        ("POST", "/vouchers/importCSV", refuse("Import codes into a campaign: /v1/campaigns/{id}/importCSV.")),
        ("POST", "/vouchers/{code}", refuse("Vouchers outside a campaign are not offered; make a campaign.")),
        ("DELETE", "/vouchers/{code}", refuse("Vouchers are never deleted; disable it.")),
        ("POST", "/validation-rules", create_rule),
        ("GET", "/validation-rules/{rule}", get_rule),
        ("PUT", "/validation-rules/{rule}", refuse("A validation rule does not change; make another one.")),
        ("DELETE", "/validation-rules/{rule}", refuse("A validation rule is nothing that is kept; leave it unused.")),
        ("POST", "/validation-rules/{rule}/assignments", assign_rule),
    )
)
TABLE = RouteTable(ROUTES)


def _upload(parameters: Parameters, codes: tuple[str, ...]) -> Call:
    return UploadCodeList(
        request=None, wait=False, campaign=campaign_name(parameters["campaign"]), codes=codes, note={"answer": "import"}
    )


def _redeem(code: str, body: RedemptionBody | SingleBody, answer: str, credits: int | None) -> Call:
    user, amount = body.customer.user(), body.order.total()
    coupon = CouponReference(code=code, user=user)
    return ChangeCoupon(
        request=None,
        campaign=None,
        command=RedeemCoupon(coupon=coupon, order=body.order.number(), amount=amount, discount=credits),
        with_campaign=True,
        note={"answer": answer, "code": code, **_order(body)},
    )


def _roll_back(request: RawRequest, parameters: Parameters, answer: str) -> Call:
    query = query_of(request, None)
    document = _optional(request)
    reason = query.get("reason") or (document.get("reason") if isinstance(document, dict) else None) or ROLLED_BACK
    try:
        reason = TypeAdapter(Reason).validate_python(reason)
    except ValidationError:
        raise invalid("The reason must have 1 to 200 characters.", code="invalid_rollback_params", status=400) from None
    found = read_redemption(parameters["redemption"])
    if found is None:
        raise not_offered("There is no such redemption.")
    campaign, number, redemption = found
    return ChangeCoupon(
        request=None,
        campaign=CampaignName(campaign),
        command=ReturnCoupon(coupon=CouponReference(number=number), redemption=redemption, reason=reason),
        with_campaign=True,
        with_coupon=True,
        note={"answer": answer, "redemption": parameters["redemption"], "reason": reason},
    )


def _order(body: RedemptionBody | SingleBody) -> dict[str, Any]:
    return {
        "amount": body.order.total(),
        "order": body.order.number(),
        "user": body.customer.user(),
        "tracking_id": body.tracking_id,
    }


def _optional(request: RawRequest) -> Any:
    return read_json(request.body) if request.body.strip() else {}


def _least(parameters: Parameters) -> int:
    least = read_rule(parameters["rule"])
    if least is None:
        raise not_offered("There is no such validation rule.")
    return least


def _needed(customer: CustomerBody) -> str:
    user = customer.user()
    if user is None:
        raise invalid(
            "A publication needs customer.source_id.",
            FieldProblem("/customer/source_id", "is missing"),
            code="missing_customer",
            status=400,
        )
    return user


def _code(parameters: Parameters) -> str:
    try:
        return CODES.validate_python([parameters["code"]])[0]
    except ValidationError:
        raise not_offered("There is no such voucher.") from None


def _file_of(request: RawRequest) -> bytes:
    """The part named `file` of a multipart body. Raises RequestRefused."""
    kind = request.header("content-type") or ""
    if not kind.lower().startswith("multipart/form-data"):
        raise invalid("The CSV comes as multipart/form-data in the field `file`.", code="invalid_payload", status=400)
    head = f"Content-Type: {kind}\r\n\r\n".encode("latin-1", "replace")
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                return content
    raise invalid("The multipart body has no field `file`.", code="invalid_payload", status=400)
