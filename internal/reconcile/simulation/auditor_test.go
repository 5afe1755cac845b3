// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// auditor compares what really happens on a controller with what the engine says, at each entry of
// the controller's journal and at each event of the engine.
type auditor struct {
	gated  bool // no build starts on an agent that another used
	shop   *workshop
	polled func(time.Time) // told when a poll was sent; may be nil
	tell   func(string)    // told of each problem when it is found, with what came before; may be nil

	mu        sync.Mutex
	agents    map[string]*truth
	problems  []string
	suspects  []suspect
	restarted time.Time
	requests  map[string]tally
	polls     []time.Time // when the queue was read
	counts    map[hygiene.EventType]int
	builds    int // real ones that started
	cleanups  int // programs that started as builds
	past      []moment
	pasts     int // moments that ever were
}

// moment is something that happened at a controller.
type moment struct {
	at   time.Time
	what any // a jenkinstest.Entry, a hygiene.Event, or in words what was done to it
}

// pastKept is how many moments are kept for the telling of a problem.
const pastKept = 1000

// remember keeps a moment, in place of the oldest.
func (a *auditor) remember(at time.Time, what any) {
	if a.tell == nil {
		return
	}
	if len(a.past) < pastKept {
		a.past = append(a.past, moment{at, what})
	} else {
		a.past[a.pasts%pastKept] = moment{at, what}
	}
	a.pasts++
}

