-- What providers told of mails, each event once. No addresses: an event names a delivery, or nobody.

CREATE TABLE {schema}.events (
    provider text NOT NULL,
    event_id text NOT NULL,
    type text NOT NULL,
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivery_id bigint,
    provider_message_id text,
    proves_sent boolean NOT NULL DEFAULT false,
    soft_bounce boolean NOT NULL DEFAULT false,
    PRIMARY KEY (provider, event_id)
);
COMMENT ON COLUMN {schema}.events.delivery_id IS 'The delivery of this ledger that it is about, if it is about one.';
CREATE INDEX events_delivery ON {schema}.events (delivery_id) WHERE delivery_id IS NOT NULL;
