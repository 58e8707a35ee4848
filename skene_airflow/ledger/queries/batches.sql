-- How mail leaves: every UPDATE names the state it expects and the lease it holds; all times are the database's.

-- name: pick
-- The next batch that may be sent: one whose outcome is in doubt first, then this shard's own, then any other. Each
-- kind is the beginning of an index: nothing is sorted but the few in doubt, and LIMIT ends the search at the first
-- kind that has one. Earlier names of the step come first, as what is open under them is older.
-- While the loop is stopped a batch in doubt waits; any other is picked to be cancelled.
WITH names AS (
    SELECT l.loop_id, s.step_id
    FROM unnest(%(loop_ids)s::text[]) WITH ORDINALITY AS l (loop_id, age),
         unnest(%(step_ids)s::text[]) WITH ORDINALITY AS s (step_id, age)
    ORDER BY l.age DESC, s.age DESC
)
SELECT p.batch_id, p.run_no, p.body, p.member_ids, p.attempts, p.in_doubt OR p.status = 'sending' AS in_doubt,
       p.expires_at < clock_timestamp() AS late,
       p.first_post_at < clock_timestamp() - %(window)s::interval OR p.account <> %(account)s::bytea AS outside_window,
       p.frozen_at < clock_timestamp() - interval '15 minutes' AS stale,
       EXISTS (SELECT FROM {schema}.stops t WHERE t.loop_id = '*' OR t.loop_id = ANY (%(loop_ids)s::text[])) AS stopped,
       r.columns, r.as_of
FROM (
    SELECT * FROM (
        SELECT b.* FROM {schema}.batches b
        WHERE b.loop_id = ANY (%(loop_ids)s::text[]) AND b.step_id = ANY (%(step_ids)s::text[]) AND b.mode = %(mode)s
          AND b.provider = %(provider)s AND b.status <> 'done' AND (b.status = 'sending' OR b.in_doubt)
          AND (b.status = 'open' OR b.lease_until < clock_timestamp())
          AND (b.next_at IS NULL OR b.next_at <= clock_timestamp()) AND b.batch_id <> ALL (%(given_up)s)
          AND NOT EXISTS (SELECT FROM {schema}.stops t WHERE t.loop_id = '*' OR t.loop_id = ANY (%(loop_ids)s::text[]))
        ORDER BY b.status = 'sending' DESC, b.in_doubt DESC, b.shard = %(shard)s DESC, b.run_no, b.batch_id
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) doubtful
    UNION ALL
    SELECT own.* FROM names n, LATERAL (
        SELECT b.* FROM {schema}.batches b
        WHERE b.loop_id = n.loop_id AND b.step_id = n.step_id AND b.mode = %(mode)s AND b.provider = %(provider)s
          AND b.status = 'open' AND NOT b.in_doubt AND b.shard = %(shard)s
          AND (b.next_at IS NULL OR b.next_at <= clock_timestamp()) AND b.batch_id <> ALL (%(given_up)s)
        ORDER BY b.run_no, b.batch_id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) own
    UNION ALL
    SELECT other.* FROM names n, LATERAL (
        SELECT b.* FROM {schema}.batches b
        WHERE b.loop_id = n.loop_id AND b.step_id = n.step_id AND b.mode = %(mode)s AND b.provider = %(provider)s
          AND b.status = 'open' AND NOT b.in_doubt
          AND (b.next_at IS NULL OR b.next_at <= clock_timestamp()) AND b.batch_id <> ALL (%(given_up)s)
        ORDER BY b.run_no, b.batch_id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) other
    LIMIT 1
) p JOIN {schema}.runs r USING (run_no);

