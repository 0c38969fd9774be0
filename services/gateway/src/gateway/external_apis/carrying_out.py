"""From a dialect's call to commands and questions, and from what came of them to its outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from contracts.answers import RefusalAnswer, Reply
from contracts.commands import VoidCoupons
from contracts.fields import Contract
from contracts.identifiers import campaign_id, split_coupon_id
from contracts.refusals import AmbiguousCode, CampaignNotFound, CouponNotFound, Refusal
from dialects.calls import (
    AskNothing,
    Call,
    CampaignName,
    ChangeCampaign,
    ChangeCoupon,
    CreateCampaign,
    ExportRows,
    FindCoupons,
    GetCampaign,
    GetCode,
    GetCoupon,
    GetOutcome,
    GetResults,
    IssueToUsers,
    ListAllCodes,
    ListCampaigns,
    ListCodes,
    ListCoupons,
    Ordered,
    Outcome,
    UploadCodeList,
    ValidateCoupon,
)
from dialects.protocol import Problem, RequestRefused
from dialects.references import make_reference
from gateway import problems
from gateway.bulk import BulkOutcome, BulkRequest
from gateway.commanding import WAIT_SECONDS, Pending
from gateway.external_apis.listing import all_campaigns, codes_page
from gateway.guessing import names_code, wrong_codes
from gateway.identity.model import Identity
from gateway.parts import Parts
from gateway.streaming import PassedOn

Item = dict[str, Any]


async def carry_out(parts: Parts, identity: Identity, call: Call) -> Outcome:
    """Do what a call asks, as this identity.

    Raises RequestRefused for every refusal and for what does not exist, and what `gateway.problems.of_error` knows.
    """
    actor = identity.caller.actor
    if not _tells_of_a_code(call):
        return await _carried_out(parts, identity, call)
    parts.wrong_codes.check(actor)
    try:
        outcome = await _carried_out(parts, identity, call)
    except RequestRefused as refused:
        parts.wrong_codes.count(actor, wrong_codes(refused.problem.code, None))
        raise
    parts.wrong_codes.count(actor, wrong_codes(None, outcome.body) + _found_nothing(call, outcome))
    return outcome


def _tells_of_a_code(call: Call) -> bool:
    """Whether a call names a coupon by its code or a code to claim, or asks what became of one that may have."""
    if isinstance(call, ChangeCoupon | ChangeCampaign):
        return names_code(call.command)
    if isinstance(call, GetOutcome):
        return call.command is not None
    return isinstance(call, ValidateCoupon | GetCode) or (isinstance(call, FindCoupons) and call.code is not None)


def _found_nothing(call: Call, outcome: Outcome) -> bool:
    return isinstance(call, FindCoupons) and not outcome.body["coupons"]


async def _carried_out(parts: Parts, identity: Identity, call: Call) -> Outcome:
    doing = _Doing(parts, identity)
    match call:
        case CreateCampaign():
            outcome = await doing.create(call)
        case ChangeCampaign():
            outcome = await doing.send(call, call.command, doing.campaign(call.campaign))
        case UploadCodeList() | IssueToUsers():
            outcome = await doing.bulk(call)
        case ChangeCoupon():
            outcome = await doing.change_coupon(call)
        case GetOutcome():
            outcome = await doing.outcome(call)
        case GetResults():
            outcome = await doing.results(call)
        case _:
            outcome = Outcome(await doing.ask(call))
    return outcome if outcome.pending or outcome.dry_run else await doing.complete(call, outcome)


async def export(parts: Parts, identity: Identity, call: ExportRows) -> PassedOn:
    """The rows as core streams them. Raises as `carry_out` does."""
    campaign = _Doing(parts, identity).campaign(call.campaign)
    party = identity.caller.party
    upstream = await parts.core.export(campaign, call.what, party, format=call.format, **dict(call.filters))
    if upstream is None:
        raise RequestRefused(problems.of_refusal(CampaignNotFound()))
    return PassedOn(upstream, f"{call.what}-{campaign}.{call.format}")


class _Doing:
    """One call being carried out."""

    def __init__(self, parts: Parts, identity: Identity) -> None:
        self.parts = parts
        self.caller = identity.caller
        self.party = identity.caller.party
        self.secret = identity.profile.secret

    def campaign(self, name: CampaignName) -> UUID:
        """The campaign's id; whether there is one, and whose, is decided by core."""
        return name.id if name.id is not None else campaign_id(self.party, name.natural_key or "")

    async def create(self, call: CreateCampaign) -> Outcome:
        """Make the campaign, then upload its codes. A retry meets both."""
        campaign = campaign_id(self.party, call.natural_key)
        made = await self.send(call, call.command, campaign)
        if made.pending or not call.codes:
            return made
        if made.dry_run:
            # There is no campaign into which they could be tried.
            codes_counted = {"total": len(call.codes), "tried": False}
            return replace(made, body={**made.body, "codes": codes_counted})
        codes = await self.parts.bulk.upload(
            list(enumerate(call.codes)), self._bulk_request(call, campaign, len(call.codes))
        )
        uploaded = _bulk_outcome(codes, campaign)
        if uploaded.pending:
            return uploaded
        counted = {name: uploaded.body[name] for name in ("total", "accepted", "refused")}
        return Outcome({**made.body, "codes": counted}, made.as_of, made.replayed)

    async def send(self, call: Ordered, command: Contract, campaign: UUID) -> Outcome:
        """Send one command and wait. Raises RequestRefused when it is refused."""
        reply = await self.parts.commanding.send_and_wait(
            command, self.caller, campaign, _number(call), wait_seconds=_seconds(call), dry_run=call.dry_run
        )
        if isinstance(reply, Pending):
            return Outcome({}, pending=True, reference=make_reference(self.secret, reply.command))
        return Outcome(_result(reply), reply.as_of, reply.replayed, dry_run=reply.dry_run)

    async def bulk(self, call: UploadCodeList | IssueToUsers) -> Outcome:
        """Many rows, cut into commands."""
        campaign = self.campaign(call.campaign)
        if isinstance(call, IssueToUsers):
            request = self._bulk_request(call, campaign, len(call.rows))
            done = await self.parts.bulk.issue(list(enumerate(call.rows)), request)
        else:
            request = self._bulk_request(call, campaign, len(call.codes))
            done = await self.parts.bulk.upload(list(enumerate(call.codes)), request)
        outcome = _bulk_outcome(done, campaign)
        # Of a trial nothing is kept that could be asked for.
        return replace(outcome, dry_run=True, reference=None) if call.dry_run else outcome

    def _bulk_request(self, call: Ordered, campaign: UUID, total: int) -> BulkRequest:
        return BulkRequest(
            caller=self.caller,
            campaign=campaign,
            number=_number(call),
            total=total,
            wait_seconds=_seconds(call),
            dry_run=call.dry_run,
        )

    async def change_coupon(self, call: ChangeCoupon) -> Outcome:
        """One command for one coupon, found by its code where no campaign is named."""
        reference = call.command.coupons[0] if isinstance(call.command, VoidCoupons) else call.command.coupon
        if call.campaign is not None:
            campaign = self.campaign(call.campaign)
        else:
            campaign = await self._campaign_of(reference.code or "", reference.user)
        try:
            outcome = await self.send(call, call.command, campaign)
        except RequestRefused as refused:
            if refused.problem.code == "coupon_not_found":
                self.parts.core.forget_resolved(self.party, reference.code or "", reference.user)
            raise
        if isinstance(call.command, VoidCoupons) and not outcome.pending:
            return replace(outcome, body=_only_row(outcome.body))
        return outcome

    async def ask(self, call: Call) -> Item:
        """The answer to a question. Raises RequestRefused where there is nothing to see."""
        core, party = self.parts.core, self.party
        match call:
            case ValidateCoupon():
                campaign = None if call.campaign is None else str(self.campaign(call.campaign))
                question = {
                    "party": party,
                    "actor": self.caller.actor,
                    "campaign": campaign,
                    "code": call.code,
                    "user": call.user,
                    "order": call.order,
                    "amount": call.amount,
                    "discount": call.discount,
                    "items": [item.model_dump() for item in call.items],
                }
                return await self.parts.commanding.attributes.validate(question)
            case GetCampaign():
                return _seen(await core.campaign(self.campaign(call.campaign), party), CampaignNotFound())
            case ListCampaigns(page=None):
                return await core.campaigns(party, state=call.state, after=call.after, limit=call.limit)
            case ListCampaigns(page=page, limit=limit):
                found = await all_campaigns(core, party)
                first = ((page or 1) - 1) * limit
                return {"campaigns": found[first : first + limit], "total": len(found)}
            case ListCodes():
                campaign_codes = await core.campaign_codes(
                    self.campaign(call.campaign), party, after=call.after, limit=call.limit
                )
                return _seen(campaign_codes, CampaignNotFound())
            case ListCoupons():
                coupons = await core.campaign_coupons(
                    self.campaign(call.campaign),
                    party,
                    after=call.after,
                    limit=call.limit,
                    state=call.state,
                    user=call.user,
                    codes=1,
                )
                return _seen(coupons, CampaignNotFound())
            case FindCoupons():
                return await core.coupons(party, code=call.code, user=call.user, order=call.order)
            case GetCoupon():
                return _seen(await core.coupon(call.coupon, party, codes=True), CouponNotFound())
            case GetCode():
                return await self._under(call.code)
            case ListAllCodes():
                only = None if call.campaign is None else self.campaign(call.campaign)
                return _seen(await codes_page(core, party, only, call.page, call.limit), CampaignNotFound())
            case AskNothing():
                return {}
            case _:
                raise TypeError(f"{type(call).__name__} is no question")

    async def outcome(self, call: GetOutcome) -> Outcome:
        """What became of an earlier request of this merchant."""
        if call.command is not None:
            reference = make_reference(self.secret, call.command)
            reply = await self.parts.core.outcome(call.command)
            if reply is None:
                return Outcome({"status": "pending"}, pending=True, reference=reference)
            return Outcome(_as_status(reply), reply.as_of, reference=reference)
        stored = None if call.bulk is None else await self.parts.bulk.find(call.bulk, self.party)
        if stored is None or stored.campaign is None:
            raise RequestRefused(Problem("not_found", 404, "Not found", "There is no such request of yours."))
        done = await self.parts.bulk.outcome(stored)
        if done.refusal is not None:
            body = {"status": "refused", "refusal": done.refusal.model_dump(mode="json"), "accepted": 0}
            return Outcome(body, reference=str(done.bulk))
        return _bulk_outcome(done, stored.campaign)

    async def results(self, call: GetResults) -> Outcome:
        """Result rows of a bulk request of this merchant."""
        stored = await self.parts.bulk.find(call.bulk, self.party)
        if stored is None:
            raise RequestRefused(Problem("not_found", 404, "Not found", "There is no such request of yours."))
        rows, following = await self.parts.bulk.results(stored, call.after, call.limit)
        return Outcome({"rows": rows, "next": following}, reference=str(call.bulk))

    async def complete(self, call: Call, outcome: Outcome) -> Outcome:
        """Add what the dialect's answer needs besides: the coupon, the campaign."""
        coupon = None
        if call.with_code is not None:
            coupon = await self._under(call.with_code)
        elif call.with_coupon:
            found = await self.parts.core.coupon(outcome.body["coupon"], self.party, codes=True)
            coupon = None if found is None else {**found, "coupon": found["id"]}
        campaign = None
        named = _campaign_in(outcome.body) or _campaign_in(coupon or {})
        if call.with_campaign and named is not None:
            campaign = await self.parts.core.campaign(named, self.party)
            if campaign is None:
                raise RequestRefused(problems.of_refusal(CampaignNotFound()))
        return replace(outcome, campaign=campaign, coupon=coupon)

    async def _campaign_of(self, code: str, user: str | None) -> UUID:
        found = await self.parts.core.resolve(self.party, code, user)
        if not found:
            raise RequestRefused(problems.of_refusal(CouponNotFound()))
        if len(found) > 1:
            raise RequestRefused(problems.of_refusal(AmbiguousCode(campaigns=[str(one) for one in found])))
        return found[0]

    async def _under(self, code: str) -> Item:
        """The coupon under a code; a code nobody holds yet is `available`."""
        found = (await self.parts.core.coupons(self.party, code=code, user=None, order=None))["coupons"]
        if found:
            best = min(found, key=lambda coupon: coupon["state"] not in ("held", "reserved"))
            return {"code": code, **best, "coupon": best["id"]}
        campaign = await self._campaign_of(code, None)
        return {"coupon": None, "code": code, "state": "available", "user": None, "campaign": str(campaign)}


