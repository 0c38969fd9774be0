"""After the year: count everything again from the topics and the tables, and set it beside what must be there."""

from __future__ import annotations

from collections import Counter
from datetime import UTC

from scrip.demo import guests, topics
from scrip.demo.data import midnight
from scrip.demo.story import CHECKED_DAYS, Story
from scrip.demo.tables import Ledger

USED = "coupon_already_redeemed"
YEAR = "The chain's year: nothing lost, nothing twice"
TABLES, TOPIC = "tables", "topic"
"""What was counted: rows of core's and the adapter's tables; records of coupon.events, from its beginning."""


def collect(story: Story) -> None:
    """Read topics and tables and file the rows of the final table."""
    results, platform, year = story.results, story.platform, story.year
    moments = [midnight(day).astimezone(UTC).isoformat() for day in CHECKED_DAYS]
    expected = 2 * year.coupons
    with (
        story.report.step(
            "Counting again: the topic coupon.events from its beginning, and the tables", expected
        ) as step,
        results.timed("read events back") as rate,
    ):
        events = topics.count_events(platform.bootstrap, moments, lambda read: step.advance(read, "records read"))
        rate.count += events.records
    story.report.line(f"{events.campaigns:,} campaigns, each numbered 1..n without a gap")
    story.report.measured(f"{events.records:,} records, {events.repeats:,} of them repeats, which were dropped")
    refusals = topics.count_refusals(platform.bootstrap)
    with results.timed("audit") as rate:
        audit = story.staff.core.get("/audit")
        rate.count += sum(audit["checked"].values())
    for difference in audit["differences"][:5]:
        story.report.measured(f"audit: {difference}")
    the_year(story, events, refusals)
    mid_year(story, events)
    promises(story, events)
    others(story, events)
    safety = "Killed, and no trace of it"
    row = results.row
    row("killed", safety, "coupon-core killed -9 amid the issuing, started again", 1, restarts(story))
    row("gaps", safety, f"numbers missing of each campaign's 1..n · {TOPIC}", 0, events.gaps)
    row("audit", safety, "differences found by core's audit of its tables", 0, len(audit["differences"]))
    row("dead_letters", safety, "commands that became dead letters", 0, topics.count_records(platform.bootstrap))


def restarts(story: Story) -> int:
    """How often coupon-core was started again."""
    return story.platform.supervisor.child("coupon_core").restarts


def the_year(story: Story, events: topics.EventsCounted, refusals: dict[tuple[str, str], int]) -> None:
    """The chain's figures, each from the topic and from the tables."""
    chain, expected = story.chain.id, story.year.figures()
    by_type = events.by_type[chain]
    ledger, coupons = story.tables.ledger(chain), story.tables.coupons(chain)

    def both(figure: str, what: str, wanted: int, in_topic: int, in_tables: int) -> None:
        evidence = f"{what} · {TOPIC} / {TABLES}"
        story.results.row(figure, YEAR, evidence, wanted, in_topic)
        story.results.row(f"{figure}_in_tables", YEAR, evidence, wanted, in_tables)

    both("campaigns", "campaigns", expected.campaigns, by_type["scrip.campaign.published.v1"], ledger.campaigns)
    both("issued", "coupons issued", expected.issued, by_type[topics.ISSUED], sum(coupons.values()))
    both("redeemed", "redeemed", expected.redeemed, by_type[topics.REDEEMED], coupons.get("redeemed", 0))
    used = refusals.get((chain, USED), 0)
    other = sum(count for (party, _), count in refusals.items() if party == chain) - used
    evidence = "refused: used before / otherwise · coupon.refusals"
    story.results.row("refused", YEAR, evidence, expected.refused, used)
    story.results.row("refused_otherwise", YEAR, evidence, 0, other)
    both("expired", "expired", expected.expired, by_type[topics.EXPIRED], coupons.get("expired", 0))
    both("held", "still held", expected.held, still_held(by_type), coupons.get("held", 0))


def still_held(by_type: Counter[str]) -> int:
    """What is neither redeemed nor expired, by the events."""
    return by_type[topics.ISSUED] + by_type[topics.RETURNED] - by_type[topics.REDEEMED] - by_type[topics.EXPIRED]


def mid_year(story: Story, events: topics.EventsCounted) -> None:
    """The same at the beginning of five days: by the data, the tables then, the topic now."""
    row = story.results.row
    promise = "As five days began: issued / redeemed / expired / held"
    for number, day in enumerate(CHECKED_DAYS):
        expected, ledger = story.year.figures(day), story.mid_year[day]
        by_type = events.by_moment[story.chain.id][number]
        from_topic = Ledger(
            campaigns=by_type["scrip.campaign.published.v1"],
            issued=by_type[topics.ISSUED],
            held=still_held(by_type),
            redeemed=by_type[topics.REDEEMED],
            expired=by_type[topics.EXPIRED],
        )
        for place, counted in ((TOPIC, from_topic), (TABLES, ledger)):
            for what in ("issued", "redeemed", "expired", "held"):
                name = f"{what}_on_{day}" + ("" if place == TOPIC else "_in_tables")
                evidence = f"{day} · {place}"
                row(name, promise, evidence, getattr(expected, what), getattr(counted, what))


