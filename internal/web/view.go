// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fleetView is everything that the template "fleet" places.
type fleetView struct {
	At                 stamp
	Event              int64
	Version            string
	Counts             []count
	Total              int
	DryRun             []string // controllers on which nothing is written
	Alerts             []alertView
	More               int // alerts that are not shown
	Pools              []*poolView
	Running            []runView
	Events             []eventView
	Builds             []buildView
	Culprits           []culpritView
	Sources            []sourceView // controllers
	MoreBuilds         bool
	Going, MoreRunning int  // cleanups in progress, and those that are not listed
	Compact            bool // many agents: their tiles say less
	NoAgents           bool
}

// stamp is a time for people and for the script.
type stamp struct {
	Machine string // RFC 3339
	Person  string // in UTC
	Age     string // at the time of rendering; the script keeps it going
}

type count struct {
	face
	N int
}

type alertView struct {
	alert
	Since stamp
}

type poolView struct {
	Name, Recipe, Controller string
	Counts                   []count
	Total                    int
	Tiles                    []tile
}

type tile struct {
	face
	Key, Name, Why string
	Since          stamp
	Failures       int // in a row, where nothing else tells of them
}

type runView struct {
	Key, Agent, What, Phase, URL string
	Since                        stamp
}

type eventView struct {
	ID                           int64
	At                           stamp
	Type, Subject, Reason, Actor string
}

type buildView struct {
	URL, Name, Agent, Reason string
	At                       stamp
}

type culpritView struct {
	Key, Job, What string
	Agents         int64
	Seen           stamp
}

type sourceView struct {
	Name, URL, Version, Problem string
	Queue                       int
	Seen                        stamp
}

const (
	agentsPerRequest = 10000
	manyAgents       = 120 // from here on tiles are compact
	shownAlerts      = 8
	shownRunning     = 12
	shownEvents      = 15
	shownBuilds      = 8
	shownCulprits    = 6
)

// culpritsFor is how long the list of culprits serves: what a week of cleanups found does not change from one second
// to the next, and takes the daemon longer to add up than all the rest of the page.
const culpritsFor = time.Minute

// gather asks the API for everything that the page shows.
func (s *site) gather(r *http.Request) (*fleetView, error) {
	var o overview
	if err := s.ask(r, "/api/v1/overview", &o); err != nil {
		return nil, err
	}
	agents, err := s.agents(r)
	if err != nil {
		return nil, err
	}
	culprits, err := s.worst(r)
	if err != nil {
		return nil, err
	}
	return viewOf(o, agents, culprits), nil
}

// worst returns the jobs that left the most behind, as they were a minute ago at most.
func (s *site) worst(r *http.Request) ([]culprit, error) {
	if now := time.Now(); now.Sub(s.culpritsAt) >= culpritsFor {
		var page struct {
			Items []culprit `json:"items"`
		}
		if err := s.ask(r, "/api/v1/residue?limit="+strconv.Itoa(shownCulprits), &page); err != nil {
			return nil, err
		}
		s.culprits, s.culpritsAt = page.Items, now
	}
	return s.culprits, nil
}

