-- name: Rollouts :many
SELECT * FROM rollout ORDER BY pool;

-- name: InsertRollout :execrows
INSERT INTO rollout (pool, number, from_revision, to_revision, salt, plan, stage, step, before, since, canaries, bound,
    started, actor, reason, told, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT DO NOTHING;

-- name: UpdateRollout :execrows
UPDATE rollout SET number = $2, from_revision = $3, to_revision = $4, salt = $5, plan = $6, stage = $7, step = $8, before = $9,
    since = $10, canaries = $11, bound = $12, started = $13, actor = $14, reason = $15, told = $16, version = $17
WHERE pool = $1 AND version = $17 - 1;

-- name: DeleteRollout :execrows
DELETE FROM rollout WHERE pool = $1 AND version = $2;

-- name: SaveProgram :exec
INSERT INTO program (revision, recipe, disjoint, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: Program :one
SELECT * FROM program WHERE revision = $1;

-- name: ProgramsLike :many
SELECT revision FROM program WHERE substr(revision, 1, length(CAST(sqlc.arg(prefix) AS TEXT))) = sqlc.arg(prefix) ORDER BY revision LIMIT 2;

-- What nothing refers to any more.
-- name: PurgePrograms :execrows
DELETE FROM program WHERE NOT EXISTS (SELECT 1 FROM rollout r WHERE program.revision IN (r.from_revision, r.to_revision))
    AND NOT EXISTS (SELECT 1 FROM attempt t WHERE t.ended = 0 AND t.revision = program.revision);

-- name: SaveRehearsal :exec
INSERT INTO rehearsal (pool, revision, passed, report, actor, at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (pool, revision) DO UPDATE SET passed = excluded.passed, report = excluded.report, actor = excluded.actor, at = excluded.at;

-- name: Rehearsal :one
SELECT * FROM rehearsal WHERE pool = $1 AND revision = $2;

-- name: PurgeRehearsals :execrows
DELETE FROM rehearsal WHERE at < sqlc.arg(cutoff)
    AND NOT EXISTS (SELECT 1 FROM rollout r WHERE r.pool = rehearsal.pool AND r.to_revision = rehearsal.revision);

-- The newest first: of the old ones only a few are wanted.
-- name: OpenUses :many
SELECT t.controller, t.agent, t.number, t.used_by, t.lost, CAST(coalesce((
    SELECT x.revision FROM attempt x WHERE x.controller = t.controller AND x.agent = t.agent AND x.number <= t.number
        AND x.need = 'cleanup' AND x.outcome = 'cleaned' ORDER BY x.number DESC LIMIT 1), '') AS TEXT) AS revision
FROM attempt t
WHERE t.pool = sqlc.arg(pool) AND t.used_by <> '' AND t.lost >= sqlc.arg(since) AND t.lost < sqlc.arg(until) AND t.controller = sqlc.arg(controller)
    AND NOT EXISTS (SELECT 1 FROM use_result r WHERE r.controller = t.controller AND r.agent = t.agent AND r.number = t.number)
ORDER BY t.lost DESC, t.agent LIMIT sqlc.arg(n);

-- name: SaveUseResult :exec
INSERT INTO use_result (controller, agent, number, pool, revision, result, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (controller, agent, number) DO UPDATE SET result = excluded.result, at = excluded.at;

-- name: UseResults :many
SELECT * FROM use_result WHERE pool = $1 AND at >= $2 ORDER BY at, controller, agent, number;

-- The revision that an agent was last cleaned with: an attempt that only verified made it no cleaner.
-- name: CleanedWith :one
SELECT revision FROM attempt WHERE controller = $1 AND agent = $2 AND number <= $3 AND need = 'cleanup' AND outcome = 'cleaned'
ORDER BY number DESC LIMIT 1;
