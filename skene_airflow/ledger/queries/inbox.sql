-- Messages in the app: what is put there, and when it goes.

-- name: put
-- The call and its settling are one statement: whoever dies before its commit has put nothing, and sent nothing.
WITH mine AS (
    UPDATE {schema}.batches
    SET status = 'done', settled_at = clock_timestamp(), attempts = attempts + 1, error_class = NULL
    WHERE batch_id = %(batch_id)s AND status = 'open'
    RETURNING batch_id, run_no
), put AS (
    INSERT INTO {schema}.inbox (user_key, loop_id, step_id, title, body, link, delivery_id)
    SELECT d.user_key, d.loop_id, d.step_id, n.title, n.body, n.link, d.delivery_id
    FROM mine JOIN {schema}.deliveries d USING (run_no, batch_id)
    JOIN unnest(%(ids)s::bigint[], %(titles)s::text[], %(bodies)s::text[], %(links)s::text[])
         WITH ORDINALITY AS n (delivery_id, title, body, link, nth) USING (delivery_id)
    WHERE d.status = 'queued'
    ORDER BY n.nth
    RETURNING id, delivery_id
)
UPDATE {schema}.deliveries d
SET status = 'sent', sent_at = clock_timestamp(), settled_at = clock_timestamp(), provider_message_id = put.id::text
FROM put WHERE d.delivery_id = put.delivery_id;

-- name: erase
-- They hold what was printed of a person; that there was one stays in deliveries.
DELETE FROM {schema}.inbox WHERE created_at < clock_timestamp() - make_interval(days => %(days)s);
