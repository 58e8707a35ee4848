-- Suppressions that end by themselves, and how old an event is.

ALTER TABLE {schema}.suppressions ADD COLUMN expires_at timestamptz;
COMMENT ON COLUMN {schema}.suppressions.expires_at IS 'When it ends by itself (soft bounces); NULL: never.';

-- Events come in the order of their time, so the smallest kind of index finds the old ones.
CREATE INDEX events_age ON {schema}.events USING brin (received_at);
