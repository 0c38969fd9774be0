"""Signed requests: the published vectors and samples, and thirty ways in which a request is not what was signed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from dialects import registry
from dialects.protocol import CredentialRefused, HashedSecret, RawRequest, SigningSecret
from dialects.scrip.credentials import signature, signed_text

PAGE = (Path(__file__).parents[2] / "docs" / "signing.md").read_text(encoding="utf-8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
NOW = 1_700_000_000


@dataclass(frozen=True)
class Vector:
    id: str
    method: str
    target: str
    body: str
    signature: str


VECTORS = [
    Vector(*found.groups(default=""))
    for found in re.finditer(
        r"^\| `([\w-]+)` \| `(\w+) ([^`]+)` \| (?:`([^`]+)`)? ?\| `(v1,[^`]+)` \|$", PAGE, re.MULTILINE
    )
]


def request(
    *,
    request_id: str = "order-4711",
    timestamp: str = str(NOW),
    method: str = "POST",
    target: str = "/merchant/v1/coupons/redeem?trace=1",
    body: bytes = b'{"code": "SPRING", "amount": 2000}',
    secret: str = SECRET,
) -> RawRequest:
    signed = signature(secret, signed_text(request_id, timestamp, method, target, body))
    headers = (
        ("host", "scrip.example"),
        ("scrip-key", "k1"),
        ("webhook-id", request_id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signed),
    )
    return RawRequest(method, target, headers, body)


def with_header(name: str, value: str | None) -> RawRequest:
    """The good request with another value of one header; None takes the header out."""
    good = request()
    kept = tuple((key, old) for key, old in good.headers if key != name)
    return replace(good, headers=kept if value is None else (*kept, (name, value)))


def doubled(name: str) -> RawRequest:
    good = request()
    return replace(good, headers=(*good.headers, *((key, value) for key, value in good.headers if key == name)))


def check(asked: RawRequest, secret: str | None = SECRET, now: float = NOW) -> None:
    credential = registry.locate(asked)
    assert credential is not None
    registry.verify(asked, credential, None if secret is None else SigningSecret(secret), now)


class TestTheRule:
    def test_the_page_has_both_vectors(self) -> None:
        assert [vector.id for vector in VECTORS] == ["order-4711", "list-1"]

    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
    def test_the_published_vectors_hold(self, vector: Vector) -> None:
        text = signed_text(vector.id, str(NOW), vector.method, vector.target, vector.body.encode())
        assert signature(SECRET, text) == vector.signature

    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
    def test_a_library_of_standard_webhooks_signs_the_same(self, vector: Vector) -> None:
        payload = f"{vector.method} {vector.target}.{vector.body}"
        moment = datetime.fromtimestamp(NOW, UTC)
        assert Webhook(SECRET).sign(vector.id, moment, payload) == vector.signature

    def test_the_vector_of_standard_webhooks_itself_holds(self) -> None:
        text = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
        assert signature(SECRET, text) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def sample(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


class TestTheSamples:
    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
    @pytest.mark.parametrize(
        ("language", "needs", "file", "command"),
        [
            ("sh", "openssl", "sign.sh", ["sh"]),
            ("python", sys.executable, "sign.py", [sys.executable]),
            ("php", "php", "sign.php", ["php"]),
            ("java", "java", "Sign.java", ["java"]),
        ],
    )
    def test_each_prints_the_published_signature(
        self, tmp_path: Path, language: str, needs: str, file: str, command: list[str], vector: Vector
    ) -> None:
        if shutil.which(needs) is None:
            pytest.skip(f"there is no {needs} on this machine")
        (tmp_path / file).write_text(sample(language), encoding="utf-8")
        done = subprocess.run(
            [*command, str(tmp_path / file)],
            input=vector.body.encode(),
            capture_output=True,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                "SECRET": SECRET,
                "ID": vector.id,
                "TIMESTAMP": str(NOW),
                "METHOD": vector.method,
                "TARGET": vector.target,
            },
        )
        assert done.stdout.decode().strip() == vector.signature


class TestWhatIsAccepted:
    @pytest.mark.parametrize("seconds", [-300, 0, 300])
    def test_a_clock_may_be_off_by_300_seconds(self, seconds: int) -> None:
        check(request(), now=NOW + seconds)

    def test_one_good_signature_among_several_is_enough(self) -> None:
        good = dict(request().headers)["webhook-signature"]
        check(with_header("webhook-signature", f"v1,AAAA v1a,xyz {good}"))

    def test_a_body_that_is_not_utf8_can_be_signed(self) -> None:
        check(request(body=b"\xff\xfe\x00"))

    def test_header_names_come_in_any_order(self) -> None:
        good = request()
        check(replace(good, headers=tuple(reversed(good.headers))))


def flipped(value: str, position: int = 3) -> str:
    return value[:position] + chr(ord(value[position]) ^ 1) + value[position + 1 :]


GOOD = request()
SIGNATURE = dict(GOOD.headers)["webhook-signature"]
REFUSED: dict[str, Callable[[], RawRequest]] = {
    "one bit of the id": lambda: with_header("webhook-id", flipped("order-4711")),
    "one bit of the timestamp": lambda: with_header("webhook-timestamp", flipped(str(NOW), 9)),
    "another method": lambda: replace(GOOD, method="PUT"),
    "method in lower case": lambda: replace(GOOD, method="post"),
    "one bit of the path": lambda: replace(GOOD, target=flipped(GOOD.target)),
    "query left out": lambda: replace(GOOD, target=GOOD.path),
    "query escaped another way": lambda: replace(GOOD, target=GOOD.target.replace("trace", "%74race")),
    "trailing slash": lambda: replace(GOOD, target=GOOD.path + "/?trace=1"),
    "fragment added": lambda: replace(GOOD, target=GOOD.target + "&x=1"),
    "one bit of the body": lambda: replace(GOOD, body=bytes([GOOD.body[0] ^ 1]) + GOOD.body[1:]),
    "body serialised anew": lambda: replace(GOOD, body=GOOD.body.replace(b": ", b":")),
    "newline added to the body": lambda: replace(GOOD, body=GOOD.body + b"\n"),
    "empty body": lambda: replace(GOOD, body=b""),
    "one bit of the signature": lambda: with_header("webhook-signature", flipped(SIGNATURE, 10)),
    "signature cut": lambda: with_header("webhook-signature", SIGNATURE[:-1]),
    "signature without its version": lambda: with_header("webhook-signature", SIGNATURE[3:]),
    "signature of another version": lambda: with_header("webhook-signature", "v2" + SIGNATURE[2:]),
    "signature in capitals": lambda: with_header("webhook-signature", SIGNATURE.upper()),
    "nine signatures, the good one last": lambda: with_header("webhook-signature", "v1,AAAA " * 8 + SIGNATURE),
    "no signature": lambda: with_header("webhook-signature", None),
    "empty signature": lambda: with_header("webhook-signature", ""),
    "no id": lambda: with_header("webhook-id", None),
    "empty id, signed": lambda: request(request_id=""),
    "no timestamp": lambda: with_header("webhook-timestamp", None),
    "timestamp that is no number, signed": lambda: request(timestamp="soon"),
    "timestamp with a fraction, signed": lambda: request(timestamp=f"{NOW}.0"),
    "timestamp in another script, signed": lambda: replace(
        GOOD,
        headers=tuple((key, "\u0661" * 10 if key == "webhook-timestamp" else value) for key, value in GOOD.headers),
    ),
    "301 seconds old, signed": lambda: request(timestamp=str(NOW - 301)),
    "301 seconds ahead, signed": lambda: request(timestamp=str(NOW + 301)),
    "another merchant's secret": lambda: request(secret=OTHER_SECRET),
    "signature header doubled": lambda: doubled("webhook-signature"),
    "id header doubled": lambda: doubled("webhook-id"),
    "timestamp header doubled": lambda: doubled("webhook-timestamp"),
}


class TestWhatIsRefused:
    @pytest.mark.parametrize("case", REFUSED)
    def test_what_was_not_signed_is_refused(self, case: str) -> None:
        with pytest.raises(CredentialRefused):
            check(REFUSED[case]())

    def test_a_key_that_does_not_exist_is_refused_after_the_same_work(self) -> None:
        with pytest.raises(CredentialRefused):
            check(GOOD, secret=None)

    def test_a_bearer_key_does_not_sign(self) -> None:
        credential = registry.locate(GOOD)
        assert credential is not None
        with pytest.raises(CredentialRefused):
            registry.verify(GOOD, credential, HashedSecret(bytes(32)), NOW)

    def test_the_doubled_key_header_names_nobody(self) -> None:
        credential = registry.locate(doubled("scrip-key"))
        assert credential is not None
        assert credential.public_id == ""
