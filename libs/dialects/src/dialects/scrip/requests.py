"""Requests of `scrip` as calls. Operations with a document are a line in the table; questions have a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast, get_args
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from contracts.campaigns import CampaignState, CouponState
from contracts.fields import RequestNumber
from contracts.identifiers import split_coupon_id
from dialects.calls import (
    Call,
    CampaignName,
    ExportKind,
    ExportRows,
    FindCoupons,
    GetCampaign,
    GetCoupon,
    GetOutcome,
    GetResults,
    ListCampaigns,
    ListCodes,
    ListCoupons,
    UploadCodeList,
)
from dialects.documents import DOCUMENTS, QUESTIONS, Named, OperationName
from dialects.json_body import read_model
from dialects.protocol import FieldProblem, Profile, RawRequest, invalid, not_offered
from dialects.references import read_reference
from dialects.routes import Route, RouteTable, query_of, whole_number
from dialects.scrip.code_lists import read_codes
from dialects.scrip.credentials import KEY_HEADER

PREFIX = "/merchant/v1"
MAX_PAGE = 1_000
MAX_CAMPAIGNS_PAGE = 200
REQUEST_NUMBER: TypeAdapter[str] = TypeAdapter(RequestNumber)
CAMPAIGN_STATES = frozenset(get_args(CampaignState))
COUPON_STATES = frozenset(get_args(CouponState))

EXPORTS: dict[str, tuple[str, ...]] = {"codes": ("state",), "coupons": ("state", "user"), "history": ("type",)}
"""What can be exported, and by what it can be filtered besides the key."""

Parameters = dict[str, str]
Operation = Callable[[RawRequest, Parameters, Profile], Call]


def parse(request: RawRequest, profile: Profile) -> Call:
    """What the request asks for. Raises RequestRefused."""
    operation, parameters = TABLE.find(request)
    return operation(request, parameters, profile)


def request_number(request: RawRequest) -> str:
    """The number of an unsafe request: `Idempotency-Key`, or `webhook-id` of a signed one.

    Raises:
        RequestRefused: missing or unusable (400), or both there and different (400).
    """
    given = request.header("idempotency-key")
    if request.has("idempotency-key") and given is None:
        raise _bad_number("idempotency_key_invalid", "Idempotency-Key stands in the request more than once.")
    if request.has(KEY_HEADER):
        number = request.header("webhook-id")
        if given is not None and given != number:
            raise _bad_number(
                "idempotency_key_differs",
                "In a signed request webhook-id is the idempotency key; the Idempotency-Key sent differs from it.",
            )
        given = number
    if given is None:
        raise _bad_number(
            "idempotency_key_missing",
            "Every request that changes something needs the header Idempotency-Key: a number of yours that "
            "stays the same when you send the same request again.",
        )
    try:
        return REQUEST_NUMBER.validate_python(given)
    except ValidationError:
        raise _bad_number(
            "idempotency_key_invalid",
            "Idempotency-Key must have 1 to 255 characters and no control characters.",
        ) from None


def _documented(name: OperationName) -> Operation:
    document = DOCUMENTS[name]
    may_be_empty = not any(field.is_required() for field in document.model_fields.values())

    def operation(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
        question = name in QUESTIONS
        number = None if question else request_number(request)
        query = query_of(request, () if question else ("dry_run",))
        body = b"{}" if may_be_empty and not request.body.strip() else request.body
        campaign = _campaign(parameters) if "campaign" in parameters else None
        named = Named(
            request=number, campaign=campaign, wait=not _asks_not_to_wait(request), dry_run=_is_dry_run(query)
        )
        return read_model(body, document).call(named)

    return operation


def upload_codes(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    number = request_number(request)
    query = query_of(request, ("dry_run",))
    return UploadCodeList(
        request=number,
        wait=not _asks_not_to_wait(request),
        dry_run=_is_dry_run(query),
        campaign=_campaign(parameters),
        codes=read_codes(request),
    )


def list_campaigns(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query = query_of(request, ("after", "limit", "state"))
    after = query.get("after")
    return ListCampaigns(
        after=None if after is None else str(_uuid(after, "after")),
        limit=whole_number(query, "limit", 50, 1, MAX_CAMPAIGNS_PAGE),
        state=_one_of(query, "state", CAMPAIGN_STATES),
    )


def get_campaign(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query_of(request, ())
    return GetCampaign(campaign=_campaign(parameters))


def list_codes(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query = query_of(request, ("after", "limit"))
    return ListCodes(
        campaign=_campaign(parameters),
        after=whole_number(query, "after", 0, 0, 10**12),
        limit=whole_number(query, "limit", 100, 1, MAX_PAGE),
    )


def list_coupons(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query = query_of(request, ("after", "limit", "state", "user"))
    return ListCoupons(
        campaign=_campaign(parameters),
        after=whole_number(query, "after", 0, 0, 10**12),
        limit=whole_number(query, "limit", 100, 1, MAX_PAGE),
        state=_one_of(query, "state", COUPON_STATES),
        user=query.get("user"),
    )


def export_rows(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    what = parameters["what"]
    if what not in EXPORTS:
        raise not_offered(f"There is no export of `{what}`: {', '.join(EXPORTS)} are.")
    query = query_of(request, ("format", "after", "last", *EXPORTS[what]))
    form = _one_of(query, "format", frozenset({"csv", "jsonl"})) or "csv"
    filters: dict[str, str | int] = {"after": whole_number(query, "after", 0, 0, 10**12)}
    if "last" in query:
        filters["last"] = whole_number(query, "last", 0, 0, 10**12)
    states = COUPON_STATES | ({"exported", "available"} if what == "codes" else set())
    state = _one_of(query, "state", states)
    filters |= {} if state is None else {"state": state}
    filters |= {name: query[name] for name in ("user", "type") if name in query}
    return ExportRows(
        campaign=_campaign(parameters),
        what=cast("ExportKind", what),
        format="jsonl" if form == "jsonl" else "csv",
        filters=tuple(filters.items()),
    )


def find_coupons(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query = query_of(request, ("code", "user", "order"))
    if not any(query.values()):
        raise invalid(
            "Say what to look for: `code`, `user` or `order`.",
            FieldProblem("code", "this, or user, or order, is needed"),
        )
    return FindCoupons(code=query.get("code") or None, user=query.get("user") or None, order=query.get("order") or None)


def get_coupon(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query_of(request, ())
    try:
        split_coupon_id(parameters["coupon"])
    except ValueError:
        raise not_offered("There is no such coupon: an id is <campaign>.<number>.") from None
    return GetCoupon(coupon=parameters["coupon"])


def get_outcome(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query_of(request, ())
    reference = parameters["reference"]
    command = read_reference(profile.secret, reference)
    bulk = None if command is not None else _bulk(reference)
    return GetOutcome(command=command, bulk=bulk)


def get_results(request: RawRequest, parameters: Parameters, profile: Profile) -> Call:
    query = query_of(request, ("after", "limit"))
    return GetResults(
        bulk=_bulk(parameters["reference"]),
        after=whole_number(query, "after", -1, 0, 10**7),
        limit=whole_number(query, "limit", 500, 1, MAX_PAGE),
    )


ROUTES: tuple[Route[Operation], ...] = tuple(
    Route(method, PREFIX + path, operation)
    for method, path, operation in (
        ("POST", "/campaigns", _documented("publish")),
        ("POST", "/campaigns/generate", _documented("generate")),
        ("GET", "/campaigns", list_campaigns),
        ("GET", "/campaigns/{campaign}", get_campaign),
        ("POST", "/campaigns/{campaign}/activate", _documented("activate")),
        ("POST", "/campaigns/{campaign}/amend", _documented("amend")),
        ("POST", "/campaigns/{campaign}/unpublish", _documented("unpublish")),
        ("POST", "/campaigns/{campaign}/pause", _documented("pause")),
        ("POST", "/campaigns/{campaign}/resume", _documented("resume")),
        ("POST", "/campaigns/{campaign}/stop", _documented("stop")),
        ("POST", "/campaigns/{campaign}/cancel-generation", _documented("cancel_generation")),
        ("PUT", "/campaigns/{campaign}/quantity", _documented("change_quantity")),
        ("POST", "/campaigns/{campaign}/void-matching", _documented("void_matching")),
        ("POST", "/campaigns/{campaign}/void-all", _documented("void_all")),
        ("POST", "/campaigns/{campaign}/codes", upload_codes),
        ("GET", "/campaigns/{campaign}/codes", list_codes),
        ("GET", "/campaigns/{campaign}/coupons", list_coupons),
        ("GET", "/campaigns/{campaign}/export/{what}", export_rows),
        ("POST", "/campaigns/{campaign}/export-codes", _documented("export_codes")),
        ("POST", "/campaigns/{campaign}/issue", _documented("issue")),
        ("POST", "/campaigns/{campaign}/claim", _documented("claim")),
        ("POST", "/coupons/validate", _documented("validate")),
        ("POST", "/coupons/redeem", _documented("redeem")),
        ("POST", "/coupons/return", _documented("return")),
        ("POST", "/coupons/void", _documented("void")),
        ("POST", "/coupons/reserve", _documented("reserve")),
        ("POST", "/coupons/release", _documented("release")),
        ("GET", "/coupons", find_coupons),
        ("GET", "/coupons/{coupon}", get_coupon),
        ("GET", "/commands/{reference}", get_outcome),
        ("GET", "/commands/{reference}/results", get_results),
    )
)
TABLE = RouteTable(ROUTES)


def _asks_not_to_wait(request: RawRequest) -> bool:
    preferences = ",".join(value for name, value in request.headers if name == "prefer")
    return any(one.strip().lower() == "respond-async" for one in preferences.split(","))


def _is_dry_run(query: Parameters) -> bool:
    return _one_of(query, "dry_run", frozenset({"true", "false"})) == "true"


def _campaign(parameters: Parameters) -> CampaignName:
    text = parameters["campaign"]
    try:
        identifier = UUID(text)
    except ValueError:
        identifier = None
    if identifier is not None and str(identifier) == text.lower():
        return CampaignName(identifier)
    # Whoever writes a name of their own there made the campaign with it as Idempotency-Key.
    return CampaignName(natural_key=text)


def _bulk(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise not_offered("There is no such request of yours.") from None


def _uuid(text: str, name: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise invalid(f"`{name}` must be a campaign's id.", FieldProblem(name, "must be an id")) from None


def _one_of(query: Parameters, name: str, allowed: frozenset[str]) -> str | None:
    value = query.get(name)
    if value is not None and value not in allowed:
        words = ", ".join(sorted(allowed))
        raise invalid(f"`{name}` must be one of {words}.", FieldProblem(name, f"must be one of {words}"))
    return value


def _bad_number(code: str, detail: str) -> Exception:
    return invalid(detail, FieldProblem("Idempotency-Key", detail), code=code, status=400)
