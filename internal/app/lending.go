// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// newLender makes the lender of all controllers. It does not run yet.
func (a *App) newLender() *reconcile.Lender {
	return reconcile.NewLender(reconcile.LenderDeps{
		Store: a.store, Engine: engine.NewInProcess(engine.Options{Logger: a.Log.With("component", "engine", "of", "loans")}),
		Borrowers: a.borrowers, Crews: a.lending, Log: a.Log.With("component", "lender"), Watch: a.metrics,
	})
}

// lending are the crews whose agents may be lent.
func (a *App) lending() []*reconcile.Crew {
	a.mu.Lock()
	defer a.mu.Unlock()
	crews := make([]*reconcile.Crew, 0, len(a.crews))
	for _, r := range a.crews {
		crews = append(crews, r.crew)
	}
	return crews
}

// lendingOf says in the words of package reconcile how a pool lends its agents.
func lendingOf(p *config.Pool) *reconcile.Lending {
	l := p.Loans
	if l == nil {
		return nil
	}
	return &reconcile.Lending{
		Policy: loan.Policy{Most: l.Max, Floor: l.KeepClean, Recall: l.Recall.Std(), Return: l.AlarmAfter.Std()},
		Floor:  p.CapacityFloor.Besides,
		Lease:  loan.Lease{Term: l.Term.Std(), Max: l.MaxTerm.Std(), TTL: l.TTL.Std(), Idle: l.Idle.Std(), Attach: l.Attach.Std()},

		Account: l.Account, Isolation: loanjob.Isolation(l.Isolation), Dir: l.Dir, Jars: l.AgentJars,
		Root: loan.Root{Rule: loan.RootRule(l.Root), Refs: l.ApprovedRefs}, Ignore: l.RehearsalIgnore,
	}
}

// defaultRequests bound the load on a borrower that is not serviced.
var defaultRequests = config.Requests{Timeout: config.Duration(30 * time.Second), PerSecond: 20}

// makeBorrowers makes clients for the borrowers of a configuration. Those that are serviced share the client of their crew.
func (a *App) makeBorrowers(c *config.Config, crews map[string]*crewRun) (map[string]reconcile.Borrower, []*jenkins.Client, error) {
	all, made := make(map[string]reconcile.Borrower, len(c.Borrowers)), []*jenkins.Client(nil)
	for i := range c.Borrowers {
		b := &c.Borrowers[i]
		one, tls := reconcile.Borrower{URL: b.AgentURL, Quota: b.Quota, Labels: b.Labels}, b.TLS
		switch {
		case b.Controller != "":
			one.Client, tls = crews[b.Controller].client, crews[b.Controller].config.TLS
		case b.URL != "":
			client, err := a.newClient(config.Controller{
				Name: "borrower " + b.Name, URL: b.URL, Login: *b.Login, TLS: b.TLS, Requests: defaultRequests,
			})
			if err != nil {
				for _, m := range made {
					m.Close()
				}
				return nil, nil, fmt.Errorf("borrower %s: %w", b.Name, err)
			}
			one.Client = client
			made = append(made, client)
		}
		if tls != nil && tls.CA != "" {
			one.Certificates = a.certificates(b.Name, tls.CA)
		}
		all[b.Name] = one
	}
	return all, made, nil
}

// certificates are those that the agents of a borrower are to trust: what pitcrew itself trusts there. A file that cannot be
// told to them is no reason to serve nobody: their Java may trust that authority.
func (a *App) certificates(borrower, file string) string {
	text, err := os.ReadFile(file)
	if err == nil {
		var all string
		if all, err = loanjob.Certificates(text); err == nil {
			return all
		}
	}
	a.Log.Warn("agents on loan trust the authorities of their Java only", "borrower", borrower, "ca", file, "err", err)
	return ""
}

// loanMetrics are those of loans. Borrowers are few, and are label values.
type loanMetrics struct {
	open   *gauges
	ended  *prometheus.CounterVec
	lasted *prometheus.HistogramVec
	attach *prometheus.HistogramVec
	back   *prometheus.HistogramVec
	// One goroutine tells of loans.
	counts   map[loanKind]int // what open says
	expected map[string]bool  // borrowers whose counters are there
}

// loanKind is what loans are counted by.
type loanKind struct {
	borrower string
	state    loan.State
}

// Lent implements [reconcile.LoanWatcher]. What was told once is told on, as 0: that there are none is worth a word.
func (m *metrics) Lent(open []loan.Loan) {
	for kind := range m.loans.counts {
		m.loans.counts[kind] = 0
	}
	for i := range open {
		kind := loanKind{open[i].Borrower, open[i].State}
		if !m.loans.expected[kind.borrower] {
			m.expectLoans(kind.borrower)
		}
		m.loans.counts[kind]++
	}
	var all []prometheus.Metric
	for kind, n := range m.loans.counts {
		all = append(all, m.loans.open.series(n, kind.borrower, string(kind.state)))
	}
	m.loans.open.tell("", all...)
}

// expectLoans makes the counters of a borrower begin at zero, as [metrics.expect] does for controllers: whoever watches for loans that
// fail must not miss the first.
func (m *metrics) expectLoans(borrower string) {
	m.loans.expected[borrower] = true
	for _, cause := range loan.Causes {
		if cause == loan.ByPatience {
			m.loans.ended.WithLabelValues(borrower, string(loan.Expired), string(cause))
			continue
		}
		for _, state := range []loan.State{loan.Cleaned, loan.Failed} {
			m.loans.ended.WithLabelValues(borrower, string(state), string(cause))
		}
	}
}

// Attached implements [reconcile.LoanWatcher].
func (m *metrics) Attached(l loan.Loan) {
	m.loans.attach.WithLabelValues(l.Borrower).Observe(l.Attached.Sub(l.Granted).Seconds())
}

// Returned implements [reconcile.LoanWatcher].
func (m *metrics) Returned(l loan.Loan) {
	m.loans.ended.WithLabelValues(l.Borrower, string(l.State), string(l.Cause)).Inc()
	if l.Granted.IsZero() {
		return
	}
	m.loans.back.WithLabelValues(l.Borrower).Observe(l.Ended.Sub(l.Returned).Seconds())
	if !l.Attached.IsZero() {
		m.loans.lasted.WithLabelValues(l.Borrower).Observe(l.Ended.Sub(l.Attached).Seconds())
	}
}
