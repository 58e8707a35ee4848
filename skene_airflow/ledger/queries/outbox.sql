-- Changes noted in the app's own database, by triggers of ours, where no Hasura tells of them. This schema is not the
-- ledger's: it holds what nobody has fetched yet, and lives beside the app's tables.

-- name: make
CREATE SCHEMA IF NOT EXISTS {schema}_outbox;

-- name: make_table
CREATE TABLE IF NOT EXISTS {schema}_outbox.changes (
    change_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    changed text NOT NULL,
    op text NOT NULL CHECK (op IN ('insert', 'update', 'delete')),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    old jsonb,
    new jsonb
);

-- name: make_function
-- Whatever goes wrong in here is a warning, and the app's own statement goes on: a change is lost rather than a write.
-- Once for each statement, so that a large one costs one subtransaction. It waits for no lock, and stops at 1 GB: then
-- nobody has fetched anything for long. It runs with its owner's rights, so the app's role needs none.
CREATE OR REPLACE FUNCTION {schema}_outbox.note() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $note$
DECLARE
    whose text := TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME;
    keys text[];
BEGIN
    IF pg_relation_size('{schema}_outbox.changes') > 1073741824 THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {schema}_outbox.changes (changed, op, new)
        SELECT whose, 'insert', to_jsonb(n) FROM skene_new n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {schema}_outbox.changes (changed, op, old)
        SELECT whose, 'delete', to_jsonb(o) FROM skene_old o;
    ELSE
        SELECT array_agg(a.attname) INTO keys FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = TG_RELID AND i.indisprimary;
        INSERT INTO {schema}_outbox.changes (changed, op, old, new)
        SELECT whose, 'update', o.row, n.row
        FROM (SELECT to_jsonb(x) AS row, ARRAY(SELECT to_jsonb(x) -> k FROM unnest(keys) k) AS key
              FROM skene_new x OFFSET 0) n
        LEFT JOIN (SELECT to_jsonb(x) AS row, ARRAY(SELECT to_jsonb(x) -> k FROM unnest(keys) k) AS key
                   FROM skene_old x WHERE keys IS NOT NULL OFFSET 0) o ON o.key = n.key
        WHERE o.row IS DISTINCT FROM n.row;
    END IF;
    -- A queue that nobody empties would make the commit fail.
    IF FOUND AND TG_ARGV[0] = 'notify' AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('{schema}_outbox', whose);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'skene: changes of % were not noted (SQLSTATE %)', whose, SQLSTATE;
    RETURN NULL;
END $note$;

-- name: close
-- Nobody calls it but the triggers.
REVOKE ALL ON FUNCTION {schema}_outbox.note() FROM PUBLIC;

-- name: note_insert
CREATE OR REPLACE TRIGGER {schema}_note_insert AFTER INSERT ON /* table */
REFERENCING NEW TABLE AS skene_new FOR EACH STATEMENT EXECUTE FUNCTION {schema}_outbox.note('/* how */');

-- name: note_update
CREATE OR REPLACE TRIGGER {schema}_note_update AFTER UPDATE ON /* table */
REFERENCING OLD TABLE AS skene_old NEW TABLE AS skene_new FOR EACH STATEMENT
EXECUTE FUNCTION {schema}_outbox.note('/* how */');

-- name: note_delete
CREATE OR REPLACE TRIGGER {schema}_note_delete AFTER DELETE ON /* table */
REFERENCING OLD TABLE AS skene_old FOR EACH STATEMENT EXECUTE FUNCTION {schema}_outbox.note('/* how */');

-- name: grant_schema
GRANT USAGE ON SCHEMA {schema}_outbox TO /* role */;

-- name: grant_table
GRANT SELECT, DELETE ON {schema}_outbox.changes TO /* role */;

-- name: drop_insert
DROP TRIGGER IF EXISTS {schema}_note_insert ON /* table */;

-- name: drop_update
DROP TRIGGER IF EXISTS {schema}_note_update ON /* table */;

-- name: drop_delete
DROP TRIGGER IF EXISTS {schema}_note_delete ON /* table */;

-- name: noted
-- Which tables are noted, and which changes of them.
SELECT format('%%s.%%s', n.nspname, c.relname) AS table,
       array_agg(replace(t.tgname, %(schema)s || '_note_', '') ORDER BY t.tgname) AS ops
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_namespace o ON o.oid = p.pronamespace AND o.nspname = %(schema)s || '_outbox'
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal GROUP BY 1 ORDER BY 1;

-- name: drop_all
-- When no table is noted any more.
DROP SCHEMA IF EXISTS {schema}_outbox CASCADE;

-- name: there
-- Whether there is one, and whether this role may empty it.
SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
       AND has_table_privilege(c.oid, 'DELETE') AS ours
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s || '_outbox' AND c.relname = 'changes';

-- name: fetch
SELECT change_no, event_id::text, op, at, changed, jsonb_build_object('old', old, 'new', new)::text
FROM {schema}_outbox.changes ORDER BY change_no LIMIT %(most)s;

-- name: fetched
-- By number: what committed late with a lower one stays for the next time.
DELETE FROM {schema}_outbox.changes WHERE change_no = ANY (%(numbers)s::bigint[]);
