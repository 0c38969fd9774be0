"""The table of the life cycle, cell by cell: what it should say is written here once more, by hand, and each cell of
what a command can do is tried on a lane.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from contracts.commands import (
    ActivateCampaign,
    AmendCampaign,
    CancelGeneration,
    ChangeQuantity,
    ClaimCoupon,
    ExportCodes,
    GenerateCampaign,
    PauseCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ResumeCampaign,
    ReturnCoupon,
    StopCampaign,
    UnpublishCampaign,
    UploadCodes,
    VoidCoupons,
)
from contracts.fields import Contract
from coupon_core import states_document
from coupon_core.model.campaign import STATE_NAMES
from coupon_core.model.lifecycle import (
    CAMPAIGN_STATES,
    CAMPAIGNS,
    COUPON_STATES,
    COUPONS,
    DONE_TO_IT,
    Cell,
    No,
    NoForWhole,
    Table,
    To,
    ToForItsOrder,
    move,
)
from tests.support.deciding import MERCHANT, MemoryLane, by_code, by_number, terms

END = "2026-04-01T00:00:00Z"
NOT_RESERVED, NOT_REDEEMED = "not-reserved", "not-redeemed"
REFUSALS = {
    "taken": "code_taken",
    "already-redeemed": "coupon_already_redeemed",
    "burned-already": "coupon_burned",
    "voided-already": "coupon_voided",
    "expired-already": "coupon_expired",
    NOT_RESERVED: "coupon_not_reserved",
    NOT_REDEEMED: "coupon_not_redeemed",
    "unknown": "campaign_not_found",
    "exists": "campaign_exists",
    "no": "campaign_state_forbids",
    "inactive": "campaign_not_active",
    "over": "campaign_over",
    "none-left": "campaign_exhausted",
}
GONE = "already-redeemed burned-already voided-already expired-already"
# nobody's, held, reserved, redeemed, burned, voided, expired
EXPECTED_COUPONS = {
    "issue": "held taken taken taken taken taken taken",
    "reserve": f"reserved reserved its-order:reserved {GONE}",
    "release": "not-reserved not-reserved its-order:held not-reserved not-reserved not-reserved not-reserved",
    "redeem": f"redeemed|held redeemed|held rest:its-order:redeemed|held {GONE}",
    "return": "not-redeemed parts:not-redeemed parts:not-redeemed held|burned|expired|redeemed not-redeemed "
    "parts:not-redeemed parts:not-redeemed",
    "void": f"voided voided voided {GONE}",
    "time out": "same same held same same same same",
    "expire": "same expired expired same same same same",
}
# none, draft, generating, active, paused, exhausted, ended, stopped, failed
EXPECTED_CAMPAIGNS = {
    "generate": "draft|generating|active exists exists exists exists exists exists exists exists",
    "publish": "active exists exists exists exists exists exists exists exists",
    "activate": "unknown generating|active no no no no no no no",
    "write codes": "unknown no same same same same no no no",
    "finish generating": "unknown no active no no no no no no",
    "fail generating": "unknown no failed no no no no no no",
    "cancel generation": "unknown no failed active|exhausted same same no no no",
    "amend": "unknown same no same same same no no no",
    "change quantity": "unknown same no active|exhausted same exhausted|active no no no",
    "upload codes": "unknown same inactive same same same over inactive inactive",
    "export codes": "unknown inactive inactive active|exhausted same none-left over inactive inactive",
    "unpublish": "unknown same same same same same same same same",
    "pause": "unknown no no paused no paused no no no",
    "resume": "unknown no no no active|exhausted no no no no",
    "stop": "unknown stopped no stopped stopped stopped no no stopped",
    "issue": "unknown inactive inactive active|exhausted inactive none-left over inactive inactive",
    "use": "unknown inactive inactive active|exhausted inactive exhausted|active expired-already inactive inactive",
    "release": "unknown same same same same same same same same",
    "return": "unknown same same active|exhausted same exhausted|active same same same",
    "void": "unknown same same same same exhausted|active same same same",
    "exhaust": "unknown same same exhausted same same same same same",
    "replenish": "unknown same same same same active same same same",
    "end": "unknown same same ended ended ended same same same",
}


def said(cell: Cell) -> str:
    match cell:
        case To(states=states):
            return "|".join(states)
        case ToForItsOrder(states=states, rest=rest):
            return f"{'rest:' if rest else ''}its-order:{'|'.join(states)}"
        case NoForWhole(refusal=refusal):
            return f"parts:{next(word for word, code in REFUSALS.items() if code == refusal.code)}"
        case No(refusal=refusal):
            return next(word for word, code in REFUSALS.items() if code == refusal.code)
        case _:
            return "same"


@pytest.mark.parametrize(
    ("table", "states", "expected"),
    [(COUPONS, COUPON_STATES, EXPECTED_COUPONS), (CAMPAIGNS, CAMPAIGN_STATES, EXPECTED_CAMPAIGNS)],
    ids=["coupons", "campaigns"],
)
def test_every_cell_says_what_it_should(table: Table, states: tuple[str, ...], expected: dict[str, str]) -> None:
    assert table.keys() == expected.keys()
    for operation, row in table.items():
        assert tuple(row) == states
        assert " ".join(said(cell) for cell in row.values()) == expected[operation], operation


def test_the_committed_picture_is_made_from_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert states_document.main(["--check"]) == 0, capsys.readouterr().out


def test_the_picture_has_the_products_arrows_and_no_arrow_out_of_a_final_state() -> None:
    arrows = {line.split(":")[0].strip() for line in states_document.document().splitlines() if "-->" in line}
    product = [
        *("draft --> generating", "generating --> active", "active --> paused", "paused --> active"),
        *("active --> exhausted", "exhausted --> active", "active --> ended", "paused --> ended"),
        *("exhausted --> ended", "active --> stopped", "paused --> stopped", "exhausted --> stopped"),
        *("draft --> stopped", "generating --> failed", "failed --> stopped"),
        *("held --> reserved", "reserved --> held", "reserved --> redeemed", "held --> redeemed"),
        *("redeemed --> held", "redeemed --> burned", "held --> voided", "reserved --> voided"),
        *("held --> expired", "reserved --> expired"),
    ]
    assert set(product) <= arrows
    final = ("ended", "stopped", "burned", "voided", "expired")
    assert not [arrow for arrow in arrows if arrow.split(" ")[0] in final]


def shared(lane: MemoryLane, quantity: int = 10, **changes: Any) -> UUID:
    return lane.publish({"kind": "uploaded"}, quantity=quantity, **changes)


def with_coupon(lane: MemoryLane, quantity: int = 10, **changes: Any) -> UUID:
    """Two uploaded codes, of which a user holds the first."""
    campaign = shared(lane, quantity, **changes)
    lane.done(UploadCodes(codes=("A1", "A2")), campaign=campaign, party=MERCHANT)
    lane.issue(campaign, "u")
    return campaign


def then(*commands: Contract, **changes: Any) -> Callable[[MemoryLane], UUID]:
    def way(lane: MemoryLane) -> UUID:
        campaign = with_coupon(lane, **changes)
        for command in commands:
            lane.done(command, campaign=campaign, party=MERCHANT)
        return campaign

    return way


def until_the_end(lane: MemoryLane) -> UUID:
    campaign = with_coupon(lane)
    lane.pass_time(END)
    return campaign


REDEEM, RETURN = RedeemCoupon(coupon=by_number()), ReturnCoupon(coupon=by_number(), reason="r")
RESERVE, VOID = ReserveCoupon(coupon=by_number(), order="A"), VoidCoupons(coupons=(by_number(),), reason="r")
COUPON_WAYS: dict[str, Callable[[MemoryLane], UUID]] = {
    "held": then(),
    "reserved": then(RESERVE),
    "redeemed": then(REDEEM),
    "burned": then(REDEEM, RETURN, return_policy="burned"),
    "voided": then(VOID),
    "expired": until_the_end,
}
COUPON_COMMANDS: dict[str, Callable[[Any, str | None], Contract]] = {
    "reserve": lambda coupon, order: ReserveCoupon(coupon=coupon, order=order or "B"),
    "release": lambda coupon, order: ReleaseCoupon(coupon=coupon, order=order or "B"),
    "redeem": lambda coupon, order: RedeemCoupon(coupon=coupon, order=order),
    "return": lambda coupon, _: ReturnCoupon(coupon=coupon, reason="r"),
    "void": lambda coupon, _: VoidCoupons(coupons=(coupon,), reason="r"),
}


def code_of(reply: Any) -> str | None:
    if reply.refusal is not None:
        return str(reply.refusal.code)
    rows = (reply.result or {}).get("rows") or [{}]
    return rows[0]["refusal"]["code"] if "refusal" in rows[0] else None


class TestCouponsOnALane:
    @pytest.mark.parametrize("operation", COUPON_COMMANDS)
    @pytest.mark.parametrize("state", COUPON_WAYS)
    @pytest.mark.parametrize("order", ["A", "B", None])
    def test_a_command_does_what_its_cell_says(self, operation: str, state: str, order: str | None) -> None:
        lane = MemoryLane()
        campaign = COUPON_WAYS[state](lane)
        cell = COUPONS[operation][state]
        reply = lane.send(COUPON_COMMANDS[operation](by_number(), order), campaign=campaign, party=MERCHANT)
        self._agrees(cell, code_of(reply), STATE_NAMES[lane.coupon(campaign).state], order)

    @pytest.mark.parametrize("operation", COUPON_COMMANDS)
    def test_a_command_for_a_code_nobody_holds_does_what_its_cell_says(self, operation: str) -> None:
        lane = MemoryLane()
        campaign = with_coupon(lane)
        reply = lane.send(COUPON_COMMANDS[operation](by_code("A2"), "A"), campaign=campaign, party=MERCHANT)
        coupon = lane.work.coupons.get((lane.campaign(campaign).number, 2))
        state = "nobody's" if coupon is None else STATE_NAMES[coupon.state]
        self._agrees(COUPONS[operation]["nobody's"], code_of(reply), state, "A")

    @staticmethod
    def _agrees(cell: Cell, code: str | None, after: str, order: str | None) -> None:
        if isinstance(cell, No | NoForWhole):
            assert code == cell.refusal.code
        elif isinstance(cell, ToForItsOrder) and order != "A":
            assert code == cell.otherwise.code
        else:
            assert code is None
            assert isinstance(cell, To | ToForItsOrder)
            assert after in cell.states


PAUSE, STOP = PauseCampaign(reason="r"), StopCampaign(reason="r")
CAMPAIGN_WAYS: dict[str, Callable[[MemoryLane], UUID]] = {
    "active": then(),
    "paused": then(PAUSE),
    "exhausted": then(quantity=1),
    "ended": until_the_end,
    "stopped": then(STOP),
}
CAMPAIGN_COMMANDS: dict[str, Contract] = {
    "activate": ActivateCampaign(),
    "amend": AmendCampaign.model_validate({"terms": {"name": "other"}}),
    "change quantity": ChangeQuantity(quantity=5),
    "upload codes": UploadCodes(codes=("A3",)),
    "unpublish": UnpublishCampaign(),
    "pause": PAUSE,
    "resume": ResumeCampaign(),
    "stop": STOP,
    "issue": ClaimCoupon(user="v"),
    "use": RedeemCoupon(coupon=by_code("A2")),
    "void": VoidCoupons(coupons=(by_number(),), reason="r"),
}


class TestCampaignsOnALane:
    @pytest.mark.parametrize("operation", CAMPAIGN_COMMANDS)
    @pytest.mark.parametrize("state", CAMPAIGN_STATES)
    def test_a_command_does_what_its_cell_says(self, operation: str, state: str) -> None:
        lane = MemoryLane()
        if state == "none":
            lane.activate(MERCHANT)
            campaign = UUID(int=7)
        elif state in CAMPAIGN_WAYS:
            campaign = CAMPAIGN_WAYS[state](lane)
        else:  # no command brings a campaign there yet
            campaign = with_coupon(lane)
            lane.campaign(campaign).state = state  # type: ignore[assignment]
        reply = lane.send(CAMPAIGN_COMMANDS[operation], campaign=campaign, party=MERCHANT)
        cell = CAMPAIGNS[operation][state]
        if isinstance(cell, No):
            assert reply.refusal is not None
            assert reply.refusal.code == cell.refusal.code
            if "operation" in reply.refusal.facts:
                assert reply.refusal.facts["operation"] == DONE_TO_IT[operation]
            return
        if operation == "use" and state == "exhausted":  # the one coupon of the quantity is out: its code is held
            assert reply.refusal is not None
            assert reply.refusal.code == "campaign_exhausted"
            return
        assert reply.status == "done", reply
        allowed = cell.states if isinstance(cell, To) else (state,)
        assert lane.campaign(campaign).state in allowed

    @pytest.mark.parametrize("missing", [True, False])
    @pytest.mark.parametrize("state", [state for state in CAMPAIGN_STATES if state != "none"])
    def test_cancelling_a_generation_does_what_its_cell_says_while_codes_are_missing(
        self, state: str, missing: bool
    ) -> None:
        lane = MemoryLane(holds_continuations=True)
        campaign = lane.generate(quantity=4, supply={"kind": "generated", "stored": True})
        lane.issue(campaign, "u")
        if missing:
            lane.done(ChangeQuantity(quantity=6_000), campaign=campaign)
        if state == "ended":
            lane.pass_time(END)
        else:
            lane.campaign(campaign).state = state  # type: ignore[assignment]
        reply = lane.send(CancelGeneration(reason="r"), campaign=campaign)
        cell = CAMPAIGNS["cancel generation"][state]
        if isinstance(cell, No) or not (missing or state == "generating"):
            assert reply.refusal is not None
            assert reply.refusal.facts == {"state": state, "operation": DONE_TO_IT["cancel generation"]}
        else:
            assert reply.status == "done"
            assert lane.campaign(campaign).state in (
                cell.states if isinstance(cell, To) else (state, "active")  # there is room: it was not exhausted
            )

    @pytest.mark.parametrize("state", [state for state in CAMPAIGN_STATES if state != "none"])
    def test_generating_it_again_is_refused_in_every_state(self, state: str) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        lane.campaign(campaign).state = state  # type: ignore[assignment]
        again = GenerateCampaign(terms=terms(name="other"), quantity=1)
        assert lane.refused(again, campaign=campaign) == "campaign_exists"

    @pytest.mark.parametrize("state", ["active", "paused", "exhausted", "stopped"])
    def test_exporting_does_what_its_cell_says(self, state: str) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=2)
        prepared: dict[str, Contract] = {"paused": PAUSE, "exhausted": ExportCodes(count=2), "stopped": STOP}
        if state in prepared:
            lane.done(prepared[state], campaign=campaign)
        reply = lane.send(ExportCodes(count=2), campaign=campaign)
        cell = CAMPAIGNS["export codes"][state]
        if isinstance(cell, No):
            assert code_of(reply) == cell.refusal.code
        else:
            assert lane.campaign(campaign).state in (cell.states if isinstance(cell, To) else (state,))

    def test_a_campaign_whose_time_is_over_has_ended_before_core_says_so(self) -> None:
        lane = MemoryLane()
        campaign = with_coupon(lane)
        lane.now = lane.now.replace(month=4, day=2)
        assert lane.campaign(campaign).state == "active"
        for command in (PAUSE, STOP, ChangeQuantity(quantity=5)):
            assert lane.refused(command, campaign=campaign, party=MERCHANT) == "campaign_state_forbids"

    def test_a_move_that_is_not_in_the_table_is_a_bug_and_not_made(self) -> None:
        lane = MemoryLane()
        campaign = lane.campaign(lane.generate())
        with pytest.raises(LookupError, match="active → ended by pause"):
            move(campaign, "pause", "ended")
        assert campaign.state == "active"
