-- What dashboards and Hasura may read: person keys, never an address. Columns are added, never taken away.

CREATE VIEW {schema}.deliveries_v AS
SELECT d.loop_id, d.step_id, d.user_key, d.entry_key, r.run_id, d.mode, d.segment, d.variant,
       CASE WHEN d.status <> 'queued' THEN d.status
            WHEN b.lease_until > clock_timestamp() THEN 'sending'
            WHEN b.status = 'sending' OR b.in_doubt THEN 'uncertain'
            ELSE d.status END AS status,
       d.reason, b.provider, d.provider_message_id, coalesce(b.attempts, 0) AS attempts,
       d.queued_at, d.sent_at, d.delivered_at, d.opened_at, d.clicked_at, d.bounced_at, d.complained_at,
       d.unsubscribed_at, d.error_class, d.error_detail, d.delivery_id, d.run_no, r.loop_version
FROM {schema}.deliveries d
JOIN {schema}.runs r USING (run_no)
LEFT JOIN {schema}.batches b ON b.batch_id = d.batch_id;

CREATE VIEW {schema}.decisions_v AS
SELECT r.loop_id, r.step_id, r.run_id, r.as_of, r.mode, c.user_key, c.entry_key, c.verdict, c.reason,
       c.segment, c.variant, c.outcome, c.run_no
FROM {schema}.decisions c
JOIN {schema}.runs r USING (run_no);

CREATE VIEW {schema}.runs_v AS
SELECT r.loop_id, r.step_id, r.run_id, r.mode, r.as_of, r.candidates, r.duplicate_rows, r.verdicts,
       coalesce((SELECT jsonb_object_agg(t.status, t.total)
                 FROM (SELECT s.status, sum(s.rows) AS total
                       FROM (SELECT d.status, count(*) AS rows
                             FROM {schema}.deliveries_v d WHERE d.run_no = r.run_no GROUP BY d.status
                             UNION ALL
                             SELECT c.outcome, count(*)
                             FROM {schema}.decisions c
                             WHERE c.run_no = r.run_no AND c.outcome IS NOT NULL GROUP BY c.outcome) s
                       GROUP BY s.status) t), '{}'::jsonb) AS statuses,
       r.started_at, r.finished_at, r.run_type, r.loop_version, r.run_no
FROM {schema}.runs r;

-- A day is the UTC day of the run's as_of. Candidates that are only counted (already_entered, not_due, quiet_hours)
-- stand in runs_v. converted is NULL until goals are counted.
CREATE VIEW {schema}.funnel_v AS
WITH counted AS (
    SELECT r.loop_id, r.step_id, c.segment, c.variant, (r.as_of AT TIME ZONE 'UTC')::date AS day,
           c.verdict, c.reason, count(*) AS rows,
           count(*) FILTER (WHERE d.status = 'sent') AS sent,
           count(d.delivered_at) AS delivered, count(d.clicked_at) AS clicked
    FROM {schema}.decisions c
    JOIN {schema}.runs r USING (run_no)
    LEFT JOIN {schema}.deliveries d
           ON d.run_no = c.run_no AND d.loop_id = r.loop_id AND d.step_id = r.step_id
          AND d.user_key = c.user_key AND d.entry_key = c.entry_key
    WHERE r.mode = 'live'
    GROUP BY r.loop_id, r.step_id, c.segment, c.variant, day, c.verdict, c.reason
)
SELECT loop_id, step_id, segment, variant, day,
       sum(rows)::bigint AS candidates,
       coalesce(sum(rows) FILTER (WHERE verdict = 'hold_out'), 0)::bigint AS held_out,
       coalesce(jsonb_object_agg(reason, rows) FILTER (WHERE verdict = 'skip'), '{}'::jsonb) AS skipped,
       sum(sent)::bigint AS sent, sum(delivered)::bigint AS delivered, sum(clicked)::bigint AS clicked,
       NULL::bigint AS converted
FROM counted
GROUP BY loop_id, step_id, segment, variant, day;
