"""A lane that does not belong to its log, as the operator of a running platform sees it: by the command line."""

from typer.testing import CliRunner

from contracts.partitioner import partition_of
from scrip.__main__ import app
from scrip.waiting import run_coroutine
from tests.support.databases import execute
from tests.support.journeys import Journey, order, until

OUTSIDE = 1_000_000


def lane_of(journey: Journey, campaign: str) -> int:
    return partition_of(campaign.encode(), journey.platform.lanes)


def test_a_damaged_lane_is_shown_and_goes_on_at_the_operators_word(journey: Journey) -> None:
    hurt = str(journey.done("POST", "/campaigns", order())["campaign"])
    lane = lane_of(journey, hurt)
    well = hurt
    while lane_of(journey, well) == lane:
        well = str(journey.done("POST", "/campaigns", order())["campaign"])
    assert "accept-log-loss" not in journey.scrip("lane", "show")

    damage = f"UPDATE lane SET position = {OUTSIDE} WHERE partition = {lane}"
    run_coroutine(execute(journey.platform.database_url("core"), damage))
    sent = journey.staff("POST", f"/campaigns/{hurt}/claim", {"user": "lost"}, headers={"prefer": "respond-async"})
    assert sent.status_code == 202
    command = f"`scrip lane accept-log-loss {lane}`"
    shown = until("the damage is shown", lambda: (text := journey.scrip("lane", "show")) and command in text and text)
    assert f"lane {lane} stands at offset {OUTSIDE}" in " ".join(shown.split())
    as_json = journey.scrip_json("lane", "show")
    assert [row["position"] for row in as_json["lanes"] if row["partition"] == lane] == [OUTSIDE]
    assert any(command in reason for reason in as_json["reasons"])
    assert journey.done("POST", f"/campaigns/{well}/claim", {"user": "meanwhile"})["user"] == "meanwhile"

    refused = CliRunner().invoke(app, ["lane", "accept-log-loss", "99"], env=journey.environment())
    assert refused.exit_code != 0
    assert "there is no lane 99" in f"{refused.output}{refused.exception}"
    assert f"lane {lane} moves from {OUTSIDE} to offset" in journey.scrip("lane", "accept-log-loss", str(lane))
    until("the lane goes on", lambda: "accept-log-loss" not in journey.scrip("lane", "show"))
    assert journey.done("POST", f"/campaigns/{hurt}/claim", {"user": "found"})["user"] == "found"
    users = [coupon["user"] for coupon in journey.done("GET", f"/campaigns/{hurt}/coupons")["coupons"]]
    assert users == ["found"]
