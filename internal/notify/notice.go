// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Notice is one change of state that somebody may want to hear of.
type Notice struct {
	Position int64  // in the outbox, ascending
	ID       string // unique for ever: receivers know a repeated notice by it
	Type     string // of the event, such as "agent.quarantined"
	Time     time.Time
	Subject  Subject
	Summary  string // one line for people
	Before   string // the state before, and after, where the change is one of a stored state
	After    string
	Reason   string
	Data     map[string]string
}

// Subject is what a notice is about. Fields that do not apply are empty.
type Subject struct {
	Controller string
	Agent      string
	Pool       string
}

// String is the subject as a path, such as "controller/agent".
func (s Subject) String() string {
	last := s.Agent
	if last == "" {
		last = s.Pool
	}
	return strings.Trim(s.Controller+"/"+last, "/")
}

// Filter chooses notices. An empty list chooses all.
type Filter struct {
	Types       []string
	Controllers []string
	Pools       []string
}

// Matches says whether every list has the notice's value.
func (f Filter) Matches(n Notice) bool {
	has := func(list []string, value string) bool { return len(list) == 0 || slices.Contains(list, value) }
	return has(f.Types, n.Type) && has(f.Controllers, n.Subject.Controller) && has(f.Pools, n.Subject.Pool)
}

// Outbox is the store's part.
type Outbox interface {
	// Notices returns at most limit notices with a higher position than after, in ascending order. It leaves out events that are no
	// change of state.
	Notices(ctx context.Context, after int64, limit int) ([]Notice, error)
	// Latest returns the highest position there is, 0 before the first.
	Latest(ctx context.Context) (int64, error)
	// Cursor returns the position saved for a reader, 0 when there is none.
	Cursor(ctx context.Context, reader string) (int64, error)
	// SaveCursor saves a reader's position.
	SaveCursor(ctx context.Context, reader string, after int64) error
	// WatchEvents returns a channel that gets a value when there may be new notices, and what stops that.
	WatchEvents() (<-chan struct{}, func())
}

// Sender delivers one notice. Every error but a *Refusal means: try again later.
type Sender interface {
	Send(ctx context.Context, n Notice) error
}

// Refusal is an answer of the receiver that says more than "not now".
type Refusal struct {
	Permanent bool          // this notice will never be taken
	After     time.Duration // not before this time has passed; 0 when the receiver did not say
	Err       error
}

func (r *Refusal) Error() string { return r.Err.Error() }

func (r *Refusal) Unwrap() error { return r.Err }
