-- Goals: who reached them within which window, and whom to compare.

-- name: lock
-- Who comes second has nothing to look for.
SELECT pg_try_advisory_xact_lock(hashtextextended('skene goals ' || %(loop_id)s, 0)) AS mine;

-- name: look
-- From when on goals count that nobody has looked for. Where few rows are to be expected, every look goes back to the
-- first window of all. Else one goes back a little behind the last, and once in a while to the beginning of every window
-- that is open, or was for as long as rows may come late. An edited goal is looked for from the first window on.
WITH asked AS (
    SELECT clock_timestamp() AS now, l.looked_at - %(again)s::interval AS recent,
           l.whole_at - %(late)s::interval AS ended_by,
           l.whole_at IS NULL OR l.whole_rows <= %(few)s AS every,
           l.whole_at < clock_timestamp() - %(again)s::interval AS again
    FROM (SELECT) AS always LEFT JOIN (
        SELECT * FROM {schema}.goal_looks
        WHERE loop_id = ANY (%(loop_ids)s::text[]) AND rule = %(rule)s ORDER BY looked_at DESC LIMIT 1
    ) l ON true
)
SELECT a.now, a.every OR a.again AS whole,
       CASE WHEN a.every OR a.again THEN w.since ELSE greatest(w.since, a.recent) END AS since
FROM asked a CROSS JOIN LATERAL (
    SELECT min(coalesce(d.sent_at, d.queued_at)) AS since FROM {schema}.deliveries d
    WHERE d.loop_id = ANY (%(loop_ids)s::text[]) AND d.mode = 'live' AND d.status NOT IN ('queued', 'existing')
      AND (a.every OR coalesce(d.sent_at, d.queued_at) + %(within)s::interval > a.ended_by)
) w;

-- name: edited
-- Another goal, or another window: what was recorded is not what is asked for any more.
WITH gone AS (
    DELETE FROM {schema}.goal_looks WHERE loop_id = ANY (%(loop_ids)s::text[]) AND rule <> %(rule)s RETURNING loop_id
)
DELETE FROM {schema}.goals g
WHERE g.loop_id = ANY (%(loop_ids)s::text[]) AND EXISTS (SELECT FROM gone);

-- name: reached_table
CREATE TEMP TABLE reached (user_key text, at timestamptz) ON COMMIT DROP;

-- name: reached_copy
COPY reached (user_key, at) FROM STDIN;

-- name: record
-- The first goal in each window. A window that began later than the last look thought (the mail left later, the entry
-- was given back and claimed again) begins anew.
INSERT INTO {schema}.goals AS g (loop_id, step_id, user_key, entry_key, since, at)
SELECT d.loop_id, d.step_id, d.user_key, d.entry_key, min(w.since), min(r.at)
FROM reached r
JOIN {schema}.deliveries d ON d.user_key = r.user_key
CROSS JOIN LATERAL (SELECT coalesce(d.sent_at, d.queued_at) AS since) w
WHERE d.loop_id = ANY (%(loop_ids)s::text[]) AND d.mode = 'live' AND d.status NOT IN ('queued', 'existing')
  AND r.at >= w.since AND r.at <= w.since + %(within)s::interval
GROUP BY d.loop_id, d.step_id, d.user_key, d.entry_key
ON CONFLICT (loop_id, step_id, user_key, entry_key) DO UPDATE
SET since = excluded.since, at = excluded.at, recorded_at = clock_timestamp()
WHERE excluded.at < g.at AND excluded.since = g.since OR g.since <> excluded.since;

-- name: looked
INSERT INTO {schema}.goal_looks AS l (loop_id, rule, looked_at, whole_at, whole_rows)
VALUES (%(loop_id)s, %(rule)s, %(now)s, %(now)s, %(rows)s)
ON CONFLICT (loop_id) DO UPDATE
SET rule = excluded.rule, looked_at = excluded.looked_at,
    whole_at = CASE WHEN %(whole)s THEN excluded.whole_at ELSE l.whole_at END,
    whole_rows = CASE WHEN %(whole)s THEN excluded.whole_rows ELSE l.whole_rows END;

-- name: looked_at
-- Until when the goals of this rule are known.
SELECT max(looked_at) AS looked_at FROM {schema}.goal_looks
WHERE loop_id = ANY (%(loop_ids)s::text[]) AND rule = %(rule)s;

-- name: compare
-- Everybody whom a live run assigned, once: by the first time, to what was decided then, whatever became of the mail.
-- share is what was to be held out at that time, closed whether the person's window was over at the last look.
WITH assigned AS (
    SELECT DISTINCT ON (c.user_key) c.user_key, c.entry_key, c.verdict, r.loop_id, r.step_id,
           coalesce(r.holdout, %(holdout)s::float8) AS share
    FROM {schema}.runs r JOIN {schema}.decisions c USING (run_no)
    WHERE r.loop_id = ANY (%(loop_ids)s::text[]) AND r.step_id = ANY (%(step_ids)s::text[]) AND r.mode = 'live'
      AND c.verdict IN ('send', 'hold_out')
    ORDER BY c.user_key, c.run_no, c.n
)
SELECT a.verdict, a.share, w.since + %(within)s::interval <= %(looked_at)s::timestamptz AS closed,
       count(*) AS people, count(g.at) AS converted
FROM assigned a
JOIN {schema}.deliveries d ON d.loop_id = a.loop_id AND d.step_id = a.step_id AND d.user_key = a.user_key
                          AND d.entry_key = a.entry_key
CROSS JOIN LATERAL (SELECT coalesce(d.sent_at, d.queued_at) AS since) w
LEFT JOIN {schema}.goals g ON g.loop_id = d.loop_id AND g.step_id = d.step_id AND g.user_key = d.user_key
                          AND g.entry_key = d.entry_key AND g.at >= w.since
GROUP BY a.verdict, a.share, closed;
