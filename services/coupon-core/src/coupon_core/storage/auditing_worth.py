"""Checks of the audit about what coupons are worth: uses, balances, what was returned, and budgets.

Rows and parameter as in `storage.auditing`. `worth` holds the campaigns that count units (`coupon_core.model.worth`).
"""

from __future__ import annotations

WORTH = """
WITH worth AS (
    SELECT c.number, c.id, c.exported, c.budget, c.budget_reserved, c.budget_spent, s.gift,
        CASE WHEN s.gift THEN (s.discount ->> 'balance')::bigint ELSE s.uses END AS capacity,
        CASE WHEN s.gift THEN 1 ELSE coalesce(s.discount ->> 'cap', s.discount ->> 'amount')::bigint END AS unit
    FROM campaign c CROSS JOIN LATERAL (SELECT c.terms::jsonb AS terms) t CROSS JOIN LATERAL (
        SELECT t.terms -> 'discount' AS discount, t.terms #>> '{discount,kind}' = 'gift_card' AS gift,
            coalesce((t.terms ->> 'uses')::bigint, 1) AS uses
    ) s
    WHERE ($1::bigint[] IS NULL OR c.number = ANY($1)) AND (c.budget IS NOT NULL OR s.gift OR s.uses > 1)
)
"""
SPENT = f"""{WORTH}, taken AS (
    SELECT r.campaign, r.coupon, sum(CASE WHEN w.gift THEN r.discount ELSE 1 END - coalesce(r.restored, 0)) AS units
    FROM worth w JOIN redemption r ON r.campaign = w.number GROUP BY r.campaign, r.coupon
)
SELECT w.id, NULL::int, each.what || ' of coupon ' || k.number, each.expected, each.found
FROM worth w JOIN coupon k ON k.campaign = w.number
LEFT JOIN taken t ON t.campaign = k.campaign AND t.coupon = k.number
CROSS JOIN LATERAL (SELECT coalesce(k.spent, 0) AS spent) s
CROSS JOIN LATERAL (VALUES
    ('units spent', coalesce(t.units, 0) = s.spent, coalesce(t.units, 0)::text, s.spent::text),
    ('units left', CASE WHEN k.state IN (3, 4) THEN s.spent = w.capacity WHEN k.state IN (1, 2)
        THEN s.spent < w.capacity ELSE s.spent <= w.capacity END, CASE WHEN k.state IN (3, 4) THEN 'none'
        WHEN k.state IN (1, 2) THEN 'some' ELSE 'none or some' END, (w.capacity - s.spent)::text),
    ('units held', k.reserved_units IS NULL OR (k.state = 2 AND k.reserved_units BETWEEN 1 AND w.capacity - s.spent),
        CASE WHEN k.state = 2 THEN 'at most ' || w.capacity - s.spent ELSE 'none' END, k.reserved_units::text)
) AS each(what, holds, expected, found)
WHERE NOT each.holds
"""
RETURNED = """
SELECT c.id, NULL::int, 'returned of redemption ' || r.number || ' of coupon ' || r.coupon,
    CASE WHEN r.returned_at IS NULL THEN 'less than ' ELSE 'exactly ' END || coalesce(r.discount, 0),
    coalesce(r.returned::text, 'nothing')
FROM redemption r JOIN campaign c ON c.number = r.campaign
WHERE ($1::bigint[] IS NULL OR r.campaign = ANY($1)) AND (r.returned_at IS NOT NULL OR r.returned IS NOT NULL)
    AND CASE WHEN r.returned_at IS NULL THEN r.returned >= coalesce(r.discount, 0)
        ELSE r.returned IS DISTINCT FROM coalesce(r.discount, 0) END
"""
BUDGET = f"""{WORTH}, coupons AS (
    SELECT k.campaign, sum(w.capacity - coalesce(k.spent, 0)) AS units
    FROM worth w JOIN coupon k ON k.campaign = w.number AND k.state IN (1, 2)
    WHERE w.budget IS NOT NULL GROUP BY k.campaign
), discounts AS (
    SELECT r.campaign, sum(coalesce(r.discount, 0) - coalesce(r.returned, 0)) AS spent
    FROM worth w JOIN redemption r ON r.campaign = w.number WHERE w.budget IS NOT NULL GROUP BY r.campaign
)
SELECT w.id, NULL::int, each.what, each.expected::text, each.found::text
FROM worth w LEFT JOIN coupons k ON k.campaign = w.number LEFT JOIN discounts d ON d.campaign = w.number
CROSS JOIN LATERAL (VALUES
    ('budget reserved', (coalesce(k.units, 0) + w.exported * w.capacity) * w.unit, w.budget_reserved),
    ('budget spent', coalesce(d.spent, 0), w.budget_spent),
    ('budget reserved and spent within it', least(w.budget, w.budget_reserved + w.budget_spent),
        w.budget_reserved + w.budget_spent)
) AS each(what, expected, found)
WHERE w.budget IS NOT NULL AND each.expected IS DISTINCT FROM each.found
"""

OF_WORTH = (SPENT, RETURNED, BUDGET)