def promises(story: Story, events: topics.EventsCounted) -> None:
    """Access, users, timed task, generation, push."""
    results, seen, everybody = story.results, story.guests.seen, story.households
    row, bootstrap = results.row, story.platform.bootstrap
    internal = events.by_type["platform"]
    told = topics.count_types(bootstrap, topics.MERCHANT_EVENTS)
    promise, evidence = (
        "Access: identified, and matched to their own API",
        "callers matched · their answers / merchant.events",
    )
    row("matched", promise, evidence, 3, story.guests.matched)
    row("matched_in_topic", promise, evidence, 3, told["scrip.merchant.access_matched.v1"])
    promise, evidence = "Merchant interface and timed task", "ticks · schedule.events / fetches · merchant.events"
    ticks = topics.count_types(bootstrap, topics.SCHEDULE_EVENTS)
    row("ticks", promise, evidence, 1, ticks["scrip.schedule.task_due.v1"])
    row("fetches", promise, evidence, 1, told["scrip.merchant.users_synced.v1"])
    evidence = f"households fetched / with demographics · {TABLES}"
    present, known = story.tables.users(story.chain.id)
    row("households", promise, evidence, everybody, present)
    row("households_with_demographics", promise, evidence, story.known, known)
    promise, evidence = "Internal generation by a Kafka tool", f"campaigns / issued / redeemed / expired · {TOPIC}"
    row("generated", promise, evidence, 1, internal["scrip.campaign.generated.v1"])
    row("pushed_issued", promise, evidence, everybody, internal[topics.ISSUED])
    row("pushed_redeemed", promise, evidence, 1, internal[topics.REDEEMED])
    row("pushed_expired", promise, evidence, everybody - 1, internal[topics.EXPIRED])
    promise, evidence = "Push through the merchant's interface", f"receipts / deliveries · {TABLES}"
    confirmed, every = story.tables.deliveries()
    row("receipts", promise, evidence, everybody, confirmed)
    row("deliveries", promise, evidence, everybody, every)
    faults, at_merchant = seen["faults"], seen["merchant"]["deliveries"]
    evidence = "given / given twice · the merchant's own server"
    row("applied", promise, evidence, everybody, at_merchant["applied"])
    row("doubled", promise, evidence, 0, at_merchant["doubled"])
    evidence = "planted faults that struck: 500 / time-out afterwards"
    row("planted_500", promise, evidence, 1, faults["500"]["fired"])
    row("planted_time_out", promise, evidence, 1, faults["timeout_after_apply"]["fired"])
    not_found = sum(code in ("UNBEKANNT", "AKTION_UNBEKANNT", "resource_not_found") for code in seen["foreign"])
    row("unknown_elsewhere", promise, "other merchants to whom a pushed coupon is unknown", 2, not_found)


def others(story: Story, events: topics.EventsCounted) -> None:
    """The ERP's and the Voucherify shop's own figures."""
    row, seen = story.results.row, story.guests.seen
    evidence = f"campaigns / issued / redeemed / returned / expired · {TOPIC}"
    words = "refused as used before · in its own words"
    promise, by_type = "A home-made ERP, by a declared profile", events.by_type[story.guests.erp]
    left = guests.ERP_CUSTOMERS - guests.ERP_REDEEMED + guests.ERP_RETURNED
    row("erp_campaigns", promise, evidence, 1, by_type["scrip.campaign.published.v1"])
    row("erp_issued", promise, evidence, guests.ERP_CUSTOMERS, by_type[topics.ISSUED])
    row("erp_redeemed", promise, evidence, guests.ERP_REDEEMED, by_type[topics.REDEEMED])
    row("erp_returned", promise, evidence, guests.ERP_RETURNED, by_type[topics.RETURNED])
    row("erp_expired", promise, evidence, left, by_type[topics.EXPIRED])
    row("erp_refused", promise, words, 1, seen["erp_again"] == "BEREITS_EINGELOEST")
    promise, by_type = "A Voucherify client, only its address changed", events.by_type[story.guests.shop]
    shop = seen["shop"]
    left = guests.SHOP_PUBLISHED - guests.SHOP_REDEEMED + guests.SHOP_ROLLED_BACK
    row("shop_campaigns", promise, evidence, 1, by_type["scrip.campaign.generated.v1"])
    row("shop_issued", promise, evidence, guests.SHOP_PUBLISHED, by_type[topics.ISSUED])
    row("shop_redeemed", promise, evidence, guests.SHOP_REDEEMED, by_type[topics.REDEEMED])
    row("shop_returned", promise, evidence, guests.SHOP_ROLLED_BACK, by_type[topics.RETURNED])
    row("shop_expired", promise, evidence, left, by_type[topics.EXPIRED])
    evidence = "codes generated / published · its answers"
    row("shop_codes", promise, evidence, guests.SHOP_CODES, shop["codes"])
    row("shop_published", promise, evidence, guests.SHOP_PUBLISHED, shop["published"])
    row("shop_refused", promise, words, 1, shop["again"] == "quantity_exceeded")
