-- The audience's decision, and the claim: one statement that claims, cuts batches, records and counts. A shadow run has
-- the same first and last parts and no claim between them.

-- name: judge
-- The decision in a table of its own, for as long as the transaction: the claim is planned on what is known of it, and
-- not on estimates of estimates, which had it compare everybody with every batch.
CREATE UNLOGGED TABLE /* judged */ AS
/* decision */;

-- name: analyze
ANALYZE /* judged */;

-- name: forget
-- What a run knew of people on its way to a decision.
DROP TABLE /* stage */, /* judged */;

-- name: settle
-- Of the changes that the run took: each is settled that holds the key of somebody who got a verdict for good, and of
-- nobody who got one for now. What nobody was judged for stays due. Somebody whose key no change holds came by a way
-- that only the query knows: then the rest are settled together, unless one of those people has to wait. Where every
-- run is an entry (each_run) they are settled even then, or the others would get the same once more.
WITH asked AS MATERIALIZED (
    SELECT j.user_key, bool_or(coalesce(j.reason = ANY (%(temporary)s::text[]), false)) AS waiting
    FROM /* judged */ j WHERE j.user_key IS NOT NULL GROUP BY j.user_key
), about AS MATERIALIZED (
    SELECT t.event_no, a.user_key, a.waiting
    FROM {schema}.taken_events t JOIN {schema}.events e USING (event_no)
    CROSS JOIN LATERAL jsonb_each_text(coalesce(e.new, e.old)) AS v (key, value)
    JOIN asked a ON a.user_key = v.value
    WHERE t.run_no = %(run_no)s AND (%(person_columns)s::text[] IS NULL OR v.key = ANY (%(person_columns)s::text[]))
), others AS (
    SELECT count(*) > 0 AND (%(each_run)s::boolean OR NOT bool_or(a.waiting)) AS judged
    FROM asked a WHERE NOT EXISTS (SELECT FROM about b WHERE b.user_key = a.user_key)
)
UPDATE {schema}.taken_events t SET settled = true
FROM others o, {schema}.taken_events u
LEFT JOIN (SELECT event_no, bool_or(waiting) AS waiting FROM about GROUP BY event_no) b USING (event_no)
WHERE u.run_no = %(run_no)s AND t.run_no = u.run_no AND t.event_no = u.event_no
  AND coalesce(NOT b.waiting, o.judged);

-- name: claim
-- batch_size members make a batch; an entry given back (expired, cancelled) is taken over, and the run that had it
-- keeps the outcome in its decision. Whoever lost a race reads as already_entered. The decision is narrow: what a
-- mail needs of a person is fetched from the stage for those who get one.
WITH sends AS (
    SELECT j.*, (row_number() OVER (ORDER BY j.n) - 1) / %(batch_size)s AS ordinal
    FROM /* judged */ j WHERE j.verdict = 'send'
), cut AS (
    INSERT INTO {schema}.batches (run_no, loop_id, step_id, mode, provider, ordinal, shard, members, expires_at,
                                  marks, idem_key)
    SELECT %(run_no)s, %(loop_id)s, %(step_id)s, %(mode)s, %(provider)s, ordinal, ordinal %% %(shards)s, count(*),
           %(expires_at)s, %(marks)s, 'sk/' || %(loop_id)s || '/' || %(step_id)s || '/' || gen_random_uuid()
    FROM sends GROUP BY ordinal ORDER BY ordinal
    RETURNING batch_id, ordinal
), taken AS (
    UPDATE {schema}.decisions c SET outcome = d.status
    FROM /* judged */ j JOIN {schema}.deliveries d
      ON d.loop_id = %(loop_id)s AND d.step_id = %(step_id)s AND d.user_key = j.user_key AND d.entry_key = j.entry_key
    WHERE (j.verdict <> 'skip' OR j.reason = 'existing') AND d.status IN ('expired', 'cancelled')
      AND c.run_no = d.run_no AND c.user_key = d.user_key AND c.entry_key = d.entry_key AND c.verdict <> 'skip'
), claimed AS (
    INSERT INTO {schema}.deliveries AS d (loop_id, step_id, user_key, entry_key, run_no, mode, segment, variant,
                                          status, template_no, batch_id, pos, address, address_hmac, timezone, locale,
                                          vars)
    SELECT %(loop_id)s, %(step_id)s, s.user_key, s.entry_key, %(run_no)s, %(mode)s, s.segment, s.variant,
           'queued', s.template_no, c.batch_id, s.n,
           CASE WHEN %(addressed)s::boolean THEN btrim(p.address, E' \t\r\n') END,
           coalesce(s.address_hmac, ''), p.timezone,
           p.locale, p.vars
    FROM sends s JOIN cut c USING (ordinal) JOIN /* stage */ p ON p.n = s.n
    UNION ALL
    SELECT %(loop_id)s, %(step_id)s, j.user_key, j.entry_key, %(run_no)s, %(mode)s, coalesce(j.segment, 'none'),
           j.variant, CASE j.verdict WHEN 'hold_out' THEN 'held_out' ELSE 'existing' END, NULL, NULL, j.n, NULL,
           coalesce(j.address_hmac, ''), NULL, NULL, NULL
    FROM /* judged */ j WHERE j.verdict = 'hold_out' OR j.reason = 'existing' AND %(held)s::text IS NULL
    ON CONFLICT (loop_id, step_id, user_key, entry_key) DO UPDATE
    SET run_no = excluded.run_no, mode = excluded.mode, segment = excluded.segment, variant = excluded.variant,
        status = excluded.status, reason = NULL, template_no = excluded.template_no, batch_id = excluded.batch_id,
        pos = excluded.pos, address = excluded.address, address_hmac = excluded.address_hmac,
        timezone = excluded.timezone, locale = excluded.locale, vars = excluded.vars, error_class = NULL,
        error_detail = NULL, queued_at = clock_timestamp(), settled_at = NULL
    WHERE d.status IN ('expired', 'cancelled')
    RETURNING d.user_key, d.entry_key
), final AS (
    SELECT j.n, j.user_key, j.entry_key, j.segment, j.variant, j.unknown_zone, j.hold_out,
           CASE WHEN j.verdict <> 'skip' AND c.user_key IS NULL THEN 'skip' ELSE j.verdict END AS verdict,
           CASE WHEN j.verdict <> 'skip' AND c.user_key IS NULL THEN 'already_entered' ELSE j.reason END AS reason
    FROM /* judged */ j LEFT JOIN claimed c ON c.user_key = j.user_key AND c.entry_key = j.entry_key
),

