-- The tables of merchant-adapter.
-- depends:

-- migrate: apply

-- What messaging keeps in a service's own schema. Each service has this, word for word, in its first migration.
CREATE SEQUENCE outbox_id;
CREATE TABLE outbox (
    id bigint PRIMARY KEY, -- taken under the key's lock: per key the order of ids is the order of commits
    topic text NOT NULL,
    record_key bytea NOT NULL,
    partition integer,
    value bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz
);
CREATE INDEX outbox_unsent ON outbox (id) INCLUDE (made_at) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;
CREATE TABLE outbox_lease (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL DEFAULT 0,
    holder text,
    held_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO outbox_lease DEFAULT VALUES;
CREATE TABLE inbox (
    topic text NOT NULL,
    id text NOT NULL, -- the command's
    taken_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, id)
);
CREATE INDEX inbox_taken_at ON inbox (taken_at);
CREATE TABLE dead_letter (
    id text PRIMARY KEY, -- <topic>-<partition>-<offset>
    reason text NOT NULL,
    detail text NOT NULL,
    command text,
    writer text,
    record_time timestamptz NOT NULL,
    record_key bytea,
    value bytea,
    headers jsonb NOT NULL, -- [[name, base64 of the value]]
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dead_letter_made_at ON dead_letter (made_at, id);

CREATE TABLE merchant (
    id uuid PRIMARY KEY,
    version bigint NOT NULL,
    state text NOT NULL,
    profile text NOT NULL, -- contracts.merchants.MerchantProfile; its secret is sealed
    trouble text -- why its interface is not called until staff change it
);

CREATE TABLE merchant_user (
    merchant uuid NOT NULL,
    user_id text NOT NULL,
    attributes text NOT NULL,
    hash bigint NOT NULL,
    seen_run uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant, user_id)
) WITH (fillfactor = 70);

CREATE TABLE sync_run (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    task uuid,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
    cursor text, -- of the next page to ask for
    pages bigint NOT NULL DEFAULT 0,
    seen bigint NOT NULL DEFAULT 0,
    new bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    gone bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    detail text,
    made_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX sync_run_merchant ON sync_run (merchant, made_at);

CREATE TABLE push (
    id uuid PRIMARY KEY, -- UUIDv5(merchant, campaign)
    merchant uuid NOT NULL,
    campaign uuid NOT NULL,
    audience text NOT NULL,
    issued_to text, -- users up to this id were given a coupon; only for the audience all_users
    issue_chunks integer NOT NULL DEFAULT 0,
    issuing boolean NOT NULL,
    listed_to bigint NOT NULL DEFAULT 0, -- coupons up to this number have a delivery
    UNIQUE (campaign, merchant)
);

CREATE TABLE delivery (
    id uuid PRIMARY KEY, -- the idempotency key
    merchant uuid NOT NULL,
    campaign uuid NOT NULL,
    number bigint NOT NULL,
    user_id text NOT NULL,
    state text NOT NULL CHECK (state IN
        ('pending', 'sent', 'confirmed', 'retrying', 'unknown', 'dead', 'recalling', 'recalled')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    receipt text,
    reason text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (campaign, number, merchant)
);
CREATE INDEX delivery_open ON delivery (merchant, next_at, number)
    WHERE state IN ('pending', 'sent', 'retrying', 'unknown', 'recalling');
CREATE INDEX delivery_dead ON delivery (merchant, id) WHERE state = 'dead';

-- Durable work. A worker holds a job under a lease; every write of the job's names the fence it was given.
CREATE TABLE job (
    kind text NOT NULL CHECK (kind IN ('sync', 'push', 'deliver')),
    subject uuid NOT NULL, -- the run, the push, or the merchant to deliver to
    merchant uuid NOT NULL,
    wanted bigint NOT NULL DEFAULT 1, -- raised whenever there is more to do; finished when it was met
    met bigint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    failures integer NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    held_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (kind, subject)
);
CREATE INDEX job_open ON job (due_at) WHERE met < wanted;

-- migrate: rollback

DROP TABLE job, delivery, push, sync_run, merchant_user, merchant, dead_letter, inbox, outbox_lease, outbox;
DROP SEQUENCE outbox_id;
