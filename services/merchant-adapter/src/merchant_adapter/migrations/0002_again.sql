-- A listing that begins anew, a push ordered again or ended.
-- depends: 0001_adapter

-- migrate: apply

-- What marks the users seen: another than the run's id once the merchant no longer took its cursor.
ALTER TABLE sync_run ADD COLUMN scan uuid;

-- A recall of the campaign ends its push until it is ordered again.
ALTER TABLE push ADD COLUMN ended boolean NOT NULL DEFAULT false;

-- Who was given a coupon by a push, so that ordered again it gives one to those who came since.
CREATE TABLE push_user (
    push uuid NOT NULL,
    user_id text NOT NULL,
    PRIMARY KEY (push, user_id)
);

-- Numbers a delivery's changes: each makes one event, whose id holds the number.
ALTER TABLE delivery ADD COLUMN changes integer NOT NULL DEFAULT 0;

CREATE INDEX sync_run_queued ON sync_run (merchant) WHERE status = 'queued';

-- migrate: rollback

DROP INDEX sync_run_queued;
ALTER TABLE delivery DROP COLUMN changes;
DROP TABLE push_user;
ALTER TABLE push DROP COLUMN ended;
ALTER TABLE sync_run DROP COLUMN scan;
