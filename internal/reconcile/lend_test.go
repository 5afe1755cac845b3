// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

func TestALoanGoesOutAndComesBackClean(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		asked := time.Now()
		l := r.waitLoan(r.request().ID, loan.Attached)
		r.t.Logf("attached after %s", l.Attached.Sub(asked))
		if got := r.labels("linux-7"); got != "cleanable dirty" {
			r.t.Errorf("on loan it is labelled %s", got)
		}
		seen, err := r.client.Agent(r.t.Context(), "linux-7")
		must(r.t, err)
		if !seen.TemporarilyOffline || !strings.HasPrefix(seen.OfflineReason, "pitcrew: lent to staging") {
			r.t.Errorf("on loan it is offline: %t, %q", seen.TemporarilyOffline, seen.OfflineReason)
		}
		node, err := r.to.NodeConfig(r.t.Context(), l.Node.Name)
		must(r.t, err)
		if node.Mode != "EXCLUSIVE" || strings.Join(node.Labels, " ") != "lent" {
			r.t.Errorf("its node is %s with labels %q", node.Mode, node.Labels)
		}
		builds, err := r.client.RecentBuilds(r.t.Context(), l.Run.Job)
		must(r.t, err)
		if len(builds) != 1 || builds[0].Params["PITCREW_LOAN_CERT"] != authority {
			r.t.Errorf("its builds are told %+v, and are to trust\n%s", builds, authority)
		}
		attached := "attached as " + l.Node.Name
		r.wait(time.Second, "that it is counted as attached while it is", func() bool { return r.hasCounted() == attached })
		ended := time.Now()
		if _, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough"); err != nil {
			r.t.Fatal(err)
		}
		l = r.backInOrder(l.ID, loan.Cleaned)
		r.t.Logf("clean again after %s, of which the recipe took %s", l.Ended.Sub(ended), r.takes)
		if l.Cause != loan.ByReturn || l.Run.Proof == "" {
			r.t.Errorf("it ended by %q with proof %q", l.Cause, l.Run.Proof)
		}
		r.wait(time.Second, "that its end is counted", func() bool { return r.hasCounted() == attached+", cleaned" })
		var story []string
		for _, e := range r.events(
			hygiene.EventLoanRequested, hygiene.EventLoanGranted, hygiene.EventLoanAttached, hygiene.EventLoanReturning,
			hygiene.EventLoanReleased, hygiene.EventLoanCleaned, hygiene.EventLoanLost, hygiene.EventLoanFailed,
		) {
			story = append(story, string(e.Type))
		}
		if got := strings.Join(story, " "); got != "loan.requested loan.granted loan.attached loan.returning loan.released loan.cleaned" {
			r.t.Errorf("the events tell: %s", got)
		}
	})
}

// Jenkins ends a build that is stopped before its program has said its last word: nobody has lost anything, and nobody is called.
func TestStoppingTheBuildOfALoanIsNoLossOfContact(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		l := r.waitLoan(r.request().ID, loan.Attached)
		must(r.t, r.client.StopBuild(r.t.Context(), l.Run.Job, l.Run.Build))
		l = r.backInOrder(l.ID, loan.Cleaned)
		if l.Cause != loan.ByAbort || l.Run.Says != "its build was stopped" {
			r.t.Errorf("it ended by %q: %s", l.Cause, l.Run.Says)
		}
		if lost := r.events(hygiene.EventLoanLost); len(lost) > 0 {
			r.t.Errorf("people are told: %+v", lost)
		}
	})
}

// A borrower that makes its node itself says what agents are to trust there.
func TestABorrowerThatMakesItsNodeSaysWhatToTrust(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		_, err := r.borrower.AddAgent(jenkinstest.AgentSpec{Name: "own", Offline: true, Lonely: true})
		must(r.t, err)
		info, err := r.borrower.AgentInfo("own")
		must(r.t, err)
		ask := func(node, url, ca, secret string) ([]loan.Loan, error) {
			return r.lender.Request(r.t.Context(), loan.Request{
				Borrower: "staging", By: "ci", Count: 1, Node: node, To: loan.Target{Kind: loan.ToController, URL: url, CA: ca},
			}, secret)
		}
		for _, wrong := range [][4]string{{"", "", authority, ""}, {"own", "http://staging.test/", "trust me", info.Secret}} {
			_, err := ask(wrong[0], wrong[1], wrong[2], wrong[3])
			if e, ok := errors.AsType[*loan.RequestError](err); !ok || e.Field != "to.ca" {
				r.t.Errorf("%q was answered by %v", wrong[2], err)
			}
		}
		loans, err := ask("own", "http://staging.test/", "# ours\n"+authority, info.Secret)
		must(r.t, err)
		l := r.waitLoan(loans[0].ID, loan.Attached)
		builds, err := r.client.RecentBuilds(r.t.Context(), l.Run.Job)
		must(r.t, err)
		if len(builds) != 1 || builds[0].Params["PITCREW_LOAN_CERT"] != authority {
			r.t.Errorf("its builds are told %+v, and are to trust\n%s", builds, authority)
		}
	})
}

