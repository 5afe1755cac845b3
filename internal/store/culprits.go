// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// Culprit is a job with all that its builds left behind, or, without a name, all of which nobody can
// tell whose it was.
type Culprit struct {
	Controller hygiene.ControllerID
	Job        string // full name; "" = unknown
	Things     int64
	Bytes      int64 // what they held, as far as that was learnt
	Agents     int64 // on how many it was found
	Attempts   int64 // by how many
	LastSeen   time.Time
	Kinds      []Share // the most things first
	Worst      []Share // agents, the most things first, at most worstAgents
	By         []Share // kinds of evidence
}

// Share is a part of what a culprit left, by something that has a name.
type Share struct {
	Name          string
	Things, Bytes int64
}

// CulpritFilter chooses culprits. Of the embedded filter, Attempt and Before do not count.
type CulpritFilter struct {
	ResidueFilter
	BySize bool     // the most bytes first; else the most things first
	After  *Culprit // only those that follow it in the list; its controller, job, things and bytes count
}

// The bounds of what is told of one culprit.
const (
	worstAgents = 5
	mostKinds   = 30
)

// Culprits returns the culprits of the residue that matches, the worst first.
func (s *Store) Culprits(ctx context.Context, f CulpritFilter) ([]Culprit, error) {
	var q query
	q.ofResidue(f.ResidueFilter, "at + 0") // else SQLite gathers the rows of the time, and sorts them by their jobs
	inner := `(SELECT controller, job, CAST(sum(things) AS BIGINT) AS things, CAST(sum(bytes) AS BIGINT) AS bytes, max(at) AS seen
		FROM residue` + q.condition() + " GROUP BY controller, job) AS culprit"
	q.where = nil
	first, second := "things", "bytes"
	if f.BySize {
		first, second = second, first
	}
	if c := f.After; c != nil {
		values := map[string]int64{"things": c.Things, "bytes": c.Bytes}
		q.and("(-"+first+", -"+second+", controller, job) > (?, ?, ?, ?)", -values[first], -values[second], string(c.Controller), c.Job)
	}
	text := q.text("SELECT controller, job, things, bytes, seen FROM "+inner,
		first+" DESC, "+second+" DESC, controller, job", limit(f.Limit))
	found, err := list(ctx, s, text, q.args, culpritFields, culpritOf)
	for i := range found {
		if err == nil {
			err = s.breakDown(ctx, f.ResidueFilter, &found[i])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read culprits: %w", err)
	}
	return found, nil
}

// breakDown tells what a culprit's residue is made of. To count agents and attempts takes longer than to add up, so that
// it is done for those alone that are listed.
func (s *Store) breakDown(ctx context.Context, f ResidueFilter, c *Culprit) (err error) {
	var q query
	q.ofCulprit(f, c)
	count, err := s.lists.prepare(ctx, s.readers, "SELECT count(DISTINCT agent), count(DISTINCT agent || ' ' || number) FROM residue"+q.condition()) //nolint:sqlclosecheck // it stays prepared
	if err == nil {
		err = count.QueryRowContext(ctx, q.args...).Scan(&c.Agents, &c.Attempts)
	}
	if err != nil {
		return explain(s.path, err)
	}
	for _, part := range []struct {
		column string
		most   int
		to     *[]Share
	}{{"kind", mostKinds, &c.Kinds}, {"agent", worstAgents, &c.Worst}, {"evidence", mostKinds, &c.By}} {
		var q query
		q.ofCulprit(f, c)
		choose := "SELECT " + part.column + ", CAST(sum(things) AS BIGINT) AS things, CAST(sum(bytes) AS BIGINT) AS bytes FROM residue" +
			q.condition() + " GROUP BY " + part.column
		q.where = nil
		text := q.text(choose, "things DESC, "+part.column, part.most)
		if *part.to, err = list(ctx, s, text, q.args, shareFields, shareOf); err != nil {
			return err
		}
	}
	return nil
}

// ofCulprit chooses, of the residue that a filter chooses, what one culprit left.
func (q *query) ofCulprit(f ResidueFilter, c *Culprit) {
	q.ofResidue(f, "at")
	q.and("controller = ?", string(c.Controller))
	q.and("job = ?", c.Job)
}

// culpritRow is one row of the query above.
type culpritRow struct {
	controller, job     string
	things, bytes, seen int64
}

func culpritFields(r *culpritRow) []any {
	return []any{&r.controller, &r.job, &r.things, &r.bytes, &r.seen}
}

func culpritOf(r culpritRow) (Culprit, error) {
	return Culprit{
		Controller: hygiene.ControllerID(r.controller), Job: r.job, Things: r.things, Bytes: r.bytes, LastSeen: moment(r.seen),
	}, nil
}

func shareFields(s *Share) []any { return []any{&s.Name, &s.Things, &s.Bytes} }

func shareOf(s Share) (Share, error) { return s, nil }
