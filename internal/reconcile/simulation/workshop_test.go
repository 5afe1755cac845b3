// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// ending is how a program ends.
type ending string

const (
	succeeds   ending = "succeeds"
	fails      ending = "fails"
	reconnects ending = "asks for a reconnect"
	reboots    ending = "asks for a reboot"
	unverified ending = "says cleaned without having verified"
	silent     ending = "prints no report"
	hangs      ending = "hangs"
	forged     ending = "prints the report of another attempt"
)

// workshop stands in for the agents' machines: it runs the steps of real builds and of our programs.
type workshop struct {
	programs []*recipe.Program                    // revisions of one recipe
	takes    func(jenkinstest.Step) time.Duration // nil: real builds take a minute, programs 20 s
	ends     func(jenkinstest.Step) ending        // nil: all programs succeed
	machine  func(agent string) string            // nil: each agent has its own
	reboot   func(agent string)                   // called when a program asked for it

	// forgetful means that records of builds are deleted: a lost hand-over can then not be found.
	forgetful bool

	mu       sync.Mutex
	newest   int            // revision that the configuration has
	working  map[string]int // programs that run, by agent
	runs     map[run]int
	proofs   map[run]bool // attempts whose newest report said cleaned and verified
	session  map[string]int
	overlaps []string
	tell     func(string) // told of each overlap; may be nil
}

type run struct {
	agent   string
	attempt int64
	phases  string
}

func newWorkshop(programs ...*recipe.Program) *workshop {
	return &workshop{programs: programs, working: map[string]int{}, runs: map[run]int{}, proofs: map[run]bool{}, session: map[string]int{}}
}

// program is the one that the configuration has now.
func (w *workshop) program() *recipe.Program {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.programs[w.newest]
}

// revise gives the configuration the next revision of the recipe.
func (w *workshop) revise() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest = (w.newest + 1) % len(w.programs)
}

// carried is the program that a step carries, whatever the configuration has by now.
func (w *workshop) carried(s jenkinstest.Step) *recipe.Program {
	for _, p := range w.programs {
		if strings.Contains(s.Script, p.Revision) {
			return p
		}
	}
	return w.program()
}

func (w *workshop) execute(ctx context.Context, s jenkinstest.Step) jenkinstest.StepResult {
	nonce, ours := s.Env["PITCREW_NONCE"]
	takes := time.Minute
	if ours {
		takes = 20 * time.Second
	}
	if w.takes != nil {
		takes = w.takes(s)
	}
	if !ours {
		return idle(ctx, takes)
	}
	attempt, err := strconv.ParseInt(s.Env["PITCREW_ATTEMPT"], 10, 64)
	if err != nil || s.Env["PITCREW_AGENT"] != s.Agent {
		return jenkinstest.StepResult{Exit: 78}
	}
	key := run{s.Agent, attempt, s.Env["PITCREW_PHASES"]}
	w.enter(key)
	defer w.leave(key)
	how := succeeds
	if w.ends != nil {
		how = w.ends(s)
	}
	if how == hangs {
		takes = 24 * time.Hour
	}
	if r := idle(ctx, takes); r.Exit != 0 {
		return r
	}
	return w.report(s, key, nonce, how)
}

func idle(ctx context.Context, d time.Duration) jenkinstest.StepResult {
	if d <= 0 {
		return jenkinstest.StepResult{}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return jenkinstest.StepResult{}
	case <-ctx.Done():
		return jenkinstest.StepResult{Exit: 143}
	}
}

func (w *workshop) enter(key run) {
	for _, overlap := range w.begin(key) {
		if w.tell != nil {
			w.tell(overlap)
		}
	}
}

// attemptsKept is how many of an agent's newest attempts are remembered.
const attemptsKept = 20

