-- What one person got or nearly got, over all loops. Reads only, and no address.

-- name: deliveries
SELECT v.loop_id, v.step_id, v.entry_key, v.run_id, v.mode, v.segment, v.variant, v.status, v.reason, v.provider,
       v.attempts, v.error_class, v.queued_at, v.sent_at, v.delivered_at, v.opened_at, v.clicked_at, v.bounced_at,
       v.complained_at, v.unsubscribed_at, v.delivery_id
FROM {schema}.deliveries_v v WHERE v.user_key = %(user_key)s ORDER BY v.queued_at, v.delivery_id;

-- name: decisions
-- Sends of live runs stand among the deliveries as well.
SELECT c.loop_id, c.step_id, c.run_id, c.as_of, r.decided_at, c.mode, c.entry_key, c.verdict, c.reason, c.segment,
       c.variant, c.outcome
FROM {schema}.decisions_v c JOIN {schema}.runs r USING (run_no)
WHERE c.user_key = %(user_key)s ORDER BY r.decided_at, c.run_no;

-- name: events
SELECT d.loop_id, d.step_id, e.provider, e.type, e.at, e.delivery_id
FROM {schema}.deliveries d JOIN {schema}.events e USING (delivery_id)
WHERE d.user_key = %(user_key)s ORDER BY e.at, e.event_id;

-- name: goals
SELECT g.loop_id, g.step_id, g.entry_key, g.at FROM {schema}.goals g WHERE g.user_key = %(user_key)s ORDER BY g.at;

-- name: suppressions
-- By the person's key, or by an address that the ledger knows them by.
SELECT s.scope, s.reason, s.created_at, s.expires_at, s.user_key IS NULL AS by_address
FROM {schema}.suppressions s
WHERE s.user_key = %(user_key)s
   OR s.address_hmac IN (SELECT d.address_hmac FROM {schema}.deliveries d
                         WHERE d.user_key = %(user_key)s AND d.address_hmac <> '')
ORDER BY s.created_at, s.suppression_id;
