-- Steps that come after another: who is due, and since when.

ALTER TABLE {schema}.stage ADD COLUMN due boolean;
COMMENT ON COLUMN {schema}.stage.due IS 'False for whom a step that follows another comes too early, too late, or not at all.';

-- Rows lie about in the order in which they are sent, so a summary of each range of pages finds the few of some days
-- among those of a year; and unlike a B-tree it leaves settling a batch as cheap as it is (since PostgreSQL 16).
CREATE INDEX deliveries_sent ON {schema}.deliveries USING brin (sent_at)
    WITH (pages_per_range = 32, autosummarize = on);
