// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// candidate is a recipe under review. What it owns is a directory of the scene's; the rest is given.
const candidate = `version: 1
name: candidate
disjoint: true
places: [%[1]s]
owns: {paths: [%[1]s/owned]}
clean:
  - name: wipe
    timeout: 1m
    run: |
      echo "$NODE_LABELS" >%[1]s/labels
      while [ -e %[1]s/hold ]; do sleep 0.1; done
      sleep 1 # so that there is a middle in which it can be stopped
%[2]s
setup:
  - name: furnish
    run: |
%[3]s
verify:
  - name: furnished
    run: test -e %[1]s/owned/there
`

// rehearser is a scene with an agent that may be lent, a token of a borrower, and a directory that candidates own.
type rehearser struct {
	*scene
	agent *testbed.Agent
	token string
}

// newRehearser starts the daemon, with more in the configuration of the pool.
func newRehearser(tb testing.TB, more string) *rehearser {
	tb.Helper()
	s := lends(tb)
	s.more = more + s.more
	return s.rehearser(0o700)
}

// rehearser starts the daemon of a scene that lends. Mode is that of what candidates own.
func (s *scene) rehearser(mode os.FileMode) *rehearser {
	s.Helper()
	a := s.agent("", "CLEANABLE el7")
	s.owned(mode)
	s.serve()
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
	return s.rehearserOn(a)
}

// owned makes the directory that candidates own, which the production recipe furnishes, too.
func (s *scene) owned(mode os.FileMode) {
	s.Helper()
	s.must(os.Mkdir(filepath.Join(s.dir, "owned"), mode))
	s.must(os.Chmod(filepath.Join(s.dir, "owned"), mode))
	s.steps = fmt.Sprintf("  - name: owned\n    run: |\n      find %[1]s/owned -mindepth 1 -delete\n      touch %[1]s/owned/there\n", s.dir)
}

// rehearserOn makes the token of a borrower at a daemon that serves.
func (s *scene) rehearserOn(a *testbed.Agent) *rehearser {
	s.Helper()
	r := &rehearser{scene: s, agent: a}
	file := filepath.Join(s.dir, "others.token")
	s.pitcrew("token", "create", "ci of others", "--role", "borrower", "--borrower", "others", "--file", file)
	text, err := os.ReadFile(file)
	s.must(err)
	r.token = strings.TrimSpace(string(text))
	s.write("controller.token", s.borrower.Token)
	return r
}

const (
	wipes    = `      find OWNED -mindepth 1 -delete`
	furnish  = `      touch OWNED/there`
	appendix = "\n      echo again >>OWNED/there"
)

// command is a rehearsal as a CI job of the borrower's calls it, at the borrower's own controller.
func (r *rehearser) command(wipe, furnish string, arguments ...string) *exec.Cmd {
	r.Helper()
	return r.commandAt([]string{
		"--controller-url", r.borrower.URL, "--controller-user", r.borrower.User, "--controller-token-file", filepath.Join(r.dir, "controller.token"),
	}, wipe, furnish, arguments...)
}

// commandAt is that at another controller.
func (r *rehearser) commandAt(controller []string, wipe, furnish string, arguments ...string) *exec.Cmd {
	r.Helper()
	fill := func(text string) string { return strings.ReplaceAll(text, "OWNED", r.dir+"/owned") }
	r.write("candidate.yaml", fmt.Sprintf(candidate, r.dir, fill(wipe), fill(furnish)))
	all := append([]string{
		"rehearse", filepath.Join(r.dir, "candidate.yaml"), "--server", "http://" + r.daemon.address(), "--shared-account",
		"--mess", "files", "--ignore", "port:tcp*", "--ignore", "port:u*", "--ignore", "mount:/*", "--ignore", "service:*.service",
		"--ignore", "user:pc*", "--ignore", "group:pc*", // accounts that other tests make meanwhile
	}, append(controller, arguments...)...)
	c := exec.CommandContext(r.ctx, program, all...)
	c.Env = append(os.Environ(), "PITCREW_TOKEN="+r.token)
	return c
}

// rehearsed is the result of a rehearsal, in JSON.
type rehearsed struct {
	Version            int
	Verdict            string
	Duration, Overhead time.Duration
	Agents             []struct {
		Name, Loan  string
		Against     struct{ Name, Revision string }
		Cases       []struct{ Name, Verdict, Reason string }
		Differences []struct{ Kind, Key string }
	}
}

