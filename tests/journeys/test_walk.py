"""The walk of the README, run by a shell exactly as it stands there."""

import json
import subprocess
from typing import Any

from tests.support.journeys import ROOT, Journey

WALK = ROOT / "docs" / "walk.md"


def commands() -> str:
    """What stands between the fences."""
    before, fence, rest = WALK.read_text(encoding="utf-8").partition("```sh\n")
    assert (before.strip(), fence) == ("", "```sh\n")
    block, _, after = rest.partition("```")
    assert not after.strip()
    return block


def test_the_walk_leads_from_a_new_merchant_to_a_second_redemption(journey: Journey) -> None:
    ran = subprocess.run(
        ["sh", "-eu", "-c", commands()],
        env=journey.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    answers: list[dict[str, Any]] = [json.loads(line) for line in ran.stdout.splitlines()]
    matched, published, issued, valid, redeemed, returned, again, campaign = answers
    assert (matched["dialect"], matched["name"]) == ("scrip", "Corner shop")
    assert published["state"] == "active"
    assert (issued["accepted"], issued["refused"]) == (2, 0)
    assert (valid["valid"], valid["discount"], valid["payable"]) == (True, 500, 2_090)
    assert (redeemed["payable"], redeemed["redemption"]) == (2_090, 1)
    assert returned["state"] == "held"
    assert (again["payable"], again["redemption"]) == (3_500, 2)
    assert (campaign["issued"], campaign["redeemed"], campaign["held"]) == (2, 1, 1)


def test_the_readme_shows_the_walk_as_it_is(journey: Journey) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert commands() in readme
