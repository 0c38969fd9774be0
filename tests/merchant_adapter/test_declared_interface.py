"""Interfaces that stand in a profile: the shapes of paging met in real servers, and calls by JMESPath."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from merchant_adapter.interfaces import (
    DeclaredProfile,
    MerchantInterface,
    MerchantMisbehaves,
    NotOffered,
    Outbound,
    OutcomeUnknown,
    PagingCheck,
    ProfileFault,
    User,
    UserPage,
    open_interface,
    read_profile,
)
from merchant_adapter.interfaces.expressions import MAX_COPIES, DoesNotFit, evaluate
from merchant_adapter.interfaces.paging import MAX_BARREN_PAGES
from tests.support.deliveries import a_delivery
from tests.support.demo_merchants import TOKEN, DemoMerchant
from tests.support.web_servers import serving

CUSTOMERS = [{"no": n, "person": {"age": 20 + n % 50}, "gone": n % 10 == 0} for n in range(1, 24)]
SERVER_CAP = 7  # a server may send fewer than it was asked for

Open = Callable[[dict[str, Any]], MerchantInterface]


@pytest.fixture
def opened(outbound: Outbound) -> Open:
    def opened(written: dict[str, Any]) -> MerchantInterface:
        profile = read_profile({"kind": "declared", "authentication": {"kind": "bearer", "token": TOKEN}} | written)
        assert isinstance(profile, DeclaredProfile)
        return open_interface(outbound, "erp", profile)

    return opened


def users(path: str, paging: dict[str, Any], items: str = "rows") -> dict[str, Any]:
    return {
        "path": path,
        "items": items,
        "id": "no",
        "attributes": {"age": "person.age", "adult": "person.age >= `18`", "town": "person.town"},
        "deleted": "gone",
        "paging": paging,
    }


class Erp:
    """A server that lists the same customers in every style; keeps what was asked."""

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []
        self.app = Starlette(
            routes=[
                Route(f"/api/{name}", self._listing(name))
                for name in ("page", "totals", "offset", "scim", "link", "more")
            ]
        )

    def _listing(self, style: str) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            asked = dict(request.query_params)
            self.queries.append(asked)
            size = min(SERVER_CAP, int(asked.get("per_page") or asked.get("limit") or asked.get("count") or 5))
            start = {
                "page": (int(asked.get("page", 1)) - 1) * size,
                "totals": (int(asked.get("page", 1)) - 1) * size,
                "offset": int(asked.get("offset", 0)),
                "scim": int(asked.get("startIndex", 1)) - 1,
                "link": int(asked.get("from", 0)),
                "more": int(asked.get("starting_after", 0)),
            }[style]
            rows = CUSTOMERS[start : start + size]
            pages = -(-len(CUSTOMERS) // size)
            if style == "page":
                return JSONResponse({"rows": rows})
            if style == "totals":
                return JSONResponse(rows, headers={"X-WP-TotalPages": str(pages)})
            if style == "offset":
                return JSONResponse({"results": rows, "total": len(CUSTOMERS)})
            if style == "scim":
                return JSONResponse(
                    {"Resources": rows, "totalResults": len(CUSTOMERS), "startIndex": start + 1},
                    media_type="application/scim+json",
                )
            if style == "link":
                link = f'</api/link?from={start + size}&limit={size}>; rel="next"'
                return JSONResponse({"rows": rows}, headers={"Link": link} if start + size < len(CUSTOMERS) else {})
            return JSONResponse({"data": rows, "has_more": start + size < len(CUSTOMERS)})

        return answer


async def all_users(interface: MerchantInterface, limit: int = 100) -> list[User]:
    cursor, check, found = None, PagingCheck(), dict[str, User]()
    while True:
        page = await interface.list_users(cursor, limit)
        new = {user.id: user for user in page.users if user.id not in found}
        check.page(cursor, page, len(new))
        found |= new
        if page.next_cursor is None:
            return list(found.values())
        cursor = page.next_cursor


class TestPaging:
    @pytest.mark.parametrize(
        "declared",
        [
            users("/page", {"style": "page"}),
            users("/totals", {"style": "page", "total_pages_header": "X-WP-TotalPages"}, "@"),
            users("/offset", {"style": "offset", "total": "total"}, "results"),
            users("/offset", {"style": "offset"}, "results"),
            users(
                "/scim",
                {
                    **{"style": "offset", "parameter": "startIndex", "limit_parameter": "count", "first": 1},
                    "total": "totalResults",
                },
                "Resources",
            ),
            users("/link", {"style": "link"}),
            users("/more", {"style": "has_more"}, "data"),
        ],
        ids=["page", "page with totals", "offset with total", "offset", "scim", "link", "has more"],
    )
    async def test_every_style_lists_every_user_once(self, opened: Open, declared: dict[str, Any]) -> None:
        erp = Erp()
        with serving(erp.app) as address:
            found = await all_users(opened({"base_url": f"{address}/api/", "users": declared}))
        assert [user.id for user in found] == [str(row["no"]) for row in CUSTOMERS]
        assert found[0].attributes == {"age": 21, "adult": True}  # what is unknown (town) is left out
        assert [user.id for user in found if user.deleted] == ["10", "20"]
        assert len(erp.queries) <= 5

    async def test_cursors_and_fixed_parameters(self, opened: Open, merchant: DemoMerchant) -> None:
        declared = {
            "path": "/users",
            "query": {"shop": "7"},
            "items": "items",
            "id": "id",
            "attributes": {"tier": "attributes.tier"},
            "paging": {"style": "cursor", "next": "next_cursor"},
        }
        found = await all_users(opened({"base_url": merchant.address, "users": declared}), 60)
        assert len(found) == 250
        assert set(found[0].attributes) == {"tier"}  # what the profile does not name is not taken

    async def test_a_link_to_another_server_gets_no_credentials(self, opened: Open) -> None:
        def answer(request: Request) -> Response:
            link = '<http://127.0.0.2:9/link>; rel="next"'
            return JSONResponse({"rows": [{"no": 1}]}, headers={"Link": link})

        with serving(Starlette(routes=[Route("/link", answer)])) as address:
            interface = opened({"base_url": address, "users": users("/link", {"style": "link"})})
            page = await interface.list_users(None, 10)
            with pytest.raises(MerchantMisbehaves, match="another server"):
                await interface.list_users(page.next_cursor, 10)

    @pytest.mark.parametrize(
        ("body", "paging"),
        [
            ({"rows": {}}, {"style": "page"}),
            ({}, {"style": "page"}),
            ({"rows": [{"no": 1}], "pages": "many"}, {"style": "page", "total_pages": "pages"}),
            ({"rows": [{"no": 1}], "next": {"a": 1}}, {"style": "cursor", "next": "next"}),
            ({"rows": [{"no": 1}], "next": True}, {"style": "cursor", "next": "next"}),
            ({"rows": [{"no": 1}], "next": "x" * 1025}, {"style": "cursor", "next": "next"}),
            ({"rows": [{"no": 1}]}, {"style": "cursor", "next": "length(nothing)"}),
        ],
    )
    async def test_a_listing_that_is_not_as_declared_is_the_merchants_fault(
        self, opened: Open, body: object, paging: dict[str, Any]
    ) -> None:
        app = Starlette(routes=[Route("/x", lambda _: JSONResponse(body))])
        with serving(app) as address, pytest.raises(MerchantMisbehaves):
            await opened({"base_url": address, "users": users("/x", paging)}).list_users(None, 10)

    async def test_a_row_that_is_no_user_is_refused_alone(self, opened: Open) -> None:
        rows = [{"no": 1}, {}, 5, {"no": 2, "person": {"age": []}}, {"no": 3, "person": {"age": {"a": 1}}}, {"no": 1.5}]
        with serving(Starlette(routes=[Route("/x", lambda _: JSONResponse({"rows": rows}))])) as address:
            declared = {**users("/x", {"style": "page"}), "attributes": {"age": "person.age"}}
            page = await opened({"base_url": address, "users": declared}).list_users(None, 10)
        assert [user.id for user in page.users] == ["1"]
        assert [row.position for row in page.refused] == [1, 2, 3, 4, 5]


PUSH = {
    "deliver": {
        "method": "PUT",
        "path": "/vouchers/{delivery_id}",
        "body": "{customer: user_id, code: code, title: offer.name, cents: offer.discount.amount,"
        " until: offer.valid_until}",
        "key_header": "X-Request-Id",
        "accepted": "state == 'OK'",
        "receipt_id": "number",
        "reason": "message",
    },
    "recall": {"path": "/vouchers/{delivery_id}/cancel", "body": "{why: reason}", "accepted": "state == 'OK'"},
    "find": {"method": "GET", "path": "/vouchers/{delivery_id}", "receipt_id": "number"},
}


class TestDeliveries:
    async def test_a_delivery_goes_out_and_comes_back_as_declared(self, opened: Open) -> None:
        seen: list[tuple[str, str, Any, str | None]] = []

        async def answer(request: Request) -> Response:
            body = json.loads(await request.body() or b"null")
            raw_path = request.scope["raw_path"].decode()
            seen.append((request.method, raw_path, body, request.headers.get("x-request-id")))
            if body and body.get("customer") == "nobody":
                return JSONResponse({"state": "NO", "message": "unknown\ncustomer"})
            return JSONResponse({"state": "OK", "number": 17})

        app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "PUT", "POST"])])
        with serving(app) as address:
            interface = opened({"base_url": address + "/erp", "resend_is_safe": True, **PUSH})
            delivery = a_delivery("u/7")
            [receipt] = await interface.deliver([delivery])
            assert (receipt.status, receipt.receipt_id, receipt.reason) == ("accepted", "17", None)
            [refused] = await interface.deliver([a_delivery("nobody")])
            assert (refused.status, refused.reason) == ("refused", "unknown customer")
            assert (await interface.recall(delivery, "voided")).status == "recalled"
            found = await interface.find_delivery(delivery)
            assert found is not None
            assert found.receipt_id == "17"
        path = f"/erp/vouchers/{delivery.delivery_id}"
        assert seen[0] == (
            "PUT",
            path,
            {
                **{"customer": "u/7", "code": "SECRETCODE42", "title": "Five off", "cents": 500},
                "until": "2017-03-01T00:00:00+00:00",
            },
            delivery.delivery_id,
        )
        assert seen[2] == ("POST", f"{path}/cancel", {"why": "voided"}, None)
        assert seen[3] == ("GET", path, None, None)

    @pytest.mark.parametrize(
        ("user", "path"), [("a/b", "/u/a%2Fb"), ("..", "/u/%2E%2E"), ("a?b#c", "/u/a%3Fb%23c"), ("ü", "/u/%C3%BC")]
    )
    async def test_a_users_id_in_a_path_stays_one_step_of_it(self, opened: Open, user: str, path: str) -> None:
        seen: list[str] = []

        def answer(request: Request) -> Response:
            seen.append(request.scope["raw_path"].decode())
            return JSONResponse({})

        with serving(Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])) as address:
            await opened({"base_url": address, "deliver": {"path": "/u/{user_id}"}}).deliver([a_delivery(user)])
        assert seen == [path]

    async def test_what_the_profile_does_not_name_is_not_offered(self, opened: Open) -> None:
        interface = opened({"base_url": "http://127.0.0.1:9"})
        abilities = interface.abilities
        assert not any((abilities.can_deliver, abilities.can_find, abilities.can_recall, abilities.can_list_users))
        assert not abilities.resend_is_safe
        for call in (
            interface.list_users(None, 1),
            interface.deliver([a_delivery()]),
            interface.recall(a_delivery(), "x"),
            interface.find_delivery(a_delivery()),
        ):
            with pytest.raises(NotOffered):
                await call
        await interface.health()

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"state": 5}'])
    async def test_an_answer_that_is_not_as_declared_leaves_the_outcome_unknown(
        self, opened: Open, body: bytes
    ) -> None:
        reply = Response(body, media_type="application/json")
        declared = {"deliver": {"path": "/x", "accepted": "contains(state, 'OK')"}}
        app = Starlette(routes=[Route("/x", lambda _: reply, methods=["POST"])])
        with serving(app) as address, pytest.raises(MerchantMisbehaves) as failure:
            await opened({"base_url": address, **declared}).deliver([a_delivery()])
        assert failure.value.outcome_unknown

    @pytest.mark.parametrize(("resend_is_safe", "found"), [(True, True), (False, False)])
    async def test_a_bare_404_means_never_applied_only_where_a_resend_is_safe(
        self, opened: Open, resend_is_safe: bool, found: bool
    ) -> None:
        with serving(Starlette()) as address:
            interface = opened({"base_url": address, "resend_is_safe": resend_is_safe, "find": PUSH["find"]})
            if found:
                assert await interface.find_delivery(a_delivery()) is None
            else:
                with pytest.raises(MerchantMisbehaves):
                    await interface.find_delivery(a_delivery())

    async def test_the_public_contract_can_be_declared_too(self, opened: Open, merchant: DemoMerchant) -> None:
        interface = opened(
            {
                "base_url": merchant.address,
                "deliver": {
                    "path": "/coupons",
                    "body": "{deliveries: [{delivery_id: delivery_id, campaign_id: campaign_id, coupon_id: coupon_id,"
                    " user_id: user_id, code: code, offer: offer}]}",
                    "key_header": "Idempotency-Key",
                    "accepted": "receipts[0].status == 'accepted'",
                    "receipt_id": "receipts[0].receipt_id",
                },
                "find": {"method": "GET", "path": "/coupons/{delivery_id}", "receipt_id": "receipt_id"},
                "resend_is_safe": True,
            }
        )
        delivery = a_delivery()
        merchant.plant("deliver", "timeout_after_apply")
        with pytest.raises(OutcomeUnknown):
            await interface.deliver([delivery])
        assert await interface.deliver([delivery]) == [await interface.find_delivery(delivery)]
        assert merchant.counts(by_key=True)["applied_by_key"][delivery.delivery_id] == 1


class TestProfiles:
    @pytest.mark.parametrize(
        ("written", "pointer"),
        [
            ({"deliver": {"path": "vouchers"}}, "/deliver/path"),
            ({"deliver": {"path": "/{secret}"}}, "/deliver/path"),
            ({"deliver": {"path": "/x?y=1"}}, "/deliver/path"),
            ({"deliver": {"path": "/x", "body": "{a: "}}, "/deliver/body"),
            ({"deliver": {"path": "/x", "body": "no_such_function(@)"}}, "/deliver/body"),
            ({"deliver": {"path": "/x", "method": "TRACE"}}, "/deliver/method"),
            ({"users": users("/x", {"style": "sideways"})}, "/users/paging"),
            ({"users": users("/x", {"style": "page", "first": 7})}, "/users/paging/first"),
            ({"users": users("/x", {"style": "cursor", "next": "[@, @] | " * 20 + "@"})}, "/users/paging/next"),
            ({"colour": "red"}, "/colour"),
        ],
    )
    def test_a_fault_of_a_profile_is_pointed_at(self, written: dict[str, Any], pointer: str) -> None:
        profile = {
            "kind": "declared",
            "base_url": "https://erp.example",
            "authentication": {"kind": "basic", "user": "u", "password": "p"},
        }
        with pytest.raises(ProfileFault) as fault:
            read_profile(profile | written)
        assert [place for place, _ in fault.value.errors] == [pointer]


class TestExpressions:
    @pytest.mark.parametrize(
        "expression",
        [
            "[@, @] | [@, @] | [@, @] | [@, @] | [@, @] | [@, @] | [@, @]",
            "{a: @, b: @}.[a, b, a].[[0], [1], [2]].[@, @].[@, @].[@, @]",
            "[*].[@, @][].[@, @][].[@, @][].[@, @][].[@, @][].[@, @][].[@, @][]",
            "map(&[@, @, @, @, @, @, @, @, @], map(&[@, @, @, @, @, @, @, @], @))",
            "[" + ", ".join(["@"] * (MAX_COPIES + 1)) + "]",
        ],
    )
    def test_an_expression_that_could_blow_up_is_refused(self, expression: str) -> None:
        with pytest.raises(ProfileFault, match="copy"):
            read_with(expression)

    @pytest.mark.parametrize(
        "expression",
        [
            "data.items[?active && age > `18`].{id: id, name: join(' ', [first, last])} | [0:1000]",
            "sort_by(rows, &age)[*].[id, name, town][]",
            "{" + ", ".join(f"f{n}: offer.f{n}" for n in range(40)) + "}",
            "to_number(a) || b && !c",
        ],
    )
    def test_an_ordinary_expression_is_taken(self, expression: str) -> None:
        read_with(expression)

    @pytest.mark.parametrize("expression", ["length(`5`)", "no_such(@)", "sort(@)", "to_number(@, @)"])
    def test_an_expression_that_does_not_fit_says_so_without_quoting(self, expression: str) -> None:
        with pytest.raises(DoesNotFit) as failure:
            evaluate(expression, {"secret": "value"})
        assert "secret" not in str(failure.value)


class TestPagingCheck:
    def test_barren_pages_end_a_listing_after_a_few(self) -> None:
        check = PagingCheck()
        for number in range(MAX_BARREN_PAGES):
            check.page(str(number), UserPage((), (), str(number + 1)), 0)
        with pytest.raises(MerchantMisbehaves, match="circles"):
            check.page("more", UserPage((), (), "and more"), 0)

    def test_a_page_of_nothing_but_known_users_is_a_circle_at_once_also_after_a_restart(self) -> None:
        with pytest.raises(MerchantMisbehaves, match="circles"):
            PagingCheck().page("c", UserPage((User("1"),), (), "d"), 0)

    def test_a_cursor_that_leads_back_is_a_circle_even_while_new_users_keep_coming(self) -> None:
        check = PagingCheck()
        check.page(None, UserPage((User("1"),), (), "a"), 1)
        check.page("a", UserPage((User("2"),), (), "b"), 1)
        with pytest.raises(MerchantMisbehaves, match="leads back"):
            check.page("b", UserPage((User("3"),), (), "a"), 1)

    def test_the_last_page_may_bring_nothing(self) -> None:
        PagingCheck().page("c", UserPage((User("1"),), (), None), 0)


def read_with(expression: str) -> None:
    read_profile(
        {
            "kind": "declared",
            "base_url": "https://erp.example",
            "authentication": {"kind": "basic", "user": "u", "password": "p"},
            "deliver": {"path": "/x", "body": expression},
        }
    )
