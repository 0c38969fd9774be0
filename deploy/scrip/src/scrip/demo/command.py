"""`scrip demo`: arguments, a home, and what is left of it afterwards."""

from __future__ import annotations

import argparse
import contextlib
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from scrip.demo.calling import UnexpectedAnswer
from scrip.demo.data import LAST_DAY, QUICK_CAMPAIGNS, households_with_demographics, midnight, read_year
from scrip.demo.evidence import collect
from scrip.demo.report import Report, Results
from scrip.demo.story import Story
from scrip.errors import PlatformError
from scrip.platform import SERVICES, Platform
from scrip.platform_commands import Options, fetch_kafka, start_detached

ADAPTER_SETTINGS = {"SCRIP_CALL_DEADLINE_SECONDS": "2", "SCRIP_FIRST_RETRY_SECONDS": "0.25"}
"""So that the planted faults do not take long."""


def arguments(given: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scrip demo",
        description="Play a real grocery chain's year of coupons on a platform of its own, and count what came of it.",
    )
    parser.add_argument("--quick", action="store_true", help="only three of the 27 campaigns")
    parser.add_argument("--keep", action="store_true", help="leave the platform up afterwards")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write figures, rates and memory there")
    parser.add_argument("--home", type=Path, metavar="DIR", help="a new folder for the platform's data")
    return parser.parse_args(given)


def main(given: list[str]) -> int:
    """Play; 0 when every figure is right, 1 when one differs or the story broke off."""
    options = arguments(given)
    home = fresh_home(options.home)
    report, results = Report(), Results()
    fetch_kafka()
    platform = Platform(
        home,
        told_time=True,
        report=lambda sentence: None,
        extra_env={"merchant_adapter": ADAPTER_SETTINGS},
    )
    started = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        with ExitStack() as open_things:
            play(options.quick, platform, report, results, open_things)
    except UnexpectedAnswer as error:
        report.heading(f"The story broke off. {error}")
        report.measured(f"The platform's data and logs stay in {home}.")
        return 1
    except KeyboardInterrupt:
        report.heading("Interrupted.")
        report.measured(f"The platform's data and logs stay in {home}.")
        return 130
    finally:
        platform.stop()
    report.results(results)
    report.measured(f"{time.monotonic() - started:.0f} s in all")
    wrong = sum(not row.right for row in results.rows)
    report.heading(f"All {len(results.rows)} figures are right." if results.right else f"{wrong} figures are WRONG.")
    if options.json is not None:
        results.write(options.json)
    if options.keep:
        keep_up(home, report)
    elif options.home is None and results.right:
        platform.erase()
    else:
        report.measured(f"The platform's data and logs stay in {home}.")
    return 0 if results.right else 1


def interrupted(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C, so that nothing is left running."""
    raise KeyboardInterrupt


def play(quick: bool, platform: Platform, report: Report, results: Results, open_things: ExitStack) -> None:
    """The story and the counting after it."""
    year = read_year(QUICK_CAMPAIGNS if quick else None)
    households, known = households_with_demographics()
    report.heading(
        "A real grocery chain's year 2017"
        + (f", only its campaigns {', '.join(str(number) for number in QUICK_CAMPAIGNS)}" if quick else "")
    )
    report.line(
        f"{len(year.campaigns)} campaigns with {year.offers:,} offers for {year.holders:,} of {households:,} "
        f"households: {year.coupons:,} coupons; {len(year.redemptions):,} shown at a till, {year.repeats} of them again"
    )
    story = Story(platform, year, report, results, households, known, open_things)
    story.play()
    collect(story)
    story.peaks.look({**platform.processes(), "demo merchant": story.merchant.process.pid})
    results.memory.update(sorted(story.peaks.bytes.items()))


def fresh_home(wanted: Path | None) -> Path:
    """The folder asked for, which must not hold a platform yet, or a new temporary one."""
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="scrip-demo-"))
    with contextlib.suppress(FileNotFoundError):
        if any(wanted.iterdir()):
            raise PlatformError(f"{wanted} is not empty: the demo begins with a new home.")
    return wanted.absolute()


def keep_up(home: Path, report: Report) -> None:
    """Start the platform again in the background, and say how to go on with it."""
    report.heading("Starting the platform again in the background, as asked by --keep")
    start_detached(home, Options(told_time=True, auto_verify=False, gateways=1, cores=1, lanes=None, services=SERVICES))
    report.line(f"It keeps told time: it is {midnight(LAST_DAY).isoformat()} until you advance the clock, for example:")
    report.measured(f"./scrip clock advance 2018-03-02T00:00:00Z --home {home}")
    report.measured(f"./scrip status --home {home}     ./scrip down --erase --home {home}")