// of returns the verdict on a case and its reason.
func (r *rehearsed) of(name string) (verdict, reason string) {
	for _, a := range r.Agents {
		for _, c := range a.Cases {
			if c.Name == name {
				return c.Verdict, c.Reason
			}
		}
	}
	return "missing", ""
}

// run runs a rehearsal to its end, which must have the exit code.
func (r *rehearser) run(c *exec.Cmd, code int) (*rehearsed, string) {
	r.Helper()
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	c.Args = append(c.Args, "-o", "json")
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != code {
		r.Fatalf("it ended with %d, want %d:\n%s", got, code, &said)
	}
	result := &rehearsed{}
	if code != 1 {
		r.must(json.Unmarshal(out.Bytes(), result))
	}
	for _, secret := range []string{r.token, r.borrower.Token} {
		if strings.Contains(out.String()+said.String(), secret) {
			r.Error("a secret was shown")
		}
	}
	return result, said.String()
}

// leavesNothing holds that all was returned: no loan, no node, no job, no process and no file is left.
func (r *rehearser) leavesNothing() {
	r.Helper()
	var loans []api.Loan
	r.await("the end of all loans", func() bool {
		var err error
		loans, err = r.daemon.Loans(r.ctx, "", false, 0)
		r.must(err)
		return len(loans) == 0
	})
	all, err := r.daemon.Loans(r.ctx, "", true, 0)
	r.must(err)
	for _, l := range all {
		if got := r.nodeAt(l); got != 404 {
			r.Errorf("node %s answers %d", l.Node, got)
		}
		r.clear(l)
		root := testbed.Read[struct{ Jobs []struct{ Name string } }](r.ctx, r, r.borrower, "/api/json?tree=jobs[name]")
		for _, j := range root.Jobs {
			if strings.HasPrefix(j.Name, l.Node) {
				r.Errorf("job %s is left", j.Name)
			}
		}
	}
	r.awaitLabels(r.agent, "CLEANABLE el7 CLEAN")
	if left, err := filepath.Glob(filepath.Join(r.dir, "pitcrew.??????????")); err != nil || len(left) > 0 {
		r.Errorf("left is %q, %v", left, err)
	}
}

func TestARecipeThatIsGoodPassesItsRehearsal(t *testing.T) {
	t.Parallel()
	r := newRehearser(t, "")
	result, said := r.run(r.command(wipes, furnish), 0)
	for _, name := range []string{
		"production recipe", "on the agent as it is", "again at once", "after a mess", "after a run that was stopped", "after a run that was killed", "comes back clean",
	} {
		if verdict, reason := result.of(name); verdict != "passed" {
			r.Errorf("%s: %s: %s", name, verdict, reason)
		}
	}
	if a := result.Agents[0]; !strings.HasSuffix(a.Name, "/"+r.agent.Name) || a.Against.Revision == "" || len(a.Differences) > 0 || result.Version != 1 || result.Verdict != "passed" {
		r.Errorf("the result is %+v", result)
	}
	if labels, err := os.ReadFile(filepath.Join(r.dir, "labels")); err != nil || !strings.Contains(string(labels), "el7") {
		r.Errorf("the candidate was told the labels %q, %v", labels, err)
	}
	r.leavesNothing()
	r.Logf("it said\n%s", said)
}

func TestARecipeThatLeavesMessFailsItsRehearsal(t *testing.T) {
	t.Parallel()
	r := newRehearser(t, "")
	junit, page := filepath.Join(r.dir, "junit.xml"), filepath.Join(r.dir, "report.html")
	result, _ := r.run(r.command("      true", furnish, "--junit", junit, "--report", page), 3)
	if verdict, reason := result.of("after a mess"); verdict != "failed" || !strings.Contains(reason, "files-tree") {
		r.Errorf("it is %s: %s", verdict, reason)
	}
	r.leavesNothing()
	if left, err := filepath.Glob(filepath.Join(r.dir, "owned", "*mess*")); err != nil || len(left) > 0 {
		r.Errorf("of the mess is left %q, %v", left, err)
	}
	for file, want := range map[string]string{junit: "<testsuite", page: "<!doctype html>"} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(strings.ToLower(string(text)), want) || !strings.Contains(string(text), "files-tree") {
			r.Errorf("%s: %v\n%.2000s", file, err, text)
		}
	}
}

