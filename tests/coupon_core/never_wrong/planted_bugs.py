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
from coupon_core.model import lifecycle
from coupon_core.model.campaign import Campaign
from coupon_core.model.recording import Recorder
from coupon_core.operations import create, finding, give_back, issue, lane_wide, redeem, void
from coupon_core.work import Call


@dataclass(frozen=True)
class Bug:
    """One bug: in `function`, `line` becomes `instead`."""

    name: str
    function: Callable[..., Any]
    line: str
    instead: str


BUGS = (
    Bug("one coupon too many", issue._Issuer.issue, "campaign.exported <= 0", "campaign.exported < 0"),
    Bug("one coupon too many for a user", issue._Issuer.issue, "len(held) >= self.limit", "len(held) > self.limit"),
    Bug("exported codes do not count", Campaign.export, "self.exported += count", "self.exported += 0"),
    Bug("a moment too long alive", finding.settle, "call.now >= end", "call.now > end"),
    Bug("a reservation holds nobody off", lifecycle.allow_coupon, "order != coupon.reserved_order", "False"),
    Bug("a repeated command acts again", decide.decide, "if first is not None and not redriven and", "if False and"),
    Bug("a repeat is not compared", decide._answer_again, "if first.hash == entry.hash:", "if True:"),
    Bug("anybody may manage a campaign", Call.own_campaign, "if found.owner != self.party:", "if False:"),
    Bug("a suspended merchant goes on", decide._check_party, 'known[1] != "active"', 'known[1] == "closed"'),
    Bug("time may go back", decide._tell_time, "entry.time > lane.clock", "entry.time != lane.clock"),
    Bug("what is returned is never burned", give_back._lapse, 'policy == "burned"', 'policy == "never"'),
    Bug("a bearer's code stays free", redeem.take_bearer, "free[:] = [", "_ = ["),
    Bug("numbers begin anew in each batch", Recorder._line, "campaign.seq += 1", "campaign.seq = len(self.lines) + 1"),
    Bug("the slice after skips a coupon", void.void_campaign, "after=last)", "after=last + 1)"),
    Bug("the sweep stops short", lane_wide.run_due, "if due.more:", "if False:"),
    Bug("a campaign is made twice", create._create, "if exists is not None:", "if False:"),
)


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
