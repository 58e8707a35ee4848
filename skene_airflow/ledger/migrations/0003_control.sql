-- Stopping a loop, sharing a rate limit, marking users once a batch is settled, and who did what by hand.

CREATE TABLE {schema}.stops (
    loop_id text PRIMARY KEY,
    actor text NOT NULL,
    stopped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {schema}.stops IS 'Loops that send nothing until somebody starts them again; * stands for all.';

CREATE TABLE {schema}.rate_limits (
    connection text PRIMARY KEY,
    free_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE {schema}.rate_limits IS 'When the next call over a connection may begin: all workers obey one row.';

CREATE TABLE {schema}.audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE {schema}.audit IS 'Everything a person did to the ledger by hand. Append-only; no addresses.';

ALTER TABLE {schema}.batches
    ADD COLUMN marks boolean NOT NULL DEFAULT false,
    ADD COLUMN marked_at timestamptz;
COMMENT ON COLUMN {schema}.batches.marks IS 'Whether on_sent is owed once the batch is settled; marked_at: when it ran.';
CREATE INDEX batches_unmarked ON {schema}.batches (loop_id, step_id)
    WHERE marks AND marked_at IS NULL AND status = 'done';

-- A person may have a definite no, or something given up, sent after all.
DROP TRIGGER deliveries_transition ON {schema}.deliveries;
CREATE TRIGGER deliveries_transition BEFORE UPDATE OF status ON {schema}.deliveries FOR EACH ROW
WHEN (OLD.status <> NEW.status AND NOT (OLD.status, NEW.status) IN (
    ('queued', 'sent'), ('queued', 'failed'), ('queued', 'uncertain'), ('queued', 'expired'), ('queued', 'cancelled'),
    ('uncertain', 'sent'), ('uncertain', 'queued'), ('uncertain', 'abandoned'),
    ('failed', 'queued'), ('abandoned', 'queued'),
    ('expired', 'queued'), ('expired', 'held_out'), ('expired', 'existing'),
    ('cancelled', 'queued'), ('cancelled', 'held_out'), ('cancelled', 'existing')))
EXECUTE FUNCTION {schema}.refuse_transition();
