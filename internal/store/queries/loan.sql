-- name: InsertLoan :execrows
INSERT INTO loan (id, borrower, state, controller, agent, requested, ended, owing, sealed, body, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING;

-- name: UpdateLoan :execrows
UPDATE loan SET borrower = $2, state = $3, controller = $4, agent = $5, requested = $6, ended = $7, owing = $8,
    body = $9, version = $10
WHERE id = $1 AND version = $10 - 1;

-- name: WipeSecret :exec
UPDATE loan SET sealed = '' WHERE id = $1;

-- name: Loan :one
SELECT * FROM loan WHERE id = $1;

-- Of those that are over only the ones with a node left at the borrower.
-- name: OpenLoans :many
SELECT * FROM loan WHERE ended = 0 OR owing = 1 ORDER BY requested, id;

-- name: SealedSecret :one
SELECT sealed FROM loan WHERE id = $1;

-- name: PurgeLoans :execrows
DELETE FROM loan WHERE id IN (SELECT l.id FROM loan l WHERE l.ended > 0 AND l.owing = 0 AND l.ended < sqlc.arg(cutoff) ORDER BY l.ended LIMIT sqlc.arg(n));
