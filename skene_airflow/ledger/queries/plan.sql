-- What the next run of a step would decide, counted and not recorded. Its first part is the audience's decision, as a
-- run has it; `parts` are relations that stand for tables which this session may not make, or which do not exist.

-- name: judge
-- One row for each thing that is told: its name, and what there is to say. `coming` is who gets mail if no brake holds.
WITH /* parts */ judged AS MATERIALIZED (
/* decision */
), coming AS MATERIALIZED (
    SELECT * FROM judged WHERE verdict = 'send' OR reason = 'held' AND NOT hold_out
), soon AS MATERIALIZED (
    SELECT user_key, entry_key FROM coming
    UNION ALL SELECT user_key, entry_key FROM judged WHERE reason IN ('quiet_hours', 'not_due')
)
SELECT 'count' AS what, jsonb_build_object('verdict', verdict, 'reason', reason, 'hold_out', hold_out,
                                           'segment', segment, 'variant', variant, 'rows', count(*),
                                           'unknown_zones', count(*) FILTER (WHERE unknown_zone)) AS facts,
       NULL::bigint[] AS people
FROM judged GROUP BY verdict, reason, hold_out, segment, variant
UNION ALL
-- Of each gate how many it would skip, whatever the gates before it say.
SELECT 'gate', jsonb_build_object('gate', g.key, 'rows', count(*)), NULL
FROM judged j, jsonb_each(j.gates) g WHERE g.value = 'true'::jsonb GROUP BY g.key
UNION ALL
SELECT 'rows', to_jsonb(count(*)), NULL FROM /* stage */
UNION ALL
-- Who would come, and did not qualify a day earlier; NULL where that is not known.
SELECT 'fresh', jsonb_build_object('soon', (SELECT count(*) FROM soon), 'fresh', /* fresh */), NULL
UNION ALL
SELECT 'lately', jsonb_build_object('loop_id', d.loop_id, 'people', count(DISTINCT d.user_key)), NULL
FROM coming c JOIN {schema}.deliveries d ON d.user_key = c.user_key
WHERE d.loop_id <> ALL (%(loop_ids)s::text[]) AND d.mode = 'live'
  AND d.sent_at > %(now)s::timestamptz - make_interval(days => %(lately)s)
GROUP BY d.loop_id
UNION ALL
SELECT 'sample', to_jsonb(p), NULL
FROM (SELECT c.segment, c.variant, c.template_no, s.timezone, s.locale, s.vars
      FROM (SELECT *, row_number() OVER (PARTITION BY segment, variant ORDER BY n) AS turn FROM coming) c
      JOIN /* stage */ s ON s.n = c.n
      ORDER BY c.turn, c.n LIMIT %(samples)s) p
UNION ALL
-- Keys as numbers, to be compared with those of other loops.
SELECT 'people', NULL, array_agg(DISTINCT hashtextextended(user_key, 0)) FROM coming;

-- name: fresh
-- Persons count where every run makes new entry keys, entries elsewhere.
(SELECT count(*) FROM soon s
 WHERE NOT EXISTS (SELECT FROM /* before */ b
                   WHERE b.user_key = s.user_key AND (%(by_person)s::boolean
                                                      OR %(entry_prefix)s::text || b.entry_key = s.entry_key)));

-- name: same_database
-- What two sessions have in common if, and only if, they are in one database of one running server.
SELECT pg_postmaster_start_time() AS started, (SELECT oid FROM pg_catalog.pg_database
                                               WHERE datname = current_database()) AS database;

-- name: person
-- Every candidate of one person, with what the gates saw of it beside the ledger.
WITH /* parts */ judged AS MATERIALIZED (
/* decision */
)
SELECT j.n, j.entry_key, j.address_hmac, j.segment, j.variant, j.template_no, j.unknown_zone, j.gates, j.hold_out,
       j.verdict, j.reason, s.timezone, s.consent, s.exited, s.goal_at, s.address IS NOT NULL AS addressed, s.vars,
       (SELECT count(*) FROM judged c WHERE c.verdict = 'send' OR c.reason = 'held' AND NOT c.hold_out) AS coming,
       (SELECT min(o.user_key) FROM judged o
        WHERE o.address_hmac = j.address_hmac AND o.entry_key = j.entry_key AND o.user_key <> j.user_key
          AND o.n < j.n) AS earlier
FROM judged j JOIN /* stage */ s ON s.n = j.n
WHERE j.user_key = %(user_key)s::text ORDER BY j.n;
