// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("read answer: %v\n%s", err, w.Body)
	}
	return v
}

// walk reads a list page by page and calls between after each one.
func walk[T any](t *testing.T, h *house, path string, limit int, between func(page int)) (all []T) {
	t.Helper()
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	for n := 0; ; n++ {
		w := h.ask(t, store.Viewer, http.MethodGet, path+"?"+query.Encode(), "")
		status(t, w, http.StatusOK)
		page := decode[api.Page[T]](t, w)
		if len(page.Items) > limit {
			t.Fatalf("page %d has %d items, the limit is %d", n, len(page.Items), limit)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		if len(page.Items) != limit {
			t.Fatalf("page %d has %d items and is not the last", n, len(page.Items))
		}
		between(n)
		query.Set("cursor", page.Next)
	}
}

func TestPagesNeitherRepeatNorLeaveOutAgentsWhileOthersCome(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 3, 20, 21} {
		t.Run(fmt.Sprintf("%d on a page", limit), func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			var want []string
			for i := range 20 {
				want = append(want, fmt.Sprintf("m-%02d", i))
				h.adopt(t, want[i])
			}
			agents := walk[api.Agent](t, h, "/api/v1/agents", limit, func(page int) {
				h.adopt(t, fmt.Sprintf("a-%02d", page)) // before everything
				h.adopt(t, fmt.Sprintf("z-%02d", page)) // after everything
			})
			var got []string
			for _, a := range agents {
				got = append(got, a.Name)
			}
			if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Errorf("not in order, or repeated: %v", got)
			}
			stayed := slices.DeleteFunc(got, func(name string) bool { return name[0] != 'm' })
			if diff := cmp.Diff(want, stayed); diff != "" {
				t.Errorf("agents that were there all the time (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPagesOfEventsStandStillWhileNewOnesHappen(t *testing.T) {
	t.Parallel()
	h := setup(t)
	id := h.adopt(t, "el9-1")
	for i := range 9 {
		h.append(t, id, i)
	}
	events := walk[api.Event](t, h, "/api/v1/events", 2, func(page int) { h.append(t, id, 100+page) })
	var got []string
	for _, e := range events {
		got = append(got, e.Reason)
	}
	want := []string{"8", "7", "6", "5", "4", "3", "2", "1", "0", "somebody put the label cleanable on it"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestPagesOfBuildsStandStillWhileNewOnesStart(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 5} {
		t.Run(fmt.Sprintf("%d on a page", limit), func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			ids := []hygiene.AgentID{h.adopt(t, "el9-1"), h.adopt(t, "Büro (2)")}
			var want []string
			for n := 3; n > 0; n-- { // two blocks of one Pipeline start at once, on two agents
				for _, id := range ids {
					h.used(t, id, n)
					want = append(want, fmt.Sprintf("%s #%d", id.Name, n))
				}
			}
			builds := walk[api.Build](t, h, "/api/v1/builds", limit, func(page int) { h.used(t, ids[0], 100+page) })
			var got []string
			for _, b := range builds {
				got = append(got, fmt.Sprintf("%s #%d", b.Agent, b.Number))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("builds (-want +got):\n%s", diff)
			}
		})
	}
}

// used stores build n of a Pipeline, minute n of all.
func (h *house) used(t *testing.T, id hygiene.AgentID, n int) {
	t.Helper()
	b := store.Build{URL: fmt.Sprintf("https://jenkins.example.org/job/app/%d/", n), Job: "app", Number: int64(n), At: began.Add(time.Duration(n) * time.Minute)}
	if _, err := h.store.RecordBuilds(t.Context(), id, began, []store.Build{b}); err != nil {
		t.Fatal(err)
	}
}

func TestACursorOfAnotherListIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, path := range []string{"/api/v1/agents", "/api/v1/builds", "/api/v1/attempts", "/api/v1/events", "/api/v1/residue"} {
		for _, cursor := range []string{"!", "garbage", "bm9uc2Vuc2U", "e30"} {
			status(t, h.ask(t, store.Viewer, http.MethodGet, path+"?cursor="+cursor, ""), http.StatusUnprocessableEntity)
		}
	}
}

// append stores an event that changes nothing.
func (h *house) append(t *testing.T, id hygiene.AgentID, n int) {
	t.Helper()
	e := hygiene.Event{Type: hygiene.EventRelabelled, Actor: "pitcrew", Subject: id.String(), Agent: id, Reason: strconv.Itoa(n)}
	if err := h.store.Append(t.Context(), began, e); err != nil {
		t.Fatal(err)
	}
}
