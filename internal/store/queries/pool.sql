-- name: Breakers :many
SELECT * FROM breaker ORDER BY pool, revision;

-- name: SaveBreaker :exec
INSERT INTO breaker (pool, revision, opened, since, reason) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (pool, revision) DO UPDATE SET opened = excluded.opened, since = excluded.since, reason = excluded.reason;

-- name: Pool :one
SELECT * FROM pool WHERE name = $1;

-- name: SavePool :exec
INSERT INTO pool (name, last_cleaned, dead_since, short_since, stuck_since, unread_since) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE SET last_cleaned = excluded.last_cleaned, dead_since = excluded.dead_since,
    short_since = excluded.short_since, stuck_since = excluded.stuck_since, unread_since = excluded.unread_since;

-- name: Contamination :one
SELECT * FROM contamination WHERE pool = $1;

-- name: SaveContamination :exec
INSERT INTO contamination (pool, since, newest, builds) VALUES ($1, $2, $3, $4)
ON CONFLICT (pool) DO UPDATE SET newest = excluded.newest, builds = excluded.builds;

-- name: EndContamination :execrows
DELETE FROM contamination WHERE pool = $1 AND newest = $2;
