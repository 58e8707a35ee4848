-- What the brakes of a run looked at.

ALTER TABLE {schema}.runs
    ADD COLUMN people bigint,
    ADD COLUMN brakes jsonb;
COMMENT ON COLUMN {schema}.runs.people IS 'How many rows user.table had, where guard.max_share asks.';
COMMENT ON COLUMN {schema}.runs.brakes IS 'Where a brake held: how many people would have been mailed, and of each '
    'brake that held how many it lets pass.';
