-- What the gates read: facts of the query beside each staged row, and of each run the rule it claimed under.

ALTER TABLE {schema}.stage
    ADD COLUMN segment text,
    ADD COLUMN consent boolean,
    ADD COLUMN exited boolean,
    ADD COLUMN goal_at timestamptz;

ALTER TABLE {schema}.runs
    DROP COLUMN template_no,
    ADD COLUMN contents jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN transactional boolean NOT NULL DEFAULT false,
    ADD COLUMN entry_rule text,
    ADD COLUMN key_column text,
    ADD COLUMN claimed boolean NOT NULL DEFAULT false,
    ADD COLUMN unknown_zones bigint;
COMMENT ON COLUMN {schema}.runs.contents IS 'What each segment and variant says: its template, what it prints, its share.';
COMMENT ON COLUMN {schema}.runs.claimed IS 'Whether a claim committed that was neither late, nor stopped, nor held: '
    'the first such run is the loop''s first, and entry_rule and key_column are what people entered under.';

UPDATE {schema}.runs SET claimed = true WHERE decided_at IS NOT NULL AND mode <> 'shadow';

-- Caps and a person's history look over all loops.
CREATE INDEX deliveries_person ON {schema}.deliveries (user_key);

CREATE OR REPLACE VIEW {schema}.decisions_v AS
SELECT r.loop_id, r.step_id, r.run_id, r.as_of, r.mode, c.user_key, c.entry_key, c.verdict, c.reason,
       c.segment, c.variant, c.outcome, c.run_no, r.loop_version
FROM {schema}.decisions c
JOIN {schema}.runs r USING (run_no);

CREATE OR REPLACE VIEW {schema}.runs_v AS
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
       r.started_at, r.finished_at, r.run_type, r.loop_version, r.run_no, r.unknown_zones
FROM {schema}.runs r;
