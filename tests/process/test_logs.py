import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from process import logs


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("restored_logging")
class TestJsonLines:
    def test_carry_the_sentence_the_fields_and_what_was_bound(self, capsys: pytest.CaptureFixture[str]) -> None:
        logs.configure("coupon-core", 2)
        logs.bind(command="c-1")
        structlog.get_logger().info("A coupon was issued.", action="issued", amount=5)
        structlog.contextvars.unbind_contextvars("command")
        structlog.get_logger().info("A lane was lost.", action="lane_lost")
        first, second = lines_of(capsys)
        assert first["event"] == "A coupon was issued."
        assert (first["action"], first["amount"], first["command"]) == ("issued", 5, "c-1")
        assert (first["service"], first["instance"], first["level"]) == ("coupon-core", 2, "info")
        assert "command" not in second

    def test_also_come_from_the_standard_library(self, capsys: pytest.CaptureFixture[str]) -> None:
        logs.configure("gateway", 0)
        logging.getLogger("aiokafka.consumer").warning("lost %s with Bearer abc.def", "the broker")
        (line,) = lines_of(capsys)
        assert line["event"] == "lost the broker with Bearer [redacted]"
        assert (line["logger"], line["service"]) == ("aiokafka.consumer", "gateway")

    def test_mask_what_looks_like_a_secret_at_any_depth(self, capsys: pytest.CaptureFixture[str]) -> None:
        logs.configure("gateway", 0)
        canary = "canary-7351"
        structlog.get_logger().warning(
            f"Refused Authorization: Bearer {canary}",
            token=canary,
            terminal_key=canary,
            headers={"Authorization": canary, "X-Api-Key": canary, "accept": "json"},
            nested=[{"webhook_secret": canary, "code": canary}],
            address=f"postgresql://core:{canary}@db/scrip",
            body=canary,
            raw=canary.encode(),
            refusal="coupon_already_redeemed",
        )
        output = capsys.readouterr().err
        assert canary not in output
        line = json.loads(output)
        assert line["headers"] == {"Authorization": logs.MASK, "X-Api-Key": logs.MASK, "accept": "json"}
        assert line["refusal"] == "coupon_already_redeemed"
        assert line["raw"] == "[11 bytes]"

    def test_mask_rows_and_inputs_quoted_by_exceptions(self, capsys: pytest.CaptureFixture[str]) -> None:
        logs.configure("coupon-core", 0)
        quoted = "-".join(["canary", "7351"])  # put together, since a traceback shows the line itself
        try:
            raise ValueError(f"duplicate key\nDETAIL:  Key (code)=({quoted}) already exists.")
        except ValueError:
            structlog.get_logger().exception("A write failed.", action="write_failed")
        output = capsys.readouterr().err
        assert quoted not in output
        assert "duplicate key" in output

    @pytest.mark.parametrize("name", ["key", "Key", "service_token", "x-signature", "codes", "client_secret"])
    def test_know_a_secret_by_its_name(self, name: str) -> None:
        assert logs.is_secret(name)

    @pytest.mark.parametrize("name", ["status_code", "monkey", "refusal", "key_id", "tokens_left", "merchant"])
    def test_leave_other_names_alone(self, name: str) -> None:
        assert not logs.is_secret(name)


def test_the_console_renderer_masks_too() -> None:
    program = (
        "from process import logs; import structlog; logs.configure('gateway', 0, 'console');"
        "structlog.get_logger().info('Hello.', token='canary-7351', action='greeted')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Hello." in ran.stderr
    assert "greeted" in ran.stderr
    assert "canary" not in ran.stderr
