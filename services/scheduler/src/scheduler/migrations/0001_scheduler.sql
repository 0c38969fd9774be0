-- The tables of the scheduler.
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

CREATE TABLE task (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    schedule text NOT NULL, -- contracts.schedules.Schedule
    action text NOT NULL,
    catch_up text NOT NULL CHECK (catch_up IN ('skip', 'once', 'all')),
    actor text NOT NULL,
    filed_at timestamptz NOT NULL,
    next_due timestamptz, -- NULL: no more ticks
    cancelled boolean NOT NULL DEFAULT false
);
CREATE INDEX task_due ON task (next_due) WHERE next_due IS NOT NULL;

-- A tick happens once: its row is unique, and its event goes out by the outbox of the same transaction.
CREATE TABLE tick (
    task uuid NOT NULL REFERENCES task (id),
    due timestamptz NOT NULL,
    id uuid NOT NULL UNIQUE,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task, due)
);

-- migrate: rollback

DROP TABLE tick, task, dead_letter, inbox, outbox_lease, outbox;
DROP SEQUENCE outbox_id;
