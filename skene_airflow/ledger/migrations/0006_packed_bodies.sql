-- Frozen bodies arrive compressed: to compress them again would cost much and gain nothing.

ALTER TABLE {schema}.batches ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON COLUMN {schema}.batches.body IS 'The frozen request, compressed with zlib; body_sha256 is of what was sent.';
