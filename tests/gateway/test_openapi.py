"""The documented API: the committed document is current, and no operation in it ever answers 500."""

import re
from typing import Any

import pytest

from gateway.application import own_apis
from gateway.openapi import DOCUMENT, document, text
from tests.support.gateway import GatewayPlatform

ID = "00000000-0000-4000-8000-000000000000"
BODIES: tuple[Any, ...] = (
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"user":{"$ne":1}}',
    b'{"terms":{},"rows":[null],"users":[[]],"codes":[{}],"coupons":[1],"coupon":7}',
    b'{"to":"never","name":1e400,"rights":["all"],"roles":[],"schedule":{"kind":"cron"}}',
    b"\x00\xff",
)
AWAY = {503}
"""Adapter and scheduler do not run in these tests."""


def operations() -> list[tuple[str, str]]:
    paths = document(own_apis())["paths"]
    # The stream, and the merchants' own API, have tests of their own.
    ours = [path for path in paths if path != "/internal/v1/events" and not path.startswith("/merchant/v1/")]
    ours += [path for path in paths if path.startswith("/merchant/v1/access")]
    return sorted((method.upper(), path) for path in ours for method in paths[path])


def test_the_committed_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == text(own_apis()), "run `python -m gateway openapi`"


def test_every_operation_describes_its_answers_and_its_problems() -> None:
    made = document(own_apis())
    assert made["openapi"] == "3.1.0"
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], path
            assert {"4XX", "503"} <= operation["responses"].keys(), path
            assert "default" not in operation["responses"], f"{path}: a fault of ours would be documented"
            if method in ("post", "put") and path.startswith("/internal/"):
                names = [parameter["name"] for parameter in operation["parameters"]]
                assert "Idempotency-Key" in names or path.endswith("/validate"), (method, path)


async def test_what_cannot_be_tried_says_so_and_does_nothing(gateway: GatewayPlatform) -> None:
    """To do in earnest what was asked for as a dry run would be the worst of answers."""
    paths = document(own_apis())["paths"]
    asked = 0
    for method, path in operations():
        documented = [parameter["name"] for parameter in paths[path][method.lower()].get("parameters", ())]
        if method == "GET" or "dry_run" in documented or not path.startswith("/internal/"):
            continue
        at = re.sub(r"{\w+}", ID, path.removeprefix("/internal/v1"))
        answer = await gateway.staff(method, f"{at}?dry_run=true", {"greatest_percent": 1234})
        assert (answer.status_code, answer.json()["code"]) == (422, "dry_run_not_taken"), (method, path)
        asked += 1
    assert asked > 20
    assert (await gateway.done("GET", "/building-rules"))["rules"].get("greatest_percent") != 1234


@pytest.mark.parametrize(("method", "path"), operations())
async def test_no_operation_fails_on_what_it_cannot_use(gateway: GatewayPlatform, method: str, path: str) -> None:
    for value in (ID, "nonsense", "%F0%9F%92%A9", "%ff", "a" * 500):
        at = path
        while "{" in at:
            before, _, rest = at.partition("{")
            at = before + value + rest.partition("}")[2]
        bodies = BODIES if method != "GET" and value == ID else (None,)
        for body in bodies:
            headers = {"authorization": f"Bearer {gateway.admin_token}", "content-type": "application/json"}
            answer = await gateway.request(method, at, body, headers=headers)
            assert answer.status_code < 500 or answer.status_code in AWAY, (method, at, body, answer.text)
            if answer.status_code >= 400:
                assert answer.json()["code"], (method, at, body)
            if value != ID and "{" in path:
                assert answer.status_code >= 400, (method, at, answer.text)
