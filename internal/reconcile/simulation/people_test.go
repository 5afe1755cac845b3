// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"sort"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// What people said about an agent, which the engine must respect whenever they said it.

// word is something that a person said, in force from since to until.
type word struct{ since, until time.Time }

func (w word) holds(at time.Time) bool { return !at.Before(w.since) && at.Before(w.until) }

// ever is the end of what has none.
var ever = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// lasts is written into the reason of an order by which a person keeps an agent out for a time.
const lasts = ", until "

// span reads until when an order holds out of its reason.
func span(e hygiene.Event) word {
	w := word{since: e.At, until: ever}
	if _, text, ok := strings.Cut(e.Reason, lasts); ok {
		w.until, _ = time.Parse(time.RFC3339Nano, text)
	}
	return w
}

// told notes what a person ordered.
func (t *truth) told(e hygiene.Event) {
	switch {
	case !people[e.Actor]:
	case e.Type == hygiene.EventHeld:
		t.held = span(e)
	case e.Type == hygiene.EventQuarantined:
		t.quarantined = span(e)
	case e.Type == hygiene.EventRequested:
		t.quarantined = word{} // it is to be tried at once
	case e.Type == hygiene.EventUnheld:
		t.held, t.quarantined = word{}, word{}
	case e.Type == hygiene.EventReleased: // alone, where no hold was to be ended
		t.quarantined = word{}
	}
}

// keptOut reports whether a person kept the agent out at a time.
func (t *truth) keptOut(at time.Time) bool { return t.held.holds(at) || t.quarantined.holds(at) }

// longKeptOut reports whether a person kept the agent out at a time and for d before.
func (t *truth) longKeptOut(at time.Time, d time.Duration) bool {
	long := func(w word) bool { return w.holds(at) && w.holds(at.Add(-d)) }
	return long(t.held) || long(t.quarantined)
}

// enough is how many polls a queued program that must not start is taken back within: a cancellation
// may go wrong.
const enough = 4

// personsWord judges the start of a cleanup. An attempt whose first program has run goes on, and what
// is queued at a controller that cannot be polled is out of reach.
func (a *auditor) personsWord(t *truth, e jenkinstest.Entry) {
	first := !a.shop.ran(e.Agent, t.attempt)
	said := t.held.since
	if t.quarantined.since.After(said) {
		said = t.quarantined.since
	}
	polls := len(a.polls) - sort.Search(len(a.polls), func(i int) bool { return a.polls[i].After(said) })
	if first && t.longKeptOut(e.At, sure) && polls >= enough {
		a.fault("I4: a cleanup started on %s, and a person keeps it out", e.Agent)
	}
}

// marked judges who sets and lifts offline marks.
func (a *auditor) marked(t *truth, e jenkinstest.Entry) {
	if e.Kind == jenkinstest.EntryMarked {
		t.marker, t.marked = e.Who, e.At
		return
	}
	if people[t.marker] && !people[e.Who] && e.Who != "monitor" && e.At.Sub(t.marked) > slowest {
		a.fault("I8: the offline mark of %s on %s was lifted by %q", t.marker, e.Agent, e.Who)
	}
	t.marker = ""
}

// oursMarked reports whether the engine marked the agent offline, and nobody else.
func (t *truth) oursMarked() bool {
	return t.marker != "" && !people[t.marker] && t.marker != "monitor"
}
