-- name: Controller :one
SELECT * FROM controller WHERE id = $1;

-- name: Controllers :many
SELECT * FROM controller ORDER BY id;

-- name: SaveController :exec
INSERT INTO controller (id, url, session, session_since, version, last_sweep, problem, clock_ahead, gate, gate_since, gate_problem)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (id) DO UPDATE SET url = excluded.url, session = excluded.session,
    session_since = excluded.session_since, version = excluded.version,
    last_sweep = excluded.last_sweep, problem = excluded.problem, clock_ahead = excluded.clock_ahead,
    gate = excluded.gate, gate_since = excluded.gate_since, gate_problem = excluded.gate_problem;