func TestARecipeThatIsNotIdempotentFailsItsRehearsal(t *testing.T) {
	t.Parallel()
	r := newRehearser(t, "")
	result, _ := r.run(r.command("      true", furnish+appendix), 3)
	if verdict, reason := result.of("again at once"); verdict != "failed" || !strings.Contains(reason, "owned/there") {
		r.Errorf("it is %s: %s", verdict, reason)
	}
	r.leavesNothing()
}

// The daemon is told what came of a rehearsal before the revision is in its configuration, and gives it to no agent then.
func TestARevisionThatFailedItsRehearsalIsNotRolledOut(t *testing.T) {
	t.Parallel()
	r := newRehearser(t, "  rollout: {rehearsalRequired: true}\n")
	file := filepath.Join(r.dir, "operator.token")
	r.pitcrew("token", "create", "release", "--role", "operator", "--file", file)
	text, err := os.ReadFile(file)
	r.must(err)
	token := strings.TrimSpace(string(text))
	c := r.command("      exit 7", furnish, "--record", "--borrower", "others")
	c.Env = append(c.Env, "PITCREW_TOKEN="+token)
	result, said := r.run(c, 3)
	if verdict, reason := result.of("on the agent as it is"); verdict != "failed" || !strings.Contains(said, "pool main: its rollout knows") {
		r.Errorf("it is %s: %s; it said\n%s", verdict, reason, said)
	}
	if strings.Contains(said, token) {
		r.Error("a secret was shown")
	}
	r.leavesNothing()
	before := r.told(r.agent, "agent.clean", 1)

	r.stopDaemon(r.daemon)
	r.configure()
	candidate, err := os.ReadFile(filepath.Join(r.dir, "candidate.yaml"))
	r.must(err)
	r.write("recipe.yaml", string(candidate))
	r.startDaemon()
	r.await("the end of the rollout", func() bool {
		rollout, err := r.daemon.Rollout(r.ctx, "main")
		return err == nil && rollout.Stage == "rolled back" && rollout.Rehearsal == "failed"
	})
	r.awaitLabels(r.agent, "CLEANABLE el7 CLEAN")
	if after := r.events(r.agent, "agent.clean"); after[0].ID != before[0].ID {
		r.Errorf("it was cleaned anew: %+v", after[0])
	}
}

// TestACandidateReadsNothingOfTheAgentThatItRunsOn has a candidate that looks into what is the lender's, on a loan with an account of its own.
func TestACandidateReadsNothingOfTheAgentThatItRunsOn(t *testing.T) {
	t.Parallel()
	s := lends(t)
	account := s.lendsAs()
	s.must(os.Chmod(s.dir, 0o777|os.ModeSticky)) // programs are unpacked there
	r := s.rehearser(0o777)
	s.must(os.Chmod(r.agent.Dir, 0o700)) // as a home is
	program, secret := s.lendersProgram(r.agent)
	peek := fmt.Sprintf(`
      id -un >OWNED/who
      for f in %s %s /proc/%d/environ /proc/%[3]d/fd /proc/%[3]d/cwd/; do
        if ls "$f" >/dev/null 2>&1 && { test -d "$f" || cat "$f" >/dev/null 2>&1; }; then
          echo "$f can be read"
          exit 9
        fi
      done
      if env | grep -e %[4]s -e PITCREW_LOAN_SECRET; then
        exit 9 # what the lender's own build was told
      fi`, r.agent.Dir, secret, program, s.name+"-loan")
	c := r.command(wipes+strings.ReplaceAll(peek, "OWNED", r.dir), furnish)
	c.Args = slices.DeleteFunc(c.Args, func(a string) bool { return a == "--shared-account" })
	result, said := r.run(c, 0)
	if verdict, reason := result.of("on the agent as it is"); verdict != "passed" {
		r.Errorf("it is %s: %s; it said\n%s", verdict, reason, said)
	}
	if who, err := os.ReadFile(filepath.Join(r.dir, "who")); err != nil || strings.TrimSpace(string(who)) != account {
		r.Errorf("it ran as %q, %v; want %s", who, err, account)
	}
	r.leavesNothing()
}

// lendersProgram is the process of an agent at its own controller, and the file with its secret.
func (s *scene) lendersProgram(a *testbed.Agent) (pid int, secret string) {
	s.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), "\x00-name\x00"+a.Name+"\x00") {
			continue // ended, or another
		}
		pid, err = strconv.Atoi(filepath.Base(filepath.Dir(file)))
		s.must(err)
		_, after, _ := strings.Cut(string(text), "\x00-secret\x00@")
		secret, _, _ = strings.Cut(after, "\x00")
		return pid, secret
	}
	s.Fatalf("agent %s has no process", a.Name)
	return 0, ""
}

