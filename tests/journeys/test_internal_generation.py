"""Promise 1: staff and tools order campaigns of which Scrip makes the codes; building rules hold for every origin."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.commands import GenerateCampaign, VoidCampaign
from contracts.identifiers import campaign_id
from contracts.writers import Writer
from tests.support.journeys import ROOT, Journey, code_of, kinds, offer, order, program

REPLIES = "tools.print-shop.replies"
THIRTY_PERCENT = {"kind": "percent_off", "basis_points": 3_000}


@pytest.fixture(scope="module")
def credentials(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `scrip tool add` printed, in a file."""
    rights = ("--role", "generate", "--role", "issue")
    printed = journey.scrip_json("tool", "add", "--name", "print-shop", *rights, "--reply-topic", REPLIES)
    assert (printed["writer"], printed["known_everywhere"]) == ("tool:print-shop", True)
    file = tmp_path_factory.mktemp("tool") / "print-shop.json"
    file.write_text(json.dumps(printed))
    return file


@pytest.fixture
def at_most_a_quarter(journey: Journey) -> Iterator[int]:
    """The building rule greatest_percent of the platform; its version."""
    put = journey.done("PUT", "/building-rules", {"greatest_percent": 2_500})
    assert put["known_everywhere"]
    yield put["version"]
    assert journey.done("PUT", "/building-rules", {})["known_everywhere"]


def writer(credentials: Path) -> Writer:
    """How the tool signs its records, from what was printed."""
    printed = json.loads(credentials.read_text())
    return Writer(printed["writer"], printed["key_version"], base64.b64decode(printed["key"]))


def tool(journey: Journey, credentials: Path, *arguments: str) -> tuple[int, Any]:
    """The example tool, which imports nothing of ours: its exit code and the answer it read from its topic."""
    example = str(ROOT / "examples" / "tool" / "tool.py")
    ran = program(example, "--credentials", str(credentials), "--bootstrap", journey.platform.bootstrap, *arguments)
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout)


def test_staff_order_a_campaign_over_http(journey: Journey) -> None:
    number = uuid4().hex
    made = journey.staff("POST", "/campaigns", order(1_000_000_000), key=number)
    assert made.status_code == 201, made.text
    campaign = made.json()["campaign"]
    assert campaign == str(campaign_id("platform", number))
    view = journey.campaign(campaign)
    assert (view["origin"], view["owner"], view["state"]) == ("internal", "platform", "active")
    assert (view["quantity"], view["issued"], view["seq"]) == (1_000_000_000, 0, 3)
    issued = journey.done("POST", f"/campaigns/{campaign}/issue", {"users": ["ann", "bob"]})
    codes = {row["code"] for row in issued["rows"]}
    assert len(codes) == 2
    assert kinds(journey.events(campaign, least=5)) == [
        "campaign.created",
        "campaign.generation_started",
        "campaign.generated",
        "coupon.issued",
        "coupon.issued",
    ]


def test_a_registered_tool_orders_one_over_kafka(journey: Journey, credentials: Path) -> None:
    starts_ends = ("--starts", "2026-01-01", "--ends", "2036-12-31", "--zone", "Europe/Berlin")
    name = f"by-tool-{uuid4().hex[:8]}"
    terms = ("--campaign", name, "--name", "By tool", "--amount-off", "500", "--quantity", "3", *starts_ends)
    code, answer = tool(journey, credentials, "generate", *terms)
    campaign = str(campaign_id("platform", name))
    assert (code, answer["status"], answer["result"]) == (0, "done", {"campaign": campaign, "state": "active"})
    code, answer = tool(journey, credentials, "issue", "--campaign", name, "--request", "1", "ann", "bob")
    assert (code, answer["result"]["accepted"]) == (0, 2)
    view = journey.campaign(campaign)
    assert (view["origin"], view["issued"], view["held"]) == ("internal", 2, 2)
    events = journey.events(campaign, least=5)
    assert {event["actor"] for event in events} == {"tool:print-shop"}


def test_what_a_tool_was_given_no_right_to_is_refused(journey: Journey, credentials: Path) -> None:
    campaign = str(journey.done("POST", "/campaigns", order(10))["campaign"])
    sent = journey.send(VoidCampaign(reason="theirs"), campaign, writer=writer(credentials), actor="tool:print-shop")
    assert code_of(journey.outcome(sent)) == (403, "not_allowed")


def test_a_building_rule_refuses_every_origin_and_is_named(
    journey: Journey, credentials: Path, at_most_a_quarter: int
) -> None:
    assert journey.done("GET", "/building-rules")["rules"] == {"greatest_percent": 2_500}
    shop = journey.add_shop("Ruled")
    refusals = [
        journey.staff("POST", "/campaigns", order(10, discount=THIRTY_PERCENT)),
        shop.ask("POST", "/merchant/v1/campaigns", offer("RULE-1", discount=THIRTY_PERCENT)),
        shop.ask("POST", "/merchant/v1/campaigns/generate", generate(discount=THIRTY_PERCENT)),
    ]
    for refused in refusals:
        assert code_of(refused) == (422, "building_rule_forbids")
        assert (refused.json()["rule"], refused.json()["version"]) == ("greatest_percent", at_most_a_quarter)
        assert "greatest_percent" in refused.json()["detail"]
    by_tool = journey.outcome(tool_order(journey, credentials))
    assert code_of(by_tool) == (422, "building_rule_forbids")
    assert by_tool.json()["rule"] == "greatest_percent"
    assert shop.publish("RULE-2", discount={"kind": "percent_off", "basis_points": 2_500})


def test_a_merchants_own_rules_stand_above_the_platforms(journey: Journey, at_most_a_quarter: int) -> None:
    trusted, other = journey.add_shop("Trusted"), journey.add_shop("Not so trusted")
    own = journey.done("PUT", f"/building-rules?merchant={trusted.id}", {"greatest_percent": 5_000})
    assert (own["party"], own["known_everywhere"]) == (trusted.id, True)
    assert trusted.publish("OWN-RULE", discount=THIRTY_PERCENT)
    refused = other.ask("POST", "/merchant/v1/campaigns", offer("OWN-RULE", discount=THIRTY_PERCENT))
    assert code_of(refused) == (422, "building_rule_forbids")


def generate(**changes: Any) -> dict[str, Any]:
    """An order of a merchant: Scrip makes the codes."""
    document = offer("unused", **changes) | {"quantity": 10}
    del document["supply"]
    return document


def tool_order(journey: Journey, credentials: Path) -> UUID:
    """A tool's own command record that orders thirty percent off; the command's id."""
    command = GenerateCampaign.model_validate_json(json.dumps(order(10, discount=THIRTY_PERCENT)))
    campaign = campaign_id("platform", uuid4().hex)
    return journey.send(command, campaign, writer=writer(credentials), actor="tool:print-shop")
