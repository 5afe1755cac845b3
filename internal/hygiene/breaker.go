// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"fmt"
	"time"
)

// BreakerPolicy stops cleanups of a recipe revision that fails on too many agents, in one step or in
// several. Both bounds must be reached within the window. An agent counts with its failures since it
// was last cleaned: what others, or it itself before, were cleaned does not outweigh them, and one that
// fails now and then does not add up. But of the agents that the window saw one in twenty must fail: the few sick ones that a
// big fleet always has are no news about the recipe.
type BreakerPolicy struct {
	Agents   int           // different agents that fail; 0 = no breaker
	Failures int           // their failed attempts
	Within   time.Duration // the window; half of it after the last failure a trial may start
}

// Ended is an ended attempt as the breaker counts it. Lost and given-back attempts are none.
type Ended struct {
	Agent    AgentID
	Revision string
	Need     Need // what it was for
	Step     string
	Failed   bool
	Claimed  time.Time
	At       time.Time
}

// BreakerState is what [Trip] found.
type BreakerState string

// The breaker's states.
const (
	BreakerClosed BreakerState = "closed"
	// BreakerOpen: no cleanup of the revision starts.
	BreakerOpen BreakerState = "open"
	// BreakerTrial: one at a time may start, to see whether it is over.
	BreakerTrial BreakerState = "trial"
)

// Breaker is what is stored about one pool and recipe revision.
type Breaker struct {
	Opened time.Time // zero = closed
	Since  time.Time // attempts that ended before do not count (an operator resumed, or it closed)
}

// Trip computes the breaker of one pool and recipe revision from attempts in the order of their ends. Once open it closes by a success of
// an attempt that was claimed after it opened, or by an operator. The reason names the step that
// failed most, and the numbers.
func Trip(b Breaker, ended []Ended, revision string, p BreakerPolicy, now time.Time) (BreakerState, string) {
	if p.Agents <= 0 {
		return BreakerClosed, ""
	}
	window, seen := tally{}, map[AgentID]bool{}
	var last time.Time
	for _, e := range ended {
		if e.Revision != revision || !e.At.After(b.Since) || e.At.After(now.Add(clockSlack)) {
			continue
		}
		if !b.Opened.IsZero() && !e.Failed && e.Claimed.After(b.Opened) {
			return BreakerClosed, "a trial succeeded"
		}
		if e.Failed && e.At.After(last) {
			last = e.At
		}
		if b.Opened.IsZero() && now.Sub(e.At) <= p.Within || !b.Opened.IsZero() && e.Failed {
			window.add(e)
			seen[e.Agent] = true
		}
	}
	switch {
	case b.Opened.IsZero() && !window.over(p, len(seen)):
		return BreakerClosed, ""
	case now.Sub(last) > p.Within/2:
		return BreakerTrial, window.reason()
	}
	return BreakerOpen, window.reason()
}

// tally is the steps in which each agent failed since it was last cleaned.
type tally map[AgentID][]string

func (t tally) add(e Ended) {
	if e.Failed {
		t[e.Agent] = append(t[e.Agent], e.Step)
	} else {
		delete(t, e.Agent)
	}
}

func (t tally) failures() (n int) {
	for _, steps := range t {
		n += len(steps)
	}
	return n
}

// sickShare says of how many agents one has to fail.
const sickShare = 20

func (t tally) over(p BreakerPolicy, seen int) bool {
	return len(t) >= p.Agents && t.failures() >= p.Failures && sickShare*len(t) >= seen
}

func (t tally) reason() string {
	count := map[string]int{}
	for _, steps := range t {
		for _, s := range steps {
			count[s]++
		}
	}
	step, n := "", 0
	for s, k := range count {
		if k > n || k == n && s < step {
			step, n = s, k
		}
	}
	where := ""
	if step != "" {
		where = fmt.Sprintf(", %d of them in step %q", n, step)
	}
	return fmt.Sprintf("%d failures on %d agents%s", t.failures(), len(t), where)
}

// Dead reports whether a pool's dead-man alarm is due: some agent of it has waited to be cleaned
// for longer than limit, and in all that time none was cleaned. A quiet pool is not dead.
func Dead(waitingSince, lastCleaned time.Time, limit time.Duration, now time.Time) bool {
	if limit <= 0 || waitingSince.IsZero() {
		return false
	}
	from := waitingSince
	if lastCleaned.After(from) {
		from = lastCleaned
	}
	return now.Sub(from) > limit
}
