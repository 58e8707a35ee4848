-- What people and the hourly upkeep do to the ledger, beside the runs.

-- name: note
INSERT INTO {schema}.audit (actor, action, details) VALUES (%(actor)s, %(action)s, %(details)s);

-- name: stop
INSERT INTO {schema}.stops (loop_id, actor) VALUES (%(loop_id)s, %(actor)s) ON CONFLICT (loop_id) DO NOTHING;

-- name: start
DELETE FROM {schema}.stops WHERE loop_id = %(loop_id)s;

-- name: stopped
SELECT loop_id, actor, stopped_at FROM {schema}.stops ORDER BY loop_id;

-- name: cancel_open
-- Whatever was never called for, or only with a definite no, is cancelled at once and its entries are given back.
WITH mine AS (
    UPDATE {schema}.batches
    SET status = 'done', settled_at = clock_timestamp(), body = NULL, error_class = 'stopped'
    WHERE status = 'open' AND NOT in_doubt AND (loop_id = %(loop_id)s OR %(loop_id)s = '*')
    RETURNING batch_id, run_no
)
UPDATE {schema}.deliveries d SET status = 'cancelled', reason = 'stopped', settled_at = clock_timestamp()
FROM mine WHERE d.run_no = mine.run_no AND d.batch_id = mine.batch_id AND d.status = 'queued';

-- name: in_doubt
SELECT coalesce(sum(cardinality(member_ids)), 0) AS people FROM {schema}.batches
WHERE (status = 'sending' OR status = 'open' AND in_doubt) AND (loop_id = %(loop_id)s OR %(loop_id)s = '*');

-- name: expire_open
-- Late mail that nobody will send any more, whether or not its loop still exists.
WITH mine AS (
    UPDATE {schema}.batches
    SET status = 'done', settled_at = clock_timestamp(), body = NULL, error_class = 'expired'
    WHERE status = 'open' AND NOT in_doubt AND expires_at < clock_timestamp()
    RETURNING batch_id, run_no
)
UPDATE {schema}.deliveries d SET status = 'expired', reason = 'expired', settled_at = clock_timestamp()
FROM mine WHERE d.run_no = mine.run_no AND d.batch_id = mine.batch_id AND d.status = 'queued';

-- name: doubt_closed
-- The provider's window has closed (or it has none) on a call whose outcome nobody learned.
WITH mine AS (
    UPDATE {schema}.batches
    SET status = 'done', settled_at = clock_timestamp(), body = NULL, lease_token = NULL, lease_until = NULL,
        in_doubt = true, error_class = 'outcome_unknown'
    WHERE provider = %(provider)s AND (status = 'sending' AND lease_until < clock_timestamp()
                                       OR status = 'open' AND in_doubt)
      AND (%(window)s::interval IS NULL OR first_post_at < clock_timestamp() - %(window)s::interval)
    RETURNING batch_id, run_no
)
UPDATE {schema}.deliveries d
SET status = 'uncertain', settled_at = clock_timestamp(), error_class = 'outcome_unknown'
FROM mine WHERE d.run_no = mine.run_no AND d.batch_id = mine.batch_id AND d.status = 'queued';

-- name: erase
-- What was kept so that a mail could be repeated and marked goes with time; keys, counts and reasons stay.
UPDATE {schema}.deliveries SET address = NULL, vars = NULL, timezone = NULL, locale = NULL
WHERE (address IS NOT NULL OR vars IS NOT NULL) AND status <> 'queued'
  AND coalesce(settled_at, queued_at) < clock_timestamp() - make_interval(days => %(days)s);

-- name: end_suppressions
-- Those that end by themselves, and have.
DELETE FROM {schema}.suppressions WHERE expires_at < clock_timestamp() - make_interval(days => %(days)s);

-- name: old_stages
-- Stage tables of runs that were never judged hold people's values; a run that old would be late anyway.
SELECT c.relname AS name FROM pg_catalog.pg_class c
JOIN {schema}.runs r ON c.relname = 'stage_' || r.run_no
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'r'
  AND r.staged_at < clock_timestamp() - make_interval(days => %(days)s);

-- name: take
-- A virtual clock for each connection: every reservation moves it on, whoever makes it. Seconds to wait, never < 0.
-- Nobody reserves a turn that is too far ahead to wait for: it would pass unused, and push everybody else back.
INSERT INTO {schema}.rate_limits AS r (connection, free_at)
VALUES (%(connection)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (connection) DO UPDATE
SET free_at = greatest(r.free_at, clock_timestamp()) + make_interval(secs => %(seconds)s)
WHERE r.free_at <= clock_timestamp() + make_interval(secs => %(longest)s)
RETURNING greatest(0, extract(epoch FROM free_at - clock_timestamp()) - %(seconds)s)::float AS wait;

-- name: ahead
-- How far ahead the next free turn of a connection is, in seconds.
SELECT greatest(0, extract(epoch FROM free_at - clock_timestamp()))::float AS wait FROM {schema}.rate_limits
WHERE connection = %(connection)s;

-- name: unmarked
-- Settled batches whose on_sent has not run yet, oldest first.
SELECT b.batch_id, b.run_no, r.columns, r.as_of FROM {schema}.batches b JOIN {schema}.runs r USING (run_no)
WHERE b.loop_id = ANY (%(loop_ids)s::text[]) AND b.step_id = ANY (%(step_ids)s::text[]) AND b.marks
  AND b.marked_at IS NULL AND b.status = 'done'
  AND b.batch_id > %(after)s
ORDER BY b.batch_id LIMIT 1;

-- name: sent_members
SELECT user_key, entry_key, vars FROM {schema}.deliveries
WHERE run_no = %(run_no)s AND batch_id = %(batch_id)s AND status = 'sent' AND mode = 'live' ORDER BY pos;

-- name: marked
UPDATE {schema}.batches SET marked_at = clock_timestamp() WHERE batch_id = %(batch_id)s AND marked_at IS NULL;
