-- A call in doubt may be made again only with the account that it was made with: another one has never heard of its key.

ALTER TABLE {schema}.batches ADD COLUMN account bytea;
COMMENT ON COLUMN {schema}.batches.account IS
    'HMAC of the provider account of the last call: host, login and key. NULL before the first.';
