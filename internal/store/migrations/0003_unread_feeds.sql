-- +goose Up

-- A build feed that cannot be read: since when, the newest try, and whether people were told.
ALTER TABLE feed ADD COLUMN unread_since BIGINT NOT NULL DEFAULT 0; -- 0 = the newest reading succeeded
ALTER TABLE feed ADD COLUMN unread_last BIGINT NOT NULL DEFAULT 0;
ALTER TABLE feed ADD COLUMN unread_told BIGINT NOT NULL DEFAULT 0;
