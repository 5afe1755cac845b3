-- name: Slots :many
SELECT * FROM slot WHERE controller = $1 ORDER BY job;

-- name: SaveSlot :exec
INSERT INTO slot (controller, job, digest, content, pending, refused, agent, attempt) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (controller, job) DO UPDATE SET digest = excluded.digest, content = excluded.content, pending = excluded.pending,
    refused = excluded.refused, agent = excluded.agent, attempt = excluded.attempt;
