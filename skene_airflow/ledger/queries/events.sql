-- What providers tell. Every event is written once, and what it means is applied in the same transaction.

-- name: subject
-- The delivery an event is about. A tag alone is not trusted: another deployment may share the provider's account,
-- and count its deliveries from 1 too.
SELECT delivery_id, user_key, nullif(address_hmac, ''::bytea) AS address_hmac, mode FROM {schema}.deliveries
WHERE delivery_id = %(delivery_id)s AND loop_id = %(loop_id)s AND step_id = %(step_id)s
  AND (mode = 'redirect' OR address_hmac = %(address_hmac)s)
FOR UPDATE;

-- name: write
INSERT INTO {schema}.events (provider, event_id, type, at, delivery_id, provider_message_id, proves_sent, soft_bounce)
VALUES (%(provider)s, %(event_id)s, %(type)s, least(%(at)s::timestamptz, clock_timestamp()), %(delivery_id)s,
        %(message_id)s, %(proves_sent)s, %(soft_bounce)s)
ON CONFLICT (provider, event_id) DO NOTHING;

-- name: stamp
-- The earliest of its kind stands, in whatever order they come; a stamp is never taken away.
UPDATE {schema}.deliveries
SET delivered_at = CASE %(kind)s WHEN 'delivered' THEN least(delivered_at, e.at) ELSE delivered_at END,
    opened_at = CASE %(kind)s WHEN 'opened' THEN least(opened_at, e.at) ELSE opened_at END,
    clicked_at = CASE %(kind)s WHEN 'clicked' THEN least(clicked_at, e.at) ELSE clicked_at END,
    bounced_at = CASE %(kind)s WHEN 'bounced' THEN least(bounced_at, e.at) ELSE bounced_at END,
    complained_at = CASE %(kind)s WHEN 'complained' THEN least(complained_at, e.at) ELSE complained_at END
FROM (SELECT least(%(at)s::timestamptz, clock_timestamp()) AS at) e
WHERE delivery_id = %(delivery_id)s;

-- name: settle
-- What nobody could know is known now: the provider tells of the mail. on_sent is owed for these people too.
-- Of one delivery, or of all (NULL): an event may have come before its row was given up as uncertain.
WITH told AS (
    SELECT DISTINCT ON (e.delivery_id) e.delivery_id, e.at, e.provider_message_id FROM {schema}.events e
    JOIN {schema}.deliveries d USING (delivery_id)
    WHERE e.proves_sent AND d.status = 'uncertain' AND (%(delivery_id)s::bigint IS NULL OR d.delivery_id = %(delivery_id)s)
    ORDER BY e.delivery_id, e.at
), settled AS (
    UPDATE {schema}.deliveries d
    SET status = 'sent', sent_at = told.at, settled_at = clock_timestamp(), reason = 'settled',
        provider_message_id = coalesce(d.provider_message_id, told.provider_message_id)
    FROM told WHERE d.delivery_id = told.delivery_id AND d.status = 'uncertain'
    RETURNING d.batch_id
), unmarked AS (
    UPDATE {schema}.batches b SET marked_at = NULL
    WHERE b.batch_id IN (SELECT batch_id FROM settled) AND b.marks AND b.marked_at IS NOT NULL
)
SELECT count(*) AS rows FROM settled;

-- name: soft_bounces
-- On how many days, over all deliveries to the address: a mailbox that is full for an afternoon bounces more than once.
SELECT count(DISTINCT (e.at AT TIME ZONE 'UTC')::date) AS bounces
FROM {schema}.events e JOIN {schema}.deliveries d USING (delivery_id)
WHERE d.address_hmac = %(address_hmac)s AND e.soft_bounce
  AND e.at > clock_timestamp() - make_interval(days => %(days)s);

-- name: erase
DELETE FROM {schema}.events WHERE received_at < clock_timestamp() - make_interval(days => %(days)s);
