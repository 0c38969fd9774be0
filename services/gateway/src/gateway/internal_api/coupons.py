"""Coupons: found for a complaint, looked at, judged."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contracts.fields import CodeText, Contract, Minor, OrderId, Party, UserId
from contracts.identifiers import split_coupon_id
from dialects.documents import OrderItems
from dialects.protocol import FieldProblem, invalid
from gateway.answering import not_found
from gateway.guarding import GuardedRoute
from gateway.guessing import wrong_codes
from gateway.internal_api.answers import CouponFind, CouponView, EventList, ValidateAnswer
from gateway.internal_api.moments import Moment
from gateway.openapi import described
from gateway.parts import parts_of
from gateway.requests import read_document

router = APIRouter(prefix="/coupons", tags=["coupons"], route_class=GuardedRoute)


class CouponQuestion(BaseModel):
    """By what coupons and refusals are found: one at least."""

    model_config = ConfigDict(extra="forbid")

    code: CodeText | None = None
    user: UserId | None = None
    order: OrderId | None = None
    party: Party | None = None
    """Only what this party may see."""


class ValidateDocument(Contract):
    """Would this coupon be accepted for this order?"""

    code: CodeText
    campaign: str | None = None
    user: UserId | None = None
    order: OrderId | None = None
    """The one that may have reserved the coupon."""
    amount: Minor | None = None
    discount: Minor | None = None
    """What the merchant decides, or how much of a gift card's balance to use."""
    items: OrderItems = ()
    party: Party | None = None
    """Judge as this party; None: as the platform."""


@router.get("", summary="Find coupons and refusals by code, user or order", **described(answers={200: CouponFind}))
async def find(request: Request, question: Annotated[CouponQuestion, Query()]) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "viewer")
    if question.code is None and question.user is None and question.order is None:
        raise invalid("Name a code, a user or an order.", FieldProblem("code", "or user, or order is needed"))
    if question.code is not None:
        parts.wrong_codes.check(staff.caller.actor)
    found = await parts.core.coupons(question.party, code=question.code, user=question.user, order=question.order)
    if question.code is not None and not found["coupons"]:
        parts.wrong_codes.count(staff.caller.actor)
    return JSONResponse(found)


@router.post(
    "/validate",
    summary="Would this coupon be accepted? Changes nothing",
    **described(ValidateDocument, answers={200: ValidateAnswer}),
)
async def validate(request: Request) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "viewer")
    document = await read_document(request, ValidateDocument)
    question = document.model_dump() | {"party": document.party or staff.party, "actor": staff.caller.actor}
    parts.wrong_codes.check(staff.caller.actor)
    answer = await parts.commanding.attributes.validate(question)
    parts.wrong_codes.count(staff.caller.actor, wrong_codes(None, answer))
    return JSONResponse(answer)


@router.get(
    "/{coupon}",
    summary="A coupon with its redemptions, now or as it was",
    **described(answers={200: CouponView}),
)
async def coupon_view(request: Request, coupon: str, moment: Annotated[Moment, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    if moment.given:
        found = await parts.core.coupon_as_of(checked(coupon), **moment.query())
    else:
        found = await parts.core.coupon(checked(coupon), None)
    if found is None:
        raise not_found("coupon")
    return JSONResponse(found)


@router.get("/{coupon}/history", summary="What happened to a coupon", **described(answers={200: EventList}))
async def history(request: Request, coupon: str) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await parts.core.coupon_history(checked(coupon), None)
    if found is None:
        raise not_found("coupon")
    return JSONResponse(found)


def checked(coupon: str) -> str:
    """A coupon's id. Raises RequestRefused (404): what is no id names no coupon."""
    try:
        campaign, number = split_coupon_id(coupon)
    except ValueError:
        raise not_found("coupon") from None
    return f"{campaign}.{number}"
