-- What `skene-airflow hasura` asks and makes in the ledger's database.

-- name: relations
SELECT c.relname::text AS name FROM pg_catalog.pg_class c
WHERE c.relnamespace = to_regnamespace(%(schema)s) AND c.relkind IN ('r', 'v');

-- name: view_of_people
-- Joins from the app's key to the ledger go by its primary key; an index on (key::text) serves the other direction.
CREATE OR REPLACE VIEW {view} AS SELECT {columns} FROM {people} p;

-- name: drop_view
DROP VIEW IF EXISTS {view};

-- name: row_triggers
-- Hasura's own are named notify_hasura_<trigger>_<operation>; 16 is the bit of UPDATE.
SELECT g.tgname::text AS name FROM pg_catalog.pg_trigger g
JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND NOT g.tgisinternal AND g.tgtype & 16 <> 0
  AND g.tgname LIKE 'notify_hasura%%'
ORDER BY 1;
