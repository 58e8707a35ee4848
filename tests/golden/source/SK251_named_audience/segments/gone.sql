SELECT user_id AS id FROM departure