// What another trust zone offers as its agent program runs only where its very content was allowed.
func TestNoProgramOfTheBorrowerRunsThatNobodyAllowed(t *testing.T) {
	sum := func(name string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte("PK\x03\x04 of the "+name))) }
	for what, c := range map[string]struct {
		allowed []string
		runs    string
	}{
		"none is allowed":          {nil, "lender"},
		"another is":               {[]string{sum("borrower of before")}, "lender"},
		"the lender's is":          {[]string{sum("lender")}, "lender"},
		"the borrower's is":        {[]string{sum("other"), sum("borrower")}, "borrower"},
		"the same in other digits": {[]string{strings.ToUpper(sum("borrower"))}, "lender"}, // the configuration takes no such
	} {
		t.Run(what, func(t *testing.T) {
			inLendRig(t, setup{agents: one, settings: func(s *reconcile.Settings) { s.Pools[0].Lend.Jars = c.allowed }}, func(r *lendRig) {
				r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
				r.waitLoan(r.request().ID, loan.Attached)
				r.holds.Lock()
				defer r.holds.Unlock()
				if len(r.ran) != 1 || !strings.HasSuffix(r.ran[0], " of the "+c.runs) {
					r.t.Errorf("%q ran, want that of the %s", r.ran, c.runs)
				}
			})
		})
	}
}

// A request that the program would refuse takes no agent: it would be dirty for nothing, again and again.
func TestARequestThatNoAgentCouldAnswerIsRefusedAtOnce(t *testing.T) {
	const url, secret, key = "http://own.test/", "0123456789abcdef", "ssh-ed25519 AAAA me"
	to := func(kind loan.Kind, bend func(*loan.Target)) loan.Target {
		target := loan.Target{Kind: kind}
		bend(&target)
		return target
	}
	at := func(url string) loan.Target { return loan.Target{Kind: loan.ToController, URL: url} }
	by := func(key string) loan.Target { return loan.Target{Kind: loan.ToSSH, Key: key} }
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		for _, wrong := range []struct {
			field        string
			to           loan.Target
			node, secret string
		}{
			{"to.url", at("file:///etc/passwd"), "own", secret},
			{"to.url", at("http://own.test/ -noCertificateCheck"), "own", secret},
			{"to.url", at("http://me:pass@own.test/"), "own", secret},
			{"to.url", at("http://own.test/\nPITCREW_LOAN_USER=root"), "own", secret},
			{"node", at(url), "-workDir", secret},
			{"node", at(url), "@/etc/passwd", secret},
			{"node", at(url), "own\nPITCREW_LOAN_USER=root", secret},
			{"node", at(url), "own/7", secret},
			{"node", at(url), "own.", secret},
			{"node", at(url), " ", secret},
			{"node", at(url), "(built-in)", secret},
			{"secret", at(url), "own", "$(id)"},
			{"to.labels", to(loan.ToController, func(t *loan.Target) { t.Labels = []string{"a", "b\x1b[2J"} }), "", ""},
			{"to.labels", to(loan.ToController, func(t *loan.Target) { t.Labels = []string{""} }), "", ""},
			{"to.labels", to(loan.ToHold, func(t *loan.Target) { t.Labels = []string{"a"} }), "", ""},
			{"to.labels", to(loan.ToController, func(t *loan.Target) { t.Labels, t.URL = []string{"a"}, url }), "own", secret},
			{"to.key", to(loan.ToController, func(t *loan.Target) { t.Key = key }), "", ""},
			{"to.kind", by(key), "", ""}, // no pool has an account and ssh
			{"to.kind", by("command=\"id\" " + key), "", ""},
		} {
			_, err := r.lender.Request(r.t.Context(), loan.Request{Borrower: "staging", By: "ci", Count: 1, Node: wrong.node, To: wrong.to}, wrong.secret)
			if e, ok := errors.AsType[*loan.RequestError](err); !ok || e.Field != wrong.field || strings.Contains(e.Problem, secret) {
				r.t.Errorf("%+v, node %q: %v, want a word about %s", wrong.to, wrong.node, err, wrong.field)
			}
		}
		r.pass(2 * time.Minute)
		if n := len(r.events(hygiene.EventLoanGranted)); n > 0 || r.labels("linux-7") != "cleanable clean" {
			r.t.Errorf("%d agents were taken for them; it is labelled %s", n, r.labels("linux-7"))
		}
	})
}

// A borrower that asks on and on does not fill the database, nor keep everybody else's loans waiting.
func TestABorrowerMayNotWaitForAnyNumberOfAgents(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		ask := func(borrower string, n int) error {
			_, err := r.lender.Request(r.t.Context(), loan.Request{
				Borrower: borrower, By: "ci", Count: n, Want: loan.Want{Labels: "nowhere"}, To: loan.Target{Kind: loan.ToHold},
			}, "")
			return err
		}
		must(r.t, ask("staging", 999))
		must(r.t, ask("staging", 1))
		if e, ok := errors.AsType[*loan.RequestError](ask("staging", 1)); !ok || e.Field != "count" {
			r.t.Errorf("one more was answered by %v", e)
		}
		must(r.t, ask("people", 1))
	})
}
