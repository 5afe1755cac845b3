// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// Step is one kind of step at work on this machine.
type Step interface {
	// Look returns what deviates from the goal, in the order in which it has to go, and changes nothing. An Absent
	// error says that what the step looks after does not exist here.
	Look(ctx context.Context) ([]Deviation, error)
	// Mend makes the deviations go away as far as it can, and returns for each why it could not, or nil. Whether it
	// succeeded is judged by looking again. It fills in what each held where that is learnt only now, and returns soon
	// after ctx ends.
	Mend(ctx context.Context, found []Deviation) []error
}

// Deviation is one difference between the machine and the goal.
type Deviation struct {
	spec.Residue
	// Stays is set for what the step can see but not mend: why.
	Stays string
}

// unseen is something that cannot be looked at: it keeps nothing else from being mended, and the goal from being reached.
func unseen(what, why string) Deviation {
	return Deviation{spec.Residue{Kind: "unseen", ID: what, What: "what cannot be looked at"}, why}
}

// Absent says that what a step looks after does not exist here, or cannot on this platform.
type Absent struct{ Reason string }

func (e Absent) Error() string { return e.Reason }

// rounds is how often a step may mend: what appears again after so many looks has a source that outruns us.
const rounds = 5

// Mode is what is to be done about deviations.
type Mode int

// The modes.
const (
	Do    Mode = iota // mend them
	Plan              // report them as what would be mended
	Judge             // report them as problems: the goal is to be proved, not made
)

// Reach runs step until it is at its goal, and says what became of it. The error is nil unless ctx ended or the machine
// could not be looked at; the result is worth reading either way.
func Reach(ctx context.Context, kind spec.Kind, step Step, mode Mode) (spec.Result, error) {
	began := time.Now()
	t := tally{result: spec.Result{Kind: kind}, cleans: kind.Cleans() && !kind.Judges(), seen: map[string]bool{}, bytes: map[string]int64{}}
	if a, ok := step.(adder); ok && a.Adds() {
		t.cleans = false
	}
	err := t.reach(ctx, step, mode)
	if a, ok := errors.AsType[Absent](err); ok {
		if len(t.seen) == 0 {
			t.result.State, t.result.Reason, err = spec.Skipped, a.Reason, nil
		} else { // that there was something to look after has been seen
			err = fmt.Errorf("what was found cannot be looked at any more: %s", a.Reason)
		}
	}
	if err != nil {
		t.result.State, t.result.Reason = spec.Unmet, strings.TrimSuffix(err.Error()+"; "+t.result.Reason, "; ")
	}
	t.result.Milliseconds = time.Since(began).Milliseconds()
	return t.finish(), err
}

// adder is a step of a kind that cleans, which asks for something to be there instead.
type adder interface{ Adds() bool }

// tally is a result while it is being made.
type tally struct {
	result spec.Result
	cleans bool // what is found is residue; or else it is what the goal asks and the machine lacks
	found  []spec.Residue
	seen   map[string]bool
	bytes  map[string]int64 // what things held, as far as that was learnt by mending
}

func (t *tally) reach(ctx context.Context, step Step, mode Mode) error {
	var there []Deviation
	var causes map[string]error
	for round := 0; ; round++ {
		if ctx.Err() != nil {
			t.unmet(refused(there, causes), causes)
			return stopped(ctx)
		}
		now, ended := within(ctx, func() look { return lookAt(ctx, step) })
		switch {
		case !ended:
			return fmt.Errorf("%w, and looking has not ended", stopped(ctx))
		case now.err != nil:
			return now.err
		}
		there, t.result.Notes = now.there, now.notes
		t.saw(there)
		switch {
		case len(there) == 0:
			if lacks, err := prove(ctx, step, mode); err != nil || len(lacks) > 0 {
				t.saw(lacks)
				t.unmet(lacks, nil)
				return err
			}
			t.result.State = spec.Unchanged
			if round > 0 {
				t.result.State = spec.Changed
			}
			t.gone(there)
			t.afterwards(step, mode)
			return nil
		case mode == Plan:
			t.planned(there)
			return nil
		case mode == Judge, round == rounds, stuck(there, causes):
			t.gone(there)
			t.unmet(there, causes)
			return nil
		}
		mended, ended := within(ctx, func() mended { return mend(ctx, step, there) })
		if !ended {
			return fmt.Errorf("%w, and mending has not ended", stopped(ctx))
		}
		causes = mended.causes
		maps.Copy(t.bytes, mended.bytes)
	}
}

