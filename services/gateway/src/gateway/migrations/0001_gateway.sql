-- Merchants, terminals, credentials, profiles, access requests, rules, tools, tokens; what was ordered of all lanes
-- depends:

-- migrate: apply

CREATE TABLE merchant (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    contact text,
    state text NOT NULL CHECK (state IN ('requested', 'verified', 'active', 'suspended', 'closed', 'rejected')),
    version bigint NOT NULL DEFAULT 1,
    dialect text NOT NULL,
    profile_version integer NOT NULL DEFAULT 1,
    sealed_secret text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL
);
CREATE INDEX merchant_state ON merchant (state, id);

CREATE TABLE merchant_profile (
    merchant uuid NOT NULL REFERENCES merchant,
    version integer NOT NULL,
    dialect text NOT NULL,
    settings jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (merchant, version)
);

CREATE TABLE terminal (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL REFERENCES merchant,
    label text NOT NULL,
    closed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    CONSTRAINT terminal_label_unique UNIQUE (merchant, label)
);

CREATE TABLE credential (
    public_id text PRIMARY KEY,
    terminal uuid NOT NULL REFERENCES terminal,
    kind text NOT NULL,
    sha256 bytea,
    sealed_secret text,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    not_after timestamptz,
    revoked_at timestamptz,
    CHECK ((sha256 IS NULL) <> (sealed_secret IS NULL))
);
CREATE INDEX credential_terminal ON credential (terminal);

CREATE TABLE access_request (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL UNIQUE REFERENCES merchant,
    token_sha256 bytea NOT NULL,
    terminal_label text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    collected_at timestamptz
);

CREATE TABLE merchant_interface (
    merchant uuid PRIMARY KEY REFERENCES merchant,
    settings jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);

CREATE TABLE lane_order (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('merchant', 'rules', 'tool', 'code_key')),
    subject text NOT NULL,
    version bigint NOT NULL,
    command jsonb NOT NULL,
    lanes_done integer[] NOT NULL DEFAULT '{}',
    attempt integer NOT NULL DEFAULT 0,
    refusal jsonb,
    next_try_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    CONSTRAINT lane_order_version_unique UNIQUE (kind, subject, version)
);
CREATE INDEX lane_order_open ON lane_order (next_try_at) WHERE settled_at IS NULL;

CREATE TABLE building_rules (
    party text PRIMARY KEY,
    version bigint NOT NULL,
    rules jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);

CREATE TABLE tool (
    name text PRIMARY KEY,
    version bigint NOT NULL,
    key_version integer NOT NULL,
    rights text[] NOT NULL,
    reply_topic text,
    active boolean NOT NULL DEFAULT true,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);

CREATE TABLE token (
    id uuid PRIMARY KEY,
    sha256 bytea NOT NULL UNIQUE,
    name text NOT NULL,
    roles text[] NOT NULL,
    party text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    revoked_at timestamptz
);

CREATE TABLE bulk (
    id uuid PRIMARY KEY,
    party text NOT NULL,
    operation text NOT NULL,
    campaign uuid,
    hash bytea NOT NULL,
    total integer NOT NULL,
    parts integer NOT NULL,
    refused jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX bulk_age ON bulk (created_at);

CREATE TABLE bulk_part (
    bulk uuid NOT NULL REFERENCES bulk ON DELETE CASCADE,
    number integer NOT NULL,
    first_row integer NOT NULL,
    row_count integer NOT NULL,
    row_numbers integer[],
    PRIMARY KEY (bulk, number)
);

CREATE TABLE request_answer (
    scope text NOT NULL,
    operation text NOT NULL,
    key text NOT NULL,
    hash bytea NOT NULL,
    status integer NOT NULL,
    answer jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, operation, key)
);
CREATE INDEX request_answer_age ON request_answer (created_at);

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

-- migrate: rollback

DROP TABLE dead_letter, inbox, outbox_lease, outbox, request_answer, bulk_part, bulk, token, tool,
    building_rules, lane_order, merchant_interface,
    access_request, credential, terminal, merchant_profile, merchant;
DROP SEQUENCE outbox_id;
