-- Claims write less. Nobody asks for a decision by its place in the audience, only for those of a run or a person. The
-- key of a delivery begins with the person, so that it also finds whatever a person got. An address has few deliveries:
-- to look at each of them costs less than an index that names their loops.

ALTER TABLE {schema}.decisions DROP CONSTRAINT decisions_pkey;
CREATE INDEX decisions_run ON {schema}.decisions (run_no);

ALTER TABLE {schema}.deliveries DROP CONSTRAINT deliveries_pkey,
    ADD PRIMARY KEY (user_key, loop_id, step_id, entry_key);
DROP INDEX {schema}.deliveries_person;
DROP INDEX {schema}.deliveries_address;
CREATE INDEX deliveries_address ON {schema}.deliveries (address_hmac);

-- A batch is settled as a whole, so that a page must have room for all of its rows twice: then no index is touched, and
-- the table is no larger than one of full pages, which would need new ones.
ALTER TABLE {schema}.deliveries SET (fillfactor = 45);
