// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// shelf is a step over things that are only in memory.
type shelf struct {
	things  []string
	refuses map[string]error // what mending a thing answers; the thing stays
	refills string           // comes back after each mending
	asked   int
}

func (s *shelf) Look(context.Context) ([]scrub.Deviation, error) {
	var all []scrub.Deviation
	for _, id := range s.things {
		d := scrub.Deviation{Residue: spec.Residue{Kind: "thing", ID: id, Bytes: 10}}
		if id == "nailed" {
			d.Stays = "it is nailed down"
		}
		all = append(all, d)
	}
	return all, nil
}

func (s *shelf) Mend(_ context.Context, found []scrub.Deviation) []error {
	s.asked++
	errs := make([]error, len(found))
	for i, d := range found {
		if errs[i] = s.refuses[d.ID]; errs[i] == nil {
			s.things = slices.DeleteFunc(s.things, func(id string) bool { return id == d.ID })
		}
	}
	if s.refills != "" {
		s.things = append(s.things, s.refills)
	}
	return errs
}

func TestReachLooksAgain(t *testing.T) {
	t.Parallel()
	busy := errors.New("it is busy")
	for name, c := range map[string]struct {
		shelf shelf
		mode  scrub.Mode
		want  spec.Result
		asked int
	}{
		"nothing there is unchanged": {want: spec.Result{State: spec.Unchanged}},
		"what goes is counted": {
			shelf: shelf{things: []string{"a", "b"}}, want: spec.Result{State: spec.Changed, Removed: 2, Bytes: 20}, asked: 1,
		},
		"a plan mends nothing": {
			shelf: shelf{things: []string{"a"}}, mode: scrub.Plan, want: spec.Result{State: spec.Planned},
		},
		"a plan tells apart what stays": {
			shelf: shelf{things: []string{"a", "nailed"}}, mode: scrub.Plan,
			want: spec.Result{
				State: spec.Planned, Found: []spec.Residue{{Kind: "thing", ID: "a", Bytes: 10}},
				Problems: []spec.Problem{{ID: "nailed", Why: "it is nailed down"}},
			},
		},
		"a judge mends nothing": {
			shelf: shelf{things: []string{"a"}}, mode: scrub.Judge,
			want: spec.Result{State: spec.Unmet, Reason: "a: it is there", Problems: []spec.Problem{{ID: "a", Why: "it is there"}}},
		},
		"what refuses for good is not asked twice": {
			shelf: shelf{things: []string{"a", "b"}, refuses: map[string]error{"b": scrub.Final{Err: busy}}},
			want: spec.Result{
				State: spec.Unmet, Removed: 1, Bytes: 10, Reason: "b: it is busy",
				Problems: []spec.Problem{{ID: "b", Why: "it is busy"}},
			},
			asked: 1,
		},
		"what refuses is asked again, and not for ever": {
			shelf: shelf{things: []string{"b"}, refuses: map[string]error{"b": busy}},
			want: spec.Result{
				State: spec.Unmet, Reason: "b: it is busy", Problems: []spec.Problem{{ID: "b", Why: "it is busy"}},
			},
			asked: 5,
		},
		"what comes back each time is a problem": {
			shelf: shelf{things: []string{"a"}, refills: "a"},
			want: spec.Result{
				State: spec.Unmet, Reason: "a: it came back, or was not removed although nothing refused it",
				Problems: []spec.Problem{{ID: "a", Why: "it came back, or was not removed although nothing refused it"}},
			},
			asked: 5,
		},
		"a name cannot break the line of the reason": {
			shelf: shelf{things: []string{"a\nb"}}, mode: scrub.Judge,
			want: spec.Result{State: spec.Unmet, Reason: `"a\nb": it is there`, Problems: []spec.Problem{{ID: "a\nb", Why: "it is there"}}},
		},
		"what stays is not asked at all": {
			shelf: shelf{things: []string{"nailed"}},
			want: spec.Result{
				State: spec.Unmet, Reason: "nailed: it is nailed down",
				Problems: []spec.Problem{{ID: "nailed", Why: "it is nailed down"}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := scrub.Reach(t.Context(), "thing", &c.shelf, c.mode)
			if err != nil {
				t.Fatal(err)
			}
			c.want.Kind = "thing"
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(spec.Result{}, "Found", "Milliseconds"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if c.want.Found != nil {
				if diff := cmp.Diff(c.want.Found, got.Found); diff != "" {
					t.Errorf("found (-want +got):\n%s", diff)
				}
			}
			if c.shelf.asked != c.asked {
				t.Errorf("asked to mend %d times; want %d", c.shelf.asked, c.asked)
			}
		})
	}
}

func TestReachEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := scrub.Reach(ctx, "thing", &shelf{things: []string{"a"}}, scrub.Do)
	if err == nil || got.State != spec.Unmet || !strings.Contains(got.Reason, "stopped") {
		t.Errorf("result %+v, error %v; want an unmet one that was stopped", got, err)
	}
}

// hanging is a step that the kernel does not let go of.
type hanging struct {
	shelf
	look, mend bool
	end        chan struct{}
}

func (h *hanging) Look(ctx context.Context) ([]scrub.Deviation, error) {
	if h.look {
		<-h.end
	}
	return h.shelf.Look(ctx)
}

func (h *hanging) Mend(ctx context.Context, found []scrub.Deviation) []error {
	if h.mend {
		<-h.end
	}
	<-ctx.Done()
	return h.shelf.Mend(ctx, found)
}

func (h *hanging) Notes() []string { return []string{"noted"} }

func TestReachEndsWhateverHangs(t *testing.T) {
	t.Parallel()
	busy := map[string]error{"b": errors.New("it is busy")}
	for name, c := range map[string]struct {
		step hanging
		want spec.Result
	}{
		"looking": {hanging{look: true}, spec.Result{Reason: "its time is over, and looking has not ended"}},
		"mending": {
			hanging{mend: true, shelf: shelf{things: []string{"a"}}},
			spec.Result{Reason: "its time is over, and mending has not ended", Notes: []string{"noted"}},
		},
		"mending, and what refused is told": {
			hanging{shelf: shelf{things: []string{"a", "b"}, refuses: busy}},
			spec.Result{
				Reason: "its time is over; b: it is busy", Notes: []string{"noted"},
				Problems: []spec.Problem{{ID: "b", Why: "it is busy"}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c.step.end = make(chan struct{})
				defer close(c.step.end)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				got, err := scrub.Reach(ctx, "thing", &c.step, scrub.Do)
				if err == nil || time.Since(began) > time.Minute+2*time.Second {
					t.Errorf("error %v after %s; want one soon after a minute", err, time.Since(began))
				}
				c.want.Kind, c.want.State = "thing", spec.Unmet
				if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(spec.Result{}, "Found", "Milliseconds"), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("result (-want +got):\n%s", diff)
				}
			})
		})
	}
}