// prover is a step whose goal is proved only by trying, once nothing that can be seen deviates. A plan does not try.
type prover interface {
	// Prove tries, and returns what failed. It leaves nothing behind, and has a while for that after ctx has ended.
	Prove(ctx context.Context) ([]Deviation, error)
}

// clearing is how long a proof has to take away what it made, after its time is over.
const clearing = 15 * time.Second

func prove(ctx context.Context, step Step, mode Mode) ([]Deviation, error) {
	p, ok := step.(prover)
	if !ok || mode == Plan {
		return nil, nil
	}
	type proof struct {
		lacks []Deviation
		err   error
	}
	tried, ended := returning(ctx, clearing, func() proof {
		lacks, err := p.Prove(ctx)
		return proof{lacks, err}
	})
	if !ended {
		return nil, fmt.Errorf("%w, and trying has not ended", stopped(ctx))
	}
	return tried.lacks, tried.err
}

// afterwards notes what is left to be done by others once the goal is reached.
func (t *tally) afterwards(step Step, mode Mode) {
	r, ok := step.(reconnecter)
	if !ok {
		return
	}
	why := r.Reconnect()
	switch {
	case why == "" || mode == Plan:
	case mode == Judge:
		t.result.State, t.result.Reason = spec.Unmet, why
		t.result.Problems = append(t.result.Problems, spec.Problem{ID: "agent", Why: why})
	default:
		t.result.Reconnect, t.result.Reason = true, why
	}
}

// reconnecter is a step whose goal the agent may see only after it has reconnected.
type reconnecter interface {
	// Reconnect returns why the agent has to, or "".
	Reconnect() string
}

// refused returns what is known not to have gone, without another look.
func refused(there []Deviation, causes map[string]error) []Deviation {
	return slices.DeleteFunc(slices.Clone(there), func(d Deviation) bool { return d.Stays == "" && causes[d.key()] == nil })
}

// look is what a look saw.
type look struct {
	there []Deviation
	notes []string
	err   error
}

func lookAt(ctx context.Context, step Step) look {
	there, err := step.Look(ctx)
	l := look{there: there, err: err}
	if n, ok := step.(noter); ok {
		l.notes = n.Notes()
	}
	return l
}

// noter is a step that has remarks on what its last look saw.
type noter interface{ Notes() []string }

// parting is how long a step has to come back after its time is over.
const parting = time.Second

// within returns what f does, or that f has not come back soon after ctx ended: the kernel can hold on to whoever reads
// of a process, or asks a file system, that hangs.
func within[T any](ctx context.Context, f func() T) (result T, ended bool) {
	return returning(ctx, parting, f)
}

// returning is within for what may take so long to come back.
func returning[T any](ctx context.Context, parting time.Duration, f func() T) (result T, ended bool) {
	done := make(chan T, 1)
	go func() { done <- f() }()
	select {
	case result = <-done:
		return result, true
	case <-ctx.Done():
	}
	select {
	case result = <-done:
		return result, true
	case <-time.After(parting):
		return result, false
	}
}

// stuck reports whether another round cannot help: everything that is there stays, or was given up for good.
func stuck(there []Deviation, causes map[string]error) bool {
	return !slices.ContainsFunc(there, func(d Deviation) bool {
		_, final := errors.AsType[Final](causes[d.key()])
		return d.Stays == "" && !final
	})
}

// Final is an error that trying again cannot mend.
type Final struct{ Err error }

func (e Final) Error() string { return e.Err.Error() }

// Unwrap returns the error that is final.
func (e Final) Unwrap() error { return e.Err }

