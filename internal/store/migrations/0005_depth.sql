-- +goose Up

-- How deep a person wants an agent cleaned, until that succeeded, and how deep each attempt was to clean.
ALTER TABLE agent ADD COLUMN depth TEXT NOT NULL DEFAULT ''; -- '' = as its pool has it
ALTER TABLE attempt ADD COLUMN depth TEXT NOT NULL DEFAULT ''; -- '' = not recorded
