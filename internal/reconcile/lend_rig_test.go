// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// lendRig is a rig whose agents are lent to a second controller.
type lendRig struct {
	*rig
	borrower  *jenkinstest.Jenkins
	to        *jenkins.Client // of the borrower
	borrowers *reconcile.Borrowers
	lender    *reconcile.Lender
	stopLend  context.CancelFunc
	lendEnded chan error

	holds    sync.Mutex
	stubborn bool              // the program does not end when it is told to, guarded by holds
	orphans  bool              // its build dies and what it started lives on, guarded by holds
	deaf     bool              // its secret does not do, guarded by holds
	silent   bool              // it says nothing at its end, guarded by holds
	hasty    bool              // what stops its build ends the borrowed program before it, guarded by holds
	secrets  map[string]bool   // that programs were given, guarded by holds
	lives    map[string]string // borrowed programs that live, node by agent; guarded by holds
	counted  []string          // what the watcher was told of loans, guarded by holds
	refuse   string            // why the program does nothing, guarded by holds
	ran      []string          // the agent programs that were run, guarded by holds
}

// Lent implements [reconcile.LoanWatcher].
func (r *lendRig) Lent([]loan.Loan) {}

// Changed implements [reconcile.LoanWatcher].
func (r *lendRig) Changed(e hygiene.Event) { r.watch.Changed(e) }

// Attached implements [reconcile.LoanWatcher].
func (r *lendRig) Attached(l loan.Loan) {
	r.note("attached as " + l.Node.Name)
}

// Returned implements [reconcile.LoanWatcher].
func (r *lendRig) Returned(l loan.Loan) {
	r.note(string(l.State))
}

func (r *lendRig) note(what string) {
	r.holds.Lock()
	defer r.holds.Unlock()
	r.counted = append(r.counted, what)
}

// hasCounted is what the watcher was told of loans until now.
func (r *lendRig) hasCounted() string {
	r.holds.Lock()
	defer r.holds.Unlock()
	return strings.Join(r.counted, ", ")
}

// lends makes the pool of a rig lend.
func lends(s *reconcile.Settings) {
	s.Poll = time.Second
	s.Pools[0].Lend = &reconcile.Lending{
		Policy: loan.Policy{Most: 10, Recall: time.Minute, Return: 30 * time.Minute},
		Lease:  loan.Lease{Term: time.Hour, Max: 2 * time.Hour, Attach: time.Minute}, Dir: "/var/tmp", Isolation: loanjob.Preferred,
	}
}

// inLendRig runs f inside a bubble with a lender and a borrower called staging.
func inLendRig(t *testing.T, s setup, f func(*lendRig)) {
	t.Helper()
	change := s.settings
	s.settings = func(set *reconcile.Settings) {
		lends(set)
		if change != nil {
			change(set)
		}
	}
	s.unproved = true // a loan's build is ours, and proves nothing
	inRig(t, s, func(r *rig) {
		l := &lendRig{rig: r, secrets: map[string]bool{}, lives: map[string]string{}, borrowers: reconcile.NewBorrowers()}
		r.hold = l.execute
		r.bend(l.sweep)
		var err error
		l.borrower, err = jenkinstest.New(jenkinstest.Options{RootURL: "http://staging.test/", Security: jenkinstest.Security{NoCrumbs: true}})
		must(t, err)
		defer l.borrower.Close()
		l.borrower.Mount("/jnlpJars/", jarOf("borrower"))
		r.jenkins.Mount("/jnlpJars/", jarOf("lender"))
		l.to, err = jenkins.New(jenkins.Options{Name: "staging", URL: "http://staging.test/", Transport: l.borrower.Transport(), RequestsPerSecond: -1})
		must(t, err)
		defer l.to.Close()
		l.borrowers.Apply(map[string]reconcile.Borrower{"staging": {Client: l.to, Labels: []string{"lent"}, Certificates: authority}, "people": {}})
		l.startLend()
		defer l.endLend()
		f(l)
	})
}

// authority is what agents are to trust at the borrower.
const authority = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"

// jarOf serves an agent.jar that no JVM would run.
func jarOf(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("PK\x03\x04 of the " + name)) })
}

