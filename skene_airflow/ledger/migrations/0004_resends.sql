-- How often the connection's policy for doubt has sent a batch anew.

ALTER TABLE {schema}.batches ADD COLUMN resends smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN {schema}.batches.resends IS 'How often the policy `resend` sent these people anew after a doubt.';
