-- name: InsertResidue :exec
INSERT INTO residue (controller, agent, number, pool, at, kind, job, build, evidence, suspects, things, bytes, oldest, example)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: DeleteResidue :exec
DELETE FROM residue WHERE controller = $1 AND agent = $2 AND number = $3;

-- name: Unexplained :one
SELECT count(*) FROM residue WHERE controller = $1 AND agent = $2 AND number = $3 AND job = '';
