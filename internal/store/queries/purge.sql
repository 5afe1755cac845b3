-- Each statement deletes at most n rows, so that no change waits long behind it.

-- The events are in the order of time but for clock steps: everything before the first young one
-- goes. The newest stays, so that no number is given twice.
-- name: PurgeEvents :execrows
DELETE FROM event WHERE id IN (
    SELECT e.id FROM event e
    WHERE e.id < coalesce((SELECT y.id FROM event y WHERE y.at >= sqlc.arg(cutoff) ORDER BY y.id LIMIT 1),
        (SELECT max(z.id) FROM event z))
    ORDER BY e.id LIMIT sqlc.arg(n));

-- name: PurgeAttempts :execrows
DELETE FROM attempt WHERE id IN (
    SELECT t.id FROM attempt t JOIN agent a ON a.controller = t.controller AND a.name = t.agent
    WHERE t.ended > 0 AND t.ended < sqlc.arg(cutoff) AND t.number < a.attempt
    ORDER BY t.id LIMIT sqlc.arg(n));

-- name: PurgeLogs :execrows
UPDATE report SET log = '' WHERE log <> '' AND (controller, agent, number) IN (
    SELECT r.controller, r.agent, r.number FROM report r
    JOIN attempt t ON t.controller = r.controller AND t.agent = r.agent AND t.number = r.number
    JOIN agent a ON a.controller = t.controller AND a.name = t.agent
    WHERE r.log <> '' AND t.ended > 0 AND t.ended < sqlc.arg(cutoff) AND t.number < a.attempt
    LIMIT sqlc.arg(n));

-- name: PurgeBuilds :execrows
DELETE FROM build WHERE (controller, agent, url) IN (
    SELECT b.controller, b.agent, b.url FROM build b WHERE b.at < sqlc.arg(cutoff)
    ORDER BY b.at LIMIT sqlc.arg(n));
