// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"slices"
	"time"
)

// EntryKind says what an entry of the journal records.
type EntryKind string

// Kinds of entries.
const (
	EntryBuildStart EntryKind = "build-start"
	EntryBuildEnd   EntryKind = "build-end"
	EntryLabels     EntryKind = "labels"
	EntryOnline     EntryKind = "online"
	EntryOffline    EntryKind = "offline"
	EntryMarked     EntryKind = "marked-offline"
	EntryUnmarked   EntryKind = "unmarked"
	EntryCreated    EntryKind = "node-created"
	EntryDeleted    EntryKind = "node-deleted"
	EntryRestart    EntryKind = "restart"
)

// Entry is one line of ground truth: what really happened, whatever any API said
// about it at the time.
type Entry struct {
	At    time.Time
	Kind  EntryKind
	Agent string // "" for the built-in node
	// Labels of the node itself at that moment, as its label string.
	Labels     string
	Before     string // EntryLabels: the label string before
	Who        string // EntryLabels, EntryMarked, ...: user or cause, "monitor" for a monitor
	TempMarked bool   // marked temporarily offline
	Connected  bool

	// Of builds and node blocks.
	Job       string // full name
	Number    int
	Flyweight bool
	Block     bool // a Pipeline's node block, not a build of its own
	Continued bool // the block returned after a restart
	Result    string
}

// journal keeps the entries.
type journal struct {
	entries []Entry
	limit   int
	onEntry func(Entry)
}

func (l *journal) add(e Entry) {
	e.At = time.Now()
	if l.onEntry != nil {
		l.onEntry(e)
	}
	l.entries = append(l.entries, e)
	if l.limit > 0 && len(l.entries) >= 2*l.limit {
		l.entries = slices.Clone(l.entries[len(l.entries)-l.limit:])
	}
}

// Journal returns a copy of what has happened so far, oldest first.
func (j *Jenkins) Journal() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	entries := j.journal.entries
	if limit := j.journal.limit; limit > 0 && len(entries) > limit {
		entries = entries[len(entries)-limit:]
	}
	return slices.Clone(entries)
}

func (j *Jenkins) entry(k EntryKind, c *computer) Entry {
	e := Entry{Kind: k, Agent: c.name, Connected: c.link != nil, TempMarked: j.temporaryCause(c) != nil}
	if n := j.nodeOf(c); n != nil {
		e.Labels = n.labelString
	}
	return e
}

func (j *Jenkins) noteAgent(k EntryKind, c *computer, who string) {
	e := j.entry(k, c)
	e.Who = who
	j.journal.add(e)
}

func (j *Jenkins) noteBuild(k EntryKind, b *build, x *executor) {
	e := j.entry(k, x.owner)
	e.Job, e.Number, e.Flyweight, e.Result = b.job.fullName(), b.number, x.number < 0, b.result
	j.journal.add(e)
}

func (j *Jenkins) noteLabels(name, before, after, who string) {
	if before == after {
		return
	}
	e := Entry{Kind: EntryLabels, Agent: name, Labels: after, Before: before, Who: who}
	if c := j.fleet.computers[name]; c != nil {
		e.Connected, e.TempMarked = c.link != nil, j.temporaryCause(c) != nil
	}
	j.journal.add(e)
}