-- name: pending
-- How long until something may be picked again: NULL when nothing is left for this shard to do or to wait for.
-- What may be picked at once is looked for first: there may be very many of them.
SELECT CASE WHEN EXISTS (SELECT FROM {schema}.batches b
                         WHERE b.loop_id = ANY (%(loop_ids)s::text[]) AND b.step_id = ANY (%(step_ids)s::text[])
                           AND b.mode = %(mode)s AND b.provider = %(provider)s AND b.status = 'open' AND NOT b.in_doubt
                           AND (b.next_at IS NULL OR b.next_at <= clock_timestamp())
                           AND b.batch_id <> ALL (%(given_up)s))
            THEN 0.0
            ELSE (SELECT extract(epoch FROM min(coalesce(greatest(b.next_at, b.lease_until), clock_timestamp()))
                                            - clock_timestamp())
                  FROM {schema}.batches b
                  WHERE b.loop_id = ANY (%(loop_ids)s::text[]) AND b.step_id = ANY (%(step_ids)s::text[])
                    AND b.mode = %(mode)s AND b.provider = %(provider)s
                    AND b.status <> 'done' AND b.batch_id <> ALL (%(given_up)s)
                    AND (b.shard = %(shard)s OR b.lease_until IS NULL)
                    AND (b.status = 'open' AND NOT b.in_doubt
                         OR NOT EXISTS (SELECT FROM {schema}.stops t
                                        WHERE t.loop_id = '*' OR t.loop_id = ANY (%(loop_ids)s::text[]))))
       END::float AS seconds;

-- name: open_batches
SELECT count(*) AS batches FROM {schema}.batches
WHERE loop_id = ANY (%(loop_ids)s::text[]) AND step_id = ANY (%(step_ids)s::text[]) AND mode = %(mode)s
  AND status <> 'done';

-- name: members
-- Who is in the batch, and (recheck) why somebody must leave it before it is frozen.
SELECT f.delivery_id, f.user_key, f.entry_key, f.address, f.timezone, f.locale, f.segment, f.variant, f.vars,
       f.template_no, /* recheck */ AS reason
FROM {schema}.deliveries f
WHERE f.run_no = %(run_no)s AND f.batch_id = %(batch_id)s AND f.status = 'queued'
ORDER BY f.pos;

-- name: window
-- The keys of this batch's people and of those in the batches behind it: who has left is asked for all of them at once.
-- Batch by batch, so that no more people are read than are asked for.
SELECT d.user_key FROM (
    SELECT run_no, batch_id FROM {schema}.batches
    WHERE loop_id = ANY (%(loop_ids)s::text[]) AND step_id = ANY (%(step_ids)s::text[]) AND mode = %(mode)s
      AND provider = %(provider)s AND status = 'open' AND NOT in_doubt
      AND (shard = %(shard)s AND (run_no, batch_id) >= (%(run_no)s, %(batch_id)s) OR batch_id = %(batch_id)s)
    ORDER BY run_no, batch_id LIMIT %(most)s
) b, LATERAL (
    SELECT f.user_key FROM {schema}.deliveries f
    WHERE f.run_no = b.run_no AND f.batch_id = b.batch_id AND f.status = 'queued' ORDER BY f.pos OFFSET 0
) d LIMIT %(most)s;

-- name: leave
-- People who may not be mailed after all give their entry back.
UPDATE {schema}.deliveries d SET status = %(status)s, reason = x.reason, settled_at = clock_timestamp()
FROM unnest(%(ids)s::bigint[], %(reasons)s::text[]) AS x (delivery_id, reason)
WHERE d.delivery_id = x.delivery_id AND d.status = 'queued';

-- name: lease
-- The frozen body and the lease are committed before the network call, and to the disk even where the database
-- commits in the background. A thawed batch gets a new key.
UPDATE {schema}.batches
SET status = 'sending', lease_token = gen_random_uuid(), lease_until = clock_timestamp() + interval '2 minutes',
    attempts = attempts + 1, in_doubt = %(in_doubt)s, next_at = NULL, account = %(account)b::bytea,
    body = coalesce(%(body)b::bytea, body), body_sha256 = coalesce(%(sha256)b::bytea, body_sha256),
    member_ids = coalesce(%(member_ids)s::bigint[], member_ids),
    frozen_at = CASE WHEN %(sha256)b::bytea IS NULL THEN frozen_at ELSE clock_timestamp() END,
    idem_key = CASE WHEN %(thaw)s THEN 'sk/' || loop_id || '/' || step_id || '/' || gen_random_uuid() ELSE idem_key END,
    first_post_at = CASE WHEN %(thaw)s THEN clock_timestamp() ELSE coalesce(first_post_at, clock_timestamp()) END
