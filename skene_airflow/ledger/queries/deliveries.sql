-- What a person does to single deliveries, after having looked at them. Locks go batches first, then deliveries,
-- as the senders' do.

-- name: list
-- The newest first; every filter may be NULL.
SELECT v.* FROM {schema}.deliveries_v v
WHERE (%(loop_id)s::text IS NULL OR v.loop_id = %(loop_id)s) AND (%(step_id)s::text IS NULL OR v.step_id = %(step_id)s)
  AND (%(run_id)s::text IS NULL OR v.run_id = %(run_id)s) AND (%(user_key)s::text IS NULL OR v.user_key = %(user_key)s)
  AND (%(statuses)s::text[] IS NULL OR v.status = ANY (%(statuses)s::text[]))
  AND (%(ids)s::bigint[] IS NULL OR v.delivery_id = ANY (%(ids)s::bigint[]))
ORDER BY v.queued_at DESC, v.delivery_id DESC
LIMIT %(limit)s;

-- name: lock_batches
SELECT FROM {schema}.batches
WHERE batch_id IN (SELECT d.batch_id FROM {schema}.deliveries d WHERE d.delivery_id = ANY (%(ids)s::bigint[]))
ORDER BY batch_id FOR UPDATE;

-- name: close_doubt
-- A call in doubt that its provider cannot be asked about (any more) is uncertain for good, as upkeep would find.
WITH mine AS (
    UPDATE {schema}.batches b
    SET status = 'done', settled_at = clock_timestamp(), body = NULL, lease_token = NULL, lease_until = NULL,
        in_doubt = true, error_class = 'outcome_unknown'
    FROM unnest(%(providers)s::text[], %(windows)s::interval[]) AS p (provider, span)
    WHERE b.batch_id IN (SELECT d.batch_id FROM {schema}.deliveries d WHERE d.delivery_id = ANY (%(ids)s::bigint[]))
      AND p.provider = b.provider
      AND (b.status = 'sending' AND b.lease_until < clock_timestamp() OR b.status = 'open' AND b.in_doubt)
      AND (p.span IS NULL OR b.first_post_at < clock_timestamp() - p.span)
    RETURNING b.batch_id, b.run_no
)
UPDATE {schema}.deliveries d
SET status = 'uncertain', settled_at = clock_timestamp(), error_class = 'outcome_unknown'
FROM mine WHERE d.run_no = mine.run_no AND d.batch_id = mine.batch_id AND d.status = 'queued';

-- name: lock
-- Stored and shown status differ where a call is under way or in doubt.
WITH locked AS MATERIALIZED (
    SELECT delivery_id, status, address IS NULL AS erased FROM {schema}.deliveries
    WHERE delivery_id = ANY (%(ids)s::bigint[]) ORDER BY delivery_id FOR UPDATE
)
SELECT l.delivery_id, l.status AS stored, l.erased, v.status, v.loop_id, v.provider,
       EXISTS (SELECT FROM {schema}.stops t WHERE t.loop_id IN ('*', v.loop_id)) AS stopped
FROM locked l JOIN {schema}.deliveries_v v USING (delivery_id)
ORDER BY l.delivery_id;

-- name: retry
-- New batches with new keys and a new time to expire; a run's people stay together, in their order.
WITH chosen AS (
    SELECT d.delivery_id, d.run_no, d.loop_id, d.step_id, d.mode, p.provider, b.marks,
           (row_number() OVER (PARTITION BY d.run_no, p.provider ORDER BY d.pos, d.delivery_id) - 1) / p.size AS ordinal
    FROM {schema}.deliveries d JOIN {schema}.batches b USING (batch_id)
    JOIN unnest(%(providers)s::text[], %(sizes)s::bigint[]) AS p (provider, size)
      ON p.provider = coalesce(%(provider)s::text, b.provider)
    WHERE d.delivery_id = ANY (%(ids)s::bigint[]) AND d.status IN ('failed', 'uncertain', 'abandoned')
), cut AS (
    INSERT INTO {schema}.batches (run_no, loop_id, step_id, mode, provider, ordinal, shard, members, expires_at,
                                  marks, idem_key)
    SELECT c.run_no, c.loop_id, c.step_id, c.mode, c.provider, c.ordinal, c.ordinal %% 4, count(*),
           clock_timestamp() + coalesce(min(e.span), interval '24 hours'), bool_or(c.marks),
           'sk/' || c.loop_id || '/' || c.step_id || '/' || gen_random_uuid()
    FROM chosen c LEFT JOIN unnest(%(loops)s::text[], %(spans)s::interval[]) AS e (loop_id, span) USING (loop_id)
    GROUP BY c.run_no, c.loop_id, c.step_id, c.mode, c.provider, c.ordinal
    RETURNING batch_id, run_no, provider, ordinal
)
UPDATE {schema}.deliveries d
SET status = 'queued', batch_id = cut.batch_id, reason = NULL, settled_at = NULL, error_class = NULL,
    error_detail = NULL, provider_message_id = NULL
