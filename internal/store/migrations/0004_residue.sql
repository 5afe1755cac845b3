-- +goose Up

-- What cleanups found that did not belong, a row for what one build left of one kind. It goes with
-- its attempt.
CREATE TABLE residue (
    id         INTEGER PRIMARY KEY,
    controller TEXT   NOT NULL,
    agent      TEXT   NOT NULL,
    number     BIGINT NOT NULL, -- of the attempt
    pool       TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    job        TEXT   NOT NULL, -- '' = nobody can tell
    build      BIGINT NOT NULL,
    evidence   TEXT   NOT NULL,
    suspects   TEXT   NOT NULL, -- builds of which one is to blame, as JSON
    things     BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    oldest     BIGINT NOT NULL, -- age in milliseconds
    example    TEXT   NOT NULL,
    FOREIGN KEY (controller, agent, number) REFERENCES attempt (controller, agent, number) ON DELETE CASCADE
);
CREATE INDEX residue_attempt ON residue (controller, agent, number);
CREATE INDEX residue_at ON residue (at);
CREATE INDEX residue_job ON residue (controller, job, at);
