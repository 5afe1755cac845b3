-- +goose Up

-- What tells the machines of clones apart: the name of the host, and the boots that were seen of it.
ALTER TABLE agent ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE agent ADD COLUMN boots TEXT NOT NULL DEFAULT '';
