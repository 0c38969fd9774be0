-- The tables of coupon-core.
-- depends:

-- migrate: apply

-- coupon-core's own tables. One writer per lane (fenced by lane.epoch); everybody else reads through the query API.

CREATE TABLE platform (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    partitions integer NOT NULL,
    cluster_id text NOT NULL,
    told boolean NOT NULL
);

CREATE TABLE lane (
    partition integer PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    position bigint NOT NULL DEFAULT 0,
    clock timestamptz,
    lane_seq bigint NOT NULL DEFAULT 0,
    emitted_lane_seq bigint NOT NULL DEFAULT 0,
    campaigns bigint NOT NULL DEFAULT 0,
    blocks bigint NOT NULL DEFAULT 0,
    events_accepted bigint, -- set by an operator: events below this offset may be ahead of the database
    CHECK (emitted_lane_seq <= lane_seq)
);

CREATE TABLE lane_fact (
    partition integer NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    version bigint NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (partition, kind, key)
);

-- What each lane was told, and when: as `why` takes a decision again. Changed only where an operator
-- accepts a log in which places are used again.
CREATE TABLE lane_fact_history (
    partition integer NOT NULL,
    position bigint NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    version bigint NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (partition, kind, key, position)
);

CREATE TABLE campaign (
    number bigint PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    partition integer NOT NULL,
    owner text NOT NULL,
    origin text NOT NULL CHECK (origin IN ('internal', 'external')),
    state text NOT NULL,
    terms text NOT NULL,
    supply text NOT NULL,
    code text,
    code_normal text,
    listed boolean NOT NULL,
    quantity bigint,
    starts timestamptz NOT NULL,
    ends timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    seq bigint NOT NULL,
    issued bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    redeemed bigint NOT NULL DEFAULT 0,
    burned bigint NOT NULL DEFAULT 0,
    voided bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    exported bigint NOT NULL DEFAULT 0,
    available bigint NOT NULL DEFAULT 0,
    last_number bigint NOT NULL DEFAULT 0,
    job_began timestamptz, -- when the latest job began to write codes down, after the code with number job_from
    job_from bigint NOT NULL DEFAULT 0,
    swept bigint NOT NULL DEFAULT 0,
    next_due timestamptz,
    chain bytea NOT NULL,
    budget bigint,
    budget_reserved bigint,
    budget_spent bigint,
    pattern text,
    key_version smallint,
    code_head text,
    code_length integer,
    CONSTRAINT campaign_ledger CHECK (issued = held + reserved + redeemed + burned + voided + expired),
    CONSTRAINT campaign_counters CHECK (least(held, reserved, redeemed, burned, voided, expired, exported, available) >= 0),
    CONSTRAINT campaign_quantity CHECK (quantity IS NULL OR issued + exported <= quantity),
    CONSTRAINT campaign_budget CHECK (budget IS NULL OR (least(budget_reserved, budget_spent) >= 0
        AND budget_reserved + budget_spent <= budget))
) WITH (fillfactor = 70);
CREATE INDEX campaign_due ON campaign (partition, next_due, number) WHERE next_due IS NOT NULL;
CREATE INDEX campaign_owner ON campaign (owner, id);
CREATE INDEX campaign_code ON campaign (code_normal) WHERE code_normal IS NOT NULL;
CREATE INDEX campaign_pattern ON campaign (code_head, code_length) WHERE code_head IS NOT NULL;
CREATE INDEX campaign_listed ON campaign (id) WHERE listed;

-- state: 1 held, 2 reserved, 3 redeemed, 4 burned, 5 voided, 6 expired
-- spent: uses, or minor units of a balance, taken and not restored; NULL where each coupon has one use and no budget
-- reserved_units: how many of those the reserving order holds
CREATE TABLE coupon (
    campaign bigint NOT NULL,
    number bigint NOT NULL,
    user_id text,
    state smallint NOT NULL,
    redemptions smallint NOT NULL DEFAULT 0,
    issued_at timestamptz NOT NULL,
    code text,
    reserved_order text,
    due_at timestamptz,
    spent bigint,
    reserved_units bigint,
    PRIMARY KEY (campaign, number)
) WITH (fillfactor = 75);
CREATE INDEX coupon_user ON coupon (user_id, campaign) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX coupon_code ON coupon (code, campaign) WHERE code IS NOT NULL;
CREATE INDEX coupon_due ON coupon (campaign, due_at, number) WHERE due_at IS NOT NULL;

