-- A sender's next batch is the beginning of an index, however many are open: those whose outcome is in doubt, its own
-- shard's, then any. run_no stands before batch_id so that no other index has this order: the primary key has it too,
-- but begins with everything that was ever sent.

DROP INDEX {schema}.batches_open;
CREATE INDEX batches_open ON {schema}.batches (loop_id, step_id, mode, provider, run_no, batch_id)
    WHERE status <> 'done';
CREATE INDEX batches_shard ON {schema}.batches (loop_id, step_id, mode, provider, shard, run_no, batch_id)
    WHERE status = 'open' AND NOT in_doubt;
CREATE INDEX batches_doubtful ON {schema}.batches (loop_id, step_id, mode, provider)
    WHERE status <> 'done' AND (status = 'sending' OR in_doubt);