FROM chosen c JOIN cut USING (run_no, provider, ordinal)
WHERE d.delivery_id = c.delivery_id AND d.status IN ('failed', 'uncertain', 'abandoned');

-- name: abandon
UPDATE {schema}.deliveries SET status = 'abandoned', settled_at = clock_timestamp()
WHERE delivery_id = ANY (%(ids)s::bigint[]) AND status = 'uncertain';

-- name: settle
-- Somebody knows that they went out. on_sent is owed for them too: their batches are marked (again).
WITH settled AS (
    UPDATE {schema}.deliveries
    SET status = 'sent', sent_at = clock_timestamp(), settled_at = clock_timestamp(), reason = 'settled',
        provider_message_id = coalesce(%(message_id)s::text, provider_message_id)
    WHERE delivery_id = ANY (%(ids)s::bigint[]) AND status IN ('queued', 'uncertain')
    RETURNING batch_id
), unmarked AS (
    UPDATE {schema}.batches b SET marked_at = NULL
    WHERE b.batch_id IN (SELECT batch_id FROM settled) AND b.marks AND b.marked_at IS NOT NULL
)
SELECT count(*) AS rows FROM settled;

-- name: known_loops
-- Every loop that the ledger has ever heard of, by its newest name.
SELECT DISTINCT loop_id FROM {schema}.runs;

-- name: import_table
CREATE TEMP TABLE imported (user_key text, entry_key text, address_hmac bytea) ON COMMIT DROP;

-- name: import_copy
COPY imported FROM STDIN;

-- name: import_run
-- An import is a run that judged nobody: it adds up, and it is nobody's first live run.
INSERT INTO {schema}.runs (loop_id, step_id, run_id, run_type, mode, as_of, expires_at, loop_version, candidates,
                           duplicate_rows, verdicts, finished_at)
SELECT %(loop_id)s, %(step_id)s, 'import ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       'import', 'live', now(), now(), %(version)s, 0, 0, '{"send": 0, "hold_out": 0, "skip": {}}', clock_timestamp()
RETURNING run_no, run_id;

-- name: import_missing
-- How many of them the ledger does not hold an entry for yet.
SELECT count(*) AS people, count(*) FILTER (WHERE NOT held) AS missing,
       count(*) FILTER (WHERE held AND queued) AS queued
FROM (SELECT i.user_key, i.entry_key,
             bool_or(d.status IS NOT NULL AND d.status NOT IN ('expired', 'cancelled')) AS held,
             bool_or(d.status = 'queued') AS queued
      FROM imported i LEFT JOIN {schema}.deliveries d
        ON d.loop_id = %(loop_id)s AND d.step_id = %(step_id)s
       AND d.user_key = i.user_key AND d.entry_key = i.entry_key
      GROUP BY i.user_key, i.entry_key) x;

-- name: import_rows
-- They hold their entry as `existing`: whoever the provider never answered for is not `sent`. Entries that were given
-- back are taken over, and the run that had them keeps their outcome, as a claim would have it.
WITH people AS (
    -- PostgreSQL before 18 has no max(bytea).
    SELECT user_key, entry_key, coalesce((array_agg(address_hmac ORDER BY address_hmac))[1], ''::bytea) AS address_hmac,
           row_number() OVER () AS pos
    FROM imported GROUP BY user_key, entry_key
), taken AS (
    UPDATE {schema}.decisions c SET outcome = d.status
    FROM people p JOIN {schema}.deliveries d
      ON d.loop_id = %(loop_id)s AND d.step_id = %(step_id)s AND d.user_key = p.user_key AND d.entry_key = p.entry_key
    WHERE d.status IN ('expired', 'cancelled') AND c.run_no = d.run_no AND c.user_key = d.user_key
      AND c.entry_key = d.entry_key AND c.verdict <> 'skip'
)
INSERT INTO {schema}.deliveries AS d (loop_id, step_id, user_key, entry_key, run_no, mode, segment, status, reason, pos,
                                      address_hmac, settled_at)
SELECT %(loop_id)s, %(step_id)s, user_key, entry_key, %(run_no)s, 'live', 'all', 'existing', 'imported', pos,
       address_hmac, clock_timestamp()
FROM people
ON CONFLICT (loop_id, step_id, user_key, entry_key) DO UPDATE
SET run_no = excluded.run_no, mode = excluded.mode, segment = excluded.segment, variant = NULL, status = 'existing',
    reason = excluded.reason, template_no = NULL, batch_id = NULL, pos = excluded.pos, address = NULL,
    address_hmac = excluded.address_hmac, timezone = NULL, locale = NULL, vars = NULL, error_class = NULL,
    error_detail = NULL, queued_at = clock_timestamp(), settled_at = excluded.settled_at
WHERE d.status IN ('expired', 'cancelled');
