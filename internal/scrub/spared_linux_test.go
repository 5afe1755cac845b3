// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// ordered has a step done by a process that a command starts, "$0" in a shell, and returns what that command prints after the result.
func ordered(t *testing.T, s spec.Spec, here scrub.Here, env []string, command ...string) (r spec.Result, after string) {
	t.Helper()
	text, err := json.Marshal(order{s, here, scrub.Do})
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), command[0], append(command[1:], program)...)
	c.Env = append(env, child+"=scrub", "PATH="+os.Getenv("PATH"))
	c.Stdin, c.Stderr = bytes.NewReader(text), os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := c.Output()
	if err != nil {
		t.Errorf("%q: %v", command, err)
	}
	said := json.NewDecoder(bytes.NewReader(out))
	if err := said.Decode(&r); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return r, strings.TrimSpace(string(out[said.InputOffset():]))
}

// TestWhoeverCallsSurvives: of an owned user, with the marks of an earlier build, out of an owned path; what is beside it goes.
func TestWhoeverCallsSurvives(t *testing.T) {
	t.Parallel()
	asRoot(t)
	const agent = "scrub-caller-test"
	beside := start(t, leftover{uid: uidOf(t, "list"), env: build(agent)})
	s := spec.Spec{
		Owned: spec.Ownership{SystemUsers: []string{"list"}},
		Goal:  spec.Goal{Processes: &spec.Processes{Cookies: true, Grace: 1}},
	}
	r, after := ordered(t, s, scrub.Here{Agent: agent, Controller: "http://ci.example"}, build(agent),
		"setpriv", "--reuid=list", "--regid=list", "--clear-groups", "sh", "-c", `sh -c '"$0"; echo parent' "$0"; echo grandparent`)
	if r.State != spec.Changed || r.Removed != 1 || lives(beside) {
		t.Errorf("%+v, lives %t; want what is beside the caller to go, and nothing else", r, lives(beside))
	}
	if after != "parent\ngrandparent" {
		t.Errorf("the callers say %q", after)
	}
}

// TestProcessOneSurvives, also where it is no ancestor: what is started in a container from outside has none there.
func TestProcessOneSurvives(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	first := p.leave(t, "mkfifo -m 666 $X/p; exec unshare -pmf --mount-proc setpriv --reuid=man --regid=man --clear-groups sh -c 'echo; read x <$X/p'")
	pid := strconv.Itoa(first.Process.Pid)
	children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	if err != nil {
		t.Fatal(err)
	}
	s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"man"}}, Goal: spec.Goal{Processes: &spec.Processes{Grace: 1}}}
	r, _ := ordered(t, s, scrub.Here{}, nil, "nsenter", "-p", "-m", "-t", strings.TrimSpace(string(children)))
	if r.State != spec.Unchanged || !lives(first) {
		t.Errorf("%+v, lives %t; want it to be left alone", r, lives(first))
	}
}

// TestWhatKeepsAnAgentRunningSurvives: its supervisor, of the same owned user.
func TestWhatKeepsAnAgentRunningSurvives(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	java := linked(t, p.path("X/java"))
	supervisor := p.leave(t, "exec setpriv --reuid=proxy --regid=proxy --clear-groups sh -c '"+child+"=idle "+java+" -jar /srv/agent.jar; exit'")
	s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"proxy"}}, Goal: spec.Goal{Processes: &spec.Processes{Grace: 1}}}
	r := reach(t, s, scrub.Here{}, scrub.Do)
	told := strings.Join(r.Notes, "\n")
	if r.State != spec.Unchanged || !lives(supervisor) || !strings.Contains(told, ", of an owned user) stays: what seems to run an agent descends from it") {
		t.Errorf("%s, the supervisor lives: %v, notes %q", r.State, lives(supervisor), told)
	}
}
