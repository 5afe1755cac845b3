-- +goose Up

-- An agent whose labels cannot be written: since when, and why.
ALTER TABLE agent ADD COLUMN stuck TEXT NOT NULL DEFAULT '';
ALTER TABLE pool ADD COLUMN stuck_since BIGINT NOT NULL DEFAULT 0; -- when people were told of the first; 0 = there is none
