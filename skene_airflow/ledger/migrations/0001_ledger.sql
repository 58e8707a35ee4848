-- The ledger as it began: what was decided, what must leave, what left. Append-only: later changes are later files.

CREATE TABLE {schema}.meta (
    key text PRIMARY KEY,
    value bytea NOT NULL
);
COMMENT ON TABLE {schema}.meta IS 'Facts of this installation that never change, such as the key that hides addresses.';

-- Two random UUIDs hold 244 random bits; gen_random_uuid is the one strong source that needs no extension.
INSERT INTO {schema}.meta (key, value)
VALUES ('address_key', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

CREATE TABLE {schema}.runs (
    run_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loop_id text NOT NULL,
    step_id text NOT NULL,
    run_id text NOT NULL,
    run_type text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'redirect', 'shadow')),
    as_of timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    loop_version text NOT NULL,
    template_no integer,
    columns jsonb NOT NULL DEFAULT '{}',
    candidates bigint,
    duplicate_rows bigint,
    verdicts jsonb,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    staged_at timestamptz,
    decided_at timestamptz,
    finished_at timestamptz,
    UNIQUE (loop_id, step_id, run_id)
);
COMMENT ON TABLE {schema}.runs IS 'One row for each step of each loop run, with its counts.';

-- Every run copies this shape to a table of its own (stage_<run_no>), and drops it once its people are judged:
-- an audience leaves no dead rows behind, and the person's values live in it for minutes.
CREATE TABLE {schema}.stage (
    n bigint,
    user_key text,
    entry_key text,
    address text,
    timezone text,
    locale text,
    vars jsonb
);

CREATE TABLE {schema}.templates (
    template_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 text NOT NULL UNIQUE,
    content text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {schema}.templates IS 'What a run says, as it was when the audience was decided.';

-- No foreign keys from the bulk tables to runs, batches and templates: rows of those three are never deleted while
-- they are named, all writers live in this package, and the per-row check would double the cost of a claim.
CREATE TABLE {schema}.deliveries (
    loop_id text NOT NULL,
    step_id text NOT NULL,
    user_key text NOT NULL,
    entry_key text NOT NULL,
    delivery_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    run_no bigint NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'redirect')),
    segment text NOT NULL,
    variant text,
    status text NOT NULL CHECK (status IN ('queued', 'sent', 'failed', 'uncertain', 'abandoned', 'expired',
                                           'cancelled', 'held_out', 'existing')),
    reason text,
    template_no integer,
    batch_id bigint,
    pos bigint NOT NULL,
    address text,
    address_hmac bytea NOT NULL,
    timezone text,
    locale text,
    vars jsonb,
    provider_message_id text,
    error_class text,
    error_detail text,
    queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    settled_at timestamptz,
    delivered_at timestamptz,
    opened_at timestamptz,
    clicked_at timestamptz,
    bounced_at timestamptz,
    complained_at timestamptz,
    unsubscribed_at timestamptz,
    PRIMARY KEY (loop_id, step_id, user_key, entry_key),
    CHECK ((status IN ('held_out', 'existing')) = (batch_id IS NULL)),
    CHECK ((status = 'sent') = (sent_at IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE {schema}.deliveries IS 'One message to one recipient: the primary key is what "once" means. '
    'A row whose batch is being sent is stored as queued; deliveries_v shows it as sending or uncertain.';

-- status stands in no index, so that settling a batch rewrites no index entry (heap-only updates).
CREATE INDEX deliveries_batch ON {schema}.deliveries (run_no, batch_id);
CREATE INDEX deliveries_address ON {schema}.deliveries (address_hmac, loop_id, step_id, entry_key);

CREATE FUNCTION {schema}.refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a delivery never goes from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
END $$;

-- The test stands in WHEN, so that a lawful update never calls the function.
CREATE TRIGGER deliveries_transition BEFORE UPDATE OF status ON {schema}.deliveries FOR EACH ROW
WHEN (OLD.status <> NEW.status AND NOT (OLD.status, NEW.status) IN (
    ('queued', 'sent'), ('queued', 'failed'), ('queued', 'uncertain'), ('queued', 'expired'), ('queued', 'cancelled'),
    ('uncertain', 'sent'), ('uncertain', 'queued'), ('uncertain', 'abandoned'),
    ('expired', 'queued'), ('expired', 'held_out'), ('expired', 'existing'),
    ('cancelled', 'queued'), ('cancelled', 'held_out'), ('cancelled', 'existing')))
EXECUTE FUNCTION {schema}.refuse_transition();

CREATE TABLE {schema}.batches (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_no bigint NOT NULL,
    loop_id text NOT NULL,
    step_id text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'redirect')),
    provider text NOT NULL,
    ordinal bigint NOT NULL,
    shard smallint NOT NULL,
    members integer NOT NULL,
    expires_at timestamptz NOT NULL,
    idem_key text NOT NULL UNIQUE CHECK (length(idem_key) <= 256),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'sending', 'done')),
    in_doubt boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz,
    lease_token uuid,
    lease_until timestamptz,
    member_ids bigint[],
    body bytea,
    body_sha256 bytea,
    frozen_at timestamptz,
    first_post_at timestamptz,
    settled_at timestamptz,
    error_class text,
    CHECK ((status = 'sending') = (lease_token IS NOT NULL)),
    CHECK (status <> 'sending' OR (body IS NOT NULL AND member_ids IS NOT NULL))
);
COMMENT ON TABLE {schema}.batches IS 'The rows of one provider call: its body is frozen before the first call, '
    'its key goes to the provider, its lease says who may send it.';
CREATE INDEX batches_open ON {schema}.batches (loop_id, step_id, mode, batch_id) WHERE status <> 'done';

CREATE TABLE {schema}.decisions (
    run_no bigint NOT NULL,
    n bigint NOT NULL,
    user_key text,
    entry_key text NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('send', 'skip', 'hold_out')),
    reason text,
    segment text,
    variant text,
    outcome text CHECK (outcome IN ('expired', 'cancelled')),
    PRIMARY KEY (run_no, n),
    CHECK ((verdict = 'skip') = (reason IS NOT NULL))
);
COMMENT ON COLUMN {schema}.decisions.outcome IS 'How the row of this run ended when a later run took it over.';
CREATE INDEX decisions_person ON {schema}.decisions (user_key, run_no);

CREATE TABLE {schema}.suppressions (
    suppression_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address_hmac bytea,
    user_key text,
    scope text NOT NULL CHECK (scope IN ('all', 'marketing') OR scope LIKE 'topic:%'),
    reason text NOT NULL CHECK (reason IN ('bounced', 'complained', 'unsubscribed', 'erased', 'manual')),
    source text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (address_hmac IS NOT NULL OR user_key IS NOT NULL)
);
CREATE UNIQUE INDEX suppressions_once ON {schema}.suppressions (address_hmac, user_key, scope, reason)
    NULLS NOT DISTINCT;
CREATE INDEX suppressions_person ON {schema}.suppressions (user_key) WHERE user_key IS NOT NULL;