func (r *lendRig) startLend() {
	r.lender = reconcile.NewLender(reconcile.LenderDeps{
		Store: r.store, Engine: engine.NewInProcess(engine.Options{}), Borrowers: r.borrowers, Watch: r,
		Crews: func() []*reconcile.Crew { return []*reconcile.Crew{r.crew} },
		Log:   slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	var ctx context.Context
	ctx, r.stopLend = context.WithCancel(r.t.Context())
	r.lendEnded = make(chan error, 1)
	go func() { r.lendEnded <- r.lender.Run(ctx) }()
}

func (r *lendRig) endLend() {
	r.t.Helper()
	if r.stopLend == nil {
		return
	}
	r.stopLend()
	r.stopLend = nil
	if err := <-r.lendEnded; err != nil {
		r.t.Errorf("lender ended with %v", err)
	}
}

// restart ends the daemon's parts and starts them again on the same store.
func (r *lendRig) restart() {
	r.t.Helper()
	r.endLend()
	r.end()
	r.start()
	r.startLend()
}

// execute stands in for the program that holds a loan: it connects at the borrower, until one side lets go.
func (r *lendRig) execute(ctx context.Context, step jenkinstest.Step) jenkinstest.StepResult {
	env := step.Env
	sum := sha256.Sum256([]byte(env["PITCREW_NONCE"]))
	say := func(format string, args ...any) {
		fmt.Fprintf(step.Out, "pitcrew-loan "+hex.EncodeToString(sum[:])+" "+format+"\n", args...)
	}
	if step.Env["PITCREW_NONCE"] == "" {
		say("refused without an order")
		return jenkinstest.StepResult{Exit: 78}
	}
	r.holds.Lock()
	refuse, deaf := r.refuse, r.deaf
	r.secrets[env["PITCREW_LOAN_SECRET"]] = true
	r.holds.Unlock()
	node := env["PITCREW_LOAN_NODE"]
	switch jar := step.Files; {
	case step.Agent != env["PITCREW_AGENT"]:
		refuse = "issued for another agent"
	case len(jar) != 1 || fmt.Sprintf("%x", sha256.Sum256(jar[0].Data)) != env["PITCREW_LOAN_JAR_SHA256"]:
		refuse = "agent.jar is not the one that was announced"
	}
	if refuse == "" {
		r.holds.Lock()
		r.ran = append(r.ran, string(step.Files[0].Data))
		r.holds.Unlock()
	} else {
		say("refused %s", refuse)
		return jenkinstest.StepResult{Exit: 78}
	}
	say("started user=jenkins isolated=no files=open dir=%s java=/usr/bin/java", env["PITCREW_LOAN_DIR"])
	agent := r.borrower.Agent(node)
	info, err := r.borrower.AgentInfo(node)
	connected := err == nil && agent != nil && info.Secret == env["PITCREW_LOAN_SECRET"] && !deaf && agent.Connect() == nil
	if connected {
		say("connected")
		r.live(step.Agent, node)
	}
	orphaned := false
	defer func() {
		if !orphaned {
			r.live(step.Agent, "")
		}
	}()
	for {
		reason := ""
		select {
		case <-ctx.Done():
			reason = "stopped"
		case <-time.After(100 * time.Millisecond):
			if connected && !agent.Online() {
				reason = "agent-ended"
			}
		}
		r.holds.Lock()
		stubborn, silent, orphans := r.stubborn, r.silent, r.orphans
		if r.hasty && reason == "stopped" {
			reason = "agent-ended"
		}
		r.holds.Unlock()
		if orphans && connected && ctx.Err() != nil {
			orphaned = true
			go r.liveOn(step.Agent, node)
			return jenkinstest.StepResult{Exit: 143}
		}
		if reason == "" || stubborn && ctx.Err() == nil {
			continue
		}
		if connected {
			agent.Kill()
		}
		if !silent {
			say("ended reason=%s code=0 left=0 dir=gone nonce=%s", reason, env["PITCREW_NONCE"])
		}
		return jenkinstest.StepResult{}
	}
}

func (r *lendRig) live(agent, node string) {
	r.holds.Lock()
	defer r.holds.Unlock()
	r.lives[agent] = node
}

// request asks for one agent for staging.
func (r *lendRig) request(bend ...func(*loan.Request)) loan.Loan {
	r.t.Helper()
	q := loan.Request{Borrower: "staging", By: "ci", Count: 1, To: loan.Target{Kind: loan.ToController}}
	for _, f := range bend {
		f(&q)
	}
	loans, err := r.lender.Request(r.t.Context(), q, "")
	must(r.t, err)
	return loans[0]
}

// loan reads one as it is now.
func (r *lendRig) loan(id string) loan.Loan {
	r.t.Helper()
	l, err := r.store.Loan(r.t.Context(), id)
	must(r.t, err)
	return l
}

// waitLoan waits until a loan is in a state.
func (r *lendRig) waitLoan(id string, want loan.State) loan.Loan {
	r.t.Helper()
	var last loan.Loan
	for end := time.Now().Add(3 * time.Hour); time.Now().Before(end); r.pass(100 * time.Millisecond) {
		if last = r.loan(id); last.State == want {
			return last
		}
	}
	r.t.Fatalf("loan %s is %s (%s), want %s", id, last.State, last.Reason, want)
	return last
}

// backInOrder waits until the loan is over and its agent clean, and holds that nothing of it is left.
func (r *lendRig) backInOrder(id string, want loan.State) loan.Loan {
	r.t.Helper()
	l := r.waitLoan(id, want)
	if got := r.labels(l.Agent.Name); want == loan.Cleaned && got != "cleanable clean" {
		r.t.Errorf("its agent is labelled %s", got)
	}
	if a := r.agent(l.Agent.Name); a.Loan != nil {
		r.t.Errorf("its agent is still on loan: %+v", a.Loan)
	}
	if _, err := r.to.Agent(r.t.Context(), l.Node.Name); !jenkins.IsNotFound(err) {
		r.t.Errorf("node %s is still at the borrower", l.Node.Name)
	}
	if seen, err := r.client.Agent(r.t.Context(), l.Agent.Name); err != nil || seen.Offline {
		r.t.Errorf("its agent is offline: %q, %v", seen.OfflineReason, err)
	}
	return l
}