type nothing struct{}

func (nothing) Look(context.Context) ([]scrub.Deviation, error) {
	return nil, scrub.Absent{Reason: "no engine here"}
}
func (nothing) Mend(context.Context, []scrub.Deviation) []error { return nil }

func TestWhatDoesNotExistHereIsSkipped(t *testing.T) {
	t.Parallel()
	got, err := scrub.Reach(t.Context(), "thing", nothing{}, scrub.Do)
	if err != nil || got.State != spec.Skipped || got.Reason != "no engine here" {
		t.Errorf("result %+v, error %v; want it skipped for that reason", got, err)
	}
}

// vanishing is there at the first look only.
type vanishing struct{ looks int }

func (v *vanishing) Look(context.Context) ([]scrub.Deviation, error) {
	if v.looks++; v.looks > 1 {
		return nil, scrub.Absent{Reason: "no engine here"}
	}
	return []scrub.Deviation{{Residue: spec.Residue{Kind: "thing", ID: "a"}}}, nil
}
func (*vanishing) Mend(context.Context, []scrub.Deviation) []error { return []error{nil} }

func TestWhatWasSeenIsNotSkipped(t *testing.T) {
	t.Parallel()
	got, err := scrub.Reach(t.Context(), "thing", &vanishing{}, scrub.Do)
	if err == nil || got.State != spec.Unmet || got.Removed != 0 || got.Reason != "what was found cannot be looked at any more: no engine here" {
		t.Errorf("result %+v, error %v; want it unmet for that reason", got, err)
	}
}

func TestDiskIsJudged(t *testing.T) {
	t.Parallel()
	for want, bytes := range map[spec.State]int64{spec.Unchanged: 1, spec.Unmet: 1 << 62} {
		s := spec.Spec{Goal: spec.Goal{Disk: &spec.Disk{Paths: []string{t.TempDir()}, BytesFree: bytes}}}
		step, err := scrub.New(s, scrub.Here{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := scrub.Reach(t.Context(), s.Kind(), step, scrub.Do)
		if err != nil || got.State != want {
			t.Errorf("%d bytes wanted: %+v, %v; want %s", bytes, got, err, want)
		}
		if len(got.Found) > 0 || len(got.Differs) != len(got.Problems) {
			t.Errorf("%+v; room that is missing is no residue", got)
		}
	}
}
