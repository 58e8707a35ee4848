-- Who must not be mailed, and what they said. A person is meant by key or by the HMAC of the address.

-- name: addressee
-- Whom a delivery went to; an imported row may have no address.
SELECT user_key, nullif(address_hmac, ''::bytea) AS address_hmac, mode FROM {schema}.deliveries
WHERE delivery_id = %(delivery_id)s;

-- name: refuse
-- One that never ends takes the place of one that does, and a later end that of an earlier one.
INSERT INTO {schema}.suppressions AS s (address_hmac, user_key, scope, reason, source, expires_at)
VALUES (%(address_hmac)s, %(user_key)s, %(scope)s, %(reason)s, %(source)s,
        coalesce(%(until)s::timestamptz, clock_timestamp() + make_interval(days => %(days)s::integer)))
ON CONFLICT (address_hmac, user_key, scope, reason) DO UPDATE
SET source = excluded.source, created_at = excluded.created_at, expires_at = excluded.expires_at
WHERE s.expires_at < coalesce(excluded.expires_at, 'infinity');

-- name: relent
-- Only what the person said; a bounce, a complaint or an erasure is not theirs to take back.
DELETE FROM {schema}.suppressions
WHERE (user_key = %(user_key)s OR address_hmac = %(address_hmac)s) AND reason = 'unsubscribed'
  AND scope = ANY (%(scopes)s::text[]);

-- name: refused
SELECT DISTINCT scope FROM {schema}.suppressions
WHERE (user_key = %(user_key)s OR address_hmac = %(address_hmac)s) AND reason = 'unsubscribed';

-- name: unsubscribed
UPDATE {schema}.deliveries SET unsubscribed_at = clock_timestamp()
WHERE delivery_id = %(delivery_id)s AND unsubscribed_at IS NULL;

-- name: list
-- Of one person, or of everybody (both NULL).
SELECT suppression_id, user_key, encode(address_hmac, 'hex') AS address_hmac, scope, reason, source, created_at,
       expires_at
FROM {schema}.suppressions
WHERE %(user_key)s::text IS NULL AND %(address_hmac)s::bytea IS NULL
   OR user_key = %(user_key)s OR address_hmac = %(address_hmac)s
ORDER BY suppression_id;

-- name: remove
-- What an erasure left stays, unless it is named: it is a promise.
DELETE FROM {schema}.suppressions
WHERE (user_key = %(user_key)s OR address_hmac = %(address_hmac)s) AND (reason <> 'erased' OR %(erased)s)
  AND (%(scope)s::text IS NULL OR scope = %(scope)s);
