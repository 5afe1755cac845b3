-- name: InsertEvent :exec
INSERT INTO event (type, at, actor, subject, controller, agent, pool, attempt, before, after, reason, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: Cursor :one
SELECT after FROM event_cursor WHERE reader = $1;

-- name: SaveCursor :exec
INSERT INTO event_cursor (reader, after) VALUES ($1, $2)
ON CONFLICT (reader) DO UPDATE SET after = excluded.after;
