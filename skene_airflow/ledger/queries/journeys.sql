-- Steps that come after another: whose turn it is.

-- name: due
-- The entries whose mail of the step before was sent long enough ago, and not too long ago. Under another key column
-- they were somebody else's. A redirected run follows redirected mail alone, and no other run does.
SELECT d.user_key, substr(d.entry_key, length(%(entry_prefix)s::text) + 1) AS entry_key, max(d.sent_at) AS sent_at
FROM {schema}.deliveries d
WHERE d.loop_id = ANY (%(after_loops)s::text[]) AND d.step_id = ANY (%(after_steps)s::text[]) AND d.mode = %(claims_as)s
  AND d.status = 'sent' AND d.sent_at <= %(as_of)s::timestamptz - %(wait)s::interval
  AND d.sent_at >= %(as_of)s::timestamptz - %(until)s::interval
  AND d.run_no NOT IN (SELECT r.run_no FROM {schema}.runs r WHERE r.key_column <> %(key_column)s)
GROUP BY d.user_key, d.entry_key

-- name: followed
-- Each row of the condition (/* asked */) once for each entry of its person that is due (/* due */); once and not
-- due for whoever has none, unless it is nobody's own condition (/* or */ is then an inner join).
SELECT row_number() OVER (ORDER BY a.n, e.sent_at, e.entry_key) AS n, a.user_key,
       coalesce(e.entry_key, '') AS entry_key, a.address, a.timezone, a.locale, a.segment, a.consent, a.exited,
       a.goal_at, e.user_key IS NOT NULL AS due, a.vars
FROM /* asked */ a /* or */ JOIN /* due */ e ON e.user_key = a.user_key

-- name: due_keys
-- The people of these entries, some at a time.
SELECT DISTINCT user_key COLLATE "C" AS user_key FROM pg_temp.due
WHERE user_key COLLATE "C" > %(after)s::text ORDER BY 1 LIMIT %(most)s;

-- name: nobody_due
-- The same as `due` where there is no ledger.
SELECT NULL::text AS user_key, NULL::text AS entry_key, NULL::timestamptz AS sent_at WHERE false
