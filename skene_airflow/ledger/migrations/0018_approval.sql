-- What somebody was asked about a run before anybody was claimed, and what they said.

ALTER TABLE {schema}.runs ADD COLUMN approval jsonb;
COMMENT ON COLUMN {schema}.runs.approval IS 'How many people would get mail, above which number somebody is asked, '
    'the counts that are shown, whom the samples are made of (by number), and the answer.';
