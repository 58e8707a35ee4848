-- Did it work: who reached the goal of a loop within its window, and what share each run held out.

CREATE TABLE {schema}.goals (
    loop_id text NOT NULL,
    step_id text NOT NULL,
    user_key text NOT NULL,
    entry_key text NOT NULL,
    since timestamptz NOT NULL,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (loop_id, step_id, user_key, entry_key)
);
COMMENT ON TABLE {schema}.goals IS 'The first time that somebody reached the goal in the window of a delivery, which '
    'has the same key. The window begins at since: when the mail was sent, for everybody else when it was claimed.';

CREATE TABLE {schema}.goal_looks (
    loop_id text PRIMARY KEY,
    rule text NOT NULL,
    looked_at timestamptz NOT NULL,
    whole_at timestamptz NOT NULL,
    whole_rows bigint NOT NULL
);
COMMENT ON TABLE {schema}.goal_looks IS 'Up to when goals are known: whole_at is when all open windows were last '
    'looked at from their beginning, whole_rows how many times the goal was reached in that; rule is the goal then.';

ALTER TABLE {schema}.runs ADD COLUMN holdout float8;
COMMENT ON COLUMN {schema}.runs.holdout IS 'The share that was held out when the run was decided.';

-- converted are those who were sent the mail and reached the goal; held_out_converted those who were held out and
-- reached it all the same.
CREATE OR REPLACE VIEW {schema}.funnel_v AS
WITH counted AS (
    SELECT r.loop_id, r.step_id, c.segment, c.variant, (r.as_of AT TIME ZONE 'UTC')::date AS day,
           c.verdict, c.reason, count(*) AS rows,
           count(*) FILTER (WHERE d.status = 'sent') AS sent,
           count(d.delivered_at) AS delivered, count(d.clicked_at) AS clicked,
           count(g.at) FILTER (WHERE d.status = 'sent') AS converted,
           count(g.at) FILTER (WHERE d.status = 'held_out') AS held_out_converted
    FROM {schema}.decisions c
    JOIN {schema}.runs r USING (run_no)
    LEFT JOIN {schema}.deliveries d
           ON d.run_no = c.run_no AND d.loop_id = r.loop_id AND d.step_id = r.step_id
          AND d.user_key = c.user_key AND d.entry_key = c.entry_key
    LEFT JOIN {schema}.goals g
           ON g.loop_id = d.loop_id AND g.step_id = d.step_id AND g.user_key = d.user_key
          AND g.entry_key = d.entry_key AND g.at >= coalesce(d.sent_at, d.queued_at)
    WHERE r.mode = 'live'
    GROUP BY r.loop_id, r.step_id, c.segment, c.variant, day, c.verdict, c.reason
)
SELECT loop_id, step_id, segment, variant, day,
       sum(rows)::bigint AS candidates,
       coalesce(sum(rows) FILTER (WHERE verdict = 'hold_out'), 0)::bigint AS held_out,
       coalesce(jsonb_object_agg(reason, rows) FILTER (WHERE verdict = 'skip'), '{}'::jsonb) AS skipped,
       sum(sent)::bigint AS sent, sum(delivered)::bigint AS delivered, sum(clicked)::bigint AS clicked,
       sum(converted)::bigint AS converted, sum(held_out_converted)::bigint AS held_out_converted
FROM counted
GROUP BY loop_id, step_id, segment, variant, day;
