"""Work of the merchant adapter and the scheduler, ordered here: syncs, pushes, recalls, deliveries, timed tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contracts.fields import PLATFORM, Contract, Reason, Text
from contracts.identifiers import command_id
from contracts.merchants import (
    DeliveryState,
    MerchantCommand,
    PushCampaign,
    RecallCoupons,
    RedriveDeliveries,
    SyncUsers,
)
from contracts.schedules import CancelTask, FileTask, Schedule, SyncUsersAction
from contracts.topics import MERCHANT_COMMANDS, SCHEDULE_COMMANDS
from gateway.access import merchants as life
from gateway.answering import not_found
from gateway.guarding import GuardedRoute
from gateway.internal_api.answers import Answer, Ordered
from gateway.openapi import described
from gateway.parts import Parts, parts_of
from gateway.requests import read_document, request_number
from gateway.storage import merchants

router = APIRouter(tags=["merchant work"], route_class=GuardedRoute)
LIFE = timedelta(days=1)


class PushDocument(Contract):
    """To which merchant, and for whom: those who hold coupons, or every user fetched from the merchant."""

    merchant: UUID
    audience: Literal["holders", "all_users"] = "holders"


class RecallDocument(Contract):
    """From which merchant, and why."""

    merchant: UUID
    reason: Reason


class RedriveDocument(Contract):
    """Which dead delivery to try again; none: all of the merchant."""

    delivery: UUID | None = None


class TaskDocument(Contract):
    """A timed task: when, and what."""

    name: Text
    schedule: Schedule
    action: SyncUsersAction
    catch_up: Literal["skip", "once", "all"] = "once"


class LatestFilters(BaseModel):
    """How many of the latest."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1_000)] = 100


class PageFilters(LatestFilters):
    """A page."""

    after: Annotated[str | None, Field(max_length=300, pattern=r"^[^\x00]*$")] = None


class CountFilters(BaseModel):
    """Which deliveries are counted."""

    model_config = ConfigDict(extra="forbid")

    merchant: UUID | None = None
    campaign: UUID | None = None


class DeliveryFilters(LatestFilters):
    """Which deliveries."""

    after: UUID | None = None
    merchant: UUID | None = None
    campaign: UUID | None = None
    state: DeliveryState | None = None


class TaskFilters(LatestFilters):
    """A page of tasks."""

    after: UUID | None = None


class RunList(Answer):
    """Runs of a sync, the latest first."""

    runs: list[dict[str, Any]]


class UserPage(Answer):
    """Users as they were fetched."""

    users: list[dict[str, Any]]
    next: str | None


class DeliveryPage(Answer):
    """Deliveries."""

    deliveries: list[dict[str, Any]]
    next: UUID | None


class DeliveryCounts(Answer):
    """How many deliveries are in each state."""

    counts: dict[str, int]


class TaskPage(Answer):
    """Timed tasks."""

    tasks: list[dict[str, Any]]
    next: UUID | None


class TickList(Answer):
    """Ticks, the latest first."""

    ticks: list[dict[str, Any]]


class TaskFiled(Ordered):
    """A timed task was filed."""

    task: UUID


class SyncOrdered(Ordered):
    """A sync of users was ordered."""

    run: UUID