func (w *workshop) begin(key run) (overlaps []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs[key]++
	w.working[key.agent]++
	for _, phases := range []string{"all", "verify"} {
		delete(w.runs, run{key.agent, key.attempt - attemptsKept, phases})
	}
	delete(w.proofs, run{key.agent, key.attempt - attemptsKept, ""})
	if n := w.working[key.agent]; n > 1 {
		overlaps = append(overlaps, fmt.Sprintf("I3: %d programs at once on %s", n, key.agent))
	}
	if n := w.runs[key]; !w.forgetful && (key.phases == "all" && n > 1 || n > 3) {
		overlaps = append(overlaps, fmt.Sprintf("I3: attempt %d of %s ran %d times (%s)", key.attempt, key.agent, n, key.phases))
	}
	w.overlaps = append(w.overlaps, overlaps...)
	return overlaps
}

func (w *workshop) leave(key run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.working[key.agent]--
}

// report prints what a real program would.
func (w *workshop) report(s jenkinstest.Step, key run, nonce string, how ending) jenkinstest.StepResult {
	program := w.carried(s)
	r := recipe.Report{
		Version: recipe.Version, Attempt: key.attempt, Agent: s.Agent, Controller: s.Env["PITCREW_CONTROLLER"],
		Recipe: program.Recipe, Revision: program.Revision, Phases: key.phases, Outcome: recipe.Cleaned, Verified: true,
		Depth:   recipe.Depth(s.Env["PITCREW_DEPTH"]),
		Machine: recipe.Machine{ID: w.machineOf(s.Agent), BootID: w.boot(s.Agent)}, AgentProcess: recipe.AgentProcess{PID: 4711, Start: w.boot(s.Agent)},
	}
	for _, step := range program.Steps {
		if key.phases == "all" || step.Phase == recipe.Verify {
			r.Steps = append(r.Steps, recipe.StepReport{Name: step.Name, Phase: step.Phase, Outcome: recipe.StepOK, Tries: 1})
		}
	}
	exit := 0
	switch how {
	case fails:
		r.Outcome, r.Verified, r.Reason, exit = recipe.Failed, false, "it went wrong", 1
		r.Steps[0].Outcome = recipe.StepFailed
	case reconnects:
		r.Outcome, r.Verified = recipe.Reconnect, false
	case reboots:
		r.Outcome, r.Verified = recipe.Reboot, false
	case unverified:
		r.Verified = false
	case forged:
		r.Attempt--
	case silent:
		fmt.Fprintln(s.Out, "| sweeping")
		return jenkinstest.StepResult{}
	case succeeds, hangs:
	}
	text, err := r.Format(nonce)
	if err != nil {
		return jenkinstest.StepResult{Err: err}
	}
	fmt.Fprintf(s.Out, "| sweeping\n%s", text)
	w.mu.Lock()
	w.proofs[run{key.agent, key.attempt, ""}] = how == succeeds
	w.mu.Unlock()
	if how == reboots && w.reboot != nil {
		w.reboot(s.Agent)
	}
	return jenkinstest.StepResult{Exit: exit}
}

// proved reports whether the newest report of an attempt said cleaned and verified.
func (w *workshop) proved(agent string, attempt int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.proofs[run{agent, attempt, ""}]
}

// ran reports whether a program of an attempt has started before.
func (w *workshop) ran(agent string, attempt int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.runs[run{agent, attempt, "all"}]+w.runs[run{agent, attempt, "verify"}] > 0
}

// lost notes that an agent lost its connection: the next has another process.
func (w *workshop) lost(agent string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session[agent]++
}

func (w *workshop) boot(agent string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "session-" + strconv.Itoa(w.session[agent])
}

func (w *workshop) machineOf(agent string) string {
	if w.machine != nil {
		return w.machine(agent)
	}
	return "machine-of-" + agent
}

// chance is a number below n that depends on nothing but its arguments.
func chance(n int, of ...any) int {
	h := fnv.New64a()
	fmt.Fprint(h, of...)
	return int(h.Sum64() >> 1 % uint64(n))
}
