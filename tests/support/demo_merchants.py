"""The demo merchant as a process of its own, and what its contract says of an answer."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.support.processes import start

ROOT = Path(__file__).resolve().parents[2]
CONTRACT_FILE = ROOT / "docs" / "merchant-interface.openapi.yaml"
CONTRACT: dict[str, Any] = yaml.safe_load(CONTRACT_FILE.read_text(encoding="utf-8"))
TOKEN = "token-the-merchant-gave-to-scrip"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

_registry: Registry[Any] = Registry().with_resource(
    "urn:contract", Resource.from_contents(CONTRACT, default_specification=DRAFT202012)
)


@dataclass
class DemoMerchant:
    """A running demo merchant: `address` is the base address of its interface."""

    address: str
    state: Path
    process: subprocess.Popen[bytes]
    options: tuple[str, ...]

    @property
    def admin(self) -> str:
        return str(httpx.URL(self.address).join("/_admin"))

    def plant(self, at: str, kind: str, **more: object) -> None:
        answer = httpx.post(f"{self.admin}/faults", json={"at": at, "kind": kind, **more}, trust_env=False)
        assert answer.status_code == 201, answer.text

    def clear(self) -> None:
        assert httpx.delete(f"{self.admin}/faults", trust_env=False).status_code == 204

    def put_user(self, user: str, attributes: dict[str, Any]) -> None:
        """Add or change a user of the merchant's."""
        answer = httpx.put(f"{self.admin}/users/{user}", json={"attributes": attributes}, trust_env=False)
        assert answer.status_code < 300, answer.text

    def remove_user(self, user: str) -> None:
        """A user vanishes from the merchant's listing."""
        assert httpx.delete(f"{self.admin}/users/{user}", trust_env=False).status_code < 300

    def counts(self, *, by_key: bool = False) -> dict[str, Any]:
        query = {"by_key": "1"} if by_key else None
        counts: dict[str, Any] = httpx.get(f"{self.admin}/counts", params=query, trust_env=False).json()
        return counts

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def start_demo_merchant(state: Path, *options: str, port: int = 0) -> DemoMerchant:
    """Starts one on a free port (or `port`); returns when it listens."""
    process = start(
        [
            *(sys.executable, str(ROOT / "examples" / "demo-merchant" / "demo_merchant")),
            *("--port", str(port), "--state", str(state), "--token", TOKEN),
            *("--webhook-secret", WEBHOOK_SECRET, *options),
        ],
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},  # nothing of ours on the import path: it must stand alone
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    process.stdout.close()
    if not line:
        raise AssertionError(f"the demo merchant did not start: exit {process.wait(10)}")
    return DemoMerchant(line.split()[2], state, process, options)


@contextmanager
def running_demo_merchant(state: Path, *options: str) -> Iterator[DemoMerchant]:
    merchant = start_demo_merchant(state, *options)
    try:
        yield merchant
    finally:
        merchant.process.terminate()
        try:
            merchant.process.wait(10)
        except subprocess.TimeoutExpired:
            merchant.kill()


def schema_faults(schema: str, value: object) -> list[str]:
    """What the contract's schema of this name finds wrong with a value."""
    validator = Draft202012Validator(
        {"$ref": f"urn:contract#/components/schemas/{schema}"},
        registry=_registry,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def assert_documented(method: str, path: str, answer: httpx.Response) -> None:
    """The answer's status, media type and body are among those the contract gives for this operation."""
    responses = CONTRACT["paths"][path][method]["responses"]
    assert str(answer.status_code) in responses, f"{method} {path} answered {answer.status_code}, not documented"
    response = responses[str(answer.status_code)]
    if "$ref" in response:
        response = CONTRACT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in response["content"]
    schema = response["content"][media_type]["schema"]["$ref"].rpartition("/")[2]
    assert schema_faults(schema, answer.json()) == []
