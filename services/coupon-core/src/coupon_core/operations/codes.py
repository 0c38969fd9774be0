"""Upload of a merchant's own codes, and export of generated ones nobody holds."""

from __future__ import annotations

from typing import Any

from contracts.commands import ExportCodes, UploadCodes
from contracts.events import CodesExported, CodesUploaded
from contracts.refusals import (
    CodeOfPattern,
    CodesNeedReceiver,
    CodesNotExportable,
    CodesNotUploadable,
    CodeTaken,
    CodeUnreadable,
    Refusal,
    RepeatedInRequest,
)
from coupon_core.codes.generated import normalise
from coupon_core.model.lifecycle import allow, none_left
from coupon_core.model.refused import Refused
from coupon_core.operations.serials import own_codes, take_range
from coupon_core.operations.stock import note_exhausted, note_pool_low
from coupon_core.work import Call, UploadedCode


def upload(call: Call) -> dict[str, Any]:
    """Add unique codes; each row has its own result. They are given out in the order they came."""
    command: UploadCodes = call.command
    campaign = call.own_campaign()
    if campaign.supply != "uploaded":
        raise Refused(CodesNotUploadable(supply=campaign.supply))
    allow(campaign, "upload codes", call.now)
    own = own_codes(call.work.codes, campaign)
    seen: set[str] = set()
    rows: list[dict[str, Any]] = []
    accepted = 0
    free = call.work.free_codes.setdefault(campaign.number, [])
    for index, shown in enumerate(command.codes):
        code = normalise(shown)
        why_not: Refusal | None = None
        if code is None:
            why_not = CodeUnreadable()
        elif code in seen:
            why_not = RepeatedInRequest()
        elif call.work.uploaded.get((campaign.number, code)) is not None:
            why_not = CodeTaken()
        elif own is not None and own.number_of(code) is not None:
            why_not = CodeOfPattern()  # it may be made when the quantity is raised
        if code is None or why_not is not None:
            rows.append({"row": index, "refusal": call.refuse_row(index, why_not or CodeUnreadable())})
            continue
        seen.add(code)
        campaign.last_number += 1
        uploaded = UploadedCode(campaign.last_number, code, shown)
        call.work.new_codes.append((campaign.number, uploaded))
        call.work.uploaded[campaign.number, code] = uploaded
        free.append(uploaded)
        accepted += 1
    campaign.available += accepted
    campaign.changed = True
    recorder = call.work.recorder(campaign)
    recorder.campaign_event(
        call.cause,
        CodesUploaded(accepted=accepted, refused=len(rows), available=campaign.available),
    )
    return {"campaign": campaign.text, "accepted": accepted, "refused": len(rows), "rows": rows}


def export(call: Call) -> dict[str, Any]:
    """Take codes nobody holds out of the platform as bearer codes. Their text follows from the range taken."""
    command: ExportCodes = call.command
    campaign = call.own_campaign()
    if campaign.supply != "generated":
        raise Refused(CodesNotExportable(supply=campaign.supply))
    allow(campaign, "export codes", call.now)
    room = campaign.room() or 0
    if room < command.count:
        raise Refused(none_left(campaign, command.count))
    if campaign.terms.validity.waiting_days:
        raise Refused(CodesNeedReceiver(waiting_days=campaign.terms.validity.waiting_days))
    left = campaign.stock_left()
    first, last = take_range(call, campaign, command.count)
    campaign.export(command.count)
    call.work.exported.setdefault(campaign.number, []).append((first, last))
    call.work.new_exports.append((campaign.number, first, last))
    call.work.recorder(campaign).campaign_event(call.cause, CodesExported(first=first, last=last))
    note_pool_low(call, campaign, left)
    note_exhausted(call, campaign)
    return {"campaign": campaign.text, "first": first, "last": last, "count": command.count}
