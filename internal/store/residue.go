// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Residue is what one attempt found of one kind that one build had left.
type Residue struct {
	ID      int64 // orders the residue of all agents by the time of storing
	Agent   hygiene.AgentID
	Attempt int64 // number
	Pool    string
	At      time.Time // when the program that found it began
	Kind    string    // process, mount, directory, ...
	Culprit Suspect   // no job: nobody can tell
	By      string    // the evidence against the culprit or the suspects; "" = there is none
	// Suspects are builds of which one left it, where there is evidence against several.
	Suspects []Suspect
	Things   int64
	Bytes    int64         // what they held, as far as that was learnt
	Oldest   time.Duration // age of the oldest, 0 where that was not learnt
	Example  string        // one of them
}

// Suspect is a build, or a job of which no build is known.
type Suspect struct {
	Job   string `json:"job"`
	Build int64  `json:"build,omitempty"` // 0 = unknown
}

// ResidueFilter chooses residue; the zero value chooses the newest of all.
type ResidueFilter struct {
	Agent      hygiene.AgentID
	Controller hygiene.ControllerID
	Attempt    int64 // only of this one of the agent; 0 = of all
	Pool       string
	Kind       string
	Since      time.Time // only what was found then or later
	Until      time.Time // only what was found then or earlier
	Before     int64     // only rows with a lower ID; 0 = from the newest on
	Limit      int       // 0 = 100
}

// SaveResidue stores what an attempt found, in place of what is stored of it. Agent and attempt of
// the rows do not count.
func (s *Store) SaveResidue(ctx context.Context, id hygiene.AgentID, number int64, found []Residue) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		t.residue[id] = number
		if err := t.DeleteResidue(ctx, string(id.Controller), id.Name, number); err != nil {
			return err
		}
		for _, r := range found {
			r.Agent, r.Attempt = id, number
			row, err := residueRow(r)
			if err != nil {
				return err
			}
			if err := t.InsertResidue(ctx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save residue of agent %s, attempt %d: %w", id, number, err)
	}
	return nil
}

// Residue returns the residue that matches, newest first.
func (s *Store) Residue(ctx context.Context, f ResidueFilter) ([]Residue, error) {
	var q query
	q.ofResidue(f, "at")
	if f.Before > 0 {
		q.and("id < ?", f.Before)
	}
	text := q.text(`SELECT id, controller, agent, number, pool, at, kind, job, build, evidence, suspects, things, bytes, oldest, example
		FROM residue`, "id DESC", limit(f.Limit))
	found, err := list(ctx, s, text, q.args, residueFields, residueOf)
	if err != nil {
		return nil, fmt.Errorf("read residue: %w", err)
	}
	return found, nil
}

// ofResidue adds what lists of residue and of culprits can both be narrowed by; at is the column of the time, or an
// expression that is as good and that no index is looked up by.
func (q *query) ofResidue(f ResidueFilter, at string) {
	q.ofAgent(f.Agent, f.Controller)
	if f.Attempt > 0 {
		q.and("number = ?", f.Attempt)
	}
	if f.Pool != "" {
		q.and("pool = ?", f.Pool)
	}
	if f.Kind != "" {
		q.and("kind = ?", f.Kind)
	}
	if !f.Since.IsZero() {
		q.and(at+" >= ?", millis(f.Since))
	}
	if !f.Until.IsZero() {
		q.and(at+" <= ?", millis(f.Until))
	}
}

func residueRow(r Residue) (rows.InsertResidueParams, error) {
	row := rows.InsertResidueParams{
		Controller: string(r.Agent.Controller), Agent: r.Agent.Name, Number: r.Attempt, Pool: r.Pool, At: millis(r.At),
		Kind: r.Kind, Job: r.Culprit.Job, Build: r.Culprit.Build, Evidence: r.By,
		Things: r.Things, Bytes: r.Bytes, Oldest: r.Oldest.Milliseconds(), Example: r.Example,
	}
	if len(r.Suspects) == 0 {
		return row, nil
	}
	text, err := json.Marshal(r.Suspects)
	row.Suspects = string(text)
	return row, err
}

func residueOf(row rows.Residue) (Residue, error) {
	r := Residue{
		ID: row.ID, Agent: agentID(row.Controller, row.Agent), Attempt: row.Number, Pool: row.Pool, At: moment(row.At),
		Kind: row.Kind, Culprit: Suspect{Job: row.Job, Build: row.Build}, By: row.Evidence,
		Things: row.Things, Bytes: row.Bytes, Oldest: time.Duration(row.Oldest) * time.Millisecond, Example: row.Example,
	}
	suspects, err := decode[[]Suspect](row.Suspects)
	if err != nil {
		return r, fmt.Errorf("read suspects of residue %d: %w", r.ID, err)
	}
	if suspects != nil {
		r.Suspects = *suspects
	}
	return r, nil
}

func residueFields(r *rows.Residue) []any {
	return []any{
		&r.ID, &r.Controller, &r.Agent, &r.Number, &r.Pool, &r.At, &r.Kind, &r.Job, &r.Build, &r.Evidence, &r.Suspects,
		&r.Things, &r.Bytes, &r.Oldest, &r.Example,
	}
}
