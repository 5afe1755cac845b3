// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"cmp"
	"maps"
	"slices"
)

// Candidate is an agent that [Next] wants to begin, refresh or launch, with what the choice
// among candidates depends on.
type Candidate struct {
	Action Action
	Agent  Agent
	Domain string // failure domain, "" = none
	Serves []int  // indexes of the demands that it would serve once clean
}

// Demand is a group of queued builds that ask for the same clean agents.
type Demand struct {
	Label string
	// Want is the number of queued builds that no clean or soon clean agent serves yet.
	Want int
}

// Caps bounds what runs at once; 0 means no bound. The bounds of pools and domains are looked
// up by name; a name without an entry has none.
type Caps struct {
	Controller int
	Pool       map[string]int
	Domain     map[string]int
	// Spare is how many clean agents of a pool may be taken for a refresh before the pool
	// falls under its capacity floor.
	Spare map[string]int
}

// Load is what runs already, counted as [Caps] counts.
type Load struct {
	Controller int
	Pool       map[string]int
	Domain     map[string]int
	Failing    int // attempts of agents whose newest attempt failed
}

// Choice is a candidate's lot: chosen, or waiting with a reason.
type Choice struct {
	Action Action
	Chosen bool
	Reason string
}

// Schedule picks which candidates start now. Agents that the queue asks for come first, then the
// least recently served, so that none starves; agents that failed before come after all healthy
// ones, wanted or not, and never hold more than half of a controller's places, or the only one. The
// order of the answer is the order of choice. The caller's slices and maps are not changed.
func Schedule(candidates []Candidate, demands []Demand, caps Caps, load Load) []Choice {
	s := scheduler{caps: caps, want: make([]int, len(demands)), load: load.clone(), spare: cloned(caps.Spare)}
	for i, d := range demands {
		s.want[i] = d.Want
	}
	sorted := slices.SortedStableFunc(slices.Values(candidates), fair)
	sick := slices.IndexFunc(sorted, func(c Candidate) bool { return c.Agent.Failures > 0 })
	if sick < 0 {
		sick = len(sorted)
	}
	return append(s.chooseFrom(sorted[:sick]), s.chooseFrom(sorted[sick:])...)
}

// chooseFrom picks those that the queue asks for, then the rest.
func (s *scheduler) chooseFrom(rest []Candidate) []Choice {
	choices := make([]Choice, 0, len(rest))
	for _, wanted := range []bool{true, false} {
		var later []Candidate
		for _, c := range rest {
			d := s.demandFor(c)
			if wanted && d < 0 {
				later = append(later, c)
				continue
			}
			choices = append(choices, s.choose(c, d))
		}
		rest = later
	}
	return choices
}

// fair orders healthy before failing, whole cleanups before mere refreshes, then by who has
// waited longest since it was last served.
func fair(a, b Candidate) int {
	return cmp.Or(
		cmp.Compare(min(a.Agent.Failures, 1), min(b.Agent.Failures, 1)),
		cmp.Compare(rank(a.Action.Kind), rank(b.Action.Kind)),
		a.Agent.LastServed.Compare(b.Agent.LastServed),
		cmp.Compare(a.Agent.ID.Name, b.Agent.ID.Name),
	)
}

func rank(k Kind) int {
	return slices.Index([]Kind{Begin, Launch, Refresh}, k)
}

type scheduler struct {
	caps  Caps
	load  Load
	want  []int
	spare map[string]int
}

// demandFor returns the demand with the most unserved builds that c would serve, or -1.
func (s *scheduler) demandFor(c Candidate) int {
	best := -1
	for _, d := range c.Serves {
		if s.want[d] > 0 && (best < 0 || s.want[d] > s.want[best]) {
			best = d
		}
	}
	return best
}

func (s *scheduler) choose(c Candidate, demand int) Choice {
	if reason := s.refusal(c, demand); reason != "" {
		return Choice{Action: c.Action, Reason: reason}
	}
	if demand >= 0 {
		s.want[demand]--
	}
	if c.Action.Kind == Launch {
		return Choice{Action: c.Action, Chosen: true, Reason: "the queue wants it"}
	}
	if c.Action.Kind == Refresh {
		s.spare[c.Agent.Pool]--
	}
	s.load.Controller++
	s.load.Pool[c.Agent.Pool]++
	if c.Domain != "" {
		s.load.Domain[c.Domain]++
	}
	if c.Agent.Failures > 0 {
		s.load.Failing++
	}
	reason := "its turn"
	if demand >= 0 {
		reason = "the queue wants it"
	}
	return Choice{Action: c.Action, Chosen: true, Reason: reason}
}

func (s *scheduler) refusal(c Candidate, demand int) string {
	pool := c.Agent.Pool
	switch {
	case c.Action.Kind == Launch && demand < 0:
		return "not launched: the queue does not want it"
	case c.Action.Kind == Launch:
		return ""
	case full(s.load.Controller, s.caps.Controller):
		return "waits: the controller's cap on cleanups is reached"
	case full(s.load.Pool[pool], s.caps.Pool[pool]):
		return "waits: the pool's cap on cleanups is reached"
	case c.Domain != "" && full(s.load.Domain[c.Domain], s.caps.Domain[c.Domain]):
		return "waits: the cap of failure domain " + c.Domain + " is reached"
	case c.Agent.Failures > 0 && s.caps.Controller > 0 && s.load.Failing >= max(1, s.caps.Controller/2):
		return "waits: half of the places are taken by agents that failed before"
	case c.Action.Kind == Refresh && s.spare[pool] <= 0:
		return "waits: the pool is at its capacity floor"
	}
	return ""
}

func full(n, limit int) bool { return limit > 0 && n >= limit }

func (l Load) clone() Load {
	l.Pool, l.Domain = cloned(l.Pool), cloned(l.Domain)
	return l
}

// cloned copies m, and gives a map to write to for a nil one.
func cloned(m map[string]int) map[string]int {
	out := make(map[string]int, len(m))
	maps.Copy(out, m)
	return out
}