@router.post(
    "/merchants/{merchant}/sync",
    summary="Fetch the merchant's users now",
    **described(answers={202: SyncOrdered}, unsafe=True),
)
async def sync(request: Request, merchant: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    await _known(parts, merchant)
    name = command_id(PLATFORM, SyncUsers.__name__, merchant, request_number(request))
    order = SyncUsers(id=name, actor=staff.caller.actor, notafter=_life(), merchant=merchant, run=name)
    return await _order(parts, MERCHANT_COMMANDS.name, merchant, order, run=str(name))


@router.get(
    "/merchants/{merchant}/sync-runs",
    summary="The latest runs of a merchant's sync, with their reports",
    **described(answers={200: RunList}),
)
async def sync_runs(request: Request, merchant: UUID, filters: Annotated[LatestFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    await _known(parts, merchant)
    return found_or_none(await parts.adapter.get("/sync-runs", merchant=str(merchant), limit=filters.limit), "run")


@router.get("/sync-runs/{run}", summary="One run of a sync", **described(answers={200: Answer}))
async def sync_run(request: Request, run: UUID) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return found_or_none(await parts.adapter.get(f"/sync-runs/{run}"), "run")


@router.get(
    "/merchants/{merchant}/users",
    summary="Users fetched from the merchant",
    **described(answers={200: UserPage}),
)
async def users(request: Request, merchant: UUID, filters: Annotated[PageFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "operator")
    await _known(parts, merchant)
    found = await parts.adapter.get(f"/merchants/{merchant}/users", after=filters.after, limit=filters.limit)
    return found_or_none(found, "merchant")


@router.post(
    "/campaigns/{campaign}/push",
    summary="Deliver an internal campaign's coupons through a merchant's interface",
    **described(PushDocument, answers={202: Ordered}, unsafe=True),
)
async def push(request: Request, campaign: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    number = request_number(request)
    document = await read_document(request, PushDocument)
    await _known(parts, document.merchant)
    order = PushCampaign(
        id=command_id(str(document.merchant), PushCampaign.__name__, campaign, number),
        actor=staff.caller.actor,
        notafter=_life(),
        merchant=document.merchant,
        campaign=campaign,
        audience=document.audience,
    )
    return await _order(parts, MERCHANT_COMMANDS.name, document.merchant, order)


@router.post(
    "/campaigns/{campaign}/recall",
    summary="Take delivered coupons back at a merchant",
    **described(RecallDocument, answers={202: Ordered}, unsafe=True),
)
async def recall(request: Request, campaign: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "approver")
    number = request_number(request)
    document = await read_document(request, RecallDocument)
    await _known(parts, document.merchant)
    order = RecallCoupons(
        id=command_id(str(document.merchant), RecallCoupons.__name__, campaign, number),
        actor=staff.caller.actor,
        notafter=_life(),
        merchant=document.merchant,
        campaign=campaign,
        reason=document.reason,
    )
    return await _order(parts, MERCHANT_COMMANDS.name, document.merchant, order)


@router.get("/deliveries", summary="Deliveries to merchants", **described(answers={200: DeliveryPage}))
async def deliveries(request: Request, filters: Annotated[DeliveryFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    asked = filters.model_dump(mode="json", exclude_none=True)
    return found_or_none(await parts.adapter.get("/deliveries", **asked), "delivery")


@router.get(
    "/deliveries/counts", summary="How many deliveries are in each state", **described(answers={200: DeliveryCounts})
)
async def delivery_counts(request: Request, filters: Annotated[CountFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    asked = filters.model_dump(mode="json", exclude_none=True)
    return found_or_none(await parts.adapter.get("/deliveries/counts", **asked), "delivery")


@router.get("/deliveries/{delivery}", summary="One delivery", **described(answers={200: Answer}))
async def delivery_view(request: Request, delivery: UUID) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return found_or_none(await parts.adapter.get(f"/deliveries/{delivery}"), "delivery")


@router.post(
    "/merchants/{merchant}/deliveries/redrive",
    summary="Try dead deliveries of a merchant again, one or all",
    **described(RedriveDocument, answers={202: Ordered}, unsafe=True),
)
async def redrive_deliveries(request: Request, merchant: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    number = request_number(request)
    document = await read_document(request, RedriveDocument)
    await _known(parts, merchant)
    order = RedriveDeliveries(
        id=command_id(str(merchant), RedriveDeliveries.__name__, merchant, number),
        actor=staff.caller.actor,
        notafter=_life(),
        merchant=merchant,
        delivery=document.delivery,
    )
    return await _order(parts, MERCHANT_COMMANDS.name, merchant, order)


@router.post("/tasks", summary="File a timed task", **described(TaskDocument, answers={202: TaskFiled}, unsafe=True))
async def file_task(request: Request) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    number = request_number(request)
    document = await read_document(request, TaskDocument)
    await _known(parts, document.action.merchant)
    name = command_id(PLATFORM, FileTask.__name__, "tasks", number)
    return await _file(parts, staff.caller.actor, name, name, document)


@router.put(
    "/tasks/{task}", summary="Replace a timed task", **described(TaskDocument, answers={202: TaskFiled}, unsafe=True)
)
async def replace_task(request: Request, task: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    number = request_number(request)
    document = await read_document(request, TaskDocument)
    await _known(parts, document.action.merchant)
    name = command_id(PLATFORM, FileTask.__name__, task, number)
    return await _file(parts, staff.caller.actor, name, task, document)


@router.post(
    "/tasks/{task}/cancel", summary="No more ticks of a task", **described(answers={202: TaskFiled}, unsafe=True)
)
async def cancel_task(request: Request, task: UUID) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "operator")
    name = command_id(PLATFORM, CancelTask.__name__, task, request_number(request))
    order = CancelTask(id=name, actor=staff.caller.actor, notafter=_life(), task=task)
    return await _order(parts, SCHEDULE_COMMANDS.name, task, order, task=str(task))


@router.get("/tasks", summary="Timed tasks", **described(answers={200: TaskPage}))
async def tasks(request: Request, filters: Annotated[TaskFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    after = None if filters.after is None else str(filters.after)
    return found_or_none(await parts.scheduler.get("/tasks", after=after, limit=filters.limit), "task")


@router.get("/tasks/{task}", summary="A timed task", **described(answers={200: Answer}))
async def task_view(request: Request, task: UUID) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return found_or_none(await parts.scheduler.get(f"/tasks/{task}"), "task")


@router.get("/tasks/{task}/ticks", summary="The latest ticks of a task", **described(answers={200: TickList}))
async def ticks(request: Request, task: UUID, filters: Annotated[LatestFilters, Query()]) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return found_or_none(await parts.scheduler.get(f"/tasks/{task}/ticks", limit=filters.limit), "task")


async def _file(parts: Parts, actor: str, name: UUID, task: UUID, document: TaskDocument) -> Response:
    order = FileTask(
        id=name,
        actor=actor,
        notafter=_life(),
        task=task,
        name=document.name,
        schedule=document.schedule,
        action=document.action,
        catch_up=document.catch_up,
    )
    return await _order(parts, SCHEDULE_COMMANDS.name, task, order, task=str(task))


async def _order(parts: Parts, topic: str, key: UUID, order: MerchantCommand, **named: str) -> Response:
    """Write a command for another service to its log. Raises NotAcknowledged."""
    await parts.sender.send(topic, str(key).encode(), order.model_dump_json(exclude_none=True).encode())
    return JSONResponse({"command": str(order.id), **named}, 202)


def found_or_none(found: dict[str, Any] | None, what: str) -> Response:
    """What another service answered. Raises RequestRefused (404) where it has nothing."""
    if found is None:
        raise not_found(what)
    return JSONResponse(found)


async def _known(parts: Parts, merchant: UUID) -> None:
    """Raises RequestRefused (404) unless there is such a merchant."""
    if await merchants.merchant(parts.pool, merchant) is None:
        raise life.merchant_not_found()


def _life() -> datetime:
    return datetime.now(UTC) + LIFE
