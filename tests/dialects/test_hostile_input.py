"""Whatever comes, a dialect makes a call of it or refuses it: no other exception, and every refusal can be phrased."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.merchants import DialectName
from dialects.declared.declaration import read_declaration
from dialects.protocol import (
    CredentialRefused,
    HashedSecret,
    Problem,
    Profile,
    RawRequest,
    RequestRefused,
    SigningSecret,
)
from dialects.registry import DIALECTS, locate, spoken, verify
from dialects.scrip.requests import ROUTES as SCRIP_ROUTES
from dialects.voucherify.requests import ROUTES as VOUCHERIFY_ROUTES
from tests.dialects.requests import MERCHANT
from tests.dialects.test_declared import example

PROFILE = Profile(MERCHANT, "EUR", "Europe/Berlin", bytes(32), read_declaration(example("profile.json")))
PATHS = sorted(
    {
        *(route.path for route in SCRIP_ROUTES),
        *(route.path for route in VOUCHERIFY_ROUTES),
        "/erp/aktionen",
        "/erp/aktionen/{nummer}/gutscheine",
        "/erp/kasse",
    }
)
WORDS = [
    *("name", "code", "codes", "users", "rows", "user", "campaign", "coupon", "order", "amount", "reason", "quantity"),
    *("discount", "kind", "validity", "starts", "ends", "supply", "metadata", "redeemables", "customer", "source_id"),
    *("voucher", "type", "object", "id", "redemption", "items", "price", "vouchers_count", "percent_off", "amount_off"),
    *("vorgang", "bonnummer", "kunden", "rabatt", "summe", "gueltig", "start_date", "code_config", "pattern"),
]
TEXTS = st.one_of(
    st.sampled_from(
        ["voucher", "amount_off", "AMOUNT", "PERCENT", "shared", "given", "EINLOESEN", "2026-01-01", "", "\0"]
    ),
    st.text(max_size=20),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(WORDS), TEXTS), inner, max_size=6)
    ),
    max_leaves=25,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=8).map(lambda value: json.dumps(value).encode()),
)
VALUES_OF_HEADERS = ["Bearer x", "Basic eDp5", "text/csv", "multipart/form-data; boundary=x", "respond-async", "1"]
QUERIES = ["", "?limit=1", "?limit=x", "?a=%FF", "?reason=%00", "?page=0&page=1", "?" + "a&" * 60]
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["authorization", "x-app-id", "x-app-token", "scrip-key", "webhook-id", "webhook-signature",
             "webhook-timestamp", "idempotency-key", "content-type", "prefer", "x-erp-key"]
        ),
        st.one_of(
            st.sampled_from(VALUES_OF_HEADERS),
            st.text(st.characters(max_codepoint=255), max_size=40),
        ),
    ),
    max_size=6,
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> RawRequest:
    path = draw(st.sampled_from(PATHS))
    for part in ("{campaign}", "{code}", "{coupon}", "{reference}", "{redemption}", "{action}", "{nummer}"):
        path = path.replace(
            part, draw(st.sampled_from(["x", part, "%FF", "%00", "a%2Fb", "r_1", "camp_1", "%E4%B8%AD"]))
        )
    query = draw(
        st.sampled_from(["", "?limit=1", "?limit=x", "?a=%FF", "?reason=%00", "?page=0&page=1", "?" + "a&" * 60])
    )
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"]))
    return RawRequest(method, path + query, tuple(draw(HEADERS)), draw(BODIES))


@pytest.mark.parametrize("name", list(DIALECTS))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(request=requests())
def test_a_request_becomes_a_call_or_a_refusal(name: DialectName, request: RawRequest) -> None:
    problem = problem_of(name, request)
    if problem is not None:
        assert 400 <= problem.status < 500
        answer = DIALECTS[name].error(problem, None, PROFILE)
        assert isinstance(json.loads(answer.body), dict)


def problem_of(name: DialectName, request: RawRequest) -> Problem | None:
    try:
        DIALECTS[name].parse(request, PROFILE)
    except RequestRefused as refused:
        return refused.problem
    return None


@settings(max_examples=150, deadline=None)
@given(request=requests())
def test_a_credential_is_found_and_refused_whatever_it_looks_like(request: RawRequest) -> None:
    credential = locate(request)
    assert spoken(request, credential, PROFILE) in DIALECTS
    if credential is None:
        return
    for secret in (None, HashedSecret(bytes(32)), SigningSecret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")):
        with pytest.raises(CredentialRefused):
            verify(request, credential, secret, 0.0)


@pytest.mark.parametrize("name", list(DIALECTS))
def test_a_body_of_a_mebibyte_that_is_all_brackets_is_refused_at_once(name: DialectName) -> None:
    bodies: list[Any] = [b"[" * 1024 * 1024, b'{"a":' * 200_000, b'"' * 1024 * 1024, b"9" * 1024 * 1024]
    path = {"scrip": "/merchant/v1/campaigns", "voucherify": "/v1/campaigns", "declared": "/erp/aktionen"}[name]
    for body in bodies:
        headers = (("idempotency-key", "1"), ("x-erp-key", "x"))
        with pytest.raises(RequestRefused) as caught:
            DIALECTS[name].parse(RawRequest("POST", path, headers, body), PROFILE)
        assert caught.value.problem.code == "unreadable_body"
