"""The support for tests of coupon-core: a real process answers a real command."""

from pathlib import Path

from contracts.campaigns import AmountOff, Terms, Validity
from contracts.commands import GenerateCampaign, IssueCoupons, IssueRow
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from tests.support.core import running_core
from tests.support.databases import Databases
from tests.support.servers import Servers


async def test_two_processes_answer_commands_of_all_lanes(
    databases: Databases, backend: Servers, tmp_path: Path
) -> None:
    async with running_core(databases, backend.bootstrap, tmp_path, told=True, processes=2) as core:
        await core.tell_time("2026-03-01T00:00:00Z")
        campaign = campaign_id(PLATFORM, "spring")
        terms = Terms.model_validate(
            {
                "name": "Spring",
                "currency": "EUR",
                "discount": AmountOff(amount=500),
                "validity": Validity.model_validate({"starts": "2026-03-01", "ends": "2026-03-31"}, strict=False),
            }
        )
        made = await core.done(GenerateCampaign(terms=terms, quantity=10), campaign=campaign)
        assert made == {"campaign": str(campaign), "state": "active"}
        issued = await core.done(IssueCoupons(rows=(IssueRow(user="a"), IssueRow(user="b"))), campaign=campaign)
        assert issued["accepted"] == 2
        assert all(len(row["code"]) == 12 for row in issued["rows"])
