// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// desk notes what it was asked for, and keeps loans in the store.
type desk struct {
	store   *store.Store
	request loan.Request
	secret  string
	done    []string
	fault   error
	waits   string
}

func (d *desk) Request(ctx context.Context, r loan.Request, secret string) ([]loan.Loan, error) {
	d.request, d.secret = r, secret
	if d.fault != nil {
		return nil, d.fault
	}
	l := loan.Loan{ID: "l1", Request: "r1", Borrower: r.Borrower, By: r.By, State: loan.Waiting, Since: began, Requested: began, Want: r.Want, To: r.To}
	return []loan.Loan{l}, d.store.AddLoans(ctx, []store.NewLoan{{Loan: l, Secret: secret}})
}

func (d *desk) Return(ctx context.Context, id, actor, reason string) (loan.Loan, error) {
	d.done = append(d.done, "return "+id+" by "+actor+": "+reason)
	return d.store.Loan(ctx, id)
}

func (d *desk) Renew(ctx context.Context, id, actor string, longer time.Duration, _ *bool) (loan.Loan, error) {
	d.done = append(d.done, "renew "+id+" by "+actor+" for "+longer.String())
	if d.fault != nil {
		return loan.Loan{}, d.fault
	}
	return d.store.Loan(ctx, id)
}

// withDesk is a house that lends.
func withDesk(t *testing.T) (*house, *desk) {
	t.Helper()
	d := &desk{}
	h := setup(t, func(o *api.Options) {
		d.store = o.Store
		o.Lend = d
	})
	return h, d
}

// from sends a request as if it came from an address, perhaps by TLS.
func (h *house) from(t *testing.T, address string, role store.Role, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)) // https:// makes it one by TLS
	r.RemoteAddr = address
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+h.tokens[role])
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestALoanIsAskedForAsItIsSaid(t *testing.T) {
	t.Parallel()
	h, d := withDesk(t)
	w := h.ask(t, store.Borrower, http.MethodPost, "/api/v1/loans",
		`{"count": 2, "want": {"labels": "el9", "pool": "linux", "agent": "a", "isolated": true, "wait": "10m"}, "to": {"labels": ["x"], "ca": "C"}, "for": "2h", "ttl": "1m", "idle": "5m"}`)
	status(t, w, http.StatusCreated)
	want := loan.Request{
		Borrower: "staging", By: "the borrower", Count: 2,
		Want:  loan.Want{Labels: "el9", Pool: "linux", Agent: "a", Isolated: true, Patience: 10 * time.Minute},
		To:    loan.Target{Kind: loan.ToController, CA: "C", Labels: []string{"x"}},
		Lease: loan.Lease{Term: 2 * time.Hour, TTL: time.Minute, Idle: 5 * time.Minute},
	}
	if diff := cmp.Diff(want, d.request); diff != "" {
		t.Errorf("the desk was asked for (-want +got):\n%s", diff)
	}
}

func TestABorrowerSeesAndReturnsItsOwnLoansOnly(t *testing.T) {
	t.Parallel()
	h, d := withDesk(t)
	status(t, h.ask(t, store.Operator, http.MethodPost, "/api/v1/loans", `{"borrower": "others"}`), http.StatusCreated)
	for _, step := range []struct {
		role               store.Role
		method, path, body string
		want               int
	}{
		{store.Borrower, http.MethodGet, "/api/v1/loans/l1", "", http.StatusNotFound},
		{store.Borrower, http.MethodPost, "/api/v1/loans/l1/return", "{}", http.StatusNotFound},
		{store.Borrower, http.MethodPost, "/api/v1/loans/l1/renew", "{}", http.StatusNotFound},
		{store.Borrower, http.MethodPost, "/api/v1/loans", `{"borrower": "others"}`, http.StatusForbidden},
		{store.Viewer, http.MethodGet, "/api/v1/loans/l1", "", http.StatusOK},
		{store.Viewer, http.MethodPost, "/api/v1/loans/l1/return", "{}", http.StatusForbidden},
		{store.Operator, http.MethodPost, "/api/v1/loans/l1/return", `{"reason": "enough"}`, http.StatusOK},
		{store.Operator, http.MethodPost, "/api/v1/loans/l1/renew", `{"for": "1h"}`, http.StatusOK},
		{store.Operator, http.MethodPost, "/api/v1/loans/l1/renew", `{"for": "-1h"}`, http.StatusUnprocessableEntity},
		{store.Borrower, http.MethodGet, "/api/v1/agents", "", http.StatusForbidden},
	} {
		if w := h.ask(t, step.role, step.method, step.path, step.body); w.Code != step.want {
			t.Errorf("%s %s as %s: %d, want %d: %s", step.method, step.path, step.role, w.Code, step.want, w.Body)
		}
	}
	if w := h.ask(t, store.Borrower, http.MethodGet, "/api/v1/loans?all=true", ""); strings.Contains(w.Body.String(), "l1") {
		t.Errorf("it lists another's loan: %s", w.Body)
	}
	if diff := cmp.Diff([]string{"return l1 by the operator: enough", "renew l1 by the operator for 1h0m0s"}, d.done); diff != "" {
		t.Errorf("the desk was told (-want +got):\n%s", diff)
	}
}

