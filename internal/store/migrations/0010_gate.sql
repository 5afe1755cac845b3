-- +goose Up

-- What keeps builds off agents that are not clean: '' = labels alone, 'gate' = a gate was seen, 'leaving' = it is about to be
-- removed. Since when it does not answer or is to be removed, and why it does not answer: what was told once is not told again.
ALTER TABLE controller ADD COLUMN gate TEXT NOT NULL DEFAULT '';
ALTER TABLE controller ADD COLUMN gate_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE controller ADD COLUMN gate_problem TEXT NOT NULL DEFAULT '';

-- Builds are looked for by what they used: each is the proof that its agent was clean.
CREATE INDEX attempt_used ON attempt (used_by) WHERE used_by <> '';
