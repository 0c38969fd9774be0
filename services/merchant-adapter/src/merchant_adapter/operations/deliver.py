"""Deliver coupons to a merchant, recall them, and find out what became of those whose outcome is unknown."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

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


async def deliver(pool: Pool, caller: Caller, core: CoreReader, job: Job) -> None:
    """Try everything that is due at one merchant, batch by batch; then wait for what is due later.

    Raises CoreUnavailable, LeaseLost.
    """
    merchant = job.merchant
    async with pool.acquire() as connection:
        try:
            interface, _ = await caller.open(connection, merchant)
        except NotCallable as error:
            if await deliveries.seconds_to_next_delivery(connection, merchant) is None:
                await jobs.finish(connection, job)
                return
            logger.info("Deliveries wait.", action="deliveries_wait", merchant_id=str(merchant), reason=str(error))
            await jobs.postpone(connection, job, AWAY_SECONDS, failed=False)
            return
        async with connection.transaction():
            await jobs.hold(connection, job)
            await deliveries.lose_track_of_sent(connection, merchant)
    size = max(1, min(BATCH, interface.abilities.batch_size))
    while True:
        async with pool.acquire() as connection:
            due = await deliveries.deliveries_due(connection, merchant, size)
            if not due:
                seconds = await deliveries.seconds_to_next_delivery(connection, merchant)
                if seconds is None:
                    await jobs.finish(connection, job)
                else:
                    await jobs.postpone(connection, job, seconds, failed=False)
                return
        offer = await core.offer(due[0].campaign)
        batch = [row for row in due if row.campaign == due[0].campaign]
        if offer is None:
            await _settle(pool, job, [(row.id, "dead", None, "its campaign is gone", 0.0) for row in batch])
            continue
        coupons = await _coupons(core, batch)
        failure = await _try(pool, caller, interface, job, batch, coupons, offer)
        if failure is not None:
            if isinstance(failure, CredentialsRefused | InterfaceGone | AddressRefused | NotOffered):
                trouble = f"{type(failure).__name__}: {failure}"
                async with pool.acquire() as connection:
                    await merchants.note_trouble(connection, merchant, trouble)
                logger.warning(
                    "A merchant's interface is not called any more until staff change its settings.",
                    action="interface_disabled",
                    merchant_id=str(merchant),
                    reason=trouble,
                )
            async with pool.acquire() as connection:
                await jobs.postpone(connection, job, caller.pause(job.failures, failure), failed=True)
            return


async def _coupons(core: CoreReader, batch: Sequence[DeliveryRow]) -> dict[int, HeldCoupon]:
    """The coupons of a batch, codes included: mostly neighbours, so one page; the rest one by one."""
    numbers = sorted(row.number for row in batch)
    page = await core.coupons(batch[0].campaign, numbers[0] - 1, 500)
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
            await _settle(pool, job, [outcome])
            if failure is not None:
                return failure
        elif coupon is None or coupon.state not in ("held", "reserved") or not coupon.code:
            state = "gone" if coupon is None else coupon.state
            settled.append((row.id, "dead", None, f"the coupon is {state}", 0.0))
        elif row.state == "unknown" and able.can_find:
            try:
                receipt = await interface.find_delivery(_delivery(row, coupon, offer))
            except InterfaceFailure as failure:
                await _settle(pool, job, [_again(caller, row, failure, "unknown")])
                return failure
            if receipt is None:
                send.append(row)
            else:
                settled.append(_of_receipt(row, receipt))
        elif row.state == "unknown" and not able.resend_is_safe:
            settled.append((row.id, "dead", None, "its outcome is unknown and the interface cannot tell", 0.0))
        else:
            send.append(row)
    if settled:
        await _settle(pool, job, settled)
    if not send:
        return None
    async with pool.acquire() as connection, connection.transaction():
        await jobs.hold(connection, job)
        await deliveries.mark_sent(connection, [row.id for row in send])
    try:
        receipts = await interface.deliver([_delivery(row, coupons[row.number], offer) for row in send])
        failpoint(MERCHANT_ANSWERED)
    except MerchantRefused as refused:
        await _settle(pool, job, [(row.id, "dead", None, refused.reason[:500], 0.0) for row in send])
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
        return (row.id, "confirmed", None, f"not recalled ({reason}): the interface cannot", 0.0), None
    code = coupon.code if coupon is not None else ""
    held = HeldCoupon(row.number, row.user_id, "held", code)
    try:
        receipt = await interface.recall(_delivery(row, held, offer), reason)
    except MerchantRefused as refused:
        return (row.id, "confirmed", None, f"not recalled: {refused.reason}"[:500], 0.0), None
    except InterfaceFailure as failure:
        again = _again(caller, row, failure, "recalling")
        return (again[0], again[1], again[2], reason, again[4]), failure
    if receipt.status == "recalled":
        return (row.id, "recalled", receipt.receipt_id, reason, 0.0), None
    return (row.id, "confirmed", receipt.receipt_id, f"not recalled: {receipt.reason}"[:500], 0.0), None


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
        return row.id, "confirmed", receipt.receipt_id, None, 0.0
    if receipt.status == "recalled":
        return row.id, "recalled", receipt.receipt_id, receipt.reason, 0.0
    return row.id, "dead", receipt.receipt_id, (receipt.reason or "refused")[:500], 0.0


def _again(caller: Caller, row: DeliveryRow, failure: InterfaceFailure, state: str) -> Settlement:
    """Try later, or dead after too many attempts."""
    if row.attempts + 1 >= caller.settings.most_attempts and state != "recalling":
        return row.id, "dead", None, f"gave up after {row.attempts + 1} attempts: {failure}"[:500], 0.0
    return row.id, state, None, str(failure)[:500], caller.pause(row.attempts, failure)


async def _settle(pool: Pool, job: Job, settlements: Sequence[Settlement]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await jobs.hold(connection, job)
        rows = await deliveries.settle(connection, settlements)
        await tell_deliveries(connection, rows)
