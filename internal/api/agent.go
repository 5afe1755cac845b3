// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// Agent is an agent in a list.
type Agent struct {
	Controller string `json:"controller" example:"main"`
	Name       string `json:"name" example:"el9-7"`
	Pool       string `json:"pool,omitempty" doc:"Pool that has it; absent when none has"`

	Hygiene   string `json:"hygiene" enum:"unmanaged,due,cleaning,clean,quarantined" doc:"What it is worth to a job"`
	Occupancy string `json:"occupancy" enum:"idle,busy,offline,offline by a person,unseen" doc:"What it is doing"`
	State     string `json:"state" doc:"The stored state that hygiene is derived from"`

	Since    time.Time `json:"since,omitzero" doc:"When it entered the state"`
	Reason   string    `json:"reason,omitempty" doc:"Why it is in the state"`
	Next     string    `json:"next" doc:"What happens to it next: the kind of the newest decision" example:"begin"`
	Why      string    `json:"why,omitempty" doc:"Why that is so, or why it waits"`
	NextLook time.Time `json:"next_look,omitzero" doc:"When it is looked at again if nothing happens before; absent: with each poll, or never in a quarantine that only a release ends"`

	Labels      []string    `json:"labels" doc:"All of its labels as the newest poll saw them, sorted"`
	Attempt     int64       `json:"attempt,omitempty" doc:"Number of its newest attempt"`
	Failures    int         `json:"failures,omitempty" doc:"Failed attempts in a row"`
	LastCleaned time.Time   `json:"last_cleaned,omitzero" doc:"When it was last granted clean"`
	Build       string      `json:"build,omitempty" doc:"The real build seen on it"`
	Depth       string      `json:"depth,omitempty" enum:"light,standard,deep" doc:"How deep a person asked to have it cleaned; absent when a cleanup of that depth succeeded, or nobody asked"`
	Quarantine  *Quarantine `json:"quarantine,omitempty"`
	Hold        *Hold       `json:"hold,omitempty"`
	Stuck       *Stuck      `json:"stuck,omitempty" doc:"Its labels cannot be written; what Jenkins shows of it may be wrong"`
}

// Quarantine says why an agent is kept out after failures.
type Quarantine struct {
	Reason   string    `json:"reason"`
	By       string    `json:"by" doc:"\"pitcrew\" or the name of a token"`
	Since    time.Time `json:"since"`
	NextLook time.Time `json:"next_look,omitzero" doc:"When it is tried again; absent: when it is released"`
}

// Hold says why a person keeps an agent out.
type Hold struct {
	Reason  string    `json:"reason"`
	By      string    `json:"by" doc:"Name of a token"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires,omitzero" doc:"Absent: until it is released"`
}

// Stuck says why the labels of an agent cannot be written.
type Stuck struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Use is the newest real build known to have started on an agent.
type Use struct {
	URL string    `json:"url"`
	At  time.Time `json:"at"`
}

// sight is an agent with everything that is known of it.
type sight struct {
	agent    hygiene.Agent
	view     View
	decision Decision
	decided  bool
	orphan   bool // its controller is not in the configuration any more
	now      time.Time
}

func (v View) sight(a hygiene.Agent, now time.Time) sight {
	d, ok := v.Decisions[a.ID.Name]
	return sight{agent: a, view: v, decision: d, decided: ok, now: now}
}

func (s sight) wire() Agent {
	a := s.agent
	w := Agent{
		Controller: string(a.ID.Controller), Name: a.ID.Name, Pool: s.pool(),
		Hygiene: string(a.Hygiene()), State: string(a.State), Occupancy: string(s.occupancy()),
		Since: utc(a.Since), Reason: a.Reason, NextLook: utc(s.nextLook()), Next: string(hygiene.Rest),
		Labels:  slices.Sorted(slices.Values(s.view.labelsOf(a.ID.Name))),
		Attempt: a.Attempt, Failures: a.Failures, LastCleaned: utc(a.LastCleaned), Depth: string(a.Depth),
		Quarantine: quarantineOf(a.Quarantine), Hold: holdOf(a.Held(s.now)), Stuck: stuckOf(a.Stuck),
	}
	if w.State == "" {
		w.State = string(hygiene.Unmanaged)
	}
	if w.Labels == nil {
		w.Labels = []string{}
	}
	if s.orphan {
		w.Why = "its controller is not in the configuration any more"
	}
	if !s.decided {
		return w
	}
	w.Next, w.Why, w.Build = string(s.decision.Action.Kind), s.decision.Reason, s.decision.Sighting.RealURL
	return w
}

// pool is that of the configuration as it is now, which the last decision was for; that of the last attempt where no pool has the
// agent any more.
func (s sight) pool() string { return cmp.Or(s.decision.Pool, s.agent.Pool) }

func (s sight) occupancy() hygiene.Occupancy {
	if !s.decided && s.agent.Loan == nil {
		return hygiene.IsUnseen
	}
	return s.agent.Occupancy(s.decision.Sighting)
}

// nextLook is the time before which nothing happens by itself; zero when the next poll may bring it.
func (s sight) nextLook() time.Time {
	at := s.agent.NextLook
	if wake := s.decision.Action.Wake; s.decided && wake.After(s.now) {
		at = wake
	}
	if q := s.agent.Quarantine; !at.After(s.now) || q.Endless() && at.Equal(q.NextLook) {
		return time.Time{}
	}
	return at
}

// listed reports whether the agent belongs into a list for which nothing else was asked: it is
// managed, or about to be.
func (s sight) listed() bool {
	return s.agent.Managed() || slices.Contains(s.view.labelsOf(s.agent.ID.Name), s.view.Labels.Cleanable)
}

func quarantineOf(q *hygiene.Quarantine) *Quarantine {
	if q == nil {
		return nil
	}
	w := &Quarantine{Reason: q.Reason, By: q.By, Since: utc(q.Since)}
	if !q.Endless() {
		w.NextLook = utc(q.NextLook)
	}
	return w
}

func holdOf(h *hygiene.Hold) *Hold {
	if h == nil {
		return nil
	}
	return &Hold{Reason: h.Reason, By: h.By, Since: utc(h.Since), Expires: utc(h.Expires)}
}

func stuckOf(s *hygiene.Stuck) *Stuck {
	if s == nil {
		return nil
	}
	return &Stuck{Reason: s.Reason, Since: utc(s.Since)}
}

func useOf(u *hygiene.Use) *Use {
	if u == nil {
		return nil
	}
	return &Use{URL: u.URL, At: utc(u.At)}
}

// utc spells all times in one zone; a zero one stays zero.
func utc(t time.Time) time.Time { return t.UTC() }
