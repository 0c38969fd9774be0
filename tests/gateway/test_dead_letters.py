"""Dead letters are listed, shown, and sent again under their own id."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.commands import ClaimCoupon
from contracts.partitioner import partition_of
from tests.support.gateway import GatewayPlatform


async def letter_of(gateway: GatewayPlatform, command: str, reason: str = "too_late") -> dict[str, Any]:
    for _ in range(100):
        found = (await gateway.done("GET", f"/dead-letters?limit=200&reason={reason}"))["dead_letters"]
        mine = [letter for letter in found if letter["command"] == command]
        if mine:
            return dict(mine[0])
        await asyncio.sleep(0.1)
    raise AssertionError(f"no dead letter of {command}")


async def kept(gateway: GatewayPlatform, name: str) -> dict[str, Any]:
    """The letter with this name; waits for it."""
    for _ in range(100):
        answer = await gateway.staff("GET", f"/dead-letters/{name}")
        if answer.status_code == 200:
            return dict(answer.json())
        await asyncio.sleep(0.1)
    raise AssertionError(f"no dead letter {name}")


class TestADeadLetter:
    async def test_that_came_too_late_is_sent_again_and_has_its_effect_once(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        late = gateway.core.record(
            ClaimCoupon(user="late"), campaign=campaign, notafter=datetime.now(UTC) - timedelta(minutes=1)
        )
        await gateway.core.append_record(late)
        letter = await letter_of(gateway, str(late.id))
        assert (letter["reason"], letter["redriven_at"]) == ("too_late", None)
        shown = await gateway.done("GET", f"/dead-letters/{letter['id']}")
        assert shown["value"]
        viewer = await gateway.token("operator")
        assert (await gateway.staff("POST", f"/dead-letters/{letter['id']}/redrive", token=viewer)).status_code == 403
        for _ in range(2):
            sent = await gateway.done("POST", f"/dead-letters/{letter['id']}/redrive")
            assert sent["command"] == str(late.id)
        assert (await gateway.done("GET", f"/dead-letters/{letter['id']}"))["redriven_at"] is not None
        for _ in range(100):
            outcome = await gateway.staff("GET", f"/commands/{late.id}")
            if outcome.status_code == 200:
                break
            await asyncio.sleep(0.1)
        assert outcome.json()["user"] == "late"
        assert (await gateway.done("GET", f"/campaigns/{campaign}"))["issued"] == 1

    async def test_that_holds_no_command_cannot_be_sent_again(self, gateway: GatewayPlatform) -> None:
        offset = await gateway.core.append(b"poison", b"{not json", partition=2, writer=gateway.core.writer())
        name = f"coupon.commands-2-{offset}"
        await kept(gateway, name)
        refused = await gateway.staff("POST", f"/dead-letters/{name}/redrive")
        assert (refused.status_code, refused.json()["code"]) == (409, "dead_letter_not_redrivable")

    async def test_that_nobody_signed_is_not_signed_by_the_gateway(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        record = gateway.core.record(ClaimCoupon(user="thief"), campaign=campaign, actor="staff:forged")
        key, value = record.subject.encode(), record.model_dump_json(exclude_none=True).encode()
        offset = await gateway.core.append(key, value)  # by anybody who reaches the broker
        name = f"coupon.commands-{partition_of(key, gateway.core.partitions)}-{offset}"
        assert (await kept(gateway, name))["reason"] == "unsigned_writer"
        refused = await gateway.staff("POST", f"/dead-letters/{name}/redrive")
        assert (refused.status_code, refused.json()["code"]) == (409, "dead_letter_not_redrivable")
        assert "the signature of no writer" in refused.json()["detail"]
        assert (await gateway.done("GET", f"/campaigns/{campaign}"))["issued"] == 0

    async def test_of_a_tool_does_when_sent_again_what_the_tool_may(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        await gateway.done("POST", "/tools", {"name": "late-tool", "rights": ["issue"]})
        late = datetime.now(UTC) - timedelta(minutes=1)
        own, forged = (
            gateway.core.record(ClaimCoupon(user=actor), campaign=campaign, actor=actor, notafter=late)
            for actor in ("tool:late-tool", "staff:boss")
        )
        for record in (own, forged):
            await gateway.core.append_record(record, "tool:late-tool")
            letter = await letter_of(gateway, str(record.id))
            assert (letter["reason"], letter["writer"]) == ("too_late", "tool:late-tool")
            await gateway.done("POST", f"/dead-letters/{letter['id']}/redrive")
        again = await letter_of(gateway, str(forged.id), "writer_not_allowed")
        refused = await gateway.staff("POST", f"/dead-letters/{again['id']}/redrive")
        assert (refused.status_code, refused.json()["code"]) == (409, "dead_letter_not_redrivable")
        assert (await gateway.done("GET", f"/commands/{own.id}"))["user"] == "tool:late-tool"
        assert (await gateway.done("GET", f"/campaigns/{campaign}"))["issued"] == 1

    async def test_that_was_too_large_to_be_kept_whole_cannot_be_sent_again(self, gateway: GatewayPlatform) -> None:
        many = [("", b"")] * 300_000
        offset = await gateway.core.append(b"poison", b"{}", partition=2, writer=gateway.core.writer(), headers=many)
        name = f"coupon.commands-2-{offset}"
        letter = await kept(gateway, name)
        assert letter["cut"] == ["headers"]
        refused = await gateway.staff("POST", f"/dead-letters/{name}/redrive")
        assert (refused.status_code, refused.json()["code"]) == (409, "dead_letter_not_redrivable")
        assert "too large to be kept whole" in refused.json()["detail"]

    async def test_list_names_services_that_do_not_answer(self, gateway: GatewayPlatform) -> None:
        found = await gateway.done("GET", "/dead-letters?limit=1&reason=our_bug")
        assert found["away"] == ["adapter", "scheduler"]
