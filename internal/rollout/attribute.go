// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Culprit is whom failures are blamed on.
type Culprit string

// The culprits.
const (
	// TheRevision: it fails on different agents that are not known to be sick.
	TheRevision Culprit = "revision"
	// TheAgent: different revisions fail on it.
	TheAgent Culprit = "agent"
	// Nobody: the evidence does not tell. The reason says what is missing.
	Nobody Culprit = "nobody"
	// TheSurroundings: different revisions fail on different agents at one time, so that something that they share is
	// likelier at fault than any of them.
	TheSurroundings Culprit = "surroundings"
)

// Consequence is what follows from a blame.
type Consequence string

// The consequences.
const (
	NoConsequence Consequence = ""
	// PauseRevision: it goes to no further agent. For the revision that a pool pins, which is everywhere, that is for
	// a breaker to bring about.
	PauseRevision Consequence = "pause revision"
	// QuarantineAgent: it is kept out, with the reason.
	QuarantineAgent Consequence = "quarantine agent"
)

// Blame is one finding about failures, with its evidence.
type Blame struct {
	Culprit  Culprit
	Revision Revision  // that is to blame, or that the finding is about; "" when Culprit is TheAgent
	Agent    AgentID   // that is to blame; "" otherwise
	Failures []Cleanup // that it rests on, in the order of their ends
	Reason   string
	Then     Consequence
}

// sickShare is the part of a fleet that is taken to fail whatever the recipe, where others fail more seldom: the few sick
// agents that a big one always has are no news.
const sickShare = 0.05

// Attribute blames the failures among cleanups, which are in the order of their ends, on a revision or on an agent,
// or says why it cannot. What has ended well since does not count: a failure with a revision is over when that revision
// cleans the agent, and for the agent's own part when any does.
//
//   - Two revisions that fail on one agent blame the agent, unless each of them fails on two others as well.
//   - A revision that fails on different agents is to blame, unless they are one machine, are sick themselves, are no
//     more of those that tried it than would fail anyway, or another revision fails as much at the same time.
//
// As many as would fail anyway are what chance explains if each fails at the rate of the others' cleanups, or at one in
// twenty where that is more. Two agents of three are beyond it, and so are five of twenty.
//
// It knows nothing of stages: it answers for the two revisions of a rollout as well as for any others.
func Attribute(cleanups []Cleanup, p Policy) []Blame {
	l := read(cleanups)
	var found []Blame
	sick := map[AgentID]bool{}
	for _, id := range slices.Sorted(maps.Keys(l.agents)) {
		if b, ok := l.blameAgent(id, p); ok {
			found = append(found, b)
			sick[id] = true
		}
	}
	shared := l.shared(sick, p)
	for _, v := range slices.Sorted(maps.Keys(l.revisions)) {
		if b, ok := l.judge(v, sick, shared[v], p); ok {
			found = append(found, b)
		}
	}
	return found
}

// ledger is cleanups, sorted by what can be to blame.
type ledger struct {
	all       []Cleanup
	agents    map[AgentID][]Cleanup              // failures since the agent was last cleaned, with whatever revision
	revisions map[Revision]map[AgentID][]Cleanup // failures since it last cleaned the agent
}

func read(cleanups []Cleanup) ledger {
	l := ledger{all: cleanups, agents: map[AgentID][]Cleanup{}, revisions: map[Revision]map[AgentID][]Cleanup{}}
	for _, c := range cleanups {
		if !c.Failed {
			delete(l.agents, c.Agent)
			delete(l.revisions[c.Revision], c.Agent)
			continue
		}
		l.agents[c.Agent] = append(l.agents[c.Agent], c)
		if l.revisions[c.Revision] == nil {
			l.revisions[c.Revision] = map[AgentID][]Cleanup{}
		}
		l.revisions[c.Revision][c.Agent] = append(l.revisions[c.Revision][c.Agent], c)
	}
	return l
}

// blameAgent blames an agent on which different revisions fail, where that is not said of others as well.
func (l ledger) blameAgent(id AgentID, p Policy) (Blame, bool) {
	failures := l.agents[id]
	var with []Revision
	explained := true
	for _, f := range failures {
		if slices.Contains(with, f.Revision) {
			continue
		}
		with = append(with, f.Revision)
		others := map[spot]bool{}
		for other, theirs := range l.revisions[f.Revision] {
			if other != id && theirs[0].where() != f.where() {
				others[theirs[0].where()] = true
			}
		}
		explained = explained && len(others) >= p.blameAgents()
	}
	if len(with) < 2 || explained {
		return Blame{}, false
	}
	return Blame{
		Culprit: TheAgent, Agent: id, Failures: failures, Then: QuarantineAgent,
		Reason: fmt.Sprintf("revisions %s fail on it%s", shorts(with), in(failures)),
	}, true
}

