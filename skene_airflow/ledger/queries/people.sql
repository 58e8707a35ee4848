-- One person: all that the ledger holds, and forgetting it. Locks go runs first, then batches, then deliveries, as
-- those of claims and senders do.

-- name: hidden
-- The HMACs of every address that the ledger knows this person by.
SELECT address_hmac FROM {schema}.deliveries WHERE user_key = %(user_key)s AND address_hmac <> ''
UNION
SELECT address_hmac FROM {schema}.suppressions WHERE user_key = %(user_key)s AND address_hmac IS NOT NULL;

-- name: addresses
-- The addresses themselves, as far as they are still kept.
SELECT DISTINCT address FROM {schema}.deliveries WHERE user_key = %(user_key)s AND address IS NOT NULL;

-- name: staged_runs
-- Runs that wait to be judged hold people's rows. The lock waits for whoever judges one just now.
SELECT r.run_no FROM {schema}.runs r JOIN pg_catalog.pg_class c ON c.relname = 'stage_' || r.run_no
WHERE r.staged_at IS NOT NULL AND r.decided_at IS NULL AND c.relnamespace = %(schema)s::regnamespace
ORDER BY r.run_no FOR UPDATE OF r;

-- name: staged_addresses
SELECT DISTINCT address FROM /* stage */ WHERE user_key = %(user_key)s AND address IS NOT NULL;

-- name: unstage
-- The person is no candidate any more: the run adds up without these rows.
WITH gone AS (
    DELETE FROM /* stage */
    WHERE user_key = %(user_key)s OR lower(btrim(address, E' \t\r\n') COLLATE "C") = ANY (%(addresses)s::text[])
    RETURNING 1
), counted AS (
    UPDATE {schema}.runs SET candidates = candidates - (SELECT count(*) FROM gone) WHERE run_no = %(run_no)s
)
SELECT count(*) AS rows FROM gone;

-- name: lock_batches
SELECT FROM {schema}.batches
WHERE batch_id IN (SELECT batch_id FROM {schema}.deliveries
                   WHERE (user_key = %(user_key)s OR address_hmac = ANY (%(hidden)s::bytea[])) AND status = 'queued')
ORDER BY batch_id FOR UPDATE;

-- name: cancel
-- Mail that was never called for, or only with a definite no, does not leave.
UPDATE {schema}.deliveries d SET status = 'cancelled', reason = 'suppressed', settled_at = clock_timestamp()
FROM {schema}.batches b
WHERE b.batch_id = d.batch_id AND d.status = 'queued' AND b.status = 'open' AND NOT b.in_doubt
  AND (d.user_key = %(user_key)s OR d.address_hmac = ANY (%(hidden)s::bytea[]))
RETURNING d.batch_id;

-- name: thaw
-- Their frozen requests hold the person: they are made anew, without the person and under a new key.
UPDATE {schema}.batches
SET body = NULL, body_sha256 = NULL, member_ids = NULL, frozen_at = NULL, first_post_at = NULL,
    idem_key = 'sk/' || loop_id || '/' || step_id || '/' || gen_random_uuid()
WHERE batch_id = ANY (%(batches)s::bigint[]) AND body IS NOT NULL;

-- name: keep_frozen
-- A call under way or in doubt can only be repeated with the same bytes, for the sake of everybody in it. Should it
-- end in a definite no, its time says that it must be made anew before it is called again.
WITH kept AS (
    SELECT delivery_id, batch_id FROM {schema}.deliveries
    WHERE (user_key = %(user_key)s OR address_hmac = ANY (%(hidden)s::bytea[])) AND status = 'queued'
), marked AS (
    UPDATE {schema}.batches SET frozen_at = 'epoch' WHERE batch_id IN (SELECT batch_id FROM kept)
)
SELECT count(*) AS mails FROM kept;

