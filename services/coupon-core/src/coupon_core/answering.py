"""The answer of a command, codes included. Outcomes are stored without generated codes; those follow from numbers.

The lane answers by reply, the read API by `GET /commands/{id}`: both with `with_codes`, so with the same content.
"""

from __future__ import annotations

from typing import Any

from coupon_core.codes.generated import index_of
from coupon_core.model.campaign import Campaign
from coupon_core.operations.serials import code_of_number, codes_of_range
from coupon_core.work import Work

MOST_EXPORTED = 2_000
"""So many codes of an export stand in its answer; more are streamed by range."""


def block_indexes(body: dict[str, Any]) -> set[int]:
    """Indexes, within its campaign, of the blocks of serials whose coupons stand in this result."""
    if _lists_codes(body):
        return set(range(index_of(body["first"]), index_of(body["last"]) + 1))
    rows = [body, *body.get("rows", ())]
    return {index_of(_number(row["coupon"])) for row in rows if "coupon" in row and "refusal" not in row}


def with_codes(work: Work, campaign: Campaign | None, body: dict[str, Any] | None) -> dict[str, Any] | None:
    """The result with each coupon's code where the campaign's codes are generated or shared.

    Codes of uploaded and given supplies stand in the result already. The view must hold the blocks named by
    `block_indexes`.
    """
    if campaign is None or body is None:
        return body
    if _lists_codes(body):
        codes = codes_of_range(work.codes, campaign, work.block_at, body["first"], body["last"])
        named = enumerate(codes, start=body["first"])
        return body | {"codes": [{"coupon": campaign.coupon_id(number), "code": code} for number, code in named]}
    if campaign.supply == "generated":

        def code(coupon: str) -> str:
            return code_of_number(work, campaign, _number(coupon))

    elif campaign.supply == "shared":

        def code(coupon: str) -> str:
            return campaign.code or ""

    else:
        return body

    def complete(row: dict[str, Any]) -> dict[str, Any]:
        return row if "coupon" not in row or "refusal" in row else {**row, "code": code(row["coupon"])}

    answer = complete(body)
    if "rows" in body:
        answer = {**answer, "rows": [complete(row) for row in body["rows"]]}
    return answer


def _lists_codes(body: dict[str, Any]) -> bool:
    """Whether this is the result of an export small enough to be answered with its codes."""
    return "first" in body and body["count"] <= MOST_EXPORTED


def without_codes(body: dict[str, Any] | None) -> dict[str, Any] | None:
    """The result of a dry run: who only tries must not learn the code that somebody else gets next."""
    if body is None:
        return None
    rows = {
        part: [{name: value for name, value in row.items() if name != "code"} for row in body[part]]
        for part in ("rows", "codes")
        if part in body
    }
    return {name: value for name, value in body.items() if name != "code"} | rows


def _number(coupon: str) -> int:
    return int(coupon.rpartition(".")[2])
