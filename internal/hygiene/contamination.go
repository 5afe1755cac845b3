// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"slices"
	"time"
)

// Start is one start of a build on an agent, as the agent's own build feed tells it.
type Start struct {
	URL  string
	At   time.Time // by the controller's clock, in whole seconds
	Ours bool      // a cleanup
}

// Feed is everything by which the builds on one agent are judged.
type Feed struct {
	Starts   []Start   // newest first, as a feed has them
	Attempts []Attempt // those that were proven, and the current one; cleanups of no other prove anything
	Adopted  time.Time // of the agent: what ran before is not judged, and nothing was clean then
	From     time.Time // starts up to then were judged earlier: they are not reported, but say what came after them
}

// Judged is what a feed tells.
type Judged struct {
	Contaminated []Contaminated // oldest first
	// Used is the newest real build since the newest proof of an attempt that ran the clean phase; nil
	// when there is none. An agent that is clean, or about to be called so, is so no more.
	Used *Start
}

// Contaminated is a real build that started while the store did not say clean of its agent, or
// second on one cleaning.
type Contaminated struct {
	Start
	Reason string
}

// FeedTick is how exact the times of a feed are.
const FeedTick = time.Second

// Why a build is contaminated.
const (
	beforeAny    = "it started before the agent was cleaned"
	afterLoss    = "it started when the agent was not clean any more"
	afterFailure = "it started after a cleanup that did not end in clean"
	notTheFirst  = "it is not the first build since the agent was cleaned"
)

// Judge walks what happened to the agent in the order of time. A real build is clean if it is the
// first since a cleanup that ended in clean, with nothing between them that took the cleanliness away:
// a person, a loss of connection, a block of a Pipeline.
func (f Feed) Judge() Judged {
	var out Judged
	clean, proved, reason := false, false, beforeAny
	for _, s := range f.story() {
		switch {
		case s.swept != nil:
			clean, reason = false, afterFailure
			proved = true
			if s.swept.Need != NeedVerify {
				out.Used = nil
			}
		case s.proof != nil:
			clean, reason = s.proof.Outcome == Cleaned, afterFailure
			if s.proof.Reconnect > 0 && out.Used != nil {
				clean = false // it was used between its clean phase and the verification in a new session
			}
			if !s.proof.Proved.IsZero() {
				proved = true
				if s.proof.sweeps() {
					out.Used = nil
				}
			}
		case s.lost:
			clean, reason = false, afterLoss
		case s.start.Ours:
			clean, reason = false, afterFailure
		default:
			if !clean && f.judges(s.start) {
				out.Contaminated = append(out.Contaminated, Contaminated{Start: s.start, Reason: reason})
			}
			clean, reason = false, notTheFirst
			if proved {
				out.Used = &s.start
			}
		}
	}
	return out
}

// judges reports whether a start is to be reported if it is contaminated.
func (f Feed) judges(s Start) bool {
	return s.At.After(f.From) && !s.At.Before(f.Adopted.Truncate(FeedTick))
}

// sweeps reports whether the attempt's proving run ran the clean phase itself.
func (t *Attempt) sweeps() bool { return t.Need != NeedVerify && t.Run.Swept.Began.IsZero() }

// scene is one thing that happened to an agent: a start, a cleanup that proves something, the clean phase
// of one that proved it in a later run, or a loss.
type scene struct {
	at    time.Time
	start Start
	proof *Attempt
	swept *Attempt
	lost  bool
}

// story puts everything into the order of time. Of what the feed shows in one second, its own order
// tells; cleanups that it does not show, over SSH or deleted since, come before that, see [Feed.place].
func (f Feed) story() []scene {
	all := []scene{{at: f.Adopted.Truncate(FeedTick), lost: true}}
	byURL, sweptBy := make(map[string]*Attempt, len(f.Attempts)), map[string]*Attempt{}
	for i := range f.Attempts {
		t := &f.Attempts[i]
		if swept := t.Run.Swept; !swept.Began.IsZero() && !t.Proved.IsZero() {
			if f.shows(swept.URL) {
				sweptBy[swept.URL] = t
			} else {
				all = append(all, scene{at: f.place(t, swept.Began), swept: t})
			}
		}
		if f.shows(t.Run.URL) {
			byURL[t.Run.URL] = t
		} else if began := t.began(); !began.IsZero() {
			all = append(all, scene{at: f.place(t, began), proof: t})
		}
		if !t.Lost.IsZero() && !f.shows(t.UsedBy) { // a block of a Pipeline stands in no feed
			all = append(all, scene{at: f.lossOf(t), lost: true})
		}
	}
	for _, s := range slices.Backward(f.Starts) {
		all = append(all, scene{at: s.At, start: s, proof: byURL[s.URL], swept: sweptBy[s.URL]})
	}
	slices.SortStableFunc(all, func(a, b scene) int { return a.at.Compare(b.at) })
	return all
}

// place is when a cleanup began that the feed does not show: before the builds of the same second, unless one of them is known to have
// used up what an earlier cleanup had made clean. That one came first.
func (f Feed) place(t *Attempt, began time.Time) time.Time {
	second := began.Truncate(FeedTick)
	for i := range f.Attempts {
		earlier := &f.Attempts[i]
		if earlier.Number < t.Number && earlier.UsedBy != "" && slices.ContainsFunc(f.Starts, func(s Start) bool { return s.URL == earlier.UsedBy && s.At.Equal(second) }) {
			return began
		}
	}
	return second
}

// lossOf is when what an attempt gave was lost: before the next attempt began, whose beginning is taken to the second.
func (f Feed) lossOf(t *Attempt) time.Time {
	at := t.Lost
	for i := range f.Attempts {
		next := &f.Attempts[i]
		if began := next.began().Truncate(FeedTick); next.Number > t.Number && !began.IsZero() && !at.Before(began) {
			at = began.Add(-1)
		}
	}
	return at
}

func (f Feed) shows(url string) bool {
	return url != "" && slices.ContainsFunc(f.Starts, func(s Start) bool { return s.URL == url })
}

// began is when the attempt's program was handed over, by the controller's clock as far as that was
// stored.
func (t *Attempt) began() time.Time {
	if t.Began.IsZero() {
		return t.Handed
	}
	return t.Began
}
