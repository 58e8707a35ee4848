-- Messages in the app: one row for each delivery, put there in the transaction that settles it.

CREATE TABLE {schema}.inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_key text NOT NULL,
    loop_id text NOT NULL,
    step_id text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    link text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    read_at timestamptz,
    delivery_id bigint NOT NULL UNIQUE
);
COMMENT ON TABLE {schema}.inbox IS 'What the app shows to its people: plain texts. The app itself writes read_at, and nothing else.';
CREATE INDEX inbox_person ON {schema}.inbox (user_key, id);
CREATE INDEX inbox_age ON {schema}.inbox (created_at);

-- Reading is what opening is of a mail. The app's role may write read_at and nothing of the ledger, hence DEFINER.
CREATE FUNCTION {schema}.inbox_read() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE {schema}.deliveries SET opened_at = least(NEW.read_at, clock_timestamp())
    WHERE delivery_id = NEW.delivery_id AND opened_at IS NULL;
    RETURN NULL;
END $$;

CREATE TRIGGER inbox_read AFTER UPDATE OF read_at ON {schema}.inbox FOR EACH ROW
WHEN (OLD.read_at IS NULL AND NEW.read_at IS NOT NULL)
EXECUTE FUNCTION {schema}.inbox_read();