def _number(call: Ordered) -> str:
    return call.request if call.request is not None else uuid4().hex


def _seconds(call: Ordered) -> float:
    return WAIT_SECONDS if call.wait else 0.0


def _result(reply: Reply) -> Item:
    if reply.status == "done":
        return reply.result or {}
    if reply.refusal is None:
        raise RequestRefused(
            Problem("internal_error", 500, "Internal error", "A fault of ours; it was logged and the command is kept.")
        )
    refused = problems.of_refusal(reply.refusal)
    raise RequestRefused(refused)


def _as_status(reply: Reply) -> Item:
    body: Item = {"status": reply.status}
    if reply.result is not None:
        body["result"] = reply.result
    if reply.refusal is not None:
        body["refusal"] = reply.refusal.model_dump(mode="json")
    return body


def _bulk_outcome(done: BulkOutcome, campaign: UUID) -> Outcome:
    if not done.done:
        return Outcome({}, pending=True, reference=str(done.bulk), replayed=done.replayed)
    if done.refusal is not None:
        raise RequestRefused(problems.of_refusal(done.refusal))
    body: Item = {
        "status": "done",
        "campaign": str(campaign),
        "total": done.total,
        "accepted": done.accepted,
        "refused": done.refused,
    }
    if done.rows or done.refused == 0:
        body["rows"] = list(done.rows)
    return Outcome(body, replayed=done.replayed, reference=str(done.bulk))


def _only_row(result: Item) -> Item:
    row = result["rows"][0]
    if "refusal" in row:
        raise RequestRefused(problems.of_refusal(RefusalAnswer.model_validate(row["refusal"])))
    return {"campaign": result["campaign"], "coupon": row["coupon"], "state": "voided"}


def _campaign_in(body: Item) -> UUID | None:
    if body.get("campaign") is not None:
        return UUID(str(body["campaign"]))
    if "terms" in body:
        return UUID(str(body["id"]))
    coupon = body.get("coupon")
    return None if coupon is None else split_coupon_id(str(coupon))[0]


def _seen(found: Item | None, otherwise: Refusal) -> Item:
    if found is None:
        raise RequestRefused(problems.of_refusal(otherwise))
    return found
