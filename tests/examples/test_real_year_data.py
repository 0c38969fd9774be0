"""The real year as the data tells it: known figures, read without the platform."""

from datetime import date

import pytest

from scrip.demo.data import QUICK_CAMPAIGNS, Figures, Year, households_with_demographics, midnight, read_year


@pytest.fixture(scope="module")
def year() -> Year:
    return read_year()


def test_it_has_the_known_campaigns_offers_and_coupons(year: Year) -> None:
    assert (len(year.campaigns), year.offers, year.codes) == (27, 1_197, 981)
    assert (year.invitations, year.coupons, year.holders) == (6_589, 800_199, 1_559)


def test_its_redemptions_are_by_holders_within_the_dates_and_some_repeat(year: Year) -> None:
    assert (len(year.redemptions), year.repeats) == (2_102, 27)
    campaigns = {campaign.number: campaign for campaign in year.campaigns}
    for redemption in year.redemptions:
        campaign = campaigns[redemption.campaign]
        assert campaign.starts <= redemption.day <= campaign.ends
        assert redemption.household in campaign.households
        assert redemption.code in campaign.codes


def test_redemptions_stand_in_the_order_of_their_days_and_a_repeat_after_the_first(year: Year) -> None:
    days = [redemption.day for redemption in year.redemptions]
    assert days == sorted(days)
    seen = set()
    for redemption in year.redemptions:
        coupon = (redemption.campaign, redemption.code, redemption.household)
        assert redemption.repeats is (coupon in seen)
        seen.add(coupon)


def test_the_end_of_the_year_is_known(year: Year) -> None:
    assert year.figures() == Figures(1_197, 800_199, 2_075, 27, 798_124)
    assert year.figures().held == 0


def test_the_quick_part_is_known() -> None:
    quick = read_year(QUICK_CAMPAIGNS)
    assert quick.figures() == Figures(58, 7_442, 45, 5, 7_397)
    assert quick.figures().held == 0


@pytest.mark.parametrize(
    ("day", "figures", "held"),
    [
        (date(2016, 11, 14), Figures(0, 0, 0, 0, 0), 0),
        (date(2017, 1, 31), Figures(88, 4_694, 19, 0, 324), 4_351),
        (date(2017, 7, 15), Figures(631, 310_907, 546, 9, 303_319), 7_042),
        (date(2018, 3, 1), Figures(1_197, 800_199, 2_075, 27, 798_124), 0),
    ],
)
def test_every_moment_of_it_is_known(year: Year, day: date, figures: Figures, held: int) -> None:
    assert year.figures(day) == figures
    assert year.figures(day).held == held


def test_a_campaign_is_over_when_the_day_after_its_last_begins_for_the_chain(year: Year) -> None:
    first = year.campaigns[0]
    assert (first.number, first.starts, first.ends, first.over) == (
        24,
        date(2016, 11, 14),
        date(2017, 1, 16),
        date(2017, 1, 17),
    )
    assert midnight(first.over).isoformat() == "2017-01-17T00:00:00-05:00"


def test_the_households_are_those_who_bought_or_told_of_themselves() -> None:
    assert households_with_demographics() == (2_469, 801)