-- name: erase_mailbox
-- Whoever had one of these addresses: the address and the values of the mails go.
UPDATE {schema}.deliveries
SET address = NULL, vars = NULL, timezone = NULL, locale = NULL, error_detail = NULL
WHERE address_hmac = ANY (%(hidden)s::bytea[]) AND user_key <> %(user_key)s
  AND (address IS NOT NULL OR vars IS NOT NULL OR timezone IS NOT NULL OR locale IS NOT NULL
       OR error_detail IS NOT NULL);

-- name: erase
-- What is left of a mail is who by key, which step, and how it ended. An entry key may be made of the person's values:
-- a hash with the installation's key takes its place, the same one in every table. The hash of the address stays only
-- where the provider may still have to tell how the mail ended.
UPDATE {schema}.deliveries
SET address_hmac = CASE WHEN status IN ('queued', 'uncertain') THEN address_hmac ELSE '' END, address = NULL, vars = NULL, timezone = NULL, locale = NULL, error_detail = NULL, provider_message_id = NULL,
    entry_key = CASE WHEN entry_key = '' OR entry_key LIKE 'erased:%%' THEN entry_key
                     ELSE 'erased:' || encode(sha256(%(key)s::bytea || convert_to(entry_key, 'UTF8')), 'hex') END
WHERE user_key = %(user_key)s;

-- name: erase_decisions
UPDATE {schema}.decisions
SET entry_key = 'erased:' || encode(sha256(%(key)s::bytea || convert_to(entry_key, 'UTF8')), 'hex')
WHERE user_key = %(user_key)s AND entry_key <> '' AND entry_key NOT LIKE 'erased:%%';

-- name: erase_goals
UPDATE {schema}.goals
SET entry_key = 'erased:' || encode(sha256(%(key)s::bytea || convert_to(entry_key, 'UTF8')), 'hex')
WHERE user_key = %(user_key)s AND entry_key <> '' AND entry_key NOT LIKE 'erased:%%';

-- name: erase_events
UPDATE {schema}.events SET provider_message_id = NULL
WHERE delivery_id IN (SELECT delivery_id FROM {schema}.deliveries WHERE user_key = %(user_key)s)
  AND provider_message_id IS NOT NULL;

-- name: erase_inbox
DELETE FROM {schema}.inbox WHERE user_key = %(user_key)s;

-- name: hide_key
-- Of a person key that is an address: the rows stay one person's, under a hash. Tombstones by address say all that
-- suppressions by such a key could say.
WITH named AS (
    SELECT 'erased:' || encode(sha256(%(key)s::bytea || convert_to(%(user_key)s::text, 'UTF8')), 'hex') AS hidden_key
), in_deliveries AS (
    UPDATE {schema}.deliveries SET user_key = hidden_key FROM named WHERE user_key = %(user_key)s
), in_decisions AS (
    UPDATE {schema}.decisions SET user_key = hidden_key FROM named WHERE user_key = %(user_key)s
), in_goals AS (
    UPDATE {schema}.goals SET user_key = hidden_key FROM named WHERE user_key = %(user_key)s
), in_audit AS (
    UPDATE {schema}.audit SET details = jsonb_set(details, '{user}', to_jsonb(hidden_key)) FROM named
    WHERE details ->> 'user' = %(user_key)s
), gone AS (
    DELETE FROM {schema}.suppressions WHERE user_key = %(user_key)s
)
SELECT hidden_key FROM named;

-- name: erase_changes
-- Rows of the app's tables that changed, and hold the person's key or address in any column. With a short key that may
-- be somebody else's row: rather one too many.
UPDATE {schema}.events e SET old = NULL, new = NULL
WHERE e.changed IS NOT NULL AND (e.old IS NOT NULL OR e.new IS NOT NULL)
  AND EXISTS (SELECT FROM (VALUES (e.old), (e.new)) AS r (row), jsonb_each_text(r.row) AS v
              WHERE v.value = %(user_key)s
                 OR lower(btrim(v.value, E' \t\r\n') COLLATE "C") = ANY (%(addresses)s::text[]));