-- Coupons issued in a day, week or month of the campaign's zone; only of campaigns that limit them.
CREATE TABLE period_count (
    campaign bigint NOT NULL,
    period text NOT NULL CHECK (period IN ('day', 'week', 'month')),
    first date NOT NULL,
    begins timestamptz NOT NULL,
    ends timestamptz NOT NULL,
    issued bigint NOT NULL,
    most bigint NOT NULL,
    PRIMARY KEY (campaign, period, first),
    CONSTRAINT period_count_limit CHECK (issued BETWEEN 0 AND most)
);

-- returned: discount given back so far; returned_at: when the last of it was; restored: units the coupon got again
CREATE TABLE redemption (
    campaign bigint NOT NULL,
    coupon bigint NOT NULL,
    number integer NOT NULL,
    order_id text,
    amount bigint,
    discount bigint,
    party text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    command uuid NOT NULL,
    returned_at timestamptz,
    return_reason text,
    returned bigint,
    restored bigint,
    PRIMARY KEY (campaign, coupon, number)
);
CREATE INDEX redemption_order ON redemption (order_id) WHERE order_id IS NOT NULL;

CREATE TABLE uploaded_code (
    campaign bigint NOT NULL,
    position bigint NOT NULL,
    code text NOT NULL,
    shown text NOT NULL,
    taken boolean NOT NULL DEFAULT false,
    PRIMARY KEY (campaign, position)
);
CREATE UNIQUE INDEX uploaded_code_code ON uploaded_code (code, campaign);
CREATE INDEX uploaded_code_free ON uploaded_code (campaign, position) WHERE NOT taken;

CREATE TABLE exported_range (
    campaign bigint NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (campaign, first)
);

-- Exported codes that became void while nobody held them: of each number in the range of which there is no coupon.
CREATE TABLE voided_range (
    campaign bigint NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    codes bigint NOT NULL CHECK (codes BETWEEN 1 AND last - first + 1),
    PRIMARY KEY (campaign, first)
);

CREATE TABLE code_block (
    block bigint PRIMARY KEY,
    campaign bigint NOT NULL,
    idx bigint NOT NULL,
    version smallint NOT NULL,
    UNIQUE (campaign, idx)
);

-- Every version of the code key a process of this database ever had, and what tells its key from another.
CREATE TABLE code_key (
    version smallint PRIMARY KEY,
    fingerprint bytea NOT NULL
);

-- status: 0 running (sliced work not finished), 1 done, 2 refused, 3 dead
-- A command is known by its id in its lane's log: no order joins the logs of two lanes.
CREATE TABLE outcome (
    command uuid NOT NULL,
    partition integer NOT NULL,
    campaign uuid,
    hash bigint NOT NULL,
    status smallint NOT NULL,
    at timestamptz NOT NULL,
    body text,
    position bigint,
    PRIMARY KEY (command, partition)
);

-- kind: 1 events, 2 refusals, 3 continuation commands, 4 dead letters; body: zstd of JSON lines; chain: of events,
-- after the last of them (coupon_core/model/chain.py)
CREATE TABLE journal (
    partition integer NOT NULL,
    lane_seq bigint NOT NULL,
    kind smallint NOT NULL,
    campaign uuid,
    first_seq bigint,
    count integer NOT NULL,
    at timestamptz,
    body bytea NOT NULL,
    chain bytea,
    PRIMARY KEY (partition, lane_seq)
);
ALTER TABLE journal ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX journal_campaign ON journal (campaign, first_seq) WHERE kind = 1;
CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the journal is append-only: % refused', TG_OP; END $$;
CREATE TRIGGER journal_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only();

CREATE TABLE refusal (
    command uuid NOT NULL,
    partition integer NOT NULL,
    row integer NOT NULL,
    at timestamptz NOT NULL,
    campaign uuid,
    party text NOT NULL,
    code text NOT NULL,
    user_id text,
    order_id text,
    coupon bigint,
    body text NOT NULL,
    seq bigint,
    PRIMARY KEY (command, partition, row)
);
CREATE INDEX refusal_user ON refusal (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX refusal_order ON refusal (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX refusal_campaign ON refusal (campaign, at);

CREATE TABLE dead_letter (
    partition integer NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    reason text NOT NULL,
    command uuid,
    body text NOT NULL,
    redriven_at timestamptz,
    PRIMARY KEY (partition, position)
);

-- migrate: rollback

DROP TABLE dead_letter, refusal, journal, outcome, code_key, code_block, voided_range, exported_range, uploaded_code, redemption,
    period_count, coupon, campaign, lane_fact_history, lane_fact, lane, platform;
DROP FUNCTION journal_is_append_only;
