-- name: Build :one
SELECT * FROM build WHERE controller = $1 AND agent = $2 AND url = $3;

-- What is known to a build's disadvantage stays.
-- name: SaveBuild :exec
INSERT INTO build (controller, agent, url, job, number, at, attempt, contaminated, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (controller, agent, url) DO UPDATE SET job = excluded.job, number = excluded.number, at = excluded.at,
    attempt = CASE WHEN build.contaminated <> 0 THEN build.attempt ELSE excluded.attempt END,
    reason = CASE WHEN build.contaminated <> 0 THEN build.reason ELSE excluded.reason END,
    contaminated = CASE WHEN build.contaminated <> 0 THEN build.contaminated ELSE excluded.contaminated END;

-- name: Feed :one
SELECT asked, newest FROM feed WHERE controller = $1 AND agent = $2;

-- name: SaveFeed :exec
INSERT INTO feed (controller, agent, asked, newest) VALUES ($1, $2, $3, $4)
ON CONFLICT (controller, agent) DO UPDATE SET asked = excluded.asked, newest = excluded.newest;

-- name: UnreadFeeds :many
SELECT controller, agent, unread_since, unread_last, unread_told FROM feed WHERE unread_since > 0 AND controller = $1;

-- name: SaveUnread :exec
INSERT INTO feed (controller, agent, asked, newest, unread_since, unread_last, unread_told) VALUES ($1, $2, 0, 0, $3, $4, $5)
ON CONFLICT (controller, agent) DO UPDATE SET
    unread_since = excluded.unread_since, unread_last = excluded.unread_last, unread_told = excluded.unread_told;
