-- Adoption of what a loop is for: a loop with a goal is about one feature, and to adopt it is to reach the goal.

-- A week is the Monday (UTC) of the entry: when the first mail was sent, for those held out when they were claimed.
-- reached_by counts those who adopted by the last step that was sent to them before, or held_out.
CREATE VIEW {schema}.adoption_v AS
WITH entries AS (
    SELECT d.loop_id, d.user_key, d.entry_key, min(coalesce(d.sent_at, d.queued_at)) AS since, min(g.at) AS at
    FROM {schema}.deliveries d
    JOIN {schema}.goal_looks l USING (loop_id)
    LEFT JOIN {schema}.goals g
           ON g.loop_id = d.loop_id AND g.step_id = d.step_id AND g.user_key = d.user_key
          AND g.entry_key = d.entry_key
    WHERE d.mode = 'live' AND d.status IN ('sent', 'held_out')
    GROUP BY d.loop_id, d.user_key, d.entry_key
), counted AS (
    SELECT e.loop_id, date_trunc('week', e.since AT TIME ZONE 'UTC')::date AS week, count(*) AS eligible,
           count(e.at) AS adopted,
           CASE WHEN e.at IS NOT NULL
                THEN coalesce((SELECT d.step_id FROM {schema}.deliveries d
                               WHERE d.loop_id = e.loop_id AND d.user_key = e.user_key AND d.entry_key = e.entry_key
                                 AND d.mode = 'live' AND d.status = 'sent' AND d.sent_at <= e.at
                               ORDER BY d.sent_at DESC LIMIT 1), 'held_out') END AS step
    FROM entries e
    GROUP BY e.loop_id, week, step
)
SELECT loop_id AS feature, week, sum(eligible)::bigint AS eligible, sum(adopted)::bigint AS adopted,
       coalesce(jsonb_object_agg(step, adopted) FILTER (WHERE step IS NOT NULL), '{}'::jsonb) AS reached_by
FROM counted
GROUP BY loop_id, week;
