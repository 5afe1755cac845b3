-- What is looked for is read beside the work; what is found is removed in small transactions, so
-- that no change waits long behind it.

-- The events are in the order of time but for clock steps: everything before the first young one
-- goes. The newest stays, so that no number is given twice.
-- name: FirstYoungEvent :one
SELECT CAST(coalesce(
    (SELECT y.id FROM event y WHERE y.at >= sqlc.arg(cutoff) ORDER BY y.id LIMIT 1),
    (SELECT max(z.id) FROM event z), 0) AS BIGINT);

-- name: PurgeEvents :execrows
DELETE FROM event WHERE id IN (SELECT e.id FROM event e WHERE e.id < sqlc.arg(first) ORDER BY e.id LIMIT sqlc.arg(n));

-- An agent's newest attempt stays, whatever its age, and one whose cleanliness lasted until then: builds are judged by it.
-- name: OldAttempts :many
SELECT t.id FROM attempt t JOIN agent a ON a.controller = t.controller AND a.name = t.agent
WHERE t.id > sqlc.arg(after) AND t.ended > 0 AND t.ended < sqlc.arg(cutoff) AND t.lost < sqlc.arg(cutoff) AND t.number < a.attempt
ORDER BY t.id LIMIT sqlc.arg(n);

-- name: DeleteAttempt :exec
DELETE FROM attempt WHERE id = $1;

-- name: OldLogs :many
SELECT t.id, t.controller, t.agent, t.number FROM attempt t
JOIN agent a ON a.controller = t.controller AND a.name = t.agent
JOIN report r ON r.controller = t.controller AND r.agent = t.agent AND r.number = t.number
WHERE t.id > sqlc.arg(after) AND t.ended > 0 AND t.ended < sqlc.arg(cutoff) AND t.number < a.attempt AND r.log <> ''
ORDER BY t.id LIMIT sqlc.arg(n);

-- name: DeleteLog :exec
UPDATE report SET log = '' WHERE controller = $1 AND agent = $2 AND number = $3;

-- name: PurgeBuilds :execrows
DELETE FROM build WHERE (controller, agent, url) IN (
    SELECT b.controller, b.agent, b.url FROM build b WHERE b.at < sqlc.arg(cutoff)
    ORDER BY b.at LIMIT sqlc.arg(n));
