-- +goose Up

-- The loan that an agent is on, as JSON; '' = none.
ALTER TABLE agent ADD COLUMN loan TEXT NOT NULL DEFAULT '';

-- Loans. The body is all of one, as JSON; the columns are what is looked for. Owing: a node of it is left at the borrower.
-- Sealed is the secret of the borrower's node, where the borrower made it, encrypted with a key that is not in this file; it
-- is wiped when the loan ends.
CREATE TABLE loan (
    id TEXT NOT NULL PRIMARY KEY,
    borrower TEXT NOT NULL,
    state TEXT NOT NULL,
    controller TEXT NOT NULL,
    agent TEXT NOT NULL,
    requested BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    owing BIGINT NOT NULL,
    sealed TEXT NOT NULL,
    body TEXT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX loan_open ON loan (requested) WHERE ended = 0 OR owing = 1;

-- Whose loans a token may ask for and see; '' = it is not bound to one.
ALTER TABLE token ADD COLUMN borrower TEXT NOT NULL DEFAULT '';
