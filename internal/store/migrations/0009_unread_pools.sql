-- +goose Up

ALTER TABLE pool ADD COLUMN unread_since BIGINT NOT NULL DEFAULT 0; -- when people were told that builds of its agents are unknown; 0 = they are not
