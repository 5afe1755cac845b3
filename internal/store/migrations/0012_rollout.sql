-- +goose Up

-- The newest rollout of each pool that has any. Plan, canaries and told are JSON. Version is compared when it is written.
CREATE TABLE rollout (
    pool          TEXT   NOT NULL PRIMARY KEY,
    number        BIGINT NOT NULL, -- of the pool's rollouts; 0: none yet, the pool pins from_revision
    from_revision TEXT   NOT NULL,
    to_revision   TEXT   NOT NULL,
    salt          TEXT   NOT NULL,
    plan          TEXT   NOT NULL,
    stage         TEXT   NOT NULL,
    step          BIGINT NOT NULL,
    before        TEXT   NOT NULL,
    since         BIGINT NOT NULL,
    canaries      TEXT   NOT NULL,
    bound         BIGINT NOT NULL,
    started       BIGINT NOT NULL,
    actor         TEXT   NOT NULL,
    reason        TEXT   NOT NULL,
    told          TEXT   NOT NULL, -- what was blamed and acted upon, by the newest failure that it rested on
    version       BIGINT NOT NULL
);

-- What rehearsals came to, the newest of each revision.
CREATE TABLE rehearsal (
    pool     TEXT   NOT NULL,
    revision TEXT   NOT NULL,
    passed   BIGINT NOT NULL,
    report   TEXT   NOT NULL,
    actor    TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (pool, revision)
);

-- Compiled recipes that a rollout or an attempt in progress refers to.
CREATE TABLE program (
    revision TEXT   NOT NULL PRIMARY KEY,
    recipe   TEXT   NOT NULL,
    disjoint BIGINT NOT NULL,
    body     TEXT   NOT NULL -- gzip in base64
);

-- How the builds ended that took the cleanliness which attempts gave, where a rollout wants to know; '' = nobody can tell.
CREATE TABLE use_result (
    controller TEXT   NOT NULL,
    agent      TEXT   NOT NULL,
    number     BIGINT NOT NULL,
    pool       TEXT   NOT NULL,
    revision   TEXT   NOT NULL, -- that had made the agent clean
    result     TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (controller, agent, number),
    FOREIGN KEY (controller, agent, number) REFERENCES attempt (controller, agent, number) ON DELETE CASCADE
);
CREATE INDEX use_result_at ON use_result (pool, at);
CREATE INDEX attempt_pool_used ON attempt (pool, lost) WHERE used_by <> '';
