// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Residue counts what a step found that did not belong.
type Residue struct {
	Kind   spec.Kind // of the step
	Things int64
	Bytes  int64 // what is gone held, as far as that was learnt
}

// keepResidue stores what a report says was found. A verification after a reconnect finds nothing: what
// the run before it found is kept. Most cleanups find nothing, and for that no history is read.
func (c *Crew) keepResidue(ctx context.Context, w *work, r recipe.Report) error {
	if r.Phases == string(recipe.Verify) && w.attempt.Reconnect > 0 || !slices.ContainsFunc(r.Steps, finds) {
		return nil
	}
	at := time.Now().Add(-r.Duration())
	return c.storeResidue(ctx, w.agent.ID, w.attempt.Number, r, place{w.attempt.Pool, at, c.theirs(at)})
}

// tellResidue tells what a report says was found, once.
func (c *Crew) tellResidue(w *work, r recipe.Report) {
	for _, s := range r.Steps {
		if finds(s) {
			c.Watch.Found(w.agent, w.attempt, Residue{knownKind(s.Scrub.Kind), things(*s.Scrub), max(0, s.Scrub.Bytes)})
		}
	}
}

// retrace looks for the culprits of what an agent's newest attempt found once more, because builds
// were learnt since. An error is logged: it costs knowledge, and nobody's cleanliness.
func (c *Crew) retrace(ctx context.Context, id hygiene.AgentID) {
	if err := c.retraceNewest(ctx, id); err != nil {
		c.Log.WarnContext(ctx, "culprits of residue could not be looked for", "agent", id.Name, "err", err)
	}
}

func (c *Crew) retraceNewest(ctx context.Context, id hygiene.AgentID) error {
	a, _, err := c.Store.Agent(ctx, id)
	if err != nil || a.Attempt == 0 {
		return err
	}
	if todo, err := c.Store.Unexplained(ctx, id, a.Attempt); err != nil || !todo {
		return err
	}
	rows, err := c.Store.Residue(ctx, store.ResidueFilter{Agent: id, Attempt: a.Attempt, Limit: maxResidue})
	if err != nil || !slices.ContainsFunc(rows, func(r store.Residue) bool { return r.Culprit.Job == "" }) {
		return err
	}
	record, err := c.Store.Attempt(ctx, id, a.Attempt)
	var report recipe.Report
	if err != nil || json.Unmarshal(record.Report, &report) != nil || report.Phases == string(recipe.Verify) {
		return err // without the whole report nothing can be told better than it was
	}
	return c.storeResidue(ctx, id, a.Attempt, report, place{rows[0].Pool, rows[0].At, c.theirs(rows[0].At)})
}

// place is where and when an attempt found what it did.
type place struct {
	pool   string
	at     time.Time // when its program began
	theirs time.Time // the same by the controller's clock
}

func (c *Crew) storeResidue(ctx context.Context, id hygiene.AgentID, number int64, r recipe.Report, where place) error {
	known, err := c.history(ctx, id, number)
	if err != nil {
		return err
	}
	return c.Store.SaveResidue(ctx, id, number, residueOf(r, where, known))
}

// history is what is known of an agent's builds, by the controller's clock.
type history struct {
	builds  []store.Build // newest first
	cleaned []time.Time   // when the agent was proven clean
}

// How far an agent's history is read, at the end of each cleanup: how many builds are suspected, and how many of the
// newest cleanups are looked at for the last that came before.
const (
	maxHistory  = 200
	maxCleanups = 20
)

// history returns what ran on an agent before an attempt.
func (c *Crew) history(ctx context.Context, id hygiene.AgentID, before int64) (history, error) {
	builds, err := c.Store.Builds(ctx, store.BuildFilter{Agent: id, Limit: maxHistory})
	if err != nil {
		return history{}, err
	}
	attempts, err := c.Store.Attempts(ctx, store.AttemptFilter{Agent: id, Outcome: hygiene.Cleaned, Limit: maxCleanups})
	if err != nil {
		return history{}, err
	}
	h := history{builds: builds}
	for _, t := range attempts {
		if t.Number < before && !t.Proved.IsZero() {
			h.cleaned = append(h.cleaned, c.theirs(t.Proved))
		}
	}
	return h, nil
}

