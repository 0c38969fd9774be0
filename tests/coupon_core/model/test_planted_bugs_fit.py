"""The bugs that the simulation must find still fit the code; noticed here, in a moment, by who changes a line."""

import pytest

from tests.coupon_core.never_wrong.planted_bugs import BUGS, BUGS_OF_LANES, Bug, planted


@pytest.mark.parametrize("bug", tuple(dict.fromkeys((*BUGS, *BUGS_OF_LANES))), ids=lambda bug: bug.name)
def test_a_planted_bug_fits_the_code_and_goes_away(bug: Bug) -> None:
    before = bug.function.__code__
    with planted(bug):
        assert bug.function.__code__ is not before
    assert bug.function.__code__ is before
