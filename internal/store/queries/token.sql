-- name: Tokens :many
SELECT * FROM token ORDER BY name;

-- name: InsertToken :execrows
INSERT INTO token (name, role, hash, created, borrower) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING;

-- name: DeleteToken :execrows
DELETE FROM token WHERE name = $1;