// traceSlack is how wrong a moment may be that is told by a machine's age of a thing, by the seconds
// that steps took, and by our idea of the controller's clock.
const traceSlack = 10 * time.Second

// suspects returns the builds of which one left a thing behind that was made at the time made, and
// last touched until a time; made is zero where nobody knows. They started after the agent was last
// proven clean before that. Of those that had started when it was made the newest is the one, since an
// agent that is kept clean has one executor; where clocks cannot tell which was the newest, all that can
// have been it are suspected, as are all that started before it was last touched.
func (h history) suspects(made, until time.Time) []store.Suspect {
	first := cmp.Or(made, until)
	var since time.Time
	for _, at := range h.cleaned {
		if !at.After(first.Add(traceSlack)) && at.After(since) {
			since = at
		}
	}
	var out []store.Suspect
	for _, b := range h.builds { // newest first
		if b.At.After(until.Add(traceSlack)) || !b.At.After(since.Add(-traceSlack)) || b.Job == "" {
			continue
		}
		s := store.Suspect{Job: b.Job, Build: b.Number}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
		if !made.IsZero() && !b.At.After(made.Add(-traceSlack)) {
			break // it was running, or the last that ran
		}
	}
	return out
}

// below returns the jobs in a folder of which builds are known: the workspaces of all of them are in one directory of the
// folder's name (hudson.model.Slave#getWorkspaceFor).
func (h history) below(folder string) []store.Suspect {
	var out []store.Suspect
	for _, b := range h.builds {
		s := store.Suspect{Job: b.Job}
		if strings.HasPrefix(b.Job, folder+"/") && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// The bounds of what is stored of one attempt's residue.
const (
	maxResidue  = 100 // rows
	maxSuspects = 5
	maxWord     = 300 // bytes of a text
)

// isResidue reports whether what a step found is residue. What is missing on a machine, or short, is none, and what the
// verify phase still finds was found by the clean phase before.
func isResidue(s recipe.StepReport) bool {
	return s.Scrub != nil && s.Phase == recipe.Clean && s.Scrub.Kind != spec.KindDisk
}

// finds reports whether a step found residue.
func finds(s recipe.StepReport) bool { return isResidue(s) && things(*s.Scrub) > 0 }

// ResidueKinds are the kinds of steps that find residue.
func ResidueKinds() []spec.Kind {
	return slices.DeleteFunc(spec.Kinds(), func(k spec.Kind) bool { return k == spec.KindDisk })
}

// knownKind keeps a report from inventing kinds of steps.
func knownKind(k spec.Kind) spec.Kind {
	if slices.Contains(spec.Kinds(), k) {
		return k
	}
	return "other"
}

// things is how many things a step found.
func things(r spec.Result) int64 { return int64(len(r.Found)) + max(0, int64(r.More)) }

// residueOf gathers what a report says was found, by kind and culprit, the most things first.
func residueOf(r recipe.Report, where place, known history) []store.Residue {
	g := gathering{where: where, rows: map[string]*store.Residue{}}
	at := where.theirs
	for _, s := range r.Steps {
		if isResidue(s) {
			for _, f := range s.Scrub.Found {
				g.add(thing(f, at, known))
			}
			if s.Scrub.More > 0 {
				g.add(others(*s.Scrub, at, known))
			}
		}
		at = at.Add(time.Duration(max(0, s.Seconds)) * time.Second)
	}
	return g.all()
}

// thing is one thing, with whom it can be told of. What scrub learnt on the machine counts more than history.
func thing(f spec.Residue, at time.Time, known history) store.Residue {
	r := store.Residue{
		Kind: word(f.Kind, "thing"), Things: 1, Bytes: max(0, f.Bytes), Oldest: max(0, f.Age.Duration()), Example: cut(strings.TrimSpace(f.ID + " " + f.What)),
	}
	if c := f.Culprit; c != nil && c.Job != "" {
		r.Culprit = store.Suspect{Job: cut(c.Job), Build: max(0, c.Build)}
		if c.By == spec.ByWorkspace {
			if jobs := known.below(c.Job); len(jobs) > 0 {
				r.Culprit = store.Suspect{}
				r = blame(r, jobs)
			}
		}
		r.By = word(c.By, "unknown")
		return r
	}
	if f.Age == 0 {
		return blame(r, known.suspects(time.Time{}, at))
	}
	made := at.Add(-f.Age.Duration())
	if f.Kind != "directory" { // one tells when names in it changed, and nothing of what is in its files and deeper
		at = made
	}
	return blame(r, known.suspects(made, at))
}

// blame says what suspects there are. Only if they are of one job is that the culprit.
func blame(r store.Residue, suspects []store.Suspect) store.Residue {
	switch {
	case len(suspects) == 0:
		return r
	case len(suspects) == 1:
		r.Culprit = suspects[0]
	case !slices.ContainsFunc(suspects, func(s store.Suspect) bool { return s.Job != suspects[0].Job }):
		r.Culprit = store.Suspect{Job: suspects[0].Job} // whichever of its builds
	default:
		r.Suspects = suspects[:min(len(suspects), maxSuspects)]
	}
	r.By = "history"
	return r
}

// others are the things of a step that its result only counts.
func others(s spec.Result, at time.Time, known history) store.Residue {
	r := store.Residue{Kind: string(knownKind(s.Kind)), Things: int64(s.More), Bytes: max(0, s.Bytes)}
	for _, f := range s.Found {
		r.Bytes = max(0, r.Bytes-max(0, f.Bytes))
	}
	if n := len(s.Found); n > 0 && !slices.ContainsFunc(s.Found, func(f spec.Residue) bool { return f.Kind != s.Found[0].Kind }) {
		r.Kind = word(s.Found[0].Kind, "thing")
	}
	return blame(r, known.suspects(time.Time{}, at))
}

// gathering joins what is alike.
type gathering struct {
	where place
	rows  map[string]*store.Residue
}

func (g *gathering) add(r store.Residue) {
	key := fmt.Sprintf("%q %q %d %q %v", r.Kind, r.Culprit.Job, r.Culprit.Build, r.By, r.Suspects)
	if g.rows[key] == nil && len(g.rows) >= maxResidue-1 { // the last is for all that has no room
		r, key = store.Residue{Kind: "other", Things: r.Things, Bytes: r.Bytes, Oldest: r.Oldest}, ""
	}
	old := g.rows[key]
	if old == nil {
		r.Pool, r.At = g.where.pool, g.where.at
		g.rows[key] = &r
		return
	}
	if r.Bytes > old.Bytes && r.Example != "" && old.Things == 1 {
		old.Example = r.Example
	}
	old.Things, old.Bytes, old.Oldest = old.Things+r.Things, old.Bytes+r.Bytes, max(old.Oldest, r.Oldest)
}

func (g *gathering) all() []store.Residue {
	out := make([]store.Residue, 0, len(g.rows))
	for _, r := range g.rows {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b store.Residue) int {
		return cmp.Or(cmp.Compare(b.Things, a.Things), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Culprit.Job, b.Culprit.Job), cmp.Compare(a.Culprit.Build, b.Culprit.Build), cmp.Compare(a.Example, b.Example))
	})
	return out
}

// word returns s if it is one short word, and otherwise instead: it comes from the machine, and is shown and filtered by.
func word(s, instead string) string {
	if s == "" || len(s) > 32 || strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsLetter(r) && r != '-' }) {
		return instead
	}
	return s
}

// cut keeps a text short.
func cut(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxWord)], "")
}
