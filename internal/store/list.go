// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// query is a SELECT whose conditions are optional. A statement per combination would be many,
// and one statement with "or the filter is empty" would use no index.
type query struct {
	where []string
	args  []any
}

// and adds a condition; the question marks in it stand for the arguments.
func (q *query) and(condition string, args ...any) {
	for _, arg := range args {
		q.args = append(q.args, arg)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(q.args)), 1)
	}
	q.where = append(q.where, condition)
}

// text has its limit as an argument, in a sum: SQLite looks at the value of a limit that is nothing but an
// argument when it prepares the statement, and prepares it anew each time that it is used.
func (q *query) text(choose, order string, limit int) string {
	q.args = append(q.args, limit)
	return choose + q.condition() + " ORDER BY " + order + " LIMIT 0 + $" + strconv.Itoa(len(q.args))
}

// condition is the WHERE of the query, empty if there is none.
func (q *query) condition() string {
	if len(q.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(q.where, " AND ")
}

// defaultLimit is how many rows a list has unless its filter says otherwise.
const defaultLimit = 100

func limit(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return n
}

// lists are the statements of queries, by text: there are few, and preparing one takes longer than
// running it.
type lists struct {
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

func (l *lists) prepare(ctx context.Context, db *sql.DB, text string) (*sql.Stmt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stmt, ok := l.prepared[text]; ok {
		return stmt, nil
	}
	stmt, err := db.PrepareContext(ctx, text) //nolint:sqlclosecheck // close does
	if err != nil {
		return nil, err
	}
	if l.prepared == nil {
		l.prepared = map[string]*sql.Stmt{}
	}
	l.prepared[text] = stmt
	return stmt, nil
}

func (l *lists) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, stmt := range l.prepared {
		_ = stmt.Close()
	}
	l.prepared = nil
}

// list runs a query and scans its rows.
func list[R, T any](ctx context.Context, s *Store, text string, args []any, fields func(*R) []any, convert func(R) (T, error)) ([]T, error) {
	stmt, err := s.lists.prepare(ctx, s.readers, text) //nolint:sqlclosecheck // it stays prepared
	if err != nil {
		return nil, explain(s.path, err)
	}
	found, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, explain(s.path, err)
	}
	defer found.Close()
	var out []T
	for found.Next() {
		var r R
		if err := found.Scan(fields(&r)...); err != nil {
			return nil, explain(s.path, err)
		}
		v, err := convert(r)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, explain(s.path, found.Err())
}

// EventFilter chooses events; the zero value chooses the oldest of all.
type EventFilter struct {
	After      int64 // only events with a higher ID
	Before     int64 // only events with a lower ID; 0 = no bound
	Agent      hygiene.AgentID
	Pool       string
	Controller hygiene.ControllerID
	Types      []hygiene.EventType
	Limit      int  // 0 = 100
	Newest     bool // the newest that match, newest first; else the oldest, oldest first
}

// Events returns the events that match.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]hygiene.Event, error) {
	var q query
	if f.After > 0 {
		q.and("id > ?", f.After)
	}
	if f.Before > 0 {
		q.and("id < ?", f.Before)
	}
	q.ofAgent(f.Agent, f.Controller)
	if f.Pool != "" {
		q.and("pool = ?", f.Pool)
	}
	if len(f.Types) > 0 {
		marks := make([]string, len(f.Types))
		for i, t := range f.Types {
			q.args = append(q.args, string(t))
			marks[i] = "$" + strconv.Itoa(len(q.args))
		}
		q.where = append(q.where, "type IN ("+strings.Join(marks, ", ")+")")
	}
	order := "id"
	if f.Newest {
		order = "id DESC"
	}
	text := q.text(`SELECT id, type, at, actor, subject, controller, agent, pool, attempt, before, after, reason, data
		FROM event`, order, limit(f.Limit))
	events, err := list(ctx, s, text, q.args, eventFields, eventOf)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

// ofAgent chooses one agent, or else a controller. Concatenation keeps SQLite from gathering and
// sorting all rows of the controller when a walk in the order of IDs finds the first ones at once.
func (q *query) ofAgent(id hygiene.AgentID, controller hygiene.ControllerID) {
	if id != (hygiene.AgentID{}) {
		q.and("controller = ?", string(id.Controller))
		q.and("agent = ?", id.Name)
	}
	if controller != "" {
		q.and("controller || '' = ?", string(controller))
	}
}

func eventFields(r *rows.Event) []any {
	return []any{
		&r.ID, &r.Type, &r.At, &r.Actor, &r.Subject, &r.Controller, &r.Agent, &r.Pool, &r.Attempt,
		&r.Before, &r.After, &r.Reason, &r.Data,
	}
}

// Attempts returns the attempts that match, newest first, without reports and logs.
func (s *Store) Attempts(ctx context.Context, f AttemptFilter) ([]AttemptRecord, error) {
	var q query
	q.ofAgent(f.Agent, f.Controller)
	if f.Before > 0 {
		q.and("id < ?", f.Before)
	}
	if f.Pool != "" {
		q.and("pool || '' = ?", f.Pool)
	}
	if f.Outcome != "" {
		q.and("outcome = ?", string(f.Outcome))
	}
	if f.Open {
		q.and("ended = ?", 0)
	}
	text := q.text(attemptColumns, "id DESC", limit(f.Limit))
	attempts, err := list(ctx, s, text, q.args, attemptFields, recordOf)
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	return attempts, nil
}

const attemptColumns = `SELECT id, controller, agent, number, nonce, pool, recipe, revision, need, delivery, session, claimed,
	handed, started, ended, proved, reconnect, asked, outcome, reason, step, run, began, lost, used_by, depth FROM attempt`

// Proofs returns an agent's newest attempts that were proven and are over, newest first: those that
// ended in clean, and those that could not be granted any more. They have what builds are judged by, and no more.
func (s *Store) Proofs(ctx context.Context, id hygiene.AgentID, most int) ([]hygiene.Attempt, error) {
	read := func() ([]proof, error) { return s.readProofs(ctx, id, max(most, keptProofs)) }
	var found []proof
	var err error
	if most > keptProofs {
		found, err = read()
	} else {
		found, err = recall(s, func(b *book) map[hygiene.AgentID][]proof { return b.proofs }, id, read)
	}
	if err != nil {
		return nil, fmt.Errorf("read proofs of agent %s: %w", id, err)
	}
	out := make([]hygiene.Attempt, min(len(found), most))
	for i := range out {
		out[i] = found[i].attempt(id)
	}
	return out, nil
}

func (s *Store) readProofs(ctx context.Context, id hygiene.AgentID, most int) ([]proof, error) {
	var q query
	q.ofAgent(id, "")
	q.and("proved > 0 AND outcome IN (?, ?)", string(hygiene.Cleaned), string(hygiene.Lost))
	text := q.text(attemptColumns, "number DESC", limit(most)) // as the index of one agent's attempts has them
	return list(ctx, s, text, q.args, attemptFields, func(r rows.Attempt) (proof, error) {
		t, err := attemptOf(r)
		return proofOf(&t), err
	})
}

func attemptFields(r *rows.Attempt) []any {
	return []any{
		&r.ID, &r.Controller, &r.Agent, &r.Number, &r.Nonce, &r.Pool, &r.Recipe, &r.Revision, &r.Need, &r.Delivery,
		&r.Session, &r.Claimed, &r.Handed, &r.Started, &r.Ended, &r.Proved, &r.Reconnect, &r.Asked, &r.Outcome,
		&r.Reason, &r.Step, &r.Run, &r.Began, &r.Lost, &r.UsedBy, &r.Depth,
	}
}
