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
TABLES, TOPIC = "tables", "coupon.events"


def collect(story: Story) -> None:
    """Read topics and tables and file the rows of the final table."""
    results, platform, year = story.results, story.platform, story.year
    moments = [midnight(day).astimezone(UTC).isoformat() for day in CHECKED_DAYS]
    expected_records = 2 * year.coupons
    with (
        story.report.step("Counting again: the whole of coupon.events, from its beginning", expected_records) as step,
        results.timed("read events back") as rate,
    ):
        events = topics.count_events(platform.bootstrap, moments, step.advance)
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
    promises(story, events, refusals)
    others(story, events, refusals)
    safety = "Safe: kill -9, order, audit"
    row = results.row
    row("killed", safety, "coupon-core killed -9 amid issuing, and started again", 1, restarts(story))
    row("gaps", safety, "numbers missing in coupon.events", 0, events.gaps)
    row("audit", safety, "differences found by core's audit of its tables", 0, len(audit["differences"]))
    row("dead_letters", safety, "dead letters in coupon.commands", 0, topics.count_records(platform.bootstrap))


def restarts(story: Story) -> int:
    """How often coupon-core was started again."""
    return story.platform.supervisor.child("coupon_core").restarts


def the_year(story: Story, events: topics.EventsCounted, refusals: dict[tuple[str, str], int]) -> None:
    """The chain's figures, each from the topic and from the tables."""
    chain, expected, row = story.chain.id, story.year.figures(), story.results.row
    by_type = events.by_type[chain]
    ledger, coupons = story.tables.ledger(chain), story.tables.coupons(chain)
    row("campaigns", YEAR, f"campaigns · {TOPIC}", expected.campaigns, by_type["scrip.campaign.published.v1"])
    row("campaigns_in_tables", YEAR, f"campaigns · {TABLES}", expected.campaigns, ledger.campaigns)
    row("issued", YEAR, f"coupons issued · {TOPIC}", expected.issued, by_type[topics.ISSUED])
    row("issued_in_tables", YEAR, f"coupons issued · {TABLES}", expected.issued, sum(coupons.values()))
    row("redeemed", YEAR, f"redeemed · {TOPIC}", expected.redeemed, by_type[topics.REDEEMED])
    row("redeemed_in_tables", YEAR, f"redeemed · {TABLES}", expected.redeemed, coupons.get("redeemed", 0))
    row("refused", YEAR, "refused, used before · coupon.refusals", expected.refused, refusals.get((chain, USED), 0))
    other = sum(count for (party, code), count in refusals.items() if party == chain and code != USED)
    row("refused_otherwise", YEAR, "refused for any other reason · coupon.refusals", 0, other)
    row("expired", YEAR, f"expired · {TOPIC}", expected.expired, by_type[topics.EXPIRED])
    row("expired_in_tables", YEAR, f"expired · {TABLES}", expected.expired, coupons.get("expired", 0))
    row("held", YEAR, f"still held · {TOPIC}", expected.held, still_held(by_type))
    row("held_in_tables", YEAR, f"still held · {TABLES}", expected.held, coupons.get("held", 0))


def still_held(by_type: Counter[str]) -> int:
    """What is neither redeemed nor expired, by the events."""
    return by_type[topics.ISSUED] + by_type[topics.RETURNED] - by_type[topics.REDEEMED] - by_type[topics.EXPIRED]


def mid_year(story: Story, events: topics.EventsCounted) -> None:
    """The same at the beginning of five days: by the data, the tables then, the topic now."""
    promise, row = "The year as it was at five moments", story.results.row
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
        for what in ("issued", "redeemed", "expired", "held"):
            wanted = getattr(expected, what)
            for place, counted in ((TABLES, ledger), (TOPIC, from_topic)):
                name = f"{what}_on_{day}" + ("" if place == TOPIC else "_in_tables")
                row(name, promise, f"{what} when {day} began · {place}", wanted, getattr(counted, what))