func (s *site) agents(r *http.Request) ([]agent, error) {
	var all []agent
	query := url.Values{"limit": {strconv.Itoa(agentsPerRequest)}}
	for {
		var page agentPage
		if err := s.ask(r, "/api/v1/agents?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("cursor", page.Next)
	}
}

func viewOf(o overview, agents []agent, culprits []culprit) *fleetView {
	now := o.At
	v := &fleetView{
		At: stampAt(o.At, now), Event: o.Event, Version: o.Version.Version, Total: len(agents),
		Compact: len(agents) >= manyAgents, NoAgents: len(agents) == 0,
	}
	total := map[string]int{}
	for _, a := range agents {
		total[faceOf(a).Class]++
	}
	v.Counts = countsOf(total, true)
	v.Pools = poolsOf(o, agents, now)
	for _, c := range o.Controllers {
		v.Sources = append(v.Sources, sourceView{
			Name: c.Name, URL: c.URL, Version: c.Version, Problem: c.Problem, Queue: c.Queue, Seen: stampAt(c.LastSweep, now),
		})
		if c.DryRun {
			v.DryRun = append(v.DryRun, c.Name)
		}
	}
	v.addAlerts(o.Alerts, now)
	v.addHappenings(o, now)
	for _, c := range culprits {
		v.Culprits = append(v.Culprits, culpritView{
			Key: c.Controller + "/" + c.Job, Job: cmp.Or(c.Job, "nobody can tell"), What: found(c), Agents: c.Agents, Seen: stampAt(c.LastSeen, now),
		})
	}
	return v
}

// countsOf lists counts in the order of the faces. The main faces are listed even when there are none.
func countsOf(n map[string]int, main bool) []count {
	var out []count
	for i, f := range faces {
		if n[f.Class] > 0 || main && i < 5 {
			out = append(out, count{face: f, N: n[f.Class]})
		}
	}
	return out
}

// poolsOf sorts agents into pools: first those of the configuration, in its order, then the rest.
func poolsOf(o overview, agents []agent, now time.Time) []*poolView {
	byKey := map[string]*poolView{}
	var pools []*poolView
	add := func(controller, name, recipe string) *poolView {
		p := &poolView{Name: name, Recipe: recipe}
		if len(o.Controllers) > 1 {
			p.Controller = controller
		}
		byKey[controller+"/"+name] = p
		pools = append(pools, p)
		return p
	}
	for _, p := range o.Pools {
		add(p.Controller, p.Name, p.Recipe)
	}
	counts := map[*poolView]map[string]int{}
	for _, a := range agents {
		p := byKey[a.Controller+"/"+a.Pool]
		if p == nil {
			p = add(a.Controller, a.Pool, "")
		}
		t := tileOf(a, now)
		p.Tiles = append(p.Tiles, t)
		if counts[p] == nil {
			counts[p] = map[string]int{}
		}
		counts[p][t.Class]++
	}
	for _, p := range pools {
		slices.SortFunc(p.Tiles, func(a, b tile) int { return natural(a.Name, b.Name) })
		p.Total, p.Counts = len(p.Tiles), countsOf(counts[p], false)
		p.Name = cmp.Or(p.Name, "no pool")
	}
	return slices.DeleteFunc(pools, func(p *poolView) bool { return p.Total == 0 })
}

func tileOf(a agent, now time.Time) tile {
	t := tile{face: faceOf(a), Key: a.Controller + "/" + a.Name, Name: a.Name, Why: why(a), Since: stampAt(a.Since, now)}
	if a.Quarantine == nil {
		t.Failures = a.Failures
	}
	return t
}

func (v *fleetView) addAlerts(alerts []alert, now time.Time) {
	v.More = max(0, len(alerts)-shownAlerts)
	for _, a := range alerts[:len(alerts)-v.More] {
		v.Alerts = append(v.Alerts, alertView{alert: a, Since: stampAt(a.Since, now)})
	}
}

func (v *fleetView) addHappenings(o overview, now time.Time) {
	v.Going, v.MoreRunning = len(o.Running), max(0, len(o.Running)-shownRunning)
	for _, t := range o.Running[:min(len(o.Running), shownRunning)] {
		v.Running = append(v.Running, runView{
			Key: t.Controller + "/" + t.Agent, Agent: t.Agent, What: cmp.Or(t.Recipe, "cleanup"), Phase: phase(t), URL: web(t.URL),
			Since: stampAt(t.Claimed, now),
		})
	}
	for _, e := range o.Events[:min(len(o.Events), shownEvents)] {
		v.Events = append(v.Events, eventView{
			ID: e.ID, At: stampAt(e.At, now), Type: e.Type, Subject: cmp.Or(e.Agent, e.Subject), Reason: e.Reason, Actor: e.Actor,
		})
	}
	v.MoreBuilds = len(o.Contaminated) > shownBuilds
	for _, b := range o.Contaminated[:min(len(o.Contaminated), shownBuilds)] {
		v.Builds = append(v.Builds, buildView{
			URL: web(b.URL), Name: buildName(b), Agent: b.Agent, Reason: b.Reason, At: stampAt(b.At, now),
		})
	}
}

// found says how much of what a culprit left, the most first.
func found(c culprit) string {
	kinds := make([]string, len(c.Kinds))
	for i, k := range c.Kinds {
		kinds[i] = fmt.Sprintf("%s %d", k.Name, k.Things)
	}
	return strings.Join(kinds, ", ")
}

func buildName(b build) string {
	if b.Job == "" {
		return titleOf(b.URL)
	}
	return fmt.Sprintf("%s #%d", b.Job, b.Number)
}

// phase says how far an attempt has come.
func phase(t attempt) string {
	switch {
	case !t.Proved.IsZero():
		return "being granted clean"
	case t.Asked != "":
		return "waits for a " + t.Asked
	case t.Started.IsZero():
		return "starting"
	case t.Need == "verify":
		return "verifying"
	}
	return "running"
}

// web keeps addresses that a browser may follow.
func web(address string) string {
	if u, err := url.Parse(address); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return address
	}
	return ""
}

func stampAt(t, now time.Time) stamp {
	if t.IsZero() {
		return stamp{}
	}
	t = t.UTC()
	return stamp{Machine: t.Format(time.RFC3339), Person: t.Format("2006-01-02 15:04:05 UTC"), Age: age(now.Sub(t))}
}

// age spells a duration in its largest unit; the script does the same.
func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return "0 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