WHERE batch_id = %(batch_id)s
RETURNING lease_token, idem_key,
          CASE WHEN current_setting('synchronous_commit') = 'off'
               THEN set_config('synchronous_commit', 'on', true) END AS durable;

-- name: renew
-- Just before a call that had to wait for its turn: nobody else took the batch meanwhile, and nobody will.
UPDATE {schema}.batches SET lease_until = clock_timestamp() + interval '2 minutes'
WHERE batch_id = %(batch_id)s AND status = 'sending' AND lease_token = %(lease_token)s;

-- name: close
-- A batch that nobody is left in.
UPDATE {schema}.batches
SET status = 'done', settled_at = clock_timestamp(), body = NULL, lease_token = NULL, lease_until = NULL,
    error_class = %(error_class)s
WHERE batch_id = %(batch_id)s AND status <> 'done';

-- name: settle_sent
-- The provider took them: ids by position. A lost lease changes nothing; whoever holds it now settles.
WITH mine AS (
    UPDATE {schema}.batches
    SET status = 'done', settled_at = clock_timestamp(), body = NULL, lease_token = NULL, lease_until = NULL,
        in_doubt = false, error_class = NULL
    WHERE batch_id = %(batch_id)s AND status = 'sending' AND lease_token = %(lease_token)s
    RETURNING batch_id, run_no
)
UPDATE {schema}.deliveries d
SET status = 'sent', sent_at = clock_timestamp(), settled_at = clock_timestamp(), provider_message_id = x.message_id
FROM mine, unnest(%(ids)s::bigint[], %(message_ids)s::text[]) AS x (delivery_id, message_id)
WHERE d.delivery_id = x.delivery_id AND d.run_no = mine.run_no AND d.batch_id = mine.batch_id AND d.status = 'queued';

-- name: settle_all
-- Every row of the batch ends the same way: failed (a definite no) or uncertain (nobody can know).
WITH mine AS (
    UPDATE {schema}.batches
    SET status = 'done', settled_at = clock_timestamp(), body = NULL, lease_token = NULL, lease_until = NULL,
        error_class = %(error_class)s
    WHERE batch_id = %(batch_id)s AND status = 'sending' AND lease_token = %(lease_token)s
    RETURNING batch_id, run_no
)
UPDATE {schema}.deliveries d
SET status = %(status)s, settled_at = clock_timestamp(), error_class = %(error_class)s, error_detail = %(detail)s
FROM mine WHERE d.run_no = mine.run_no AND d.batch_id = mine.batch_id AND d.status = 'queued';

-- name: release
-- A definite no, or a doubt that the provider can be asked about again: the same frozen batch, later.
UPDATE {schema}.batches
SET status = 'open', lease_token = NULL, lease_until = NULL, in_doubt = %(in_doubt)s, error_class = %(error_class)s,
    next_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE batch_id = %(batch_id)s AND status = 'sending' AND lease_token = %(lease_token)s;

-- name: recut
-- The provider refused the lot because of somebody in it (or it is too long to send at all: not leased yet): two
-- halves with keys of their own, until the row is alone.
WITH mine AS (
    UPDATE {schema}.batches
    SET status = 'done', settled_at = clock_timestamp(), body = NULL, lease_token = NULL, lease_until = NULL,
        error_class = %(error_class)s
    WHERE batch_id = %(batch_id)s AND status <> 'done' AND lease_token IS NOT DISTINCT FROM %(lease_token)s::uuid
    RETURNING *
), halves AS (
    INSERT INTO {schema}.batches (run_no, loop_id, step_id, mode, provider, ordinal, shard, members, expires_at,
                                  marks, attempts, idem_key)
    SELECT run_no, loop_id, step_id, mode, provider, h.half, shard, cardinality(h.ids), expires_at, marks, attempts,
           'sk/' || loop_id || '/' || step_id || '/' || gen_random_uuid()
    FROM mine, (VALUES (0, %(first)s::bigint[]), (1, %(second)s::bigint[])) AS h (half, ids)
    RETURNING batch_id, ordinal
)
UPDATE {schema}.deliveries d SET batch_id = h.batch_id
FROM halves h JOIN (SELECT 0 AS half, unnest(%(first)s::bigint[]) AS delivery_id
                    UNION ALL SELECT 1, unnest(%(second)s::bigint[])) x ON x.half = h.ordinal
