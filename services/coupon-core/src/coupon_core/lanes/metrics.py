"""Every metric of the loop."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

DECIDED = Counter("scrip_core_records_decided", "Records of coupon.commands decided.")
REFUSED = Counter("scrip_core_refusals", "Refusals, rows of bulk commands included.")
NOT_KEPT = Counter("scrip_core_codes_refused_by_arithmetic", "Codes that cannot be any: counted, and not kept.")
DEAD = Counter("scrip_core_dead_letters", "Records that became dead letters.")
BUGS = Counter("scrip_core_bugs", "Decisions that raised or that the database refused: bugs of ours.")
EMITTED = Counter("scrip_core_records_emitted", "Records emitted and acknowledged, repeats included.")
TAKEN = Counter("scrip_core_lanes_taken", "Lanes taken over.")
BATCH_SECONDS = Histogram(
    "scrip_core_batch_seconds",
    "One transaction, from the fence to the commit.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2),
)
OLDEST_NOT_EMITTED = Gauge(
    "scrip_core_oldest_not_emitted_seconds", "Age of the oldest committed batch the broker has not acknowledged."
)
LAG = Gauge("scrip_core_lag_records", "Records not yet decided, by lane of this process.", ["partition"])