def promises(story: Story, events: topics.EventsCounted, refusals: dict[tuple[str, str], int]) -> None:
    """Access, users, timed task, generation, push."""
    results, seen = story.results, story.guests.seen
    row, platform = results.row, story.platform
    internal = events.by_type["platform"]
    merchant_events = topics.count_by_type(platform.bootstrap, topics.MERCHANT_EVENTS)
    ticks = topics.count_by_type(platform.bootstrap, topics.SCHEDULE_EVENTS)
    promise = "External access: identified and matched"
    row("matched", promise, "callers matched to their own API · answers", 3, story.guests.matched)
    counted = of_type(merchant_events, "scrip.merchant.access_matched.v1")
    row("matched_in_topic", promise, "callers matched to their own API · merchant.events", 3, counted)
    promise = "Merchant interface and timed task"
    present, known = story.tables.users(story.chain.id)
    row("ticks", promise, "ticks of the timed task · schedule.events", 1, sum(ticks.values()))
    row("households", promise, "households fetched · tables", story.households, present)
    row("households_with_demographics", promise, "of them with demographics · tables", story.known, known)
    counted = of_type(merchant_events, "scrip.merchant.users_synced.v1")
    row("synced", promise, "reports of a fetch · merchant.events", 1, counted)
    promise = "Internal generation by a Kafka tool"
    row("generated", promise, f"campaigns generated · {TOPIC}", 1, internal["scrip.campaign.generated.v1"])
    row("pushed_issued", promise, f"coupons issued · {TOPIC}", story.households, internal[topics.ISSUED])
    row("pushed_redeemed", promise, f"redeemed at the chain · {TOPIC}", 1, internal[topics.REDEEMED])
    row("pushed_expired", promise, f"expired · {TOPIC}", story.households - 1, internal[topics.EXPIRED])
    promise = "Push through the merchant's interface"
    confirmed, every = story.tables.deliveries()
    row("receipts", promise, "receipts · tables", story.households, confirmed)
    row("deliveries", promise, "deliveries in all · tables", story.households, every)
    faults, at_merchant = seen["faults"], seen["merchant"]["deliveries"]
    row("applied", promise, "coupons given · the merchant's server", story.households, at_merchant["applied"])
    row("doubled", promise, "given twice · the merchant's server", 0, at_merchant["doubled"])
    row("planted_500", promise, "planted 500 struck", 1, faults["500"]["fired"])
    row(
        "planted_time_out", promise, "planted time-out after applying struck", 1, faults["timeout_after_apply"]["fired"]
    )
    not_found = sum(code in ("UNBEKANNT", "AKTION_UNBEKANNT", "resource_not_found") for code in seen["foreign"])
    row("unknown_elsewhere", promise, "other merchants to which a pushed coupon is unknown", 2, not_found)


def of_type(counted: Counter[tuple[str, str]], kind: str) -> int:
    """Records of one type, whatever their state."""
    return sum(count for (name, _), count in counted.items() if name == kind)


def others(story: Story, events: topics.EventsCounted, refusals: dict[tuple[str, str], int]) -> None:
    """The ERP's and the Voucherify shop's own figures."""
    row, seen = story.results.row, story.guests.seen
    promise, party = "A home-made ERP, by a declared profile", story.guests.erp
    by_type = events.by_type[party]
    good = guests.ERP_REDEEMED - guests.ERP_RETURNED
    row("erp_campaigns", promise, f"campaigns published · {TOPIC}", 1, by_type["scrip.campaign.published.v1"])
    row("erp_issued", promise, f"coupons issued · {TOPIC}", guests.ERP_CUSTOMERS, by_type[topics.ISSUED])
    row("erp_redeemed", promise, f"redeemed · {TOPIC}", guests.ERP_REDEEMED, by_type[topics.REDEEMED])
    row("erp_returned", promise, f"returned · {TOPIC}", guests.ERP_RETURNED, by_type[topics.RETURNED])
    row("erp_refused", promise, "refused, used before · coupon.refusals", 1, refusals.get((party, USED), 0))
    row("erp_refused_in_its_words", promise, "refused in its own words", 1, seen["erp_again"] == "BEREITS_EINGELOEST")
    row("erp_expired", promise, f"expired · {TOPIC}", guests.ERP_CUSTOMERS - good, by_type[topics.EXPIRED])
    promise, party, shop = "A Voucherify client, its address changed", story.guests.shop, seen["shop"]
    by_type = events.by_type[party]
    good = guests.SHOP_REDEEMED - guests.SHOP_ROLLED_BACK
    row("shop_generated", promise, f"campaigns generated for it · {TOPIC}", 1, by_type["scrip.campaign.generated.v1"])
    row("shop_codes", promise, "codes generated · its answers", guests.SHOP_CODES, shop["codes"])
    row("shop_published", promise, "vouchers published · its answers", guests.SHOP_PUBLISHED, shop["published"])
    row("shop_issued", promise, f"coupons issued · {TOPIC}", guests.SHOP_PUBLISHED, by_type[topics.ISSUED])
    row("shop_redeemed", promise, f"redeemed · {TOPIC}", guests.SHOP_REDEEMED, by_type[topics.REDEEMED])
    row("shop_rolled_back", promise, f"rolled back · {TOPIC}", guests.SHOP_ROLLED_BACK, by_type[topics.RETURNED])
    row("shop_refused", promise, "refused in its own words", 1, shop["again"] == "quantity_exceeded")
    row("shop_expired", promise, f"expired · {TOPIC}", guests.SHOP_PUBLISHED - good, by_type[topics.EXPIRED])