func TestASecretIsTakenOverTLSOrFromThisMachineOnly(t *testing.T) {
	t.Parallel()
	const body = `{"borrower": "others", "to": {"url": "https://b/"}, "node": "n1", "secret": "5ec4e7ca9a41"}`
	for _, tc := range []struct {
		name, address, url string
		want               int
	}{
		{"in clear from elsewhere", "192.0.2.7:4711", "http://pitcrew.test/api/v1/loans", http.StatusForbidden},
		{"in clear from this machine", "127.0.0.1:4711", "http://pitcrew.test/api/v1/loans", http.StatusCreated},
		{"the same in its other spelling", "[::ffff:127.0.0.1]:4711", "http://pitcrew.test/api/v1/loans", http.StatusCreated},
		{"by TLS", "192.0.2.7:4711", "https://pitcrew.test/api/v1/loans", http.StatusCreated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h, d := withDesk(t)
			w := h.from(t, tc.address, store.Operator, http.MethodPost, tc.url, body)
			status(t, w, tc.want)
			if given := d.secret == "5ec4e7ca9a41"; given != (tc.want == http.StatusCreated) {
				t.Errorf("the desk has the secret: %t", given)
			}
			if strings.Contains(w.Body.String(), "5ec4e7ca9a41") {
				t.Errorf("the answer repeats the secret: %s", w.Body)
			}
			if w := h.ask(t, store.Admin, http.MethodGet, "/api/v1/loans?all=true", ""); strings.Contains(w.Body.String(), "5ec4e7ca9a41") {
				t.Errorf("the list tells the secret: %s", w.Body)
			}
		})
	}
}

// What is wrong with a request is told without what else stands in it.
func TestNoRefusalRepeatsASecret(t *testing.T) {
	t.Parallel()
	const secret = "5ec4e7ca9a41"
	for name, body := range map[string]string{
		"a name that is misspelt":     `{"borrower": "others", "too": {"url": "https://b/"}, "node": "n1", "secret": "` + secret + `"}`,
		"a secret of another kind":    `{"borrower": "others", "secret": ["` + secret + `"]}`,
		"a secret that is too long":   `{"borrower": "others", "secret": "` + strings.Repeat(secret, 100) + `"}`,
		"no JSON":                     `{"borrower": "others", "secret": "` + secret + `"`,
		"a secret in place of a name": `{"borrower": "others", "count": "` + secret + `"}`,
	} {
		h, _ := withDesk(t)
		w := h.from(t, "127.0.0.1:4711", store.Operator, http.MethodPost, "http://pitcrew.test/api/v1/loans", body)
		if w.Code/100 != 4 || strings.Contains(w.Body.String(), secret) {
			t.Errorf("%s: %d: %s", name, w.Code, w.Body)
		}
	}
}

func TestWhatIsWrongWithARequestIsToldByItsField(t *testing.T) {
	t.Parallel()
	h, d := withDesk(t)
	d.fault = &loan.RequestError{Field: "pool", Problem: "no such pool"}
	w := h.ask(t, store.Operator, http.MethodPost, "/api/v1/loans", `{"borrower": "others"}`)
	status(t, w, http.StatusUnprocessableEntity)
	if text := w.Body.String(); !strings.Contains(text, "body.pool") || !strings.Contains(text, "no such pool") {
		t.Errorf("it says %s", text)
	}
	d.fault = loan.ErrOver
	if err := d.store.AddLoans(t.Context(), []store.NewLoan{{Loan: loan.Loan{ID: "l2", Borrower: "staging", Requested: began}}}); err != nil {
		t.Fatal(err)
	}
	status(t, h.ask(t, store.Borrower, http.MethodPost, "/api/v1/loans/l2/renew", "{}"), http.StatusConflict)
	status(t, setup(t).ask(t, store.Operator, http.MethodPost, "/api/v1/loans", `{"borrower": "others"}`), http.StatusConflict)
}

func (d *desk) Offers(context.Context, string) ([]loan.Listing, error) { return nil, nil }

func (d *desk) Waits(string) string { return d.waits }

func TestALoanThatWaitsSaysForWhat(t *testing.T) {
	t.Parallel()
	h, d := withDesk(t)
	status(t, h.ask(t, store.Operator, http.MethodPost, "/api/v1/loans", `{"borrower": "others"}`), http.StatusCreated)
	for _, why := range []string{"", "waits, because pool linux keeps 2 clean agents for itself"} {
		d.waits = why
		for _, target := range []string{"/api/v1/loans/l1", "/api/v1/loans"} {
			w := h.ask(t, store.Operator, http.MethodGet, target, "")
			if !strings.Contains(w.Body.String(), `"reason":"`+why) {
				t.Errorf("%s does not tell %q: %s", target, why, w.Body)
			}
		}
	}
}
