// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Rollout is a pool's newest rollout, with what was done about the blames that its evidence led to.
type Rollout struct {
	rollout.Rollout
	// Told has, by who is blamed, the newest failure that the blame rested on when it was told and acted upon: without newer
	// ones it is no news, and an agent that a person released is not quarantined for them again.
	Told map[string]time.Time
}

// Program is a compiled recipe as it is kept.
type Program struct {
	Revision string
	Recipe   string
	Disjoint bool   // the recipe declares users and paths of its own
	Body     []byte // opaque
}

// Rollouts returns the newest rollout of every pool that has had one, or pins a revision.
func (s *Store) Rollouts(ctx context.Context) ([]Rollout, error) {
	found, err := s.reads.Rollouts(ctx)
	if err != nil {
		return nil, fmt.Errorf("read rollouts: %w", explain(s.path, err))
	}
	return each(found, rolloutOf)
}

// SaveRollout stores a rollout that nobody changed since it was read, with the programs that it refers to and the events
// that tell of it; otherwise it is [ErrConflict]. It returns the rollout as it would be read back.
func (s *Store) SaveRollout(ctx context.Context, r Rollout, programs []Program, events ...hygiene.Event) (Rollout, error) {
	r.Version++
	row, err := rolloutRow(r)
	if err != nil {
		return r, fmt.Errorf("save rollout of pool %s: %w", r.Pool, err)
	}
	packed := make([]rows.SaveProgramParams, 0, len(programs))
	for _, p := range programs {
		one, err := programRow(p)
		if err != nil {
			return r, fmt.Errorf("save rollout of pool %s: %w", r.Pool, err)
		}
		packed = append(packed, one)
	}
	err = s.write(ctx, func(ctx context.Context, t *txn) error {
		for _, p := range packed {
			if err := t.SaveProgram(ctx, p); err != nil {
				return fmt.Errorf("keep program %.12s: %w", p.Revision, err)
			}
		}
		write := func() (int64, error) { return t.UpdateRollout(ctx, rows.UpdateRolloutParams(row)) }
		if r.Version == 1 {
			write = func() (int64, error) { return t.InsertRollout(ctx, row) }
		}
		n, err := write()
		if err == nil && n == 0 {
			err = ErrConflict
		}
		if err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return r, fmt.Errorf("save rollout of pool %s: %w", r.Pool, err)
	}
	return rolloutOf(rows.Rollout(row))
}

// DropRollout forgets the rollout of a pool that has no rollouts any more, unless it was changed since it was read.
func (s *Store) DropRollout(ctx context.Context, r Rollout, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		n, err := t.DeleteRollout(ctx, r.Pool, r.Version)
		if err == nil && n == 0 {
			err = ErrConflict
		}
		if err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("drop rollout of pool %s: %w", r.Pool, err)
	}
	return nil
}

// Program returns a compiled recipe by its revision, or [ErrNotFound].
func (s *Store) Program(ctx context.Context, revision string) (Program, error) {
	r, err := s.reads.Program(ctx, revision)
	if isNoRow(err) {
		return Program{}, fmt.Errorf("program %.12s: %w", revision, ErrNotFound)
	}
	if err != nil {
		return Program{}, fmt.Errorf("read program %.12s: %w", revision, explain(s.path, err))
	}
	p := Program{Revision: r.Revision, Recipe: r.Recipe, Disjoint: r.Disjoint != 0}
	if p.Body, err = inflate(r.Body); err != nil {
		return Program{}, fmt.Errorf("read program %.12s: %w", revision, err)
	}
	return p, nil
}

// ErrAmbiguous means that what was named begins the names of several.
var ErrAmbiguous = errors.New("it begins several")

// RevisionLike returns the revision of the kept program that begins with prefix: [ErrNotFound] if none does,
// [ErrAmbiguous] if several do.
func (s *Store) RevisionLike(ctx context.Context, prefix string) (string, error) {
	found, err := s.reads.ProgramsLike(ctx, prefix)
	switch {
	case err != nil:
		return "", fmt.Errorf("read programs: %w", explain(s.path, err))
	case len(found) == 0:
		return "", fmt.Errorf("revision %s: %w", prefix, ErrNotFound)
	case len(found) > 1:
		return "", fmt.Errorf("revision %s: %w", prefix, ErrAmbiguous)
	}
	return found[0], nil
}

// PurgePrograms removes the programs to which neither a rollout nor an attempt in progress refers.
func (s *Store) PurgePrograms(ctx context.Context) (n int64, err error) {
	err = s.write(ctx, func(ctx context.Context, t *txn) (err error) {
		n, err = t.PurgePrograms(ctx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge programs: %w", err)
	}
	return n, nil
}

// CleanedWith returns the revision with which an agent was cleaned last, as of one of its attempts: what only verified
// made it no cleaner. It is "" when that is not known any more.
func (s *Store) CleanedWith(ctx context.Context, id hygiene.AgentID, attempt int64) (string, error) {
	revision, err := s.reads.CleanedWith(ctx, string(id.Controller), id.Name, attempt)
	if err != nil && !isNoRow(err) {
		return "", fmt.Errorf("read what agent %s was cleaned with: %w", id, explain(s.path, err))
	}
	return revision, nil
}

func rolloutRow(r Rollout) (row rows.InsertRolloutParams, err error) {
	row = rows.InsertRolloutParams{
		Pool: r.Pool, Number: r.Number, FromRevision: string(r.From), ToRevision: string(r.To), Salt: r.Salt, Stage: string(r.Stage),
		Step: int64(r.Step), Before: string(r.Before), Since: millis(r.Since), Bound: r.Bound, Started: millis(r.Started),
		Actor: r.By, Reason: r.Reason, Version: r.Version,
	}
	for _, f := range []struct {
		to   *string
		from any
	}{{&row.Plan, r.Plan}, {&row.Canaries, r.Canaries}, {&row.Told, r.Told}} {
		text, err := json.Marshal(f.from)
		if err != nil {
			return row, err
		}
		*f.to = string(text)
	}
	return row, nil
}

func rolloutOf(row rows.Rollout) (Rollout, error) {
	r := Rollout{Rollout: rollout.Rollout{
		Pool: row.Pool, Number: row.Number, From: rollout.Revision(row.FromRevision), To: rollout.Revision(row.ToRevision), Salt: row.Salt,
		Stage: rollout.Stage(row.Stage), Step: int(row.Step), Before: rollout.Stage(row.Before), Since: moment(row.Since),
		Bound: row.Bound, Started: moment(row.Started), By: row.Actor, Reason: row.Reason, Version: row.Version,
	}}
	for _, f := range []struct {
		from string
		to   any
	}{{row.Plan, &r.Plan}, {row.Canaries, &r.Canaries}, {row.Told, &r.Told}} {
		if err := json.Unmarshal([]byte(f.from), f.to); err != nil {
			return r, fmt.Errorf("read rollout of pool %s: %w", r.Pool, err)
		}
	}
	return r, nil
}

func programRow(p Program) (rows.SaveProgramParams, error) {
	row := rows.SaveProgramParams{Revision: p.Revision, Recipe: p.Recipe}
	if p.Disjoint {
		row.Disjoint = 1
	}
	var err error
	row.Body, err = deflate(p.Body)
	return row, err
}
