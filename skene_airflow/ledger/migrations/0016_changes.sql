-- Rows that changed in the app's tables, told by Hasura or noted by our own triggers: events too, each once.

ALTER TABLE {schema}.events
    ADD COLUMN event_no bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN source text,
    ADD COLUMN changed text,
    ADD COLUMN old jsonb,
    ADD COLUMN new jsonb;
COMMENT ON COLUMN {schema}.events.changed IS 'The table, with its schema, that a row changed in; type says how.';
COMMENT ON COLUMN {schema}.events.source IS 'The Airflow connection of that table''s database, where it is known.';
COMMENT ON COLUMN {schema}.events.new IS 'The row after the change, erased once no loop can ask for it any more.';
CREATE UNIQUE INDEX events_number ON {schema}.events (event_no);
CREATE INDEX events_changed ON {schema}.events (changed, received_at) WHERE changed IS NOT NULL;

-- No bare high-water mark: a transaction with a lower number may commit after one with a higher number was taken.
CREATE TABLE {schema}.taken_events (
    loop_id text NOT NULL,
    step_id text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'redirect')),
    event_no bigint NOT NULL,
    run_no bigint NOT NULL,
    settled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (loop_id, step_id, mode, event_no)
) WITH (fillfactor = 80);
COMMENT ON TABLE {schema}.taken_events IS 'Which run of a step took a change last, and whether it is settled: its person '
    'got a verdict that is not temporary. Until then it is due again.';
CREATE INDEX taken_events_run ON {schema}.taken_events (run_no);
CREATE INDEX taken_events_number ON {schema}.taken_events (event_no);

ALTER TABLE {schema}.runs ADD COLUMN person_columns text[];
COMMENT ON COLUMN {schema}.runs.person_columns IS 'Which columns of the changed table hold a person''s key; NULL: any may.';
