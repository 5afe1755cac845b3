// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// shelf is a desk that has agents to offer and lends none.
type shelf struct {
	api.LoanDesk
	offers []loan.Listing
}

func (s shelf) Offers(_ context.Context, borrower string) ([]loan.Listing, error) {
	if borrower == "nobody" {
		return nil, &loan.RequestError{Field: "borrower", Problem: "is unknown"}
	}
	return s.offers, nil
}

func offered(name string, root loan.Root) loan.Listing {
	return loan.Listing{
		Offer:  loan.Offer{Agent: loan.Agent{Controller: "main", Name: name}, Pool: "linux", CleanSince: began},
		Labels: []string{"el9", name}, Isolated: true, Spare: 2, SpareThere: 1, Root: root, Ignore: []string{"file:/var/cache/*"},
	}
}

// cleaned stores an agent's next attempt with the report of its program.
func (h *house) cleaned(t *testing.T, id hygiene.AgentID, need hygiene.Need, report string) {
	t.Helper()
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		attempt := hygiene.Attempt{
			Agent: id, Number: c.Agent.Attempt + 1, Nonce: nonce, Need: need, Outcome: hygiene.Cleaned, Claimed: began, Ended: began,
		}
		c.Agent.Attempt, c.Attempt = attempt.Number, &attempt
		return nil, nil
	})
	_, a, err := h.store.Agent(t.Context(), id)
	if err == nil {
		err = h.store.SaveReport(t.Context(), id, a.Number, []byte(report), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestABorrowerSeesWhatItNeedsToChoose(t *testing.T) {
	t.Parallel()
	desk := &shelf{offers: []loan.Listing{
		offered("el9-1", loan.Root{}), offered("el9-2", loan.Root{Rule: loan.RootApproved, Refs: []string{"refs/heads/main"}}),
	}}
	h := setup(t, func(o *api.Options) { o.Lend = desk })
	id := h.adopt(t, "el9-1")
	h.cleaned(t, id, hygiene.NeedCleanup, `{"machine":{"os":"linux rhel rhel9 rhel9","arch":"x86_64"},"steps":[
		{"name":"files","outcome":"ok"},{"name":"vms","outcome":"skipped","reason":"no virsh here"},
		{"name":"caches","outcome":"skipped","reason":"runs from depth deep on; this is standard"}]}`)
	h.cleaned(t, id, hygiene.NeedVerify, `{"machine":{"os":"changed","arch":"changed"}}`)
	w := h.ask(t, store.Borrower, http.MethodGet, "/api/v1/loans/offers", "")
	status(t, w, http.StatusOK)
	var got api.Page[api.LoanOffer]
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Items) != 2 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	one, two := got.Items[0], got.Items[1]
	if one.OS != "linux rhel rhel9" || one.Arch != "x86_64" || one.Profile != "vms" || one.Spare != 2 || one.SpareThere != 1 || !one.Isolated || one.Root != "never" ||
		!slices.Equal(one.Ignore, []string{"file:/var/cache/*"}) {
		t.Errorf("the first is %+v", one)
	}
	if two.OS != "" || two.Root != "approved" || !slices.Equal(two.ApprovedRefs, []string{"refs/heads/main"}) || !two.CleanSince.Equal(began) {
		t.Errorf("the second is %+v", two)
	}
	var keys []map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &struct{ Items *[]map[string]any }{&keys}); err != nil || len(keys[0]) > 13 {
		t.Errorf("more is told than is needed: %v", keys)
	}
}

// Whoever is about to start something long for a loan is told now that there will be none.
func TestWhoAsksForOffersIsToldOfABorrowerThatThereIsNot(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *api.Options) { o.Lend = &shelf{} })
	const offers = "/api/v1/loans/offers?borrower="
	status(t, h.ask(t, store.Operator, http.MethodGet, offers+"staging", ""), http.StatusOK)
	status(t, h.ask(t, store.Borrower, http.MethodGet, offers+"nobody", ""), http.StatusForbidden) // whoever that is
	w := h.ask(t, store.Operator, http.MethodGet, offers+"nobody", "")
	status(t, w, http.StatusUnprocessableEntity)
	if !strings.Contains(w.Body.String(), `"query.borrower"`) || !strings.Contains(w.Body.String(), "is unknown") {
		t.Errorf("it says %s", w.Body)
	}
}

func TestTheProgramOfAPoolIsForBorrowersAndOfPoolsThatLend(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.crew.view.Pools[0].Program = &recipe.Program{Recipe: "scrub", Text: []byte("#!/bin/sh\n"), Digest: "d", Revision: "r"}
	const target = "/api/v1/pools/linux/program"
	status(t, h.ask(t, store.Borrower, http.MethodGet, target, ""), http.StatusNotFound)
	h.crew.view.Pools[0].Lends = true
	status(t, h.ask(t, store.Borrower, http.MethodGet, "/api/v1/pools/other/program", ""), http.StatusNotFound)
	status(t, h.ask(t, store.Viewer, http.MethodGet, target, ""), http.StatusForbidden)
	w := h.ask(t, store.Borrower, http.MethodGet, target, "")
	status(t, w, http.StatusOK)
	var got api.PoolProgram
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Program != "#!/bin/sh\n" || got.Revision != "r" || got.Recipe != "scrub" || got.Digest != "d" {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestWithoutLendingThereAreNoOffers(t *testing.T) {
	t.Parallel()
	status(t, setup(t).ask(t, store.Borrower, http.MethodGet, "/api/v1/loans/offers", ""), http.StatusConflict)
}
