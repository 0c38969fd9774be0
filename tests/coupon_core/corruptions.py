"""What a hand might change in the tables, and what the audit must then tell."""

CORRUPTIONS: list[tuple[str, str, str]] = [
    ("generated", "UPDATE coupon SET state = 6 WHERE campaign = $1 AND number = 10", "counter held"),
    ("generated", "UPDATE campaign SET held = held + 1, issued = issued + 1 WHERE number = $1", "counter issued"),
    ("ended", "UPDATE campaign SET expired = expired - 1, held = held + 1 WHERE number = $1", "counter expired"),
    ("generated", "DELETE FROM coupon WHERE campaign = $1 AND number = 12", "numbers used"),
    (
        "given",
        "INSERT INTO coupon (campaign, number, user_id, state, issued_at, code) VALUES ($1, 3, 'x', 1, now(), 'G3')",
        "counter held",
    ),
    ("generated", "UPDATE campaign SET exported = exported + 1 WHERE number = $1", "exported codes nobody holds"),
    ("generated", "UPDATE campaign SET quantity = 1 WHERE number = $1", "issued and exported within the quantity"),
    ("generated", "UPDATE exported_range SET first = first + 1 WHERE campaign = $1", "exported codes nobody holds"),
    ("generated", "INSERT INTO exported_range VALUES ($1, 30, 31)", "exported range from 30"),
    ("printed", "UPDATE voided_range SET codes = codes - 1 WHERE campaign = $1", "void codes from 5 to 20"),
    ("printed", "UPDATE campaign SET voided = voided + 1, issued = issued + 1 WHERE number = $1", "counter voided"),
    ("printed", "INSERT INTO voided_range VALUES ($1, 31, 32, 2)", "void range from 31"),
    ("printed", "UPDATE voided_range SET last = 32 WHERE campaign = $1", "void range from 5"),
    (
        "printed",
        "INSERT INTO coupon (campaign, number, user_id, state, issued_at) VALUES ($1, 10, 'x', 1, now())",
        "void codes from 5 to 20",
    ),
    ("uploaded", "UPDATE uploaded_code SET taken = true WHERE campaign = $1 AND position = 3", "uploaded code 3"),
    ("uploaded", "UPDATE campaign SET available = 0 WHERE number = $1", "uploaded codes not given out"),
    ("uploaded", "UPDATE coupon SET code = 'B2' WHERE campaign = $1 AND number = 2", "uploaded code 2"),
    ("uploaded", "UPDATE coupon SET code = NULL WHERE campaign = $1 AND number = 1", "stored code of coupon 1"),
    ("generated", "DELETE FROM redemption WHERE campaign = $1 AND coupon = 1", "redemptions of coupon 1"),
    (
        "generated",
        "UPDATE redemption SET returned_at = now() WHERE campaign = $1 AND coupon = 1",
        "redemptions not returned of coupon 1",
    ),
    (
        "generated",
        "INSERT INTO redemption (campaign, coupon, number, party, actor, at, command) "
        "SELECT $1, 10, 1, 'platform', 'nobody', '2026-03-10', gen_random_uuid()",
        "command of redemption 1 of coupon 10",
    ),
    (
        "generated",
        "UPDATE coupon SET reserved_order = 'o' WHERE campaign = $1 AND number = 6",
        "reservation of coupon 6",
    ),
    ("generated", "UPDATE coupon SET due_at = NULL WHERE campaign = $1 AND number = 9", "reservation of coupon 9"),
    ("generated", "UPDATE coupon SET state = 9 WHERE campaign = $1 AND number = 6", "state of coupon 6"),
    ("generated", "UPDATE code_block SET idx = 1 WHERE campaign = $1", "blocks of codes"),
    ("generated", "UPDATE code_block SET block = block + 1001 WHERE campaign = $1", "lane of block"),
    ("generated", "UPDATE campaign SET next_due = NULL WHERE number = $1", "when something is next due"),
    ("lasting", "UPDATE campaign SET next_due = ends WHERE number = $1", "when something is next due"),
    ("generated", "UPDATE coupon SET due_at = issued_at WHERE campaign = $1 AND number = 6", "reservation of coupon 6"),
    (
        "lasting",
        "UPDATE period_count SET issued = 3 WHERE campaign = $1 AND period = 'day' AND first = '2026-03-01'",
        "issued in the day from 2026-03-01",
    ),
    (
        "lasting",
        "UPDATE period_count SET issued = issued + 1 WHERE campaign = $1 AND period = 'month'",
        "issued in the month from 2026-03-01",
    ),
    (
        "generated",
        "DELETE FROM journal WHERE kind = 1 AND (campaign, first_seq) = "
        "(SELECT id, max(first_seq) FROM campaign JOIN journal ON campaign = id AND kind = 1 "
        "WHERE number = $1 GROUP BY id)",
        "events",
    ),
    (
        "generated",
        "DELETE FROM journal WHERE kind = 1 AND (campaign, first_seq) = (SELECT id, 1 FROM campaign WHERE number = $1)",
        "sequence numbers of events",
    ),
    ("generated", "UPDATE campaign SET seq = seq + 1 WHERE number = $1", "events"),
    (
        "generated",
        "UPDATE journal SET first_seq = first_seq + 1 WHERE kind = 1 AND (campaign, first_seq) = "
        "(SELECT id, max(first_seq) FROM campaign JOIN journal ON campaign = id AND kind = 1 "
        "WHERE number = $1 GROUP BY id)",
        "sequence numbers of events",
    ),
    ("cards", "UPDATE coupon SET spent = spent - 1 WHERE campaign = $1 AND number = 1", "units spent of coupon 1"),
    ("cards", "UPDATE coupon SET spent = 5000 WHERE campaign = $1 AND number = 1", "units left of coupon 1"),
    ("cards", "UPDATE coupon SET reserved_units = 5001 WHERE campaign = $1 AND number = 3", "units held of coupon 3"),
    ("uses", "UPDATE coupon SET reserved_units = 1 WHERE campaign = $1 AND number = 4", "units held of coupon 4"),
    ("uses", "UPDATE coupon SET spent = NULL WHERE campaign = $1 AND number = 1", "units spent of coupon 1"),
    (
        "cards",
        "UPDATE redemption SET returned = discount + 1 WHERE campaign = $1 AND coupon = 1 AND number = 1",
        "returned of redemption 1 of coupon 1",
    ),
    (
        "cards",
        "UPDATE redemption SET returned_at = now() WHERE campaign = $1 AND coupon = 1 AND number = 1",
        "returned of redemption 1 of coupon 1",
    ),
    ("cards", "DELETE FROM redemption WHERE campaign = $1 AND coupon = 1 AND number = 2", "units spent of coupon 1"),
    ("uses", "UPDATE campaign SET budget_reserved = budget_reserved - 1 WHERE number = $1", "budget reserved"),
    ("uses", "UPDATE campaign SET budget_spent = budget_spent + 1 WHERE number = $1", "budget spent"),
    ("uses", "UPDATE campaign SET budget = 1 WHERE number = $1", "budget reserved and spent within it"),
    (
        "generated",
        "DELETE FROM refusal WHERE campaign = (SELECT id FROM campaign WHERE number = $1)",
        "refusal of command",
    ),
    (
        "generated",
        "UPDATE outcome SET status = 2 WHERE command = "
        "(SELECT command FROM redemption WHERE campaign = $1 AND coupon = 1)",
        "command of redemption 1 of coupon 1",
    ),
    (
        "generated",
        "UPDATE outcome SET status = 3 WHERE command = "
        "(SELECT command FROM redemption WHERE campaign = $1 AND coupon = 1)",
        "dead letter of command",
    ),
    ("generated", "UPDATE campaign SET issued = issued + 1 WHERE number = $1", "issued is the sum of the states"),
]
CORRUPTIONS_OF_LANES: list[tuple[str, str]] = [
    ("DELETE FROM journal WHERE partition = $1 AND lane_seq = 2", "sequence numbers of the journal"),
    ("UPDATE journal SET lane_seq = lane_seq + 1 WHERE partition = $1 AND lane_seq = "
     "(SELECT lane_seq FROM lane WHERE partition = $1)", "end of the journal"),
    ("UPDATE lane SET lane_seq = lane_seq + 1 WHERE partition = $1", "end of the journal"),
    ("UPDATE lane SET emitted_lane_seq = lane_seq + 1 WHERE partition = $1", "emitted within the journal"),
    ("UPDATE lane SET clock = '2026-01-01' WHERE partition = $1", "clock"),
    ("UPDATE lane SET campaigns = campaigns + 1 WHERE partition = $1", "campaigns"),
    ("UPDATE lane SET campaigns = campaigns - 1 WHERE partition = $1", "number of the campaign"),
    ("UPDATE lane SET blocks = blocks + 1 WHERE partition = $1", "blocks of codes"),
    ("UPDATE journal SET at = '2026-02-01' WHERE partition = $1 AND lane_seq = 2", "time of journal row 2"),
]  # fmt: skip
LAST_EVENTS = (
    "kind = 1 AND (campaign, first_seq) = (SELECT id, max(first_seq) FROM campaign JOIN journal ON campaign = id "
    "AND kind = 1 WHERE number = $1 GROUP BY id)"
)
CORRUPTIONS += [
    ("generated", f"UPDATE journal SET body = overlay(body placing '' from 1 for 1) WHERE {LAST_EVENTS}", "events "),
    ("generated", f"UPDATE journal SET chain = sha256(chain) WHERE {LAST_EVENTS}", "chain of events"),
    ("generated", f"UPDATE journal SET chain = NULL WHERE {LAST_EVENTS}", "chain of events"),
    ("generated", "UPDATE campaign SET chain = sha256(chain) WHERE number = $1", "chain of the campaign after event "),
    (
        "generated",
        f"UPDATE journal SET partition = (partition + 1) % 8, lane_seq = 1000000 WHERE {LAST_EVENTS}",
        "lane of the journal",
    ),
]

STRAY_COUPON = (
    "INSERT INTO coupon (campaign, number, state, issued_at) VALUES (999999, 1, 1, now())",
    "coupons of a campaign that does not exist",
)
