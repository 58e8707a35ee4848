-- One person: what the gates see of them in the ledger at a moment, and what was decided about them. Reads only, and
-- no address.

-- name: entries
-- Of this step, the newest first.
SELECT v.entry_key, v.status, v.reason, v.mode, v.queued_at, v.sent_at, v.run_id FROM {schema}.deliveries_v v
WHERE v.user_key = %(user_key)s AND v.loop_id = ANY (%(loop_ids)s::text[]) AND v.step_id = ANY (%(step_ids)s::text[])
  AND v.queued_at <= %(at)s::timestamptz
ORDER BY v.queued_at DESC, v.delivery_id DESC LIMIT 20;

-- name: counted
-- What a frequency cap counts, over all loops, for the person or the address.
SELECT d.loop_id, d.step_id, d.status, coalesce(d.sent_at, d.queued_at) AS at,
       d.user_key <> %(user_key)s AS by_address
FROM {schema}.deliveries d
WHERE (d.user_key = %(user_key)s OR d.address_hmac = ANY (%(hidden)s::bytea[])) AND d.mode = 'live'
  AND d.queued_at <= %(at)s::timestamptz
  AND (d.status IN ('queued', 'uncertain') OR d.sent_at > %(at)s::timestamptz - %(window)s::interval)
  AND d.run_no NOT IN (SELECT r.run_no FROM {schema}.runs r WHERE r.transactional)
ORDER BY at DESC LIMIT 20;

-- name: listed
-- What is on the list of those who must not be mailed, and what they said no to.
SELECT s.scope, s.reason, s.created_at AS since, s.expires_at AS until, s.user_key IS NULL AS by_address
FROM {schema}.suppressions s
WHERE (s.user_key = %(user_key)s OR s.address_hmac = ANY (%(hidden)s::bytea[]))
  AND s.created_at <= %(at)s::timestamptz AND (s.expires_at IS NULL OR s.expires_at > %(at)s::timestamptz)
ORDER BY s.created_at;

-- name: stopped
SELECT loop_id, actor, stopped_at AS since FROM {schema}.stops
WHERE (loop_id = '*' OR loop_id = ANY (%(loop_ids)s::text[])) AND stopped_at <= %(at)s::timestamptz ORDER BY loop_id;

-- name: sharing
-- Others who have an entry in this step under the same address.
SELECT d.user_key, d.entry_key, d.status, d.queued_at AS since FROM {schema}.deliveries d
WHERE d.address_hmac = ANY (%(hidden)s::bytea[]) AND d.user_key <> %(user_key)s
  AND d.loop_id = ANY (%(loop_ids)s::text[]) AND d.step_id = ANY (%(step_ids)s::text[])
  AND d.status NOT IN ('expired', 'cancelled') AND d.queued_at <= %(at)s::timestamptz
ORDER BY d.queued_at DESC LIMIT 20;

-- name: run_at
-- The last run of the step that was decided at a moment.
SELECT * FROM {schema}.runs
WHERE loop_id = ANY (%(loop_ids)s::text[]) AND step_id = ANY (%(step_ids)s::text[])
  AND decided_at <= %(at)s::timestamptz
ORDER BY decided_at DESC, run_no DESC LIMIT 1;

-- name: decided
SELECT c.entry_key, c.verdict, c.reason, c.segment, c.variant, c.outcome, v.status
FROM {schema}.decisions c
LEFT JOIN {schema}.deliveries_v v ON v.run_no = c.run_no AND v.user_key = c.user_key AND v.entry_key = c.entry_key
WHERE c.run_no = %(run_no)s AND c.user_key = %(user_key)s
ORDER BY c.n;

-- name: decided_at
SELECT decided_at FROM {schema}.runs WHERE run_no = %(run_no)s;
