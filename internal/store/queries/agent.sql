-- name: Agents :many
SELECT * FROM agent ORDER BY controller, name;

-- name: InsertAgent :execrows
INSERT INTO agent (controller, name, pool, state, since, need, reason, attempt, epoch, failures,
    next_look, last_served, last_cleaned, labels_at, settled, machine, quarantine, hold, used, version, adopted, mark, depth, stuck, host, boots, loan)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)
ON CONFLICT DO NOTHING;

-- name: UpdateAgent :execrows
UPDATE agent SET pool = $3, state = $4, since = $5, need = $6, reason = $7, attempt = $8, epoch = $9,
    failures = $10, next_look = $11, last_served = $12, last_cleaned = $13, labels_at = $14,
    settled = $15, machine = $16, quarantine = $17, hold = $18, used = $19, version = $20, adopted = $21, mark = $22, depth = $23, stuck = $24,
    host = $25, boots = $26, loan = $27
WHERE controller = $1 AND name = $2 AND version = $20 - 1;
