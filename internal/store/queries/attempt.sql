-- name: Attempt :one
SELECT * FROM attempt WHERE controller = $1 AND agent = $2 AND number = $3;

-- name: NewestAttempts :many
SELECT t.* FROM attempt t JOIN agent a ON a.controller = t.controller AND a.name = t.agent AND a.attempt = t.number;

-- name: InsertAttempt :exec
INSERT INTO attempt (controller, agent, number, nonce, pool, recipe, revision, need, delivery, session,
    claimed, handed, started, ended, proved, reconnect, asked, outcome, reason, step, run, began, lost, used_by, depth)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25);

-- name: UpdateAttempt :execrows
UPDATE attempt SET pool = $5, recipe = $6, revision = $7, need = $8, delivery = $9, session = $10,
    claimed = $11, handed = $12, started = $13, ended = $14, proved = $15, reconnect = $16, asked = $17,
    outcome = $18, reason = $19, step = $20, run = $21, began = $22, lost = $23, used_by = $24, depth = $25
WHERE controller = $1 AND agent = $2 AND number = $3 AND nonce = $4;

-- An attempt that goes on changes no column that an index has: those stay as they are, and their pages with them.
-- name: ProceedAttempt :execrows
UPDATE attempt SET recipe = $5, revision = $6, need = $7, delivery = $8, session = $9, claimed = $10, handed = $11, started = $12,
    proved = $13, reconnect = $14, asked = $15, outcome = $16, reason = $17, step = $18, run = $19, began = $20, lost = $21, depth = $22
WHERE controller = $1 AND agent = $2 AND number = $3 AND nonce = $4;

-- name: NameUse :execrows
UPDATE attempt SET used_by = $4
WHERE attempt.controller = $1 AND attempt.agent = $2 AND attempt.number = $3 AND used_by = '' AND lost > 0
    AND attempt.number < (SELECT a.attempt FROM agent a WHERE a.controller = $1 AND a.name = $2);

-- name: UsedBy :many
SELECT * FROM attempt WHERE used_by = $1 ORDER BY id DESC LIMIT 100;

-- name: EndedSince :many
SELECT controller, agent, revision, need, step, outcome, claimed, ended FROM attempt
WHERE pool = $1 AND ended > 0 AND ended >= $2 AND outcome IN ('cleaned', 'failed')
ORDER BY ended, id;

-- name: SaveReport :execrows
INSERT INTO report (controller, agent, number, report, log)
SELECT a.controller, a.agent, a.number, CAST(sqlc.arg(report) AS TEXT), CAST(sqlc.arg(log) AS TEXT) FROM attempt a
WHERE a.controller = sqlc.arg(controller) AND a.agent = sqlc.arg(agent) AND a.number = sqlc.arg(number)
ON CONFLICT (controller, agent, number) DO UPDATE SET report = excluded.report, log = excluded.log;

-- name: Report :one
SELECT report, log FROM report WHERE controller = $1 AND agent = $2 AND number = $3;
