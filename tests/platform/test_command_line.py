"""Commands of `scrip` that need no platform, and what `up` makes of its options."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scrip import platform_commands
from scrip.__main__ import app
from scrip.platform_commands import Options

EXAMPLES = Path(__file__).parents[2] / "examples" / "declared-profile"


def test_a_profile_is_tried_on_a_sample_and_the_canonical_command_is_shown() -> None:
    arguments = [
        "merchant",
        "profile",
        "try",
        str(EXAMPLES / "profile.json"),
        "--sample",
        str(EXAMPLES / "redeem.json"),
    ]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    made = [trial["command"] for trial in json.loads(ran.stdout) if trial.get("command")]
    assert made[0]["command"] == "RedeemCoupon"
    assert made[0]["data"]["amount"] == 4_250


def test_a_sample_no_operation_understands_says_why_and_ends_with_1(tmp_path: Path) -> None:
    sample = tmp_path / "sample.json"
    sample.write_text('{"hello": "world"}')
    ran = CliRunner().invoke(
        app, ["merchant", "profile", "try", str(EXAMPLES / "profile.json"), "--sample", str(sample)]
    )
    assert ran.exit_code == 1
    trials = json.loads(ran.stdout)
    assert trials
    assert all(trial["problems"] and not trial.get("command") for trial in trials)


def test_a_profile_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"operations": {}, "unheard": 1}')
    ran = CliRunner().invoke(
        app, ["merchant", "profile", "try", str(profile), "--sample", str(EXAMPLES / "redeem.json")]
    )
    assert ran.exit_code != 0
    assert f"{profile} is no usable profile" in str(ran.exception)


def test_up_auto_verify_reaches_the_platform_in_the_background_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[Options] = []
    monkeypatch.setattr(platform_commands, "start_detached", lambda path, options: started.append(options))
    for flags in ([], ["--auto-verify"]):
        ran = CliRunner().invoke(app, ["up", "--detach", *flags, "--home", str(tmp_path / "home")])
        assert ran.exit_code == 0, ran.output
    assert [options.auto_verify for options in started] == [False, True]
    assert ["--auto-verify" in options.arguments() for options in started] == [False, True]
