-- name: Self :one
SELECT * FROM store WHERE id = 1;

-- name: CountStart :one
UPDATE store SET starts = starts + 1 WHERE id = 1 RETURNING starts;

-- name: SetEpoch :exec
UPDATE store SET epoch = $1, copied = 0 WHERE id = 1;