// trace is the newest moments that concern an agent named in a problem, or no agent alone, oldest first.
func (a *auditor) trace(problem string) string {
	var lines []string
	for n := a.pasts - 1; n >= max(0, a.pasts-pastKept) && len(lines) < 40; n-- {
		m := a.past[n%pastKept]
		if agent, line := told(m.what); agent == "" || strings.Contains(problem, agent) {
			lines = append(lines, m.at.Format("02 15:04:05.000 ")+line)
		}
	}
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

// told says in a line what happened, and to which agent, if to one.
func told(what any) (agent, line string) {
	switch w := what.(type) {
	case hygiene.Event:
		return w.Agent.Name, fmt.Sprintf("event %s %s attempt %d, %s to %s: %s", w.Type, w.Agent.Name, w.Attempt, w.Before, w.After, w.Reason)
	case jenkinstest.Entry:
		return w.Agent, fmt.Sprintf("truth %s %s %s #%d %s labels %q by %s", w.Kind, w.Agent, w.Job, w.Number, w.Result, w.Labels, w.Who)
	default:
		return "", fmt.Sprintf("done: %v", w)
	}
}

// did notes what was done to the controller or its daemon.
func (a *auditor) did(deed string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(time.Now(), deed)
}

// tally is the requests of one operation.
type tally struct {
	n       int
	in, out int64
}

// truth is what really is and was on one agent.
type truth struct {
	name    string
	state   hygiene.State
	changed time.Time // when state was entered
	attempt int64     // newest claimed
	claimed time.Time
	used    bool      // a real build started since the newest cleanup ended
	usedAt  time.Time // the first of them
	looked  time.Time // when the engine's newest look at this very agent was sent
	known   time.Time // since when the engine knows its machine

	held        word // a person's hold
	quarantined word // a person's quarantine

	real   map[string]time.Time // real builds and node blocks that live, with their start
	own    int                  // cleanups that run
	lost   time.Time            // when it last lost its connection
	labels hygiene.Labels
	shows  time.Time // since when it wears clean
	edited time.Time // when a person edited its labels last
	marker string    // who marked it offline, "" when it is not
	marked time.Time

	firm  map[string]string // builds that must be reported as contaminated, by URL, with the reason
	maybe map[string]bool   // builds that may be
}

// people are those who edit labels in the scenarios; every other edit is the engine's.
var people = map[string]bool{"ann": true, "test": true, "jcasc": true}

func newAuditor(shop *workshop) *auditor {
	return &auditor{shop: shop, agents: map[string]*truth{}, requests: map[string]tally{}, counts: map[hygiene.EventType]int{}}
}

func (a *auditor) of(agent string) *truth {
	t := a.agents[agent]
	if t == nil {
		t = &truth{name: agent, state: hygiene.Unmanaged, real: map[string]time.Time{}, firm: map[string]string{}, maybe: map[string]bool{}}
		a.agents[agent] = t
	}
	return t
}

// maxProblems bounds what is kept: the first problem is the one to look at.
const maxProblems = 20

func (a *auditor) fault(format string, args ...any) {
	if len(a.problems) < maxProblems {
		problem := time.Now().Format("02 15:04:05.000 ") + fmt.Sprintf(format, args...)
		a.problems = append(a.problems, problem)
		if a.tell != nil {
			a.tell(problem + "\n" + a.trace(problem))
		}
	}
}

// accuse is fault for those who do not hold the lock.
func (a *auditor) accuse(problem string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault("%s", problem)
}

// found returns the problems so far.
func (a *auditor) found() []string {
	a.shop.mu.Lock()
	overlaps := slices.Clone(a.shop.overlaps)
	a.shop.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	problems := slices.Concat(a.problems, overlaps)
	for _, s := range a.suspects {
		problems = append(problems, s.at.Format("02 15:04:05.000 ")+s.fault)
	}
	return problems
}

// entry sees each line of ground truth, under the controller's queue lock.
func (a *auditor) entry(e jenkinstest.Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(e.At, e)
	a.convict(e.At.Add(-soon))
	if e.Kind == jenkinstest.EntryRestart {
		a.restarted = e.At
		a.excuse("", e.At)
		return
	}
	if e.Agent == "" || e.Flyweight {
		return
	}
	t := a.of(e.Agent)
	switch e.Kind {
	case jenkinstest.EntryBuildStart:
		a.started(t, e)
	case jenkinstest.EntryBuildEnd:
		a.ended(t, e)
	case jenkinstest.EntryLabels:
		a.labelled(t, e)
	case jenkinstest.EntryOffline:
		if !e.Connected {
			if !people[e.Who] && len(t.real) > 0 && strings.Contains(e.Who, "pitcrew") {
				a.fault("I5: %s was disconnected by %q while a build ran on it", e.Agent, e.Who)
			}
			t.lost = e.At
			a.excuse(e.Agent, e.At)
			a.shop.lost(e.Agent)
		}
	case jenkinstest.EntryDeleted:
		t.real, t.own, t.marker = map[string]time.Time{}, 0, ""
		t.doubt()
	case jenkinstest.EntryCreated:
		t.wears(e)
		t.edited = e.At
	case jenkinstest.EntryMarked, jenkinstest.EntryUnmarked:
		a.marked(t, e)
	case jenkinstest.EntryOnline, jenkinstest.EntryRestart:
	}
}

func ours(job string) bool { return strings.HasPrefix(job, "pitcrew-") }

func key(e jenkinstest.Entry) string {
	if e.Block {
		return fmt.Sprintf("%s #%d (block)", e.Job, e.Number)
	}
	return buildURL(e.Job, e.Number)
}

func buildURL(job string, number int) string { return fmt.Sprintf("%sjob/%s/%d/", root, job, number) }

func (a *auditor) started(t *truth, e jenkinstest.Entry) {
	if ours(e.Job) {
		a.cleanups++
		t.own++
		a.cleanupStarted(t, e)
		return
	}
	a.builds++
	if _, goesOn := t.real[key(e)]; goesOn {
		return // a Pipeline's block that came back
	}
	t.real[key(e)] = e.At
	if t.own > 0 {
		a.fault("I4: %s started on %s beside a cleanup", key(e), e.Agent)
	}
	a.judge(t, e)
	if !t.used {
		t.used, t.usedAt = true, e.At
	}
}

// judge decides whether a real build started on an agent that was not clean.
func (a *auditor) judge(t *truth, e jenkinstest.Entry) {
	url := key(e)
	switch {
	case t.state == hygiene.Unmanaged, e.At.Sub(t.changed) < time.Second && !t.used:
		t.maybe[url], t.maybe[buildURL(e.Job, e.Number)] = true, true // feeds know whole seconds
	case t.used:
		t.expect(e, "another build used the agent before")
		if a.gated {
			a.fault("I1: %s started on %s behind a gate, and another build used the agent before", url, e.Agent)
		}
	case t.state == hygiene.Clean:
	case t.state == hygiene.Granting:
		t.maybe[url] = true // it has the label, and the store is about to say so
	default:
		t.expect(e, "the agent was "+string(t.state))
	}
}

// expect notes that a build must be reported. Node blocks stand in no feed: polls may see them.
func (t *truth) expect(e jenkinstest.Entry, why string) {
	if e.Block {
		t.maybe[buildURL(e.Job, e.Number)] = true
		return
	}
	t.firm[key(e)] = e.At.Format("02 15:04:05.000: ") + why
}

// doubt says that builds need no longer be reported: the agent left pitcrew's care.
func (t *truth) doubt() {
	for url := range t.firm {
		t.maybe[url] = true
	}
	clear(t.firm)
}

func (a *auditor) cleanupStarted(t *truth, e jenkinstest.Entry) {
	for build := range t.real {
		a.fault("I4: a cleanup started on %s beside %s", e.Agent, build)
	}
	if t.own > 1 {
		a.fault("I3: %d cleanups at once on %s", t.own, e.Agent)
	}
	if e.TempMarked {
		a.fault("I4: a cleanup started on %s, which is marked offline", e.Agent)
	}
	if hygiene.DefaultNames.Read(labelexpr.Tokens(e.Labels)).Has(hygiene.LabelClean) && e.At.Sub(t.edited) > sure {
		a.fault("I2: %s was labelled clean when a cleanup started", e.Agent)
	}
	a.personsWord(t, e)
	a.besideMates(t, e)
}

// slowest is how long a request may take that a fault delays.
const slowest = 11 * time.Second

// sure is how long after its start each build has been seen by a poll.
const sure = 2 * time.Minute

func (a *auditor) ended(t *truth, e jenkinstest.Entry) {
	if ours(e.Job) {
		t.own, t.used = max(0, t.own-1), false
		return
	}
	since, ok := t.real[key(e)]
	delete(t.real, key(e))
	if ok && e.Result != "SUCCESS" && t.lost.Before(since) && a.restarted.Before(since) {
		a.suspects = append(a.suspects, suspect{e.Agent, e.At, fmt.Sprintf("I5: %s ended %s on %s, and nothing happened to its agent", key(e), e.Result, e.Agent)})
	}
}

// suspect is a real build that failed. A loss of its agent is noticed a little after it.
type suspect struct {
	agent string
	at    time.Time
	fault string
}

// excuse drops the suspects of an agent, "" for all, that failed just before now.
func (a *auditor) excuse(agent string, now time.Time) {
	a.suspects = slices.DeleteFunc(a.suspects, func(s suspect) bool {
		return (agent == "" || agent == s.agent) && now.Sub(s.at) < soon
	})
}

// soon is how long after a build has failed the loss of its agent is noticed.
const soon = 5 * time.Second

// convict makes problems of the suspects up to a time.
func (a *auditor) convict(until time.Time) {
	a.suspects = slices.DeleteFunc(a.suspects, func(s suspect) bool {
		late := !s.at.After(until)
		if late {
			a.fault("%s %s", s.at.Format("02 15:04:05.000:"), s.fault)
		}
		return late
	})
}

// labelled judges an edit of labels by the engine.
func (a *auditor) labelled(t *truth, e jenkinstest.Entry) {
	names := hygiene.DefaultNames
	before, after := labelexpr.Tokens(e.Before), labelexpr.Tokens(e.Labels)
	t.wears(e)
	if people[e.Who] {
		t.edited = e.At
		return
	}
	if e.At.Sub(t.edited) < slowest {
		return // Jenkins has no preconditions: an edit between our reading and writing is lost
	}
	if !slices.Equal(names.Apply(before, 0), names.Apply(after, 0)) {
		a.fault("I8: other labels of %s changed from %q to %q by %q", e.Agent, e.Before, e.Labels, e.Who)
	}
	had := names.Read(before)
	if !had.Has(hygiene.LabelCleanable) && t.labels != 0 {
		a.fault("I8: %s is not cleanable, and was labelled %q by %q", e.Agent, e.Labels, e.Who)
	}
	if had.Has(hygiene.LabelCleanable) && !t.labels.Has(hygiene.LabelCleanable) {
		a.fault("I8: cleanable was taken off %s", e.Agent)
	}
	if !had.Has(hygiene.LabelClean) && t.labels.Has(hygiene.LabelClean) {
		a.cleanGiven(t, e)
	}
}

// wears notes the labels of an entry.
func (t *truth) wears(e jenkinstest.Entry) {
	had := t.labels.Has(hygiene.LabelClean)
	t.labels = hygiene.DefaultNames.Read(labelexpr.Tokens(e.Labels))
	if !had && t.labels.Has(hygiene.LabelClean) {
		t.shows = e.At
	}
}

func (a *auditor) cleanGiven(t *truth, e jenkinstest.Entry) {
	a.givenOnMachine(t, e)
	switch {
	case t.longKeptOut(e.At, slowest):
		a.fault("I4: %s got the label clean, and a person keeps it out", e.Agent)
	case t.state != hygiene.Granting:
		a.fault("I2: %s got the label clean while it was %s", e.Agent, t.state)
	case !a.shop.proved(e.Agent, t.attempt):
		a.fault("I2: %s got the label clean, and attempt %d proved nothing", e.Agent, t.attempt)
	case t.own > 0:
		a.fault("I2: %s got the label clean while its cleanup was running", e.Agent)
	case t.used && t.usedAt.Before(t.looked): // Jenkins has no preconditions: what begins after the look is overlooked
		a.fault("I2: %s got the label clean, and a build used it since it was cleaned (%v run)", e.Agent, slices.Collect(maps.Keys(t.real)))
	}
}

// Changed implements [reconcile.Watcher]: the engine's events, each told once its transaction is
// committed.
func (a *auditor) Changed(e hygiene.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[e.Type]++
	a.remember(e.At, e)
	if e.Actor == "" || e.Reason == "" || e.At.IsZero() {
		a.fault("I7: the audit trail does not say who, when or why: %+v", e)
	}
	if e.Agent.Name == "" {
		return
	}
	t := a.of(e.Agent.Name)
	switch e.Type { //nolint:exhaustive // the others change nothing that is judged
	case hygiene.EventClaimed:
		a.claimed(t, e)
	case hygiene.EventHeld, hygiene.EventUnheld, hygiene.EventRequested, hygiene.EventQuarantined, hygiene.EventReleased:
		t.told(e)
	case hygiene.EventProved:
		if t.known.IsZero() {
			t.known = e.At
		}
	case hygiene.EventGranted:
		if t.keptOut(e.At) {
			a.fault("I4: %s was granted clean, and a person keeps it out", e.Agent.Name)
		}
		if e.Attempt != t.attempt || !a.shop.proved(e.Agent.Name, e.Attempt) {
			a.fault("I2: %s was granted clean by attempt %d, which proved nothing (newest: %d)", e.Agent.Name, e.Attempt, t.attempt)
		}
	case hygiene.EventWithdrawn, hygiene.EventForgotten:
		t.doubt()
	}
	if e.After == "" || e.Before == e.After {
		return
	}
	from := cmp.Or(e.Before, hygiene.Unmanaged)
	if e.After == t.state && e.At.Equal(t.changed) {
		return // the second event of one transaction
	}
	if from != t.state {
		a.fault("I7: %s went from %s to %s, and was %s", e.Agent.Name, from, e.After, t.state)
	}
	if !hygiene.CanGo(from, e.After) {
		a.fault("I2: %s went from %s to %s, which the table does not have", e.Agent.Name, from, e.After)
	}
	t.state, t.changed = e.After, e.At
}

func (a *auditor) claimed(t *truth, e hygiene.Event) {
	if e.Attempt != t.attempt+1 {
		a.fault("I3: attempt %d of %s follows %d", e.Attempt, e.Agent.Name, t.attempt)
	}
	t.attempt, t.claimed = e.Attempt, e.At
	if t.keptOut(e.At) {
		a.fault("I4: %s was claimed, and a person keeps it out", e.Agent.Name)
	}
	if len(t.real) > 0 {
		for build, since := range t.real {
			if since.Before(e.At.Add(-sure)) {
				a.fault("I4: %s was claimed while %s ran on it", e.Agent.Name, build)
			}
		}
	}
}

// The rest of [reconcile.Watcher].

func (a *auditor) Swept(hygiene.ControllerID, time.Duration, error)                   {}
func (a *auditor) Decided(hygiene.ControllerID, []reconcile.Decision)                 {}
func (a *auditor) Ended(hygiene.Agent, hygiene.Attempt, time.Duration, time.Duration) {}
func (a *auditor) Found(hygiene.Agent, hygiene.Attempt, reconcile.Residue)            {}
func (a *auditor) Beat(hygiene.ControllerID, string, time.Time)                       {}
func (a *auditor) Gated(hygiene.ControllerID, reconcile.GateSight)                    {}

// sees notes that an agent was looked at directly.
func (a *auditor) sees(agent string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of(agent).looked = at
}

// pollsKept is how many polls are kept at least: more than are asked for, see [enough].
const pollsKept = 1000

// call counts a request of the engine.
func (a *auditor) call(c jenkins.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.Op == "read fleet" && a.polled != nil {
		a.polled(time.Now().Add(-c.Duration))
	}
	if c.Op == "read queue" && c.Err == nil {
		if len(a.polls) >= 2*pollsKept {
			a.polls = slices.Clone(a.polls[len(a.polls)-pollsKept:])
		}
		a.polls = append(a.polls, time.Now())
	}
	t := a.requests[c.Op]
	a.requests[c.Op] = tally{t.n + 1, t.in + c.BytesIn, t.out + c.BytesOut}
}

// ran counts the real builds so far.
func (a *auditor) ran() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.builds
}

// granted counts the grants so far.
func (a *auditor) granted() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[hygiene.EventGranted]
}

// usage returns the requests so far by operation, and the grants.
func (a *auditor) usage() (map[string]tally, int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.requests), a.counts[hygiene.EventGranted]
}

// total counts the requests so far.
func (a *auditor) total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, t := range a.requests {
		n += t.n
	}
	return n
}

// reported compares the builds that the engine reports with those that it had to.
func (a *auditor) reported(urls map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maybe := map[string]bool{}
	for name, t := range a.agents {
		maps.Copy(maybe, t.maybe)
		for url, why := range t.firm {
			if !urls[url] {
				a.fault("I1: %s on %s was not reported: %s", url, name, why)
			}
			maybe[url] = true
		}
	}
	for url := range urls {
		if !maybe[url] {
			a.fault("I1: %s was reported, and started on a clean agent", url)
		}
	}
}
