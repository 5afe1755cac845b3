// SPDX-License-Identifier: Apache-2.0

package rehearsal_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/mess"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// workshop is a rehearsal in virtual time: a desk that lends one machine, a controller, and programs that do as they are told.
type workshop struct {
	t      *testing.T
	server *jenkinstest.Jenkins
	client *jenkins.Client
	undo   *rehearsal.Undo
	mortal *mortal // nil: somebody else's controller

	candidate, production *recipe.Program
	unable                bool  // production does not clean the machine
	unknown               error // why the desk tells no program
	wish                  rehearsal.Wish
	ttl                   time.Duration // of the loan, which ends after it; 0 = the usual one, and nobody looks

	mu     sync.Mutex // guards what follows
	away   bool       // the desk does not answer
	loan   rehearsal.Loan
	ask    rehearsal.Ask
	lent   map[string]bool // nodes of loans, whether these are over
	silent bool            // the desk does not tell them
	renews int
	signed time.Time                       // when the last sign of life came, or the loan was attached
	takes  time.Duration                   // of a program; 0 = ten seconds
	looks  time.Duration                   // of a look at the machine, and of a mess
	term   time.Duration                   // of the loan if nobody asks for more; 0 = without end
	until  time.Time                       // when it ends then
	runs   int                             // of the candidate
	bend   func(run int, r *recipe.Report) // what the candidate reports
	ignore state.Ignore                    // what the pool does not mind
	marks  func(run int) int               // what each run of the candidate adds to the machine
	state  int                             // of the machine
	messy  bool
	leaves bool               // the candidate leaves the mess
	atStep context.CancelFunc // ends the program that is at a step
	said   []string
}

