"""Jobs: durable work under a lease with a fencing number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from merchant_adapter.storage import Connection


class LeaseLost(Exception):
    """Another worker holds the job now: stop at once, write nothing."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job in a worker's hands. `fence` is its own number; `wanted` what there was to do when it was taken."""

    kind: str
    subject: UUID
    merchant: UUID
    wanted: int
    failures: int
    fence: int
    lease_seconds: float


WANT = """
INSERT INTO job (kind, subject, merchant) VALUES ($1, $2, $3)
ON CONFLICT (kind, subject) DO UPDATE SET wanted = job.wanted + 1,
    due_at = CASE WHEN job.failures = 0 OR $4 THEN least(job.due_at, now()) ELSE job.due_at END
"""


async def want(connection: Connection, kind: str, subject: UUID, merchant: UUID, *, at_once: bool = False) -> None:
    """There is (more) to do. A job that waits after failures keeps waiting, unless `at_once`."""
    await connection.execute(WANT, kind, subject, merchant, at_once)


WANT_PUSHES = """
INSERT INTO job (kind, subject, merchant) SELECT 'push', id, merchant FROM push WHERE campaign = $1
ON CONFLICT (kind, subject) DO UPDATE SET wanted = job.wanted + 1,
    due_at = CASE WHEN job.failures = 0 THEN least(job.due_at, now()) ELSE job.due_at END
"""


async def want_pushes(connection: Connection, campaign: UUID) -> None:
    """A coupon of this campaign was issued: wherever it is pushed there is more to list.

    One statement, because it runs once for each coupon of a pushed campaign.
    """
    await connection.execute(WANT_PUSHES, campaign)


TAKE_LOCK = "SELECT pg_advisory_xact_lock(7301)"
TAKE = """
UPDATE job SET fence = fence + 1, held_until = now() + make_interval(secs => $1)
WHERE (kind, subject) = (
    SELECT candidate.kind, candidate.subject FROM job candidate
    WHERE candidate.met < candidate.wanted AND candidate.due_at <= now() AND candidate.held_until < now()
      AND NOT EXISTS (
          SELECT FROM job other WHERE other.merchant = candidate.merchant AND other.kind = candidate.kind
            AND other.held_until >= now())
    ORDER BY candidate.due_at LIMIT 1)
RETURNING kind, subject, merchant, wanted, failures, fence
"""


async def take(connection: Connection, lease_seconds: float) -> Job | None:
    """The next job that is due, held from now on; one per merchant and kind at a time.

    Every write of the job renews its lease, and `renew` does meanwhile.
    """
    async with connection.transaction():
        await connection.execute(TAKE_LOCK)
        row = await connection.fetchrow(TAKE, lease_seconds)
    return None if row is None else Job(**dict(row), lease_seconds=lease_seconds)


HOLD = """
UPDATE job SET held_until = now() + make_interval(secs => $4) WHERE kind = $1 AND subject = $2 AND fence = $3
RETURNING fence
"""


async def hold(connection: Connection, job: Job) -> None:
    """Renew the lease, in the transaction of the job's own writes. Raises LeaseLost."""
    if await connection.fetchval(HOLD, job.kind, job.subject, job.fence, job.lease_seconds) is None:
        raise LeaseLost


RENEW = """
UPDATE job SET held_until = now() + make_interval(secs => $4)
FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS mine(kind, subject, fence)
WHERE job.kind = mine.kind AND job.subject = mine.subject AND job.fence = mine.fence AND job.held_until >= now()
"""


async def renew(connection: Connection, held: Sequence[Job]) -> None:
    """Keep the leases of these jobs (one at least) while they wait for a merchant; one that ran out stays so."""
    kinds, subjects, fences = [job.kind for job in held], [job.subject for job in held], [job.fence for job in held]
    await connection.execute(RENEW, kinds, subjects, fences, held[0].lease_seconds)


PROGRESS = """
UPDATE job SET held_until = now() + make_interval(secs => $4), failures = 0
WHERE kind = $1 AND subject = $2 AND fence = $3 RETURNING fence
"""


async def progress(connection: Connection, job: Job) -> Job:
    """As `hold`, and what failed before counts no more, because something went well. Raises LeaseLost."""
    if await connection.fetchval(PROGRESS, job.kind, job.subject, job.fence, job.lease_seconds) is None:
        raise LeaseLost
    return replace(job, failures=0)


FINISH = """
UPDATE job SET met = $4, failures = 0, held_until = '-infinity', due_at = now()
WHERE kind = $1 AND subject = $2 AND fence = $3
"""


async def finish(connection: Connection, job: Job) -> None:
    """What was wanted when the job was taken is done; what was wanted since leaves it open."""
    await connection.execute(FINISH, job.kind, job.subject, job.fence, job.wanted)


POSTPONE = """
UPDATE job SET failures = failures + $5, held_until = '-infinity', due_at = now() + make_interval(secs => $4)
WHERE kind = $1 AND subject = $2 AND fence = $3
"""


async def postpone(connection: Connection, job: Job, seconds: float, *, failed: bool) -> None:
    """Give the job back, to be taken again later."""
    await connection.execute(POSTPONE, job.kind, job.subject, job.fence, seconds, int(failed))


OPEN = """
SELECT count(*) AS open, coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())), 0)::float
    AS oldest FROM job WHERE met < wanted
"""


async def open_jobs(connection: Connection) -> tuple[int, float]:
    """How many jobs are open, and for how many seconds the longest of those due has been."""
    (row,) = await connection.fetch(OPEN)
    return row["open"], row["oldest"]
