// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func culprits(t *testing.T, h *house, query url.Values) api.Page[api.Culprit] {
	t.Helper()
	w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/residue?"+query.Encode(), "")
	status(t, w, http.StatusOK)
	return decode[api.Page[api.Culprit]](t, w)
}

func TestCulpritsAreFilteredAndOrdered(t *testing.T) {
	t.Parallel()
	h := setup(t)
	furnish(t, h)
	since := began.Format(time.RFC3339)
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"since=" + since, []string{"a", ""}},
		{"order=bytes&since=" + since, []string{"", "a"}},
		{"kind=directory&since=" + since, []string{""}},
		{"pool=linux&controller=main&agent=el9-1&since=" + since, []string{"a", ""}},
		{"controller=main&agent=el9-2&since=" + since, nil},
		{"since=2126-01-01T00:00:00Z", nil},
	} {
		query, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range culprits(t, h, query).Items {
			got = append(got, c.Job)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.query, diff)
		}
	}
	h.refused(t, store.Viewer, http.MethodGet, "/api/v1/residue?agent=el9-1", "", http.StatusUnprocessableEntity)
	h.refused(t, store.Viewer, http.MethodGet, "/api/v1/residue?order=worst", "", http.StatusUnprocessableEntity)
	h.refused(t, store.Viewer, http.MethodGet, "/api/v1/residue?cursor=e30", "", http.StatusUnprocessableEntity)
	h.refused(t, store.Viewer, http.MethodGet, "/api/v1/agents/main/nobody/residue", "", http.StatusNotFound)
}

// Without a time only the newest is listed, so that a culprit that was mended is no culprit for ever.
func TestCulpritsAreThoseOfTheLastDays(t *testing.T) {
	t.Parallel()
	h := setup(t)
	id := h.adopt(t, "el9-1")
	h.claim(t, id)
	now := time.Now()
	if err := h.store.SaveResidue(t.Context(), id, 1, []store.Residue{
		{At: now.Add(-8 * 24 * time.Hour), Kind: "process", Culprit: store.Suspect{Job: "old"}, Things: 9},
		{At: now.Add(-6 * 24 * time.Hour), Kind: "process", Culprit: store.Suspect{Job: "new"}, Things: 1},
	}); err != nil {
		t.Fatal(err)
	}
	if got := culprits(t, h, nil).Items; len(got) != 1 || got[0].Job != "new" {
		t.Errorf("got %+v, want the new one alone", got)
	}
}

func TestPagesOfResidueNeitherRepeatNorLeaveOut(t *testing.T) {
	t.Parallel()
	h := setup(t)
	id := h.adopt(t, odd)
	h.claim(t, id)
	now := time.Now()
	const n = 7
	var found []store.Residue
	for i := range n {
		found = append(found, store.Residue{At: now.Add(-time.Minute), Kind: "process", Culprit: store.Suspect{Job: fmt.Sprint("job ", i)}, Things: int64(i % 2)})
	}
	if err := h.store.SaveResidue(t.Context(), id, 1, found); err != nil {
		t.Fatal(err)
	}
	jobs := map[string]int{}
	query := url.Values{"limit": {"2"}}
	for {
		page := culprits(t, h, query)
		for _, c := range page.Items {
			jobs[c.Job]++
		}
		if page.Next == "" {
			break
		}
		query.Set("cursor", page.Next)
	}
	rows := map[string]int{}
	for query := (url.Values{"limit": {"3"}}); ; {
		w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/agents/main/"+url.PathEscape(odd)+"/residue?"+query.Encode(), "")
		status(t, w, http.StatusOK)
		page := decode[api.Page[api.Residue]](t, w)
		for _, r := range page.Items {
			rows[r.Job]++
		}
		if page.Next == "" {
			break
		}
		query.Set("cursor", page.Next)
	}
	for _, r := range found {
		if jobs[r.Culprit.Job] != 1 || rows[r.Culprit.Job] != 1 {
			t.Errorf("%s is %d times among the culprits and %d times in the agent's residue", r.Culprit.Job, jobs[r.Culprit.Job], rows[r.Culprit.Job])
		}
	}
}
