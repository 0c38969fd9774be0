"""Deliver coupons to a merchant, recall them, and find out what became of those whose outcome is unknown."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from prometheus_client import Counter

from merchant_adapter.announcing import tell_deliveries
from merchant_adapter.calling import Caller, NotCallable
from merchant_adapter.core_reader import CoreReader, HeldCoupon
from merchant_adapter.interfaces import (
    AddressRefused,
    CredentialsRefused,
    Delivery,
    InterfaceFailure,
    InterfaceGone,
    MerchantInterface,
    MerchantRefused,
    NotOffered,
    Offer,
    Receipt,
)
from merchant_adapter.storage import deliveries, jobs, merchants
from merchant_adapter.storage.deliveries import DeliveryRow, Settlement
from merchant_adapter.storage.jobs import Job
from process.database import Pool
from process.failpoints import declare, failpoint

MERCHANT_ANSWERED = declare("adapter.merchant_answered")
AWAY_SECONDS = 60.0
BATCH = 100

logger = structlog.get_logger()
_settled = Counter("scrip_adapter_deliveries_settled", "Deliveries that reached a state.", ["state"])


async def deliver(pool: Pool, caller: Caller, core: CoreReader, job: Job) -> None:
    """Try everything that is due at one merchant, batch by batch; then wait for what is due later.

    Raises CoreUnavailable, LeaseLost.
    """
    async with pool.acquire() as connection, connection.transaction():
        await jobs.hold(connection, job)
        await deliveries.lose_track_of_sent(connection, job.merchant)
    while True:
        async with pool.acquire() as connection:
            seconds = await deliveries.seconds_to_next_delivery(connection, job.merchant)
            if seconds is None:
                await jobs.finish(connection, job)
                return
            if seconds > 0:
                await jobs.postpone(connection, job, seconds, failed=False)
                return
            try:
                # Anew for each batch, so that a suspension and new settings count at once.
                interface, _ = await caller.open(connection, job.merchant)
            except NotCallable as error:
                logger.info("Deliveries wait.", action="deliveries_wait", reason=str(error))
                await jobs.postpone(connection, job, AWAY_SECONDS, failed=False)
                return
            size = max(1, min(BATCH, interface.abilities.batch_size))
            due = await deliveries.deliveries_due(connection, job.merchant, size)
        if due:
            failure = await _deliver_batch(pool, caller, core, interface, job, due)
            if failure is not None:
                await _wait(pool, caller, job, failure)
                return
            async with pool.acquire() as connection:
                job = await jobs.progress(connection, job)


async def _deliver_batch(
    pool: Pool, caller: Caller, core: CoreReader, interface: MerchantInterface, job: Job, due: Sequence[DeliveryRow]
) -> InterfaceFailure | None:
    """One round over those of one campaign; what failed for all, if something did."""
    offer = await core.offer(due[0].campaign)
    batch = [row for row in due if row.campaign == due[0].campaign]
    if offer is None:
        await _settle(pool, job, [Settlement(row.id, "dead", reason="its campaign is gone") for row in batch])
        return None
    return await _try(pool, caller, interface, job, batch, await _coupons(core, batch), offer)


async def _wait(pool: Pool, caller: Caller, job: Job, failure: InterfaceFailure) -> None:
    """Leave the merchant alone for a while, or until staff have changed something."""
    if isinstance(failure, CredentialsRefused | InterfaceGone | AddressRefused | NotOffered):
        trouble = f"{type(failure).__name__}: {failure}"
        async with pool.acquire() as connection:
            await merchants.note_trouble(connection, job.merchant, trouble)
        logger.warning(
            "A merchant's interface is not called any more until staff change its settings.",
            action="interface_disabled",
            reason=trouble,
        )
    async with pool.acquire() as connection:
        await jobs.postpone(connection, job, caller.pause(job.failures, failure), failed=True)


async def _coupons(core: CoreReader, batch: Sequence[DeliveryRow]) -> dict[int, HeldCoupon]:
    """The coupons of a batch, codes included: mostly neighbours, so one page; the rest one by one."""
    numbers = sorted(row.number for row in batch)
    page = await core.coupons(batch[0].campaign, numbers[0] - 1, min(500, numbers[-1] - numbers[0] + 1))
    found = {coupon.number: coupon for coupon in page}
    for number in numbers:
        if number not in found:
            coupon = await core.coupon(f"{batch[0].campaign}.{number}")
            if coupon is not None:
                found[number] = coupon
    return found


async def _try(
    pool: Pool,
    caller: Caller,
    interface: MerchantInterface,
    job: Job,
    batch: Sequence[DeliveryRow],
    coupons: dict[int, HeldCoupon],
    offer: Offer,
) -> InterfaceFailure | None:
    """One round over a batch; what failed for all, if something did. Every outcome is written before it returns."""
    able = interface.abilities
    send: list[DeliveryRow] = []
    settled: list[Settlement] = []
    for row in batch:
        coupon = coupons.get(row.number)
        if row.state == "recalling":
            outcome, failure = await _recall(caller, interface, row, coupon, offer)
            await _settle(pool, job, [outcome], recall=True)
            if failure is not None:
                return failure
        elif coupon is None or coupon.state not in ("held", "reserved") or not coupon.code:
            state = "gone" if coupon is None else coupon.state
            settled.append(Settlement(row.id, "dead", reason=f"the coupon is {state}"))
        elif row.state == "unknown" and able.can_find:
            try:
                receipt = await interface.find_delivery(_delivery(row, coupon, offer))
            except InterfaceFailure as failure:
                await _settle(pool, job, [_again(caller, row, failure, "unknown", tried=1)])
                return failure
            if receipt is None:
                send.append(row)
            else:
                settled.append(_of_receipt(row, receipt))
        elif row.state == "unknown" and not able.resend_is_safe:
            reason = "its outcome is unknown and the interface cannot tell"
            settled.append(Settlement(row.id, "dead", reason=reason))
        else:
            send.append(row)
    if settled:
        await _settle(pool, job, settled)
    if not send:
        return None
    async with pool.acquire() as connection, connection.transaction():
        await jobs.hold(connection, job)
        may_go = await deliveries.mark_sent(connection, [row.id for row in send])
    send = [row for row in send if row.id in may_go]
    if not send:
        return None
    try:
        receipts = await interface.deliver([_delivery(row, coupons[row.number], offer) for row in send])
        failpoint(MERCHANT_ANSWERED)
    except MerchantRefused as refused:
        await _settle(pool, job, [Settlement(row.id, "dead", reason=refused.reason[:500]) for row in send])
        return None
    except InterfaceFailure as failure:
        state = "unknown" if failure.outcome_unknown else "retrying"
        await _settle(pool, job, [_again(caller, row, failure, state) for row in send])
        return failure
    by_id = {receipt.delivery_id: receipt for receipt in receipts}
    await _settle(pool, job, [_of_receipt(row, by_id[str(row.id)]) for row in send])
    return None


async def _recall(
    caller: Caller, interface: MerchantInterface, row: DeliveryRow, coupon: HeldCoupon | None, offer: Offer
) -> tuple[Settlement, InterfaceFailure | None]:
    reason = row.reason or "recalled"
    if not interface.abilities.can_recall:
        return Settlement(row.id, "confirmed", reason=f"not recalled ({reason}): the interface cannot"), None
    held = HeldCoupon(row.number, row.user_id, "held", coupon.code if coupon is not None else "")
    try:
        receipt = await interface.recall(_delivery(row, held, offer), reason)
    except MerchantRefused as refused:
        return Settlement(row.id, "confirmed", reason=f"not recalled: {refused.reason}"[:500]), None
    except InterfaceFailure as failure:
        pause = caller.pause(row.attempts, failure)
        return Settlement(row.id, "recalling", reason=reason, pause=pause, tried=1), failure
    if receipt.status == "recalled":
        return Settlement(row.id, "recalled", receipt.receipt_id, reason), None
    if receipt.reason == "not_found":
        # Never applied, or taken out there already: either way nobody has it from the merchant any more.
        state = "recalled" if row.receipt else "dead"
        return Settlement(row.id, state, reason=f"{reason} (the merchant does not have it)"), None
    return Settlement(row.id, "confirmed", receipt.receipt_id, f"not recalled: {receipt.reason}"[:500]), None


def _delivery(row: DeliveryRow, coupon: HeldCoupon, offer: Offer) -> Delivery:
    return Delivery(
        delivery_id=str(row.id),
        campaign_id=str(row.campaign),
        coupon_id=row.coupon,
        user_id=row.user_id,
        code=coupon.code,
        offer=offer,
    )


def _of_receipt(row: DeliveryRow, receipt: Receipt) -> Settlement:
    if receipt.status == "accepted":
        return Settlement(row.id, "confirmed", receipt.receipt_id)
    if receipt.status == "recalled":
        return Settlement(row.id, "recalled", receipt.receipt_id, receipt.reason)
    return Settlement(row.id, "dead", receipt.receipt_id, (receipt.reason or "refused")[:500])


def _again(caller: Caller, row: DeliveryRow, failure: InterfaceFailure, state: str, tried: int = 0) -> Settlement:
    """Try later, or dead after too many attempts."""
    if row.attempts + 1 >= caller.settings.most_attempts:
        reason = f"gave up after {row.attempts + 1} attempts: {failure}"[:500]
        return Settlement(row.id, "dead", reason=reason, tried=tried)
    return Settlement(row.id, state, reason=str(failure)[:500], pause=caller.pause(row.attempts, failure), tried=tried)


async def _settle(pool: Pool, job: Job, settlements: Sequence[Settlement], *, recall: bool = False) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await jobs.hold(connection, job)
        rows = await deliveries.settle(connection, settlements, recall=recall)
        await tell_deliveries(connection, rows)
    for row in rows:
        _settled.labels(row.state).inc()