WHERE d.delivery_id = x.delivery_id AND d.status = 'queued';

-- name: doubt
-- A lease ran out (or the provider's window closed) with a call in doubt that cannot be asked about again.
WITH mine AS (
    UPDATE {schema}.batches
    SET status = 'done', settled_at = clock_timestamp(), body = NULL, lease_token = NULL, lease_until = NULL,
        in_doubt = true, error_class = 'outcome_unknown'
    WHERE batch_id = %(batch_id)s AND status <> 'done'
    RETURNING batch_id, run_no
)
UPDATE {schema}.deliveries d
SET status = 'uncertain', settled_at = clock_timestamp(), error_class = 'outcome_unknown'
FROM mine WHERE d.run_no = mine.run_no AND d.batch_id = mine.batch_id AND d.status = 'queued';

-- name: left_in_doubt
-- Calls in doubt that were made with another provider than the connection is of now: nobody here can ask about them.
SELECT batch_id FROM {schema}.batches
WHERE loop_id = ANY (%(loop_ids)s::text[]) AND step_id = ANY (%(step_ids)s::text[]) AND mode = %(mode)s
  AND provider = ANY (%(others)s::text[]) AND status <> 'done' AND (status = 'sending' OR in_doubt)
  AND (status = 'open' OR lease_until < clock_timestamp())
  AND NOT EXISTS (SELECT FROM {schema}.stops t WHERE t.loop_id = '*' OR t.loop_id = ANY (%(loop_ids)s::text[]))
ORDER BY batch_id FOR UPDATE SKIP LOCKED;

-- name: take_over
-- What was cut for another provider and is not in doubt: as if it had never been frozen, under a new key.
UPDATE {schema}.batches
SET provider = %(provider)s, body = NULL, body_sha256 = NULL, member_ids = NULL, frozen_at = NULL,
    first_post_at = NULL, account = NULL, idem_key = 'sk/' || loop_id || '/' || step_id || '/' || gen_random_uuid()
WHERE batch_id IN (
    SELECT batch_id FROM {schema}.batches
    WHERE loop_id = ANY (%(loop_ids)s::text[]) AND step_id = ANY (%(step_ids)s::text[]) AND mode = %(mode)s
      AND provider = ANY (%(others)s::text[]) AND status = 'open' AND NOT in_doubt
    FOR UPDATE SKIP LOCKED
);

-- name: assume_sent
-- The connection's policy for doubt: believe that they went out. The reason says that nobody confirmed it.
UPDATE {schema}.deliveries SET status = 'sent', sent_at = clock_timestamp(), reason = 'assumed'
WHERE run_no = (SELECT run_no FROM {schema}.batches WHERE batch_id = %(batch_id)s) AND batch_id = %(batch_id)s
  AND status = 'uncertain';

-- name: resend
-- The connection's policy for doubt: rather twice than not at all. Uncertain rows get a new batch and key, later each
-- time; a server that never answers plainly is not sent the same mail for ever, and the rows stay uncertain.
WITH fresh AS (
    INSERT INTO {schema}.batches (run_no, loop_id, step_id, mode, provider, ordinal, shard, members, expires_at,
                                  marks, attempts, resends, next_at, idem_key)
    SELECT run_no, loop_id, step_id, mode, provider, ordinal, shard, members, expires_at, marks, attempts,
           resends + 1, clock_timestamp() + make_interval(secs => 2 ^ (resends + 1)),
           'sk/' || loop_id || '/' || step_id || '/' || gen_random_uuid()
    FROM {schema}.batches WHERE batch_id = %(batch_id)s AND resends < %(most)s
    RETURNING batch_id, run_no
)
UPDATE {schema}.deliveries d
SET status = 'queued', batch_id = fresh.batch_id, settled_at = NULL, error_class = NULL, error_detail = NULL
FROM fresh WHERE d.run_no = fresh.run_no AND d.batch_id = %(batch_id)s AND d.status = 'uncertain';