// failed returns the failures with a revision of agents that are not sick themselves, in the order of their ends, and
// what agents these are.
func (l ledger) failed(v Revision, sick map[AgentID]bool) (failures []Cleanup, on []AgentID) {
	for _, id := range slices.Sorted(maps.Keys(l.revisions[v])) {
		if !sick[id] {
			on = append(on, id)
			failures = append(failures, l.revisions[v][id]...)
		}
	}
	slices.SortStableFunc(failures, func(x, y Cleanup) int { return x.At.Compare(y.At) })
	return failures, on
}

// judge blames a revision, or says why its failures do not tell.
func (l ledger) judge(v Revision, sick map[AgentID]bool, shared bool, p Policy) (Blame, bool) {
	b := Blame{Culprit: Nobody, Revision: v}
	var on []AgentID
	if b.Failures, on = l.failed(v, sick); len(on) == 0 {
		return b, false
	}
	places := map[spot]bool{}
	for _, f := range b.Failures {
		places[f.where()] = true
	}
	tried := l.tried(v, sick)
	fails := fmt.Sprintf("revision %s fails on %s%s", v.Short(), among(on), in(b.Failures))
	switch {
	case len(places) < p.blameAgents() && len(on) >= p.blameAgents():
		b.Reason = fails + ", which are not different machines: it or they, that does not tell"
	case len(places) < p.blameAgents():
		b.Reason = fails + fmt.Sprintf(": it takes %d different agents to blame the revision, or another revision to blame the agent", p.blameAgents())
	case shared:
		b.Culprit = TheSurroundings
		b.Reason = fails + ", and others fail on other agents at the same time: what they share is likelier at fault"
	case BinomialTail(len(places), tried, l.anyway(v, sick)) >= chance:
		b.Reason = fails + fmt.Sprintf(", of %d that tried it: so many may fail anyway", tried)
	default:
		b.Culprit, b.Then = TheRevision, PauseRevision
		b.Reason = fails + fmt.Sprintf(", of %d that tried it", tried)
	}
	return b, true
}

// anyway is the rate at which cleanups fail without v being to blame.
func (l ledger) anyway(v Revision, sick map[AgentID]bool) float64 {
	var others Count
	for _, c := range l.all {
		if c.Revision != v && !sick[c.Agent] {
			others.add(c.Agent, c.Failed)
		}
	}
	return max(others.Rate(), sickShare)
}

// shared returns the revisions that fail together: since one of them began to fail, others fail on different places while
// it goes on to, and neither fails more than the other, as far as can be told. What failed before is no excuse: it was
// over by then. Nor is a place where another revision has been of use since.
func (l ledger) shared(sick map[AgentID]bool, p Policy) map[Revision]bool {
	together := map[Revision]bool{}
	for v := range l.revisions {
		failures, _ := l.failed(v, sick)
		if len(failures) == 0 {
			continue
		}
		since, until := failures[0].At, failures[len(failures)-1].At
		newest := map[spot]Cleanup{}
		for _, c := range l.all {
			if !c.At.Before(since) && !sick[c.Agent] {
				newest[c.where()] = c
			}
		}
		var its, theirs Count
		overlap := false
		for _, c := range newest {
			if c.Revision == v {
				its.add(c.Agent, c.Failed)
				continue
			}
			theirs.add(c.Agent, c.Failed)
			overlap = overlap || c.Failed && !c.At.After(until)
		}
		if !overlap || its.Failed < p.blameAgents() || theirs.Failed < p.blameAgents() ||
			FisherTail(its.Failed, its.Ran, theirs.Failed, theirs.Ran) < chance ||
			FisherTail(theirs.Failed, theirs.Ran, its.Failed, its.Ran) < chance {
			continue
		}
		for _, c := range newest {
			if c.Failed {
				together[c.Revision] = true
			}
		}
	}
	return together
}

// tried counts the places that tried a revision, but those of sick agents.
func (l ledger) tried(v Revision, sick map[AgentID]bool) int {
	places := map[spot]bool{}
	for _, c := range l.all {
		if c.Revision == v && !sick[c.Agent] {
			places[c.where()] = true
		}
	}
	return len(places)
}

// among names a few agents, and counts the others.
func among(ids []AgentID) string {
	const most = 3
	var names []string
	for _, id := range ids[:min(len(ids), most)] {
		names = append(names, string(id))
	}
	if more := len(ids) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), more)
	}
	return strings.Join(names, ", ")
}

// in names the step in which most of the failures are, if any is known.
func in(failures []Cleanup) string {
	count := map[string]int{}
	for _, f := range failures {
		count[f.Step]++
	}
	step := ""
	for _, s := range slices.Sorted(maps.Keys(count)) {
		if s != "" && (step == "" || count[s] > count[step]) {
			step = s
		}
	}
	switch {
	case step == "":
		return ""
	case count[step] == len(failures):
		return fmt.Sprintf(", in step %q", step)
	}
	return fmt.Sprintf(", %d of %d times in step %q", count[step], len(failures), step)
}

func shorts(all []Revision) string {
	var names []string
	for _, v := range all {
		names = append(names, v.Short())
	}
	return strings.Join(names, " and ")
}
