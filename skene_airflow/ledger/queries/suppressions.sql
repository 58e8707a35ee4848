-- Who must not be mailed, and what they said. A person is meant by key or by the HMAC of the address.

-- name: addressee
-- Whom a delivery went to; an imported row may have no address.
SELECT user_key, nullif(address_hmac, ''::bytea) AS address_hmac, mode FROM {schema}.deliveries
WHERE delivery_id = %(delivery_id)s;

-- name: refuse
INSERT INTO {schema}.suppressions (address_hmac, user_key, scope, reason, source)
VALUES (%(address_hmac)s, %(user_key)s, %(scope)s, %(reason)s, %(source)s)
ON CONFLICT (address_hmac, user_key, scope, reason) DO NOTHING;

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
SELECT suppression_id, user_key, encode(address_hmac, 'hex') AS address_hmac, scope, reason, source, created_at
FROM {schema}.suppressions
WHERE %(user_key)s::text IS NULL AND %(address_hmac)s::bytea IS NULL
   OR user_key = %(user_key)s OR address_hmac = %(address_hmac)s
ORDER BY suppression_id;

-- name: remove
-- What an erasure left stays: it is a promise.
DELETE FROM {schema}.suppressions
WHERE (user_key = %(user_key)s OR address_hmac = %(address_hmac)s) AND reason <> 'erased'
  AND (%(scope)s::text IS NULL OR scope = %(scope)s);