-- name: shadow
WITH final AS (
    SELECT n, user_key, entry_key, segment, variant, unknown_zone, hold_out, verdict, reason FROM /* judged */
),

-- name: count
-- How many people would get mail.
SELECT count(*) FILTER (WHERE verdict = 'send') AS people FROM /* judged */;

-- name: ask
-- What is shown to whoever is asked; beside each staged row what was decided then ('': to be mailed, or held out).
WITH noted AS (
    UPDATE /* stage */ s SET asked = coalesce(j.reason, '') FROM /* judged */ j WHERE j.n = s.n
)
SELECT verdict, reason, segment, variant, template_no, count(*) AS rows,
       (array_agg(n ORDER BY n) FILTER (WHERE verdict = 'send'))[1:3] AS some
FROM /* judged */ GROUP BY verdict, reason, segment, variant, template_no ORDER BY rows DESC, segment, variant;

-- name: may_ask
ALTER TABLE /* stage */ ADD COLUMN IF NOT EXISTS asked text;

-- name: judge_again
-- What was decided is decided anew when there is an answer.
DROP TABLE /* judged */;

-- name: answered
-- The decision once somebody has answered: nobody joins whom the answer was not about, and whoever may not be mailed any
-- more does not stay. Without a yes, everybody whom it was about has that for a reason.
SELECT d.n, d.user_key, d.entry_key, d.address_hmac, d.segment, d.variant, d.template_no, d.unknown_zone, d.gates,
       d.hold_out, CASE WHEN a.why IS NOT NULL THEN 'skip' ELSE d.verdict END AS verdict,
       coalesce(a.why, d.reason) AS reason
FROM (
/* decision */
) d
JOIN (SELECT n, CASE WHEN asked = '' THEN %(held)s::text ELSE asked END AS why FROM /* stage */) a USING (n)

-- name: sample
-- A staged row that a mail is made of.
SELECT timezone, locale, vars FROM /* stage */ WHERE n = %(n)s;

-- name: record
-- already_entered, not_due and quiet_hours are counted, not listed: they would repeat everybody at every run.
listed AS (
    INSERT INTO {schema}.decisions (run_no, n, user_key, entry_key, verdict, reason, segment, variant)
    SELECT %(run_no)s, n, user_key, entry_key, verdict, reason, segment, variant FROM final
    WHERE reason IS NULL OR reason NOT IN ('already_entered', 'not_due', 'quiet_hours')
)
SELECT verdict, reason, count(*) AS rows, count(*) FILTER (WHERE unknown_zone) AS unknown_zones,
       count(*) FILTER (WHERE reason = 'held' AND NOT hold_out) AS braked
FROM final GROUP BY verdict, reason;
