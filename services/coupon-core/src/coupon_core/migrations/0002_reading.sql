-- Indexes of the read API and of the audit; the lane needs none of them.
-- depends: 0001_core

-- migrate: apply

-- Parties besides the owner: few campaigns have any, the others take no space here.
CREATE INDEX campaign_parties ON campaign USING gin
    (((terms::jsonb -> 'redeemable_by') || (terms::jsonb -> 'senders')))
    WHERE ((terms::jsonb -> 'redeemable_by') || (terms::jsonb -> 'senders')) <> '[]'::jsonb;

-- Campaigns once listed stay so; only the active ones stand in the catalogue.
CREATE INDEX campaign_catalogue ON campaign (id) WHERE listed AND state = 'active';

CREATE INDEX coupon_order ON coupon (reserved_order) WHERE reserved_order IS NOT NULL;
CREATE INDEX refusal_coupon ON refusal (campaign, coupon) WHERE coupon IS NOT NULL;
CREATE INDEX dead_letter_at ON dead_letter (at, partition, position);

-- migrate: rollback

DROP INDEX dead_letter_at, refusal_coupon, coupon_order, campaign_catalogue, campaign_parties;
