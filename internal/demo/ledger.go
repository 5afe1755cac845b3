// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// ledger counts what really happened on a controller, whatever the daemon believes about it.
type ledger struct {
	mu     sync.Mutex
	counts counts
	unused map[string]bool  // agents that were granted and not used since
	turns  map[string]*turn // agents between a real build and the next grant
}

// counts are of real builds but for overheads.
type counts struct {
	// builds that ended, and those of them that failed.
	builds, failed int
	// contaminated builds started on an agent that was not granted since its last build.
	contaminated int
	// overheads are the times from a real build's end to its agent being granted again, without the
	// time of the cleanup's own build, in milliseconds. An agent that needed several attempts
	// waited for another reason and is left out.
	overheads []int64
}

// turn is an agent's way from a real build to its next grant.
type turn struct {
	ended, started time.Time
	ran            time.Duration
	attempts       int
}

func newLedger() *ledger { return &ledger{unused: map[string]bool{}, turns: map[string]*turn{}} }

// read returns the counts so far.
func (l *ledger) read() counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.overheads = slices.Clone(c.overheads)
	return c
}

// note takes the next entry of the journal.
func (l *ledger) note(e jenkinstest.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch cleanup := ours(e.Job); {
	case e.Kind == jenkinstest.EntryLabels && granted(e):
		l.grant(e)
	case e.Kind == jenkinstest.EntryLabels:
		delete(l.unused, e.Agent) // clean is gone, used or not, or was not there
	case e.Kind == jenkinstest.EntryBuildStart && cleanup:
		l.cleanupStarted(e)
	case e.Kind == jenkinstest.EntryBuildEnd && cleanup:
		l.cleanupEnded(e)
	case e.Kind == jenkinstest.EntryBuildStart:
		if !l.unused[e.Agent] {
			l.counts.contaminated++
		}
		delete(l.unused, e.Agent)
	case e.Kind == jenkinstest.EntryBuildEnd:
		l.counts.builds++
		if e.Result != "SUCCESS" {
			l.counts.failed++
		}
		l.turns[e.Agent] = &turn{ended: e.At}
	}
}

func (l *ledger) grant(e jenkinstest.Entry) {
	l.unused[e.Agent] = true
	if t := l.turns[e.Agent]; t != nil && t.attempts == 1 {
		l.counts.overheads = append(l.counts.overheads, (e.At.Sub(t.ended) - t.ran).Milliseconds())
	}
	delete(l.turns, e.Agent)
}

func (l *ledger) cleanupStarted(e jenkinstest.Entry) {
	if t := l.turns[e.Agent]; t != nil {
		t.started = e.At
		t.attempts++
	}
}

func (l *ledger) cleanupEnded(e jenkinstest.Entry) {
	if t := l.turns[e.Agent]; t != nil && t.attempts > 0 {
		t.ran += e.At.Sub(t.started)
	}
}

// ours tells the daemon's jobs from the users'.
func ours(job string) bool { return strings.HasPrefix(job, "pitcrew-") }

// granted reports whether the labels became those of a clean agent. Nobody but the daemon may edit
// labels in the demo.
func granted(e jenkinstest.Entry) bool {
	names := hygiene.DefaultNames
	before, after := names.Read(strings.Fields(e.Before)), names.Read(strings.Fields(e.Labels))
	return !before.Has(hygiene.LabelClean) && after == hygiene.ShowClean
}
