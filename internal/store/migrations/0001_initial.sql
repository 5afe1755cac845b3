-- Only TEXT and BIGINT, in words that SQLite and PostgreSQL both understand; INTEGER PRIMARY KEY
-- is SQLite's own 64-bit row number. Times are milliseconds since 1970 (0 = none), structures are
-- JSON ('' = none), flags are 0 or 1.

-- +goose Up

-- The one row about the database itself.
CREATE TABLE store (
    id     BIGINT PRIMARY KEY CHECK (id = 1),
    epoch  TEXT   NOT NULL,
    starts BIGINT NOT NULL, -- how often it was opened
    copied BIGINT NOT NULL  -- 1: a backup that was never opened
);
INSERT INTO store (id, epoch, starts, copied) VALUES (1, '', 0, 0);

CREATE TABLE agent (
    controller   TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    pool         TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    since        BIGINT NOT NULL,
    need         TEXT   NOT NULL,
    reason       TEXT   NOT NULL,
    attempt      BIGINT NOT NULL,
    epoch        TEXT   NOT NULL,
    failures     BIGINT NOT NULL,
    next_look    BIGINT NOT NULL,
    last_served  BIGINT NOT NULL,
    last_cleaned BIGINT NOT NULL,
    labels_at    BIGINT NOT NULL,
    settled      TEXT   NOT NULL,
    machine      TEXT   NOT NULL,
    quarantine   TEXT   NOT NULL,
    hold         TEXT   NOT NULL,
    used         TEXT   NOT NULL,
    version      BIGINT NOT NULL,
    PRIMARY KEY (controller, name)
);

CREATE TABLE attempt (
    id         INTEGER PRIMARY KEY, -- ascends in the order of claims
    controller TEXT   NOT NULL,
    agent      TEXT   NOT NULL,
    number     BIGINT NOT NULL,
    nonce      TEXT   NOT NULL,
    pool       TEXT   NOT NULL,
    recipe     TEXT   NOT NULL,
    revision   TEXT   NOT NULL,
    need       TEXT   NOT NULL,
    delivery   TEXT   NOT NULL,
    session    TEXT   NOT NULL,
    claimed    BIGINT NOT NULL,
    handed     BIGINT NOT NULL,
    started    BIGINT NOT NULL,
    ended      BIGINT NOT NULL,
    proved     BIGINT NOT NULL,
    reconnect  BIGINT NOT NULL,
    asked      TEXT   NOT NULL,
    outcome    TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    step       TEXT   NOT NULL,
    run        TEXT   NOT NULL,
    UNIQUE (controller, agent, number),
    FOREIGN KEY (controller, agent) REFERENCES agent (controller, name)
);
CREATE INDEX attempt_open ON attempt (controller, agent) WHERE ended = 0;
CREATE INDEX attempt_ended ON attempt (pool, ended) WHERE ended > 0;

-- What an attempt's program said. Apart from the attempt, which is read far more often.
CREATE TABLE report (
    controller TEXT   NOT NULL,
    agent      TEXT   NOT NULL,
    number     BIGINT NOT NULL,
    report     TEXT   NOT NULL,
    log        TEXT   NOT NULL, -- gzip in base64
    PRIMARY KEY (controller, agent, number),
    FOREIGN KEY (controller, agent, number) REFERENCES attempt (controller, agent, number) ON DELETE CASCADE
);

CREATE TABLE event (
    id         INTEGER PRIMARY KEY, -- ascends in the order of commits, as long as the newest is kept
    type       TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    actor      TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    controller TEXT   NOT NULL,
    agent      TEXT   NOT NULL,
    pool       TEXT   NOT NULL,
    attempt    BIGINT NOT NULL,
    before     TEXT   NOT NULL,
    after      TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    data       TEXT   NOT NULL
);
CREATE INDEX event_agent ON event (controller, agent, id);

-- How far each reader of the events has come.
CREATE TABLE event_cursor (
    reader TEXT   PRIMARY KEY,
    after  BIGINT NOT NULL
);

CREATE TABLE controller (
    id            TEXT   PRIMARY KEY,
    url           TEXT   NOT NULL,
    session       TEXT   NOT NULL,
    session_since BIGINT NOT NULL,
    version       TEXT   NOT NULL,
    last_sweep    BIGINT NOT NULL,
    problem       TEXT   NOT NULL
);

CREATE TABLE slot (
    controller TEXT   NOT NULL,
    job        TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    content    TEXT   NOT NULL,
    pending    TEXT   NOT NULL,
    refused    TEXT   NOT NULL,
    agent      TEXT   NOT NULL,
    attempt    BIGINT NOT NULL,
    PRIMARY KEY (controller, job)
);

CREATE TABLE pause (
    scope  TEXT   PRIMARY KEY,
    reason TEXT   NOT NULL,
    actor  TEXT   NOT NULL,
    since  BIGINT NOT NULL,
    until  BIGINT NOT NULL
);

CREATE TABLE breaker (
    pool     TEXT   NOT NULL,
    revision TEXT   NOT NULL,
    opened   BIGINT NOT NULL,
    since    BIGINT NOT NULL,
    reason   TEXT   NOT NULL,
    PRIMARY KEY (pool, revision)
);

CREATE TABLE pool (
    name         TEXT   PRIMARY KEY,
    last_cleaned BIGINT NOT NULL,
    dead_since   BIGINT NOT NULL,
    short_since  BIGINT NOT NULL
);

-- Real builds as the agents' own build feeds tell them, and how far each feed was read.
CREATE TABLE build (
    controller   TEXT   NOT NULL,
    agent        TEXT   NOT NULL,
    url          TEXT   NOT NULL,
    job          TEXT   NOT NULL,
    number       BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    attempt      BIGINT NOT NULL,
    contaminated BIGINT NOT NULL,
    reason       TEXT   NOT NULL,
    PRIMARY KEY (controller, agent, url)
);
CREATE INDEX build_at ON build (at);
CREATE INDEX build_contaminated ON build (at) WHERE contaminated = 1;

CREATE TABLE feed (
    controller TEXT   NOT NULL,
    agent      TEXT   NOT NULL,
    asked      BIGINT NOT NULL,
    newest     BIGINT NOT NULL,
    PRIMARY KEY (controller, agent)
);

CREATE TABLE token (
    name    TEXT   PRIMARY KEY,
    role    TEXT   NOT NULL,
    hash    TEXT   NOT NULL UNIQUE, -- SHA-256 of the secret, in hex; the secret itself is nowhere
    created BIGINT NOT NULL
);
