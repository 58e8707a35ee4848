-- Changes of the app's rows: written once, due to every loop on their table until it has settled them.

-- name: write
-- One statement for as many as came together. Of one that is known nothing changes, however often it is told.
-- The rows stand in a whole text each, so that no number passes through another language: `path` says where.
INSERT INTO {schema}.events (provider, event_id, type, at, received_at, source, changed, old, new)
SELECT %(provider)s, c.event_id, c.op, least(c.at, clock_timestamp()),
       CASE WHEN %(noted)s THEN least(c.at, clock_timestamp()) ELSE clock_timestamp() END, %(source)s, c.changed,
       nullif(c.body::jsonb #> (%(path)s::text[] || '{old}'::text[]), 'null'),
       nullif(c.body::jsonb #> (%(path)s::text[] || '{new}'::text[]), 'null')
FROM unnest(%(event_ids)s::text[], %(ops)s::text[], %(ats)s::timestamptz[], %(tables)s::text[], %(bodies)s::text[])
     AS c (event_id, op, at, changed, body)
ON CONFLICT (provider, event_id) DO NOTHING;

-- name: tell
-- Whoever listens looks at once; who does not, looks from time to time.
SELECT pg_notify(%(channel)s, %(what)s);

-- name: due
-- What stands behind WHERE of every question for what a step has still to judge: e is an event. Each is looked up by
-- itself, through an index: as a join it would stand or fall with an estimate.
e.changed = %(table)s AND e.type = ANY (%(ops)s::text[]) AND (e.source IS NULL OR e.source = %(source)s)
AND e.received_at > statement_timestamp() - %(window)s::interval AND (e.old IS NOT NULL OR e.new IS NOT NULL)
AND (SELECT bool_or(t.settled) FROM {schema}.taken_events t
     WHERE t.loop_id = ANY (%(loop_ids)s::text[]) AND t.step_id = ANY (%(step_ids)s::text[])
       AND t.mode = %(claims_as)s AND t.event_no = e.event_no) IS NOT TRUE

-- name: take
-- Everything that is due goes to this run, also what an earlier run took and did not settle. Sorted, and so found,
-- before the first is inserted: or each would be looked for among those that this statement has inserted itself.
INSERT INTO {schema}.taken_events AS t (loop_id, step_id, mode, event_no, run_no)
SELECT %(loop_id)s, %(step_id)s, %(claims_as)s, e.event_no, %(run_no)s FROM {schema}.events e WHERE /* due */
ORDER BY e.event_no
ON CONFLICT (loop_id, step_id, mode, event_no) DO UPDATE SET run_no = excluded.run_no WHERE NOT t.settled;

-- name: taken
-- What a run has taken, in the order in which it came.
COPY (SELECT e.type, e.old, e.new FROM {schema}.taken_events t JOIN {schema}.events e USING (event_no)
      WHERE t.run_no = %(run_no)s AND (e.old IS NOT NULL OR e.new IS NOT NULL) ORDER BY e.event_no) TO STDOUT;

-- name: there
SELECT FROM pg_catalog.pg_tables WHERE schemaname = %(schema)s AND tablename = 'taken_events';

-- name: look_at
-- The same for those who take nothing.
COPY (SELECT e.type, e.old, e.new FROM {schema}.events e WHERE /* due */ ORDER BY e.event_no) TO STDOUT;

-- name: owed
-- How many are due to the step.
SELECT count(*) AS events FROM {schema}.events e WHERE /* due */;

-- name: fresh
-- What no run of the step has ever taken, the newest of it, and the last run that staged.
SELECT count(*) AS events, max(e.event_no) AS newest,
       (SELECT max(r.run_no) FROM {schema}.runs r
        WHERE r.loop_id = ANY (%(loop_ids)s::text[]) AND r.step_id = ANY (%(step_ids)s::text[])
          AND r.staged_at IS NOT NULL) AS last_run
FROM {schema}.events e
WHERE /* due */
  AND (SELECT bool_or(true) FROM {schema}.taken_events t
       WHERE t.loop_id = ANY (%(loop_ids)s::text[]) AND t.step_id = ANY (%(step_ids)s::text[])
         AND t.mode = %(claims_as)s AND t.event_no = e.event_no) IS NULL;

-- name: analyze
-- A flood is there at once, long before autovacuum counts it: the claim that follows must not be planned for a few.
ANALYZE {schema}.taken_events;

-- name: forgive
-- After `start`: whoever was stopped, before or after the claim, is asked again by the next run.
WITH stopped AS MATERIALIZED (
    SELECT d.run_no, d.user_key, r.person_columns
    FROM {schema}.deliveries d JOIN {schema}.runs r USING (run_no)
    WHERE d.run_no IN (SELECT t.run_no FROM {schema}.taken_events t WHERE t.settled
                       AND (t.loop_id = %(loop_id)s OR %(loop_id)s = '*'))
      AND d.status = 'cancelled' AND d.reason = 'stopped'
)
DELETE FROM {schema}.taken_events t USING {schema}.events e
WHERE e.event_no = t.event_no AND (t.loop_id = %(loop_id)s OR %(loop_id)s = '*')
  AND (NOT t.settled
       OR EXISTS (SELECT FROM stopped s, jsonb_each_text(coalesce(e.new, e.old)) v
                  WHERE s.run_no = t.run_no AND s.user_key = v.value
                    AND (s.person_columns IS NULL OR v.key = ANY (s.person_columns))));

-- name: erase
-- The rows themselves go with time; the event's id stays, or it would be new when it is told once more.
WITH old AS (
    UPDATE {schema}.events SET old = NULL, new = NULL
    WHERE changed IS NOT NULL AND (old IS NOT NULL OR new IS NOT NULL)
      AND received_at < clock_timestamp() - greatest(make_interval(days => %(days)s), %(window)s::interval)
    RETURNING event_no
), gone AS (
    DELETE FROM {schema}.taken_events t
    WHERE t.event_no IN (SELECT event_no FROM old)
       OR NOT EXISTS (SELECT FROM {schema}.events e WHERE e.event_no = t.event_no)
)
SELECT count(*) AS events FROM old;