// mended is what mending told: why things could not go, and what they held.
type mended struct {
	causes map[string]error
	bytes  map[string]int64
}

func mend(ctx context.Context, step Step, there []Deviation) mended {
	work := slices.DeleteFunc(slices.Clone(there), func(d Deviation) bool { return d.Stays != "" })
	m := mended{make(map[string]error, len(work)), make(map[string]int64, len(work))}
	for i, err := range step.Mend(ctx, work) {
		if err != nil {
			m.causes[work[i].key()] = err
		}
		m.bytes[work[i].key()] = work[i].Bytes
	}
	return m
}

func (d Deviation) key() string { return d.Kind + " " + d.ID }

// saw notes what a look found that no earlier look had.
func (t *tally) saw(there []Deviation) {
	for _, d := range there {
		if !t.seen[d.key()] {
			t.seen[d.key()] = true
			t.found = append(t.found, d.Residue)
		}
	}
}

// gone counts what has been seen and is there no more.
func (t *tally) gone(there []Deviation) {
	still := make(map[string]bool, len(there))
	for _, d := range there {
		still[d.key()] = true
	}
	for i, r := range t.found {
		r.Bytes = max(r.Bytes, t.bytes[Deviation{Residue: r}.key()])
		t.found[i] = r
		if !still[Deviation{Residue: r}.key()] && t.cleans {
			t.result.Removed++
			t.result.Bytes += r.Bytes
		}
	}
}

// planned tells what would go, and apart from that what would stay and why.
func (t *tally) planned(there []Deviation) {
	t.result.State, t.found = spec.Planned, nil
	for _, d := range there {
		if d.Stays == "" {
			t.found = append(t.found, d.Residue)
		} else {
			t.result.Problems = append(t.result.Problems, spec.Problem{ID: d.ID, Why: d.Stays})
		}
	}
}

// unmet says what is still there and why.
func (t *tally) unmet(there []Deviation, causes map[string]error) {
	t.result.State = spec.Unmet
	if len(there) == 0 {
		return
	}
	for _, d := range there {
		p := spec.Problem{ID: d.ID, Why: "it is there"}
		if d.What != "" && !t.cleans {
			p.Why = d.What
		}
		switch cause := causes[d.key()]; {
		case d.Stays != "":
			p.Why = d.Stays
		case cause != nil:
			p.Why = cause.Error()
		case causes != nil && !t.cleans:
			p.Why += ", although nothing refused to change it"
		case causes != nil:
			p.Why = "it came back, or was not removed although nothing refused it"
		}
		t.result.Problems = append(t.result.Problems, p)
	}
	first := t.result.Problems[0]
	t.result.Reason = fmt.Sprintf("%s: %s", shown(first.ID), first.Why)
	if more := len(there) - 1; more > 0 {
		t.result.Reason += fmt.Sprintf(" (and %d more)", more)
	}
}

// finish orders what was found and cuts what nobody could read.
func (t *tally) finish() spec.Result {
	slices.SortStableFunc(t.found, func(a, b spec.Residue) int {
		if a.Bytes != b.Bytes {
			return int(min(max(b.Bytes-a.Bytes, -1), 1))
		}
		return int(min(max(b.Age-a.Age, -1), 1))
	})
	r := t.result
	r.Found = t.found[:min(len(t.found), spec.MaxFound)]
	r.More = len(t.found) - len(r.Found)
	if !t.cleans {
		r.Found, r.Differs = nil, r.Found
	}
	r.Problems = r.Problems[:min(len(r.Problems), spec.MaxProblems)]
	return r
}

// stopped says in words why ctx ended.
func stopped(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("its time is over")
	}
	return fmt.Errorf("stopped: %s", strings.TrimPrefix(context.Cause(ctx).Error(), "context "))
}

// shown returns a name of anything as it may stand in a line of a report.
func shown(name string) string {
	odd := func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
	if slices.ContainsFunc([]rune(name), odd) {
		return strconv.Quote(name)
	}
	return name
}
