"""Bugs to plant in coupon-core: a line of a function's source is changed, for as long as a test wants to see it found.

The function's code is replaced in place, so that it does not matter who imported it. A line that is not there any
more fails the test: change the plant with the code.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from coupon_core import decide
from coupon_core.lanes import deciding
from coupon_core.model import discount, eligibility, hours, lifecycle, periods
from coupon_core.model.campaign import Campaign
from coupon_core.model.recording import Recorder
from coupon_core.operations import (
    amend,
    create,
    finding,
    generating,
    give_back,
    issue,
    lane_wide,
    limits,
    redeem,
    void,
)
from coupon_core.work import Call, Work


@dataclass(frozen=True)
class Bug:
    """One bug: in `function`, `line` becomes `instead`."""

    name: str
    function: Callable[..., Any]
    line: str
    instead: str
    special: tuple[str, ...] = ()
    """What all campaigns' terms have, where it takes much to meet the bug."""


BUGS = (
    Bug("one coupon too many", issue._Issuer.issue, "campaign.exported <= 0", "campaign.exported < 0"),
    Bug("one coupon too many for a user", issue._Issuer.issue, "len(held) >= self.limit", "len(held) > self.limit"),
    Bug("exported codes do not count", Campaign.export, "self.exported += count", "self.exported += 0"),
    Bug("a moment too long alive", finding.settle, "call.now >= end", "call.now > end"),
    Bug("a reservation holds nobody off", lifecycle.allow_coupon, "order != coupon.reserved_order", "False"),
    Bug("a repeated command acts again", decide.decide, "if first is not None and not redriven:", "if False:"),
    Bug("a repeat is not compared", decide._answer_again, "if first.hash == entry.hash:", "if True:"),
    Bug("anybody may manage a campaign", Call.own_campaign, "if found.owner != self.party:", "if False:"),
    Bug("a suspended merchant goes on", decide._check_party, 'known[1] != "active"', 'known[1] == "closed"'),
    Bug("time may go back", Work.clock_at, "entry.time > clock", "entry.time != clock"),
    Bug("what is returned is never burned", give_back._lapse, 'policy == "burned"', 'policy == "never"'),
    Bug("a bearer's code stays free", redeem.take_bearer, "free[:] = [", "_ = ["),
    Bug("numbers begin anew in each batch", Recorder._line, "campaign.seq += 1", "campaign.seq = len(self.lines) + 1"),
    Bug("the slice after skips a coupon", void.void_campaign, "after=last,", "after=last + 1,"),
    Bug("a void forgets what its slices did", void._counted_on, "getattr(before, state) + ", ""),
    Bug("a void is answered too soon", void._answer_or_wait, "return None if more else result", "return result"),
    Bug("the sweep stops short", lane_wide.run_due, "if due.more:", "if False:"),
    Bug("a campaign is made twice", create._create, "if exists is not None:", "if False:"),
    # uses and balances
    Bug("a coupon of several uses is never used up", redeem.redeem, "campaign.left(found) > 0", "True"),
    Bug("a gift card pays what it does not hold", discount._from_balance, "elif named > balance:", "elif False:"),
    Bug("what an order holds of a balance is free", lifecycle.free_units, "left - coupon.reserved_units", "left"),
    Bug("a part given back is not on the card again", give_back.give_back, "if lapse is None:\n", "if False:\n"),
    Bug("more is given back than was taken", give_back._amount, "if asked > row.left():", "if False:"),
    Bug("a percentage is always rounded up", discount._percentage, "product + 5_000", "product + 9_999"),
    # budgets
    Bug("a budget forgets what it keeps", Campaign.budget_left, "- self.budget_reserved", "- 0", special=("budget",)),
    Bug(
        "what is given back stays spent",
        give_back.give_back,
        "budget_spent -= amount",
        "budget_spent -= 0",
        special=("budget",),
    ),
    Bug("a return overdraws the budget", give_back._lapse, "and not over and", "and False and", special=("budget",)),
    Bug("exported codes keep no budget", Campaign.export, "count * self.coupon_worth()", "0", special=("budget",)),
    # windows and hours
    Bug(
        "a coupon outlives its own days",
        finding.settle,
        "campaign.own_end(coupon) or campaign.ends",
        "campaign.ends",
        special=("days",),
    ),
    Bug(
        "a bearer's own days end unnoticed",
        redeem.redeem,
        "if found.due_at is not None:",
        "if False:",
        special=("uses", "days"),
    ),
    Bug("waiting days do not wait", redeem._check_hours, "if call.now < first:", "if False:"),
    Bug("hours are UTC's", hours.is_open, "moment.astimezone(ZoneInfo(validity.zone))", "moment", special=("hours",)),
    Bug("no hours after midnight", hours.is_open, "if over_midnight and", "if False and", special=("hours",)),
    Bug(
        "an hour is a moment too long",
        hours.is_open,
        "first <= moment < end",
        "first <= moment <= end",
        special=("hours",),
    ),
    # rules
    Bug("a rule is not asked at redemption", redeem._check_rule, "if rule is not None or", "if False and"),
    Bug("a rule's no is a yes", eligibility.why_not_eligible, "if allowed is True:", "if allowed is not None:"),
    Bug("an attribute may be anything", eligibility.why_not_eligible, "if value is None:", "if False:"),
    # limits of periods
    Bug("one too many in a period", limits.Limits.why_not, "count.issued >= count.most", "count.issued > count.most"),
    Bug(
        "one too many on a day",
        limits.Limits.why_not,
        "today >= self.user_day_limit",
        "today > self.user_day_limit",
        special=("limits",),
    ),
    Bug(
        "a week begins on Sunday", periods.period_start, "day.weekday()", "(day.weekday() + 1) % 7", special=("limits",)
    ),
    Bug(
        "a day is UTC's", limits.Limits._count, "self.call.now, self.zone", "self.call.now, 'UTC'", special=("limits",)
    ),
    # drafts, amendments, jobs, dry runs
    Bug("a draft is live", create.generate, "if command.draft:", "if False:"),
    Bug("a draft's end is not looked at", create.activate, "check_terms(call, campaign.terms)", "pass"),
    Bug("a promise is amended away", amend.amend, "if campaign.issued or campaign.exported:", "if False:"),
    Bug("what was amended is not looked at", amend.amend, "campaign.look_up_terms()", "pass"),
    Bug("a job leaves its last code out", generating._write_slice, "done == total:", "done >= total - 1:"),
    Bug("who tries learns the code", decide._reply, "without_codes(outcome.body) if record.dryrun else", ""),
)
BUGS_OF_LANES = (
    next(bug for bug in BUGS if bug.name == "a repeated command acts again"),
    Bug("what is only tried happens", deciding._is_dry_run, "entry.record.dryrun", "False"),
)
"""Those the simulation, which has no lanes, cannot see, and one that it can."""


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The bug is there inside this block."""
    function = bug.function
    assert isinstance(function, FunctionType)
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(bug.line) != 1:
        raise LookupError(f"{bug.name}: {function.__qualname__} does not hold {bug.line!r} once: change the plant too")
    made: dict[str, Any] = {}
    changed = compile(
        "from __future__ import annotations\n" + source.replace(bug.line, bug.instead), "<planted>", "exec"
    )
    exec(changed, vars(sys.modules[function.__module__]), made)
    before, function.__code__ = function.__code__, made[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = before