-- name: held
-- Each list as JSON that PostgreSQL wrote, so that a number is the number that was kept.
SELECT json_build_object(
    'user_key', %(user_key)s::text,
    'deliveries', coalesce((
        SELECT json_agg(x ORDER BY x.queued_at, x.delivery_id)
        FROM (SELECT d.loop_id, d.step_id, d.entry_key, v.run_id, d.mode, d.segment, d.variant, v.status, d.reason,
                     d.address, encode(d.address_hmac, 'hex') AS address_hmac, d.timezone, d.locale, d.vars,
                     v.provider, d.provider_message_id, v.attempts, d.error_class, d.error_detail, d.queued_at,
                     d.sent_at, d.settled_at, d.delivered_at, d.opened_at, d.clicked_at, d.bounced_at,
                     d.complained_at, d.unsubscribed_at, d.delivery_id,
                     b.body IS NOT NULL AND d.status = 'queued' AS frozen
              FROM {schema}.deliveries d JOIN {schema}.deliveries_v v USING (delivery_id)
              LEFT JOIN {schema}.batches b ON b.batch_id = d.batch_id
              WHERE d.user_key = %(user_key)s) x), '[]'),
    'decisions', coalesce((
        SELECT json_agg(x ORDER BY x.as_of, x.run_id)
        FROM (SELECT loop_id, step_id, run_id, as_of, mode, entry_key, verdict, reason, segment, variant, outcome
              FROM {schema}.decisions_v WHERE user_key = %(user_key)s) x), '[]'),
    'inbox', coalesce((
        SELECT json_agg(x ORDER BY x.id)
        FROM (SELECT id, loop_id, step_id, title, body, link, created_at, read_at, delivery_id
              FROM {schema}.inbox WHERE user_key = %(user_key)s) x), '[]'),
    'events', coalesce((
        SELECT json_agg(x ORDER BY x.at, x.event_id)
        FROM (SELECT e.provider, e.event_id, e.type, e.at, e.received_at, e.delivery_id, e.provider_message_id
              FROM {schema}.events e JOIN {schema}.deliveries d USING (delivery_id)
              WHERE d.user_key = %(user_key)s) x), '[]'),
    'goals', coalesce((
        SELECT json_agg(x ORDER BY x.at, x.loop_id, x.step_id)
        FROM (SELECT loop_id, step_id, entry_key, since, at, recorded_at
              FROM {schema}.goals WHERE user_key = %(user_key)s) x), '[]'),
    'changes', coalesce((
        SELECT json_agg(x ORDER BY x.received_at, x.event_id)
        FROM (SELECT e.provider, e.event_id, e.type, e.at, e.received_at, e.changed, e.old, e.new
              FROM {schema}.events e
              WHERE e.changed IS NOT NULL
                AND EXISTS (SELECT FROM (VALUES (e.old), (e.new)) AS r (row), jsonb_each_text(r.row) AS v
                            WHERE v.value = %(user_key)s)) x), '[]'),
    'suppressions', coalesce((
        SELECT json_agg(x ORDER BY x.created_at)
        FROM (SELECT user_key, encode(address_hmac, 'hex') AS address_hmac, scope, reason, source, created_at,
                     expires_at
              FROM {schema}.suppressions
              WHERE user_key = %(user_key)s OR address_hmac = ANY (%(hidden)s::bytea[])) x), '[]'),
    'audit', coalesce((
        SELECT json_agg(x ORDER BY x.at)
        FROM (SELECT at, actor, action, details FROM {schema}.audit WHERE details ->> 'user' = %(user_key)s) x), '[]')
)::text AS held;

-- name: staged
SELECT row_to_json(x)::text AS row
FROM (SELECT r.loop_id, r.step_id, r.run_id, s.entry_key, s.address, s.timezone, s.locale, s.segment, s.consent,
             s.exited, s.goal_at, s.vars
      FROM /* stage */ s JOIN {schema}.runs r ON r.run_no = %(run_no)s
      WHERE s.user_key = %(user_key)s ORDER BY s.n) x;
