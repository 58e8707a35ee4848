-- What a run is, what it staged, what it decided.

-- name: begin
-- One row for each step of a run, whoever comes first; the row lock makes a second copy of the task wait.
INSERT INTO {schema}.runs (loop_id, step_id, run_id, run_type, mode, as_of, expires_at, loop_version)
VALUES (%(loop_id)s, %(step_id)s, %(run_id)s, %(run_type)s, %(mode)s, %(as_of)s, %(expires_at)s, %(loop_version)s)
ON CONFLICT (loop_id, step_id, run_id) DO NOTHING;

-- name: get_locked
SELECT * FROM {schema}.runs
WHERE loop_id = %(loop_id)s AND step_id = %(step_id)s AND run_id = %(run_id)s FOR UPDATE;

-- name: get
SELECT * FROM {schema}.runs WHERE loop_id = %(loop_id)s AND step_id = %(step_id)s AND run_id = %(run_id)s;

-- name: keep_template
-- The same text is kept once; DO UPDATE so that RETURNING answers for an old row as well.
INSERT INTO {schema}.templates (sha256, content) VALUES (%(sha256)s, %(content)s)
ON CONFLICT (sha256) DO UPDATE SET sha256 = excluded.sha256
RETURNING template_no;

-- name: template
SELECT content FROM {schema}.templates WHERE template_no = %(template_no)s;

-- name: staged
-- A run that waited for another copy keeps the mode it was first given. candidates counts rows until they are judged.
UPDATE {schema}.runs
SET staged_at = clock_timestamp(), candidates = %(rows)s, columns = %(columns)s, contents = %(contents)s,
    mode = %(mode)s, as_of = %(as_of)s, expires_at = %(expires_at)s, loop_version = %(loop_version)s,
    entry_rule = %(entry_rule)s, key_column = %(key_column)s, transactional = %(transactional)s, people = %(people)s,
    person_columns = %(person_columns)s
WHERE run_no = %(run_no)s
RETURNING *;

-- name: step_lock
-- One claim of a step at a time, so that two runs never race over the same people in opposite order.
SELECT pg_advisory_xact_lock(hashtextextended('skene ' || %(loop_id)s || ' ' || %(step_id)s, 0));

-- name: cap_lock
-- Claims of loops with a frequency cap, one at a time over the whole ledger. Always taken before the step's lock.
SELECT pg_advisory_xact_lock(hashtextextended('skene frequency_cap', 0));

-- name: now
SELECT clock_timestamp() AS now;

-- name: last_claimed
-- What people last entered this step under, whatever it was called then.
SELECT entry_rule, key_column FROM {schema}.runs
WHERE loop_id = ANY (%(loop_ids)s::text[]) AND step_id = ANY (%(step_ids)s::text[]) AND mode = %(claims_as)s AND claimed
ORDER BY decided_at DESC, run_no DESC LIMIT 1;

-- name: last_tick
-- The last scheduled run before this one that staged its audience; NULL if there is none.
SELECT max(as_of) AS as_of FROM {schema}.runs
WHERE loop_id = ANY (%(loop_ids)s::text[]) AND step_id = ANY (%(step_ids)s::text[]) AND run_type = 'scheduled'
  AND staged_at IS NOT NULL AND as_of < %(as_of)s;

-- name: usual_size
-- What `max_growth` compares with: the median of the last ten live runs that claimed; NULL before the first.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY r.people) AS people
FROM (SELECT (verdicts ->> 'send')::bigint AS people FROM {schema}.runs
      WHERE loop_id = ANY (%(loop_ids)s::text[]) AND step_id = ANY (%(step_ids)s::text[]) AND mode = 'live' AND claimed
        AND (NOT %(idle)s OR (verdicts ->> 'send')::bigint > 0)
      ORDER BY decided_at DESC, run_no DESC LIMIT 10) r;

-- name: decided
UPDATE {schema}.runs
SET decided_at = clock_timestamp(), duplicate_rows = candidates - %(candidates)s, candidates = %(candidates)s,
    verdicts = %(verdicts)s, unknown_zones = %(unknown_zones)s, brakes = %(brakes)s,
    holdout = CASE WHEN %(transactional)s THEN 0 ELSE coalesce(%(holdout)s::float8, 0) END,
    claimed = %(claims)s AND expires_at >= %(now)s AND %(held)s::text IS NULL
              AND NOT EXISTS (SELECT FROM {schema}.stops t
                              WHERE t.loop_id = '*' OR t.loop_id = ANY (%(loop_ids)s::text[]))
WHERE run_no = %(run_no)s
RETURNING *;

-- name: asked
-- Somebody is asked about the run; an earlier question was not answered.
UPDATE {schema}.runs SET approval = %(approval)s WHERE run_no = %(run_no)s RETURNING *;

-- name: answer
-- The first answer counts, and only while nobody is claimed.
UPDATE {schema}.runs SET approval = approval || %(answer)s
WHERE run_no = %(run_no)s AND decided_at IS NULL AND approval ->> 'approved' IS NULL;

-- name: finished
UPDATE {schema}.runs SET finished_at = clock_timestamp() WHERE run_no = %(run_no)s;

-- name: statuses
SELECT statuses FROM {schema}.runs_v WHERE run_no = %(run_no)s;

-- name: open_causes
-- Why the mail of a run has not left: the last answer to its batches (NULL: never called), by number of people.
SELECT coalesce(d.error_class, b.error_class) AS error_class, count(*) AS people
FROM {schema}.deliveries d LEFT JOIN {schema}.batches b ON b.batch_id = d.batch_id
WHERE d.run_no = %(run_no)s AND d.status IN ('queued', 'uncertain')
GROUP BY 1 HAVING coalesce(d.error_class, b.error_class) IS NOT NULL
ORDER BY 2 DESC, 1;

-- name: address_key
SELECT value FROM {schema}.meta WHERE key = 'address_key';
