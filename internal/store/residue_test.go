// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// left is residue of one kind that a job left.
func left(kind, job string, things, bytes int64, at time.Time) store.Residue {
	r := store.Residue{Pool: "el7", At: at, Kind: kind, Culprit: store.Suspect{Job: job}, Things: things, Bytes: bytes}
	if job != "" {
		r.By = "environment"
	}
	return r
}

func saveResidue(t *testing.T, s *store.Store, id hygiene.AgentID, number int64, found ...store.Residue) {
	t.Helper()
	if err := s.SaveResidue(t.Context(), id, number, found); err != nil {
		t.Fatal(err)
	}
}

// furnished has three attempts on two agents, an hour apart.
func furnished(t *testing.T) *store.Store {
	t.Helper()
	s := setup(t)
	attempted(t, s, a1, hygiene.Failed, t0)
	attempted(t, s, a2, hygiene.Failed, t0.Add(time.Hour))
	attempted(t, s, a1, hygiene.Failed, t0.Add(2*time.Hour))
	saveResidue(t, s, a1, 1, left("process", "app", 2, 0, t0), left("directory", "web", 1, 900, t0))
	saveResidue(t, s, a2, 1, left("process", "app", 1, 0, t0.Add(time.Hour)), left("directory", "app", 1, 50, t0.Add(time.Hour)))
	saveResidue(t, s, a1, 2, left("mount", "", 1, 0, t0.Add(2*time.Hour)))
	return s
}

func TestResidueReadsBackAndBelongsToItsAttempt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	attempted(t, s, a1, hygiene.Failed, t0)
	want := []store.Residue{
		{
			Pool: "el7", At: t0, Kind: "directory", By: "history", Suspects: []store.Suspect{{Job: "a", Build: 1}, {Job: "b"}},
			Things: 3, Bytes: 1 << 40, Oldest: 90 * time.Second, Example: "/srv/ci/a",
		},
		left("process", "app", 1, 0, t0),
	}
	saveResidue(t, s, a1, 1, left("file", "other", 9, 9, t0))
	saveResidue(t, s, a1, 1, want[1], want[0]) // in place of what was there
	got, err := s.Residue(t.Context(), store.ResidueFilter{Agent: a1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].Agent, want[i].Attempt = a1, 1
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Residue{}, "ID")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := s.SaveResidue(t.Context(), a1, 2, want); err == nil {
		t.Error("residue of an attempt that does not exist was stored")
	}
}

func TestResidueIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	s := furnished(t)
	all, err := s.Residue(t.Context(), store.ResidueFilter{})
	if err != nil || len(all) != 5 {
		t.Fatalf("got %d rows, %v; want 5", len(all), err)
	}
	for _, tc := range []struct {
		name   string
		filter store.ResidueFilter
		want   []string
	}{
		{"of an agent", store.ResidueFilter{Agent: a1}, []string{"mount", "directory web", "process app"}},
		{"of an attempt", store.ResidueFilter{Agent: a1, Attempt: 1}, []string{"directory web", "process app"}},
		{"of a kind", store.ResidueFilter{Kind: "process"}, []string{"process app", "process app"}},
		{"of another pool", store.ResidueFilter{Pool: "el8"}, nil},
		{"since", store.ResidueFilter{Since: t0.Add(2 * time.Hour)}, []string{"mount"}},
		{"until", store.ResidueFilter{Until: t0, Controller: "ci"}, []string{"directory web", "process app"}},
		{"the next page", store.ResidueFilter{Before: all[3].ID, Limit: 5}, []string{"process app"}},
		{"the newest", store.ResidueFilter{Limit: 1}, []string{"mount"}},
	} {
		found, err := s.Residue(t.Context(), tc.filter)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		var got []string
		for _, r := range found {
			text := r.Kind
			if r.Culprit.Job != "" {
				text += " " + r.Culprit.Job
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestCulpritsAreTheWorstFirstWithWhatTheyLeft(t *testing.T) {
	t.Parallel()
	s := furnished(t)
	app := store.Culprit{
		Controller: "ci", Job: "app", Things: 4, Bytes: 50, Agents: 2, Attempts: 2, LastSeen: t0.Add(time.Hour),
		Kinds: []store.Share{{"process", 3, 0}, {"directory", 1, 50}}, Worst: []store.Share{{"el7-1", 2, 0}, {"el7-2", 2, 50}},
		By: []store.Share{{"environment", 4, 50}},
	}
	web := store.Culprit{
		Controller: "ci", Job: "web", Things: 1, Bytes: 900, Agents: 1, Attempts: 1, LastSeen: t0,
		Kinds: []store.Share{{"directory", 1, 900}}, Worst: []store.Share{{"el7-1", 1, 900}}, By: []store.Share{{"environment", 1, 900}},
	}
	nobody := store.Culprit{
		Controller: "ci", Things: 1, Agents: 1, Attempts: 1, LastSeen: t0.Add(2 * time.Hour),
		Kinds: []store.Share{{"mount", 1, 0}}, Worst: []store.Share{{"el7-1", 1, 0}}, By: []store.Share{{"", 1, 0}},
	}
	for _, tc := range []struct {
		name   string
		filter store.CulpritFilter
		want   []store.Culprit
	}{
		{"by number", store.CulpritFilter{}, []store.Culprit{app, web, nobody}},
		{"by size", store.CulpritFilter{BySize: true}, []store.Culprit{web, app, nobody}},
		{"the next page", store.CulpritFilter{After: &app}, []store.Culprit{web, nobody}},
		{"the next page by size", store.CulpritFilter{BySize: true, After: &app}, []store.Culprit{nobody}},
		{"of another controller", store.CulpritFilter{ResidueFilter: store.ResidueFilter{Controller: "b"}}, nil},
		{"since", store.CulpritFilter{ResidueFilter: store.ResidueFilter{Since: t0.Add(2 * time.Hour)}}, []store.Culprit{nobody}},
		{"of a kind on an agent", store.CulpritFilter{ResidueFilter: store.ResidueFilter{Kind: "directory", Agent: a1}}, []store.Culprit{web}},
	} {
		got, err := s.Culprits(t.Context(), tc.filter)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestPagesOfCulpritsMeetEachOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	attempted(t, s, a1, hygiene.Failed, t0)
	var found []store.Residue
	for i := range 25 {
		found = append(found, left("process", fmt.Sprintf("job-%02d", i), int64(1+i%3), int64(i%2), t0))
	}
	saveResidue(t, s, a1, 1, found...)
	seen := map[string]int{}
	for f := (store.CulpritFilter{ResidueFilter: store.ResidueFilter{Limit: 4}}); ; {
		page, err := s.Culprits(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			seen[c.Job]++
		}
		f.After = &page[len(page)-1]
	}
	for _, r := range found {
		if seen[r.Culprit.Job] != 1 {
			t.Errorf("%s was met %d times", r.Culprit.Job, seen[r.Culprit.Job])
		}
	}
}

func TestResidueGoesWithItsAttempt(t *testing.T) {
	t.Parallel()
	s := furnished(t)
	purged, err := s.Purge(t.Context(), t0.Add(48*time.Hour), store.Retention{Attempts: 24 * time.Hour})
	if err != nil || purged.Attempts != 1 {
		t.Fatalf("purged %+v, %v; want the one attempt that is not the newest of its agent", purged, err)
	}
	got, err := s.Residue(t.Context(), store.ResidueFilter{Agent: a1})
	if err != nil || len(got) != 1 || got[0].Attempt != 2 {
		t.Errorf("got %+v, %v; want that of the newest attempt alone", got, err)
	}
	if _, err := s.Attempt(t.Context(), a1, 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the attempt: %v, want not found", err)
	}
}