// awaitRun starts a rehearsal and waits until the candidate runs.
func (r *rehearser) awaitRun(c *exec.Cmd) (said *journal, ended chan error) {
	r.Helper()
	hold := filepath.Join(r.dir, "hold")
	r.must(os.WriteFile(hold, nil, 0o600))
	r.Cleanup(func() { _ = os.Remove(hold) })
	said, ended = &journal{}, make(chan error, 1)
	c.Stderr = said
	if c.Stdout == nil {
		c.Stdout = said
	}
	r.must(c.Start())
	go func() { ended <- c.Wait() }()
	r.Cleanup(func() {
		_ = c.Process.Kill()
		if r.Failed() {
			r.Logf("the rehearsal said\n%s", said)
		}
	})
	r.await("the candidate runs", func() bool {
		_, err := os.Stat(filepath.Join(r.dir, "labels"))
		return err == nil
	})
	return said, ended
}

func TestWhatEndsARehearsalInTheMiddleReturnsEverything(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "a closed terminal": syscall.SIGHUP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRehearser(t, "")
			c := r.command(wipes, furnish)
			said, ended := r.awaitRun(c)
			r.must(c.Process.Signal(sig))
			<-ended
			if got := c.ProcessState.ExitCode(); got != 130 {
				r.Errorf("it ended with %d:\n%s", got, said)
			}
			if strings.Contains(said.String(), "left behind") || !strings.Contains(said.String(), ": BROKEN\n") {
				r.Errorf("it said\n%s", said)
			}
			r.leavesNothing()
		})
	}
}

// restarts kills the daemon, and starts it where the rehearsal looks for it.
func (r *rehearser) restarts() {
	r.Helper()
	text, err := os.ReadFile(r.file("pitcrew.yaml"))
	r.must(err)
	r.write("pitcrew.yaml", strings.Replace(string(text), "127.0.0.1:0", r.daemon.address(), 1))
	_ = r.daemon.command.Process.Kill() // it lives: nobody else ends it
	<-r.daemon.ended
	r.startDaemon()
}

func TestARehearsalOutlivesAKillOfTheDaemon(t *testing.T) {
	t.Parallel()
	r := newRehearser(t, "")
	c := r.command(wipes, furnish)
	said, ended := r.awaitRun(c)
	r.restarts()
	r.must(os.Remove(filepath.Join(r.dir, "hold")))
	<-ended
	if got := c.ProcessState.ExitCode(); got != 0 {
		r.Errorf("it ended with %d:\n%s", got, said)
	}
	r.leavesNothing()
}

func TestTheLoanOfARehearsalThatWasKilledEndsByItsTTL(t *testing.T) {
	t.Parallel()
	r := newRehearser(t, "")
	c := r.command(wipes, furnish, "--ttl", "10s")
	_, ended := r.awaitRun(c)
	r.must(c.Process.Kill())
	<-ended
	all, err := r.daemon.Loans(r.ctx, "", true, 0)
	r.must(err)
	if len(all) != 1 {
		r.Fatalf("loans are %+v", all)
	}
	l := r.awaitLoan(all[0].ID, "cleaned")
	if l.Cause != "silent" {
		r.Errorf("it ended by %q: %s", l.Cause, l.Reason)
	}
	r.clear(l)
	r.awaitLabels(r.agent, "CLEANABLE el7 CLEAN")
}

// BenchmarkRehearsal measures what a rehearsal takes besides the runs of the candidate and what it is compared by: the
// start of borrowing until the agent is there, and its return until it is clean.
func BenchmarkRehearsal(b *testing.B) {
	r := newRehearser(b, "")
	var over, whole []time.Duration
	for range 5 {
		result, _ := r.run(r.command(wipes, furnish), 0)
		over, whole = append(over, result.Overhead), append(whole, result.Duration)
	}
	slices.Sort(over)
	slices.Sort(whole)
	b.ReportMetric(over[len(over)/2].Seconds(), "s-overhead")
	b.ReportMetric(whole[len(whole)/2].Seconds(), "s-whole")
	b.ReportMetric(0, "ns/op") // one round has several rehearsals
}
