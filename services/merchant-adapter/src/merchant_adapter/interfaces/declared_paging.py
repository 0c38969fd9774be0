"""The styles of paging met in real servers, behind one opaque cursor.

Our cursor is the merchant's own (`cursor`), a page number, an offset, the next page's address or the last id.
"""

from __future__ import annotations

from typing import Any

import httpx

from merchant_adapter.interfaces.expressions import DoesNotFit, evaluate
from merchant_adapter.interfaces.failures import MerchantMisbehaves
from merchant_adapter.interfaces.http import Reply
from merchant_adapter.interfaces.merchant_interface import MAX_CURSOR_LENGTH
from merchant_adapter.interfaces.profile import (
    CursorPaging,
    DeclaredUsers,
    HasMorePaging,
    LinkPaging,
    OffsetPaging,
    PagePaging,
)


def first_query(declared: DeclaredUsers, cursor: str | None, limit: int) -> tuple[str, dict[str, str]]:
    """Target and query of the page behind `cursor`."""
    paging = declared.paging
    if isinstance(paging, LinkPaging) and cursor is not None:
        return cursor, {}  # the link holds the whole query
    query = dict(declared.query)
    if paging.limit_parameter is not None:
        query[paging.limit_parameter] = str(limit)
    if isinstance(paging, PagePaging | OffsetPaging):
        query[paging.parameter] = cursor or str(paging.first)
    elif isinstance(paging, CursorPaging | HasMorePaging) and cursor is not None:
        query[paging.parameter] = cursor
    return declared.path, query


def next_cursor(declared: DeclaredUsers, cursor: str | None, items: list[Any], reply: Reply) -> str | None:
    """Where the next page is; None: this was the last.

    Raises:
        MerchantMisbehaves: the reply does not hold what the profile says it does.
    """
    paging = declared.paging
    try:
        match paging:
            case CursorPaging():
                following = evaluate(paging.next, reply.body)
            case PagePaging():
                following = _next_page(paging, int(cursor or paging.first), items, reply)
            case OffsetPaging():
                following = _next_offset(paging, int(cursor or paging.first), items, reply)
            case LinkPaging():
                following = _next_link(reply)
            case HasMorePaging():
                more = evaluate(paging.has_more, reply.body)
                following = evaluate(declared.id, items[-1]) if more and items else None
    except (DoesNotFit, ValueError, httpx.InvalidURL) as fault:
        raise MerchantMisbehaves("the profile's paging does not fit the answer") from fault
    if following is None or following == "":
        return None
    if isinstance(following, int) and not isinstance(following, bool):
        following = str(following)
    if not isinstance(following, str) or len(following) > MAX_CURSOR_LENGTH:
        raise MerchantMisbehaves("the next cursor must be a text or a whole number")
    return following


def _next_page(paging: PagePaging, page: int, items: list[Any], reply: Reply) -> int | None:
    if not items:
        return None
    total = None
    if paging.total_pages is not None:
        total = evaluate(paging.total_pages, reply.body)
    elif paging.total_pages_header is not None:
        total = reply.headers.get(paging.total_pages_header)
    if total is not None and page - paging.first + 1 >= int(total):
        return None
    return page + 1


def _next_offset(paging: OffsetPaging, offset: int, items: list[Any], reply: Reply) -> int | None:
    if not items:
        return None
    following = offset + len(items)
    if paging.total is not None:
        total = evaluate(paging.total, reply.body)
        if total is not None and following - paging.first >= int(total):
            return None
    return following


def _next_link(reply: Reply) -> str | None:
    link = httpx.Response(200, headers=reply.headers).links.get("next", {}).get("url")
    return None if link is None else str(reply.url.join(link))  # a link may be relative to the page it came with
