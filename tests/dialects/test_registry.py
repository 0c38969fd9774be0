"""One front door: the credential is found wherever it stands, and decides which dialect is spoken."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dialects import registry
from dialects.calls import CreateCampaign
from dialects.declared.declaration import read_declaration
from dialects.keys import new_key, new_signing_secret, read_key
from dialects.protocol import CredentialRefused, HashedSecret, Profile, RawRequest, SigningSecret
from tests.dialects.requests import MERCHANT, OTHER, PROFILE, raw

KEY = new_key()
HASHED = HashedSecret(hashlib.sha256(KEY.secret.encode()).digest())
BASIC = base64.b64encode(f"{KEY.public_id}:{KEY.secret}".encode()).decode()
PLACES = {
    "bearer": {"Authorization": f"Bearer {KEY.text}"},
    "app_token": {"X-App-Id": KEY.public_id, "X-App-Token": KEY.secret},
    "api_key": {"X-Shop-Key": KEY.text},
    "basic": {"Authorization": f"Basic {BASIC}"},
}
EXAMPLE = Path(__file__).parents[2] / "examples" / "declared-profile" / "profile.json"


def declared(**changes: Any) -> Profile:
    document = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    return replace(PROFILE, declaration=read_declaration(document | changes))


class TestLocating:
    @pytest.mark.parametrize("kind", PLACES)
    def test_a_key_is_found_in_every_dialects_place(self, kind: str) -> None:
        found = registry.locate(raw("POST", "/anything", {}, PLACES[kind]))
        assert found is not None
        assert (found.kind, found.public_id, found.proof) == (kind, KEY.public_id, KEY.secret)

    @pytest.mark.parametrize("kind", PLACES)
    def test_a_good_key_is_accepted_and_an_unknown_or_wrong_one_is_not(self, kind: str) -> None:
        request = raw("POST", "/anything", {}, PLACES[kind])
        found = registry.locate(request)
        assert found is not None
        registry.verify(request, found, HASHED, 0)
        for secret in (None, HashedSecret(bytes(32)), SigningSecret(new_signing_secret())):
            with pytest.raises(CredentialRefused):
                registry.verify(request, found, secret, 0)

    def test_who_shows_nothing_is_nobody(self) -> None:
        assert registry.locate(raw("GET", "/merchant/v1/campaigns")) is None

    @pytest.mark.parametrize(
        "headers",
        [
            (("authorization", "Bearer nonsense"),),
            (("authorization", f"Bearer {KEY.text}"), ("authorization", f"Bearer {KEY.text}")),
            (("authorization", "Basic !!!"),),
            (("authorization", "Basic /w=="),),
            (("x-app-id", KEY.public_id), ("x-app-id", "other"), ("x-app-token", KEY.secret)),
            (("x-app-token", KEY.secret),),
        ],
    )
    def test_half_a_credential_is_never_accepted(self, headers: tuple[tuple[str, str], ...]) -> None:
        request = raw("GET", "/", None, headers)
        found = registry.locate(request)
        if found is not None:
            assert not (found.public_id == KEY.public_id and found.proof == KEY.secret)

    def test_keys_have_a_form_that_can_be_told(self) -> None:
        assert read_key(KEY.text) == KEY
        assert read_key(KEY.text + "x") is None
        assert read_key(KEY.text.upper()) is None
        assert KEY.secret not in repr(KEY)


class TestSpeaking:
    @pytest.mark.parametrize(
        ("kind", "path", "dialect"),
        [
            ("bearer", "/merchant/v1/campaigns", "scrip"),
            ("bearer", "/v1/campaigns", "scrip"),
            ("app_token", "/merchant/v1/campaigns", "voucherify"),
            ("api_key", "/v1/campaigns", "declared"),
            ("basic", "/v1/campaigns", "declared"),
        ],
    )
    def test_the_place_of_the_credential_tells_the_dialect(self, kind: str, path: str, dialect: str) -> None:
        request = raw("POST", path, {}, PLACES[kind])
        assert registry.spoken(request, registry.locate(request), PROFILE) == dialect

    def test_a_bearer_key_is_a_declared_apis_own_where_its_profile_says_so(self) -> None:
        profile = declared(authentication={"kind": "bearer"})
        own, scrip = raw("POST", "/erp/kasse", {}, PLACES["bearer"]), raw("POST", "/merchant/v1/campaigns", {})
        scrip = replace(scrip, headers=own.headers)
        assert registry.spoken(own, registry.locate(own), profile) == "declared"
        assert registry.spoken(scrip, registry.locate(scrip), profile) == "scrip"
        assert registry.spoken(own, registry.locate(own), declared()) == "scrip"

    def test_without_a_credential_the_headers_or_the_default_tell(self) -> None:
        assert registry.spoken(raw("GET", "/v1/vouchers"), None) == "scrip"
        client = raw("GET", "/client/v1/validations", None, {"X-Client-Token": "x"})
        assert registry.spoken(client, None) == "voucherify"


class TestSameBytesOtherCredentials:
    """Same method, path and body; only the credentials differ: another mapping runs."""

    BODY: ClassVar[dict[str, Any]] = {
        "name": "Herbst",
        "titel": "Autumn",
        "campaign_type": "DISCOUNT_COUPONS",
        "voucher": {"type": "DISCOUNT_VOUCHER", "discount": {"type": "AMOUNT", "amount_off": 700}},
        "validity": None,
    }

    def declaration(self, name_from: str, amount_from: str) -> Profile:
        operation = {
            "method": "POST",
            "path": "/v1/campaigns",
            "request": {
                "natural_key": "body.name",
                "name": name_from,
                "discount.kind": {"value": "amount_off"},
                "discount.amount": {"from": amount_from, "convert": {"to": "money", "unit": "minor"}},
                "validity.starts": {"value": "2026-01-01"},
                "validity.ends": {"value": "2026-12-31"},
                "supply.kind": {"value": "given"},
            },
        }
        return replace(declared(operations={"publish": operation}), merchant=OTHER)

    def call(self, request: RawRequest, profile: Profile) -> CreateCampaign:
        dialect = registry.spoken(request, registry.locate(request), profile)
        call = registry.DIALECTS[dialect].parse(request, profile)
        assert isinstance(call, CreateCampaign)
        return call

    def test_a_voucherify_client_and_two_home_made_ones_are_understood_each_in_their_own_way(self) -> None:
        body = {name: value for name, value in self.BODY.items() if name not in ("titel", "validity")}
        home_made = PLACES["api_key"] | {"X-ERP-Key": "x"}
        first = self.call(raw("POST", "/v1/campaigns", body, PLACES["app_token"]), PROFILE)
        second = self.call(
            raw("POST", "/v1/campaigns", body, home_made),
            self.declaration("body.name", "body.voucher.discount.amount_off"),
        )
        third = self.call(
            raw("POST", "/v1/campaigns", body, home_made),
            self.declaration("body.campaign_type", "length(body.name)"),
        )
        assert [call.command.terms.name for call in (first, second, third)] == ["Herbst", "Herbst", "DISCOUNT_COUPONS"]
        assert [call.command.terms.discount.model_dump()["amount"] for call in (first, second, third)] == [700, 700, 6]
        assert [call.command.supply.kind for call in (first, second, third)] == ["uploaded", "given", "given"]
        assert MERCHANT != OTHER
