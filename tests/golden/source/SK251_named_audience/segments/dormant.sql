-- Not here for a week.
SELECT id FROM users
WHERE created_at < :as_of AND last_seen < :as_of - interval '7 days'
