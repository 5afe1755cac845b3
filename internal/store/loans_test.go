// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

const canary = "5ec4e7ca9a41"

// lent is a loan in which no field has its zero value, but for those that only one that is over has.
func lent(id string, now time.Time) loan.Loan {
	return loan.Loan{
		ID: id, Request: "r1", Borrower: "staging", By: "ci", Since: now, State: loan.Waiting, Reason: "asked for",
		Want:      loan.Want{Labels: "el9", Pool: "linux", Agent: "a", Isolated: true, Patience: time.Hour},
		To:        loan.Target{Kind: loan.ToController, URL: "https://borrower/", Labels: []string{"x", "y"}},
		Lease:     loan.Lease{Term: time.Hour, Max: 2 * time.Hour, TTL: time.Minute, Idle: time.Minute, Attach: time.Minute},
		Requested: now, Node: loan.Node{Name: "n1", Dir: "/var/tmp/x"}, Told: loan.Told{Lost: true},
	}
}

func TestALoanIsReadAsItWasStored(t *testing.T) {
	t.Parallel()
	s := setup(t)
	want := lent("l1", t0)
	e := hygiene.Event{Type: hygiene.EventLoanRequested, At: t0, Actor: "ci", Subject: "l1"}
	if err := s.AddLoans(t.Context(), []store.NewLoan{{Loan: want}, {Loan: lent("l2", t0.Add(time.Second))}}, e); err != nil {
		t.Fatal(err)
	}
	if err := s.AddLoans(t.Context(), []store.NewLoan{{Loan: lent("l3", t0)}, {Loan: want}}); !errors.Is(err, store.ErrExists) {
		t.Errorf("an id that is taken: %v, want ErrExists", err)
	}
	got, err := s.Loan(t.Context(), "l1")
	if err != nil {
		t.Fatal(err)
	}
	want.Version = 1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-stored +read):\n%s", diff)
	}
	if _, err := s.Loan(t.Context(), "l3"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a loan that was refused with its fellow is there: %v", err)
	}
	events, err := s.Events(t.Context(), store.EventFilter{Types: []hygiene.EventType{hygiene.EventLoanRequested}})
	if err != nil || len(events) != 1 {
		t.Errorf("events: %d, %v; want the one that was stored with them", len(events), err)
	}
}

func TestALoanThatSomebodyChangedIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.AddLoans(t.Context(), []store.NewLoan{{Loan: lent("l1", t0)}}); err != nil {
		t.Fatal(err)
	}
	l, err := s.Loan(t.Context(), "l1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SaveLoan(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	l.Reason = "from older facts"
	if err := s.SaveLoan(t.Context(), l); !errors.Is(err, store.ErrConflict) {
		t.Errorf("saved on older facts: %v, want ErrConflict", err)
	}
	if now, err := s.Loan(t.Context(), "l1"); err != nil || now.Reason != "asked for" {
		t.Errorf("it reads %q, %v", now.Reason, err)
	}
}

// TestLendingStoresAgentAndLoanTogether: of an agent and its loan both are changed, or none.
func TestLendingStoresAgentAndLoanTogether(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := hygiene.AgentID{Controller: "main", Name: "a"}
	if err := s.AddLoans(t.Context(), []store.NewLoan{{Loan: lent("l1", t0)}}); err != nil {
		t.Fatal(err)
	}
	old, err := s.Loan(t.Context(), "l1")
	if err != nil {
		t.Fatal(err)
	}
	change(t, s, id, t0, to(hygiene.Due, t0))
	lend := func(c *store.Change) ([]hygiene.Event, error) {
		c.Agent.Loan = &hygiene.Loan{ID: "l1", Borrower: "staging", Since: t0, Number: 7}
		l := old
		l.Reason = "granted"
		c.Loan = &l
		return nil, nil
	}
	change(t, s, id, t0, lend)
	if err := s.Change(t.Context(), id, t0, lend); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the same once more: %v, want ErrConflict", err)
	}
	a, _, err := s.Agent(t.Context(), id)
	if err != nil || a.Loan == nil || *a.Loan != (hygiene.Loan{ID: "l1", Borrower: "staging", Since: t0, Number: 7}) {
		t.Errorf("agent's loan is %+v, %v", a.Loan, err)
	}
	if l, err := s.Loan(t.Context(), "l1"); err != nil || l.Reason != "granted" || l.Version != 2 {
		t.Errorf("loan reads %q in version %d, %v", l.Reason, l.Version, err)
	}
}

// TestTheSecretOfALoanIsNowhereInClear: neither in the database nor in its journal, and gone once it was handed over.
func TestTheSecretOfALoanIsNowhereInClear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "pitcrew.db")
	s := open(t, path)
	if err := s.AddLoans(t.Context(), []store.NewLoan{{Loan: lent("l1", t0), Secret: canary}}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("files of the store: %q, %v", files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(canary)) {
			t.Errorf("%s holds the secret", filepath.Base(name))
		}
	}
	if info, err := os.Stat(path + ".key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v; want it readable by its owner alone", info, err)
	}
	if got, err := s.LoanSecret(t.Context(), "l1"); err != nil || got != canary {
		t.Errorf("secret read back as %q, %v", got, err)
	}
	l, err := s.Loan(t.Context(), "l1")
	if err != nil {
		t.Fatal(err)
	}
	l.State = loan.Attached
	if err := s.SaveLoan(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LoanSecret(t.Context(), "l1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("secret of a loan that was handed over: %v, want ErrNotFound", err)
	}
}

