-- +goose Up

-- What is compared with the starts of builds is of the controller's clock: adopted, began, lost.
ALTER TABLE agent ADD COLUMN adopted BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN began BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN lost BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN used_by TEXT NOT NULL DEFAULT '';
ALTER TABLE controller ADD COLUMN clock_ahead BIGINT NOT NULL DEFAULT 0; -- of ours, in milliseconds

ALTER TABLE agent ADD COLUMN mark TEXT NOT NULL DEFAULT ''; -- of a node monitor, lifted and owed

-- Pools in which contaminated builds are found; a row lasts until there were none for long enough.
CREATE TABLE contamination (
    pool   TEXT   PRIMARY KEY,
    since  BIGINT NOT NULL,
    newest BIGINT NOT NULL, -- when the newest was found
    builds BIGINT NOT NULL
);