func compiled(t *testing.T, name string) *recipe.Program {
	t.Helper()
	r, err := recipe.Parse(name+".yaml", []byte("version: 1\nname: "+name+"\nclean:\n  - name: sweep\n    run: \"true\"\nverify:\n  - name: swept\n    run: \"true\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// inWorkshop runs f inside a bubble.
func inWorkshop(t *testing.T, f func(*workshop)) {
	t.Helper()
	t.Parallel()
	candidate, production := compiled(t, "candidate"), compiled(t, "production")
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{t: t, candidate: candidate, production: production, undo: &rehearsal.Undo{}}
		var err error
		w.server, err = jenkinstest.New(jenkinstest.Options{Execute: w.execute, RootURL: "http://rehearsal.test/", Security: jenkinstest.Security{NoCrumbs: true}})
		if err != nil {
			t.Fatal(err)
		}
		defer w.server.Close()
		w.client, err = jenkins.New(jenkins.Options{Name: "rehearsal", URL: "http://rehearsal.test/", Transport: w.server.Transport(), RequestsPerSecond: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer w.client.Close()
		f(w)
		time.Sleep(5 * time.Minute) // what is still on its way would come now
		if left := w.undo.Left(); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		fleet, err := w.client.Fleet(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range fleet.Agents {
			if strings.HasPrefix(a.Name, "pitcrew-rehearsal-") {
				t.Errorf("node %s is left", a.Name)
			}
		}
		for j, err := range w.client.Jobs(t.Context()) {
			t.Errorf("job %s is left, %v", j.FullName, err)
		}
		if l, err := w.Show(t.Context(), ""); err != nil || l.ID != "" && l.State != loan.Cleaned {
			t.Errorf("the loan is %s, %v", l.State, err)
		}
	})
}

// rehearse runs the rehearsal to its end, and undoes what it left.
func (w *workshop) rehearse(ctx context.Context) (*report.Report, error) {
	r := &rehearsal.Rehearsal{
		Desk: w, Jenkins: w.client, AgentURL: "http://rehearsal.test/", AgentCA: "ours", Candidate: w.candidate, MessDirs: []string{"/srv/ci"}, Undo: w.undo, Wish: w.wish, TTL: w.ttl,
		Say: func(line string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.said = append(w.said, line)
		},
	}
	if w.mortal != nil {
		r.Controller = w.mortal
	}
	result, err := r.Run(ctx)
	return result, errors.Join(err, w.undo.Run(ctx))
}

// open fails while the desk does not answer.
func (w *workshop) open() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return errors.New("the daemon is away")
	}
	return nil
}

func (w *workshop) leave(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

func (w *workshop) Offers(context.Context) ([]rehearsal.Offer, error) {
	return []rehearsal.Offer{{
		Controller: "ci", Agent: "el9-1", Pool: "el9", Labels: []string{"el9"}, OS: "linux", Arch: "x86_64", Isolated: true, Spare: 1, SpareThere: 1, Ignore: w.ignore,
	}}, w.open()
}

func (w *workshop) Program(context.Context, string) (*recipe.Program, error) {
	return w.production, errors.Join(w.unknown, w.open())
}

func (w *workshop) Request(ctx context.Context, a rehearsal.Ask) (rehearsal.Loan, error) {
	if err := w.open(); err != nil {
		return rehearsal.Loan{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ask, w.loan = a, rehearsal.Loan{ID: "l1", State: loan.Granted}
	go func() {
		time.Sleep(5 * time.Second)
		if agent := w.server.Agent(a.Node); agent != nil && agent.Connect() == nil {
			w.mu.Lock()
			w.until, w.signed = time.Now().Add(w.term), time.Now()
			w.mu.Unlock()
			w.turn(loan.Attached, "")
			w.expire(ctx)
		}
	}()
	return w.loan, nil
}

func (w *workshop) turn(s loan.State, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loan.State, w.loan.Reason = s, reason
}

func (w *workshop) Show(context.Context, string) (rehearsal.Loan, error) {
	if err := w.open(); err != nil {
		return rehearsal.Loan{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.loan, nil
}

// expire ends a loan with a term when that is over.
func (w *workshop) expire(ctx context.Context) {
	for over := w.term == 0; !over; {
		time.Sleep(time.Second)
		w.mu.Lock()
		over = w.loan.State.Final() || time.Now().After(w.until)
		w.mu.Unlock()
	}
	if l, err := w.Show(ctx, ""); w.term > 0 && err == nil && !l.State.Final() {
		w.turn(loan.Returning, "its term is over")
		w.agentDies()
	}
}

func (w *workshop) Renew(_ context.Context, _ string, longer time.Duration) error {
	if err := w.open(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if gap := time.Since(w.signed); w.ttl > 0 && gap > w.ttl && w.loan.State == loan.Attached {
		w.t.Errorf("a sign of life comes %s after the one before", gap)
	}
	w.renews, w.signed = w.renews+1, time.Now()
	if longer > 0 {
		w.until = time.Now().Add(longer)
	}
	return nil
}

func (w *workshop) Return(ctx context.Context, _, _ string) (rehearsal.Loan, error) {
	if err := w.open(); err != nil {
		return rehearsal.Loan{}, err
	}
	if agent := w.server.Agent(w.node()); agent != nil {
		agent.Kill()
	}
	w.turn(loan.Cleaned, "the agent is clean again")
	return w.Show(ctx, "")
}

func (w *workshop) Nodes(context.Context) (map[string]bool, error) {
	if w.silent {
		return nil, errors.New("the daemon knows no such question")
	}
	return w.lent, w.open()
}

func (w *workshop) node() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ask.Node
}

var stateNonce = regexp.MustCompile(`STATE_NONCE=([a-z0-9]+)`)

// execute stands in for the machine.
func (w *workshop) execute(ctx context.Context, step jenkinstest.Step) jenkinstest.StepResult {
	switch {
	case step.Env["PITCREW_NONCE"] != "":
		return w.program(ctx, step)
	case strings.Contains(step.Script, "STATE_NONCE"):
		if !w.looked(ctx) {
			return jenkinstest.StepResult{Exit: 137}
		}
		nonce := stateNonce.FindStringSubmatch(step.Script)[1]
		w.mu.Lock()
		defer w.mu.Unlock()
		fmt.Fprintf(step.Out, "PITCREW-STATE-BEGIN %[1]s\nfact\tmarks=%[2]d\nPITCREW-STATE-END %[1]s 1\n", nonce, w.state)
	case strings.Contains(step.Script, "MESS_LEDGER"):
		if !w.looked(ctx) {
			return jenkinstest.StepResult{Exit: 137}
		}
		w.mess(step)
	default:
		fmt.Fprintln(step.Out, "kill ready")
		for ctx.Err() == nil {
			w.mu.Lock()
			kill := w.atStep
			w.mu.Unlock()
			if kill != nil {
				kill()
				fmt.Fprintln(step.Out, "kill done: 7")
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return jenkinstest.StepResult{}
}

// looked reports whether a look was not ended before its time.
func (w *workshop) looked(ctx context.Context) bool {
	select {
	case <-time.After(w.looks):
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *workshop) mess(step jenkinstest.Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	verb := step.Script[strings.LastIndexByte(strings.TrimSpace(step.Script), ' ')+1:]
	for _, m := range mess.All() {
		switch {
		case strings.HasPrefix(verb, "make"):
			fmt.Fprintf(step.Out, "mess %s made\n", m.Name)
		case w.messy:
			fmt.Fprintf(step.Out, "mess %s removed all of it\n", m.Name)
		default:
			fmt.Fprintf(step.Out, "mess %s gone\n", m.Name)
		}
	}
	w.messy = strings.HasPrefix(verb, "make")
}

// program stands in for a recipe's: it takes ten seconds.
func (w *workshop) program(ctx context.Context, step jenkinstest.Step) jenkinstest.StepResult {
	program, ours := w.production, strings.Contains(step.Script, w.candidate.Revision)
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	w.mu.Lock()
	if ours {
		program = w.candidate
		w.runs++
	}
	run := w.runs
	w.atStep = kill
	w.mu.Unlock()
	fmt.Fprintln(step.Out, "pitcrew: clean 'sweep' begins")
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.atStep = nil
	}()
	select {
	case <-time.After(cmp.Or(w.takes, 10*time.Second)):
	case <-ctx.Done():
		return jenkinstest.StepResult{Exit: 137}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	attempt, err := strconv.ParseInt(step.Env["PITCREW_ATTEMPT"], 10, 64)
	r := recipe.Report{
		Version: recipe.Version, Attempt: attempt, Agent: step.Agent, Controller: step.Env["PITCREW_CONTROLLER"], Recipe: program.Recipe,
		Revision: program.Revision, Phases: step.Env["PITCREW_PHASES"], Depth: recipe.Standard, Outcome: recipe.Cleaned, Verified: true,
	}
	for _, s := range program.Steps {
		r.Steps = append(r.Steps, recipe.StepReport{Name: s.Name, Phase: s.Phase, Outcome: recipe.StepOK, Tries: 1})
	}
	if ours {
		if w.bend != nil {
			w.bend(run, &r)
		}
		if w.marks != nil {
			w.state += w.marks(run)
		}
	}
	if !ours && w.unable {
		r.Outcome, r.Verified, r.Reason = recipe.Failed, false, "it is not root"
		r.Steps[0].Outcome = recipe.StepFailed
	}
	w.messy = w.messy && ours && w.leaves
	text, failed := r.Format(step.Env["PITCREW_NONCE"])
	if err := errors.Join(err, failed); err != nil {
		return jenkinstest.StepResult{Err: err}
	}
	fmt.Fprintf(step.Out, "%s", text)
	return jenkinstest.StepResult{}
}