// TestASecretIsBoundToItsLoanAndKey: a row that was moved, or another key, gives an error that says what to look at.
func TestASecretIsBoundToItsLoanAndKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	first, err := store.Open(t.Context(), store.Options{Path: path, Owner: "x", Now: t0})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.AddLoans(t.Context(), []store.NewLoan{{Loan: lent("l1", t0), Secret: canary}, {Loan: lent("l2", t0), Secret: "of its own"}}); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, path, "UPDATE loan SET sealed = (SELECT sealed FROM loan WHERE id = 'l1') WHERE id = 'l2'")
	moved, err := store.Open(t.Context(), store.Options{Path: path, Owner: "x", Now: t0})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := moved.LoanSecret(t.Context(), "l1"); err != nil || got != canary {
		t.Errorf("secret read back as %q, %v", got, err)
	}
	if got, err := moved.LoanSecret(t.Context(), "l2"); err == nil || got != "" {
		t.Errorf("the secret of another loan is read as its own: %q", got)
	}
	if err := moved.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".key", bytes.Repeat([]byte{1}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if got, err := s.LoanSecret(t.Context(), "l1"); err == nil || got != "" || !bytes.Contains([]byte(err.Error()), []byte(".key")) {
		t.Errorf("with another key: %q, %v; want an error that names the key file", got, err)
	}
}

// TestAKeyThatCannotBeMadeIsTriedAgain: a request that comes when the disk has room again is taken.
func TestAKeyThatCannotBeMadeIsTriedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	s := open(t, path)
	if err := os.Mkdir(path+".key.new", 0o700); err != nil { // in its way
		t.Fatal(err)
	}
	loans := []store.NewLoan{{Loan: lent("l1", t0), Secret: canary}}
	if err := s.AddLoans(t.Context(), loans); err == nil {
		t.Fatal("a secret was stored without a key")
	}
	if err := os.Remove(path + ".key.new"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddLoans(t.Context(), loans); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoanSecret(t.Context(), "l1"); err != nil || got != canary {
		t.Errorf("secret read back as %q, %v", got, err)
	}
}

func TestLoansAreListedAndPurged(t *testing.T) {
	t.Parallel()
	s := setup(t)
	over, owing, other := lent("over", t0), lent("owing", t0.Add(time.Second)), lent("other", t0.Add(2*time.Second))
	over.State, over.Ended = loan.Cleaned, t0
	owing.State, owing.Ended, owing.Node.Made, owing.Node.Owed = loan.Cleaned, t0, true, true
	other.Borrower = "people"
	if err := s.AddLoans(t.Context(), []store.NewLoan{{Loan: over}, {Loan: owing}, {Loan: other}}); err != nil {
		t.Fatal(err)
	}
	ids := func(loans []loan.Loan, err error) (out []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range loans {
			out = append(out, l.ID)
		}
		return out
	}
	for _, tc := range []struct {
		name string
		got  []string
		want []string
	}{
		{"open", ids(s.OpenLoans(t.Context())), []string{"owing", "other"}},
		{"not over", ids(s.Loans(t.Context(), store.LoanFilter{})), []string{"other", "owing"}},
		{"all", ids(s.Loans(t.Context(), store.LoanFilter{All: true})), []string{"other", "owing", "over"}},
		{"of one borrower", ids(s.Loans(t.Context(), store.LoanFilter{All: true, Borrower: "staging"})), []string{"owing", "over"}},
		{"the newest", ids(s.Loans(t.Context(), store.LoanFilter{All: true, Limit: 1})), []string{"other"}},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	p, err := s.Purge(t.Context(), t0.Add(48*time.Hour), store.Retention{Events: 24 * time.Hour})
	if err != nil || p.Loans != 1 {
		t.Errorf("purged %d loans, %v; want the one that is over and owes nothing", p.Loans, err)
	}
	if diff := cmp.Diff([]string{"other", "owing"}, ids(s.Loans(t.Context(), store.LoanFilter{All: true}))); diff != "" {
		t.Errorf("left after the purge (-want +got):\n%s", diff)
	}
}

func TestATokenOfABorrowerIsBoundToIt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	secret, err := s.CreateBorrowerToken(t.Context(), "ci", "staging", t0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Authenticate(t.Context(), secret)
	if err != nil || got.Role != store.Borrower || got.Borrower != "staging" {
		t.Errorf("authenticated as %+v, %v", got, err)
	}
	if _, err := s.CreateBorrowerToken(t.Context(), "nobody", "", t0); err == nil {
		t.Error("a token of no borrower was made")
	}
}
