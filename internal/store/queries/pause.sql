-- name: Pauses :many
SELECT * FROM pause ORDER BY scope;

-- name: SavePause :exec
INSERT INTO pause (scope, reason, actor, since, until) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (scope) DO UPDATE SET reason = excluded.reason, actor = excluded.actor,
    since = excluded.since, until = excluded.until;

-- name: DeletePause :execrows
DELETE FROM pause WHERE scope = $1;
