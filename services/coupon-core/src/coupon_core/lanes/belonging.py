"""Do a lane's row, its log and what was told of it belong together? If not, the lane stands still until an operator
has looked; every sentence names the command that lets it go on.
"""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.topics import COUPON_COMMANDS, COUPON_EVENTS
from coupon_core.lanes.lane import LaneDamaged
from coupon_core.storage import Connection
from coupon_core.storage import lanes as lane_rows
from coupon_core.storage.campaigns import campaigns_by_id
from coupon_core.storage.platform import cluster_of, set_cluster

TAIL_RECORDS = 20
TAIL_SECONDS = 10.0


class Belonging:
    """Checks lanes of one process. Its consumer for the last records of `coupon.events` has no group."""

    def __init__(self, bootstrap: str, cluster: str, *, look_at_events: bool) -> None:
        self._bootstrap = bootstrap
        self._cluster = cluster
        self._look_at_events = look_at_events
        """Not in a rebuild: there the database is behind on purpose."""
        self._consumer: AIOKafkaConsumer | None = None
        self._one_at_a_time = asyncio.Lock()

    async def check(self, connection: Connection, consumer: AIOKafkaConsumer, partition: int) -> None:
        """Check a lane, which may still have another owner: each thing is read before what it must not be ahead of.

        Raises:
            LaneDamaged: with what to do.
            KafkaError, TimeoutError: the broker does not answer.
        """
        known = await cluster_of(connection)
        if known != self._cluster:
            raise LaneDamaged(foreign_log(str(known), self._cluster))
        position = (await lane_rows.positions(connection)).get(partition, 0)
        place = TopicPartition(COUPON_COMMANDS.name, partition)
        first = (await consumer.beginning_offsets([place]))[place]
        end = (await consumer.end_offsets([place]))[place]
        if not first <= position <= end:
            raise LaneDamaged(
                f"lane {partition} stands at offset {position}, but its log holds {first} to {end}: the log was cut or "
                f"replaced. Restore it, or go on with the log as it is: {accepting(partition)}"
            )
        if not self._look_at_events:
            return
        told = await self._last_events(partition, await lane_rows.events_accepted(connection, partition))
        kept = {campaign.id: campaign.seq for campaign in await campaigns_by_id(connection, list(told))}
        for campaign, seq in told.items():
            if kept.get(campaign, 0) < seq:
                raise LaneDamaged(
                    f"lane {partition} has told event {campaign}:{seq}, and its database knows {kept.get(campaign, 0)} "
                    f"of them: the database is older than the log. Restore a newer one, or let the lane decide again "
                    f"from where it stands: {accepting(partition)}"
                )

    async def _last_events(self, partition: int, accepted: int) -> dict[UUID, int]:
        """Campaign → the number of its last event among the last few records at or after offset `accepted`."""
        place = TopicPartition(COUPON_EVENTS.name, partition)
        found: dict[UUID, int] = {}
        async with self._one_at_a_time, asyncio.timeout(TAIL_SECONDS):
            consumer = await self._started()
            consumer.assign([place])
            first = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            begin = max(first, accepted, end - TAIL_RECORDS)
            consumer.seek(place, begin)
            while begin < end and await consumer.position(place) < end:
                for records in (await consumer.getmany(place, timeout_ms=200)).values():
                    for record in records:
                        event = json.loads(record.value)
                        campaign = UUID(event["stream"].partition("/")[0])
                        found[campaign] = max(event["seq"], found.get(campaign, 0))
        return found

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap.split(","), group_id=None, fetch_max_wait_ms=50
            )
            await consumer.start()
            self._consumer = consumer
        return self._consumer

    async def stop(self) -> None:
        """Close, if it was ever used."""
        if self._consumer is not None:
            await self._consumer.stop()


def foreign_log(known: str, found: str) -> str:
    """The sentence where the broker is another cluster than the database's own."""
    return (
        f"this database belongs to the Kafka cluster {known}, and the broker is {found}: point it at its own, or go on "
        f"with this one from its beginning: {accepting('all')}"
    )


def accepting(partition: int | str) -> str:
    """The operator's command."""
    return f"`scrip lane accept-log-loss {partition}`"


async def accept_log_loss(connection: Connection, bootstrap: str, cluster: str, partition: int | None) -> list[str]:
    """Let lanes (None: all) go on with the log as it is; a sentence for each that says what was given up.

    A lane behind the log's beginning goes on there, one beyond its end at the end, and one of another cluster at the
    beginning; events told beyond what the database knows are accepted. Whoever owns a lane loses it. What is known by
    its place in the log makes room where places will be used again (`storage.lanes.forget_places`).

    Raises KafkaError when no broker answers; LookupError when there is no such lane.
    """
    known = await cluster_of(connection)
    foreign = known != cluster
    if foreign and partition is not None:
        raise LookupError(f"the broker is another cluster ({cluster}, not {known}): accept it for all lanes at once")
    lanes = await lane_rows.positions(connection)
    chosen = sorted(lanes) if partition is None else [partition]
    if not set(chosen) <= lanes.keys():
        raise LookupError(f"there is no lane {partition}; there are {sorted(lanes)}")
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap.split(","), group_id=None)
    await consumer.start()
    said = []
    try:
        async with connection.transaction():
            if foreign:
                await set_cluster(connection, cluster)
            for lane in chosen:
                commands, events = (
                    TopicPartition(COUPON_COMMANDS.name, lane),
                    TopicPartition(COUPON_EVENTS.name, lane),
                )
                first = (await consumer.beginning_offsets([commands]))[commands]
                ends = await consumer.end_offsets([commands, events])
                at = lanes[lane]
                to = first if foreign else min(max(at, first), ends[commands])
                await lane_rows.accept(connection, lane, to, ends[events])
                if foreign or to < at:
                    await lane_rows.forget_places(connection, lane, 0 if foreign else to)
                moved = "stays at" if to == at else f"moves from {at} to"
                said.append(f"lane {lane} {moved} offset {to}; events told up to offset {ends[events]} are accepted")
    finally:
        await consumer.stop()
    return said
