// SPDX-License-Identifier: Apache-2.0

package inbound

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

const patience = 30 * time.Second

// desk is a controller that knows one agent and keeps its link.
type desk struct {
	name, secret string
	links        chan jenkinstest.AgentLink // every link put into service

	mu      sync.Mutex
	current jenkinstest.AgentLink
}

func (d *desk) online() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return false
	}
	select {
	case <-d.current.Done():
		return false
	default:
		return true
	}
}

func (d *desk) AgentInfo(name string) (jenkinstest.AgentInfo, error) {
	if name != d.name {
		return jenkinstest.AgentInfo{}, jenkinstest.ErrNoSuchAgent
	}
	return jenkinstest.AgentInfo{Name: name, Secret: d.secret, Inbound: true, Online: d.online()}, nil
}

func (d *desk) Connect(name, secret string, l jenkinstest.AgentLink) error {
	if subtle.ConstantTimeCompare([]byte(secret), []byte(d.secret)) != 1 {
		return jenkinstest.ErrBadSecret
	}
	if d.online() {
		return jenkinstest.ErrAlreadyOnline
	}
	d.mu.Lock()
	d.current = l
	d.mu.Unlock()
	d.links <- l
	return nil
}

// serve starts an HTTP server with the endpoint and /login.
func serve(t *testing.T) (*desk, *httptest.Server) {
	t.Helper()
	d := &desk{name: "größer (rack 7)", secret: strings.Repeat("5e", 32), links: make(chan jenkinstest.AgentLink, 8)}
	mux := http.NewServeMux()
	mux.Handle("/wsagents/", &endpoint{controller: d, present: map[string]presence{}})
	mux.HandleFunc("/login", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return d, server
}

// java starts our agent and kills it at the end of the test.
func java(t *testing.T, server *httptest.Server, d *desk, more ...string) *exec.Cmd {
	t.Helper()
	arguments := append([]string{
		"-Xmx64m", "-Djava.io.tmpdir=" + t.TempDir(), "-jar", agentJar(t),
		"-url", server.URL, "-secret", d.secret, "-name", d.name, "-webSocket",
	}, more...)
	cmd := exec.Command("java", arguments...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // else Java sends variables in ASCII
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("agent: %s", &log)
		}
	})
	return cmd
}

func next(t *testing.T, d *desk) jenkinstest.AgentLink {
	t.Helper()
	select {
	case l := <-d.links:
		return l
	case <-time.After(patience):
		t.Fatal("no agent connected")
		return nil
	}
}

func TestAgentRunsSteps(t *testing.T) {
	t.Parallel()
	d, server := serve(t)
	java(t, server, d)
	l := next(t, d)
	for name, tc := range map[string]struct {
		step jenkinstest.Step
		exit int
		want string // part of the output
	}{
		"the agent's own shell traces and stops at the first failure": {
			jenkinstest.Step{Script: "echo one\nfalse\necho two\n"}, 1, "+ echo one\none\n+ false\n",
		},
		"an interpreter is used as given": {
			jenkinstest.Step{Script: "#!/bin/sh -u\nfalse\necho flags $-\n", Args: []string{"/bin/sh", "-u"}}, 0, "flags u",
		},
		"variables are added to the agent's own": {
			jenkinstest.Step{Script: "echo $GREETING $HOME\n", Env: map[string]string{"GREETING": "it's <ü>"}}, 0, "it's <ü> " + os.Getenv("HOME"),
		},
		"files lie in the workspace": {
			jenkinstest.Step{
				Script: "cat sub/data.txt\n",
				Files:  []jenkinstest.StepFile{{Name: "sub/data.txt", Data: []byte("from the form")}},
			}, 0, "from the form",
		},
		"a file larger than one record is whole": {
			jenkinstest.Step{
				Script: "cksum < big\n", Files: []jenkinstest.StepFile{{Name: "big", Data: bytes.Repeat([]byte("x"), 3<<20)}},
			}, 0, " 3145728\n",
		},
		"standard error is part of the output": {jenkinstest.Step{Script: "echo oops >&2\nexit 9\n"}, 9, "oops"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			tc.step.Workspace, tc.step.Out = filepath.Join(t.TempDir(), "ws"), &out
			res := l.Run(t.Context(), tc.step)
			if res.Err != nil || res.Exit != tc.exit {
				t.Errorf("result is %+v, want exit %d", res, tc.exit)
			}
			if !strings.Contains(out.String(), tc.want) {
				t.Errorf("output %q lacks %q", &out, tc.want)
			}
			if !strings.HasPrefix(out.String(), "[ws] $ /bin/sh -") {
				t.Errorf("output %q does not begin with the command line", &out)
			}
		})
	}
}

func TestARelativeWorkspaceIsBelowWhereTheAgentWasStarted(t *testing.T) {
	t.Parallel()
	d, server := serve(t)
	agent := java(t, server, d)
	l := next(t, d)
	var out bytes.Buffer
	res := l.Run(t.Context(), jenkinstest.Step{
		Workspace: "work/ws", Env: map[string]string{"WORKSPACE": "work/ws"}, Out: &out,
		Script: "#!/bin/sh\necho \"$WORKSPACE $PWD\"\n", Args: []string{"/bin/sh"},
	})
	want := filepath.Join(agent.Dir, "work", "ws")
	if res.Err != nil || res.Exit != 0 || !strings.Contains(out.String(), want+" "+want) {
		t.Errorf("result is %+v, output %q, want %s twice", res, &out, want)
	}
}

func TestAnInterruptedStepIsEndedWithItsChildren(t *testing.T) {
	t.Parallel()
	d, server := serve(t)
	java(t, server, d)
	l := next(t, d)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		waitForFile(t, filepath.Join(dir, "pid"))
		cancel()
	}()
	res := l.Run(ctx, jenkinstest.Step{Workspace: dir, Script: "sleep 300 & echo $! > tmp; mv tmp pid; wait\n"})
	if res.Err == nil || errors.Is(res.Err, jenkinstest.ErrLinkLost) {
		t.Errorf("error is %v, want an interruption", res.Err)
	}
	pid := readPID(t, filepath.Join(dir, "pid"))
	waitUntil(t, fmt.Sprintf("child %d did not end", pid), func() bool { return !running(pid) })
}

func TestReapKillsOnlyWhatMatchesEveryVariable(t *testing.T) {
	t.Parallel()
	d, server := serve(t)
	java(t, server, d)
	l := next(t, d)
	pids := map[string]int{}
	for kind, env := range map[string][]string{
		"both": {"CONF_A=" + t.Name(), "CONF_B=2"}, "one": {"CONF_A=" + t.Name()}, "other": {"CONF_A=" + t.Name(), "CONF_B=3"},
	} {
		cmd := exec.Command("sleep", "300")
		cmd.Env = env
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		pids[kind] = cmd.Process.Pid
	}
	if err := l.Reap(t.Context(), map[string]string{"CONF_A": t.Name(), "CONF_B": "2"}); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(running(pids["both"]), running(pids["one"]), running(pids["other"]))
	if got != "false true true" {
		t.Errorf("both, one, other are running: %s, want false true true", got)
	}
}

func TestAKilledAgentLosesItsLinkAndNotItsChildren(t *testing.T) {
	t.Parallel()
	d, server := serve(t)
	cmd := java(t, server, d)
	l := next(t, d)
	dir := t.TempDir()
	go func() {
		waitForFile(t, filepath.Join(dir, "pid"))
		_ = cmd.Process.Kill()
	}()
	res := l.Run(t.Context(), jenkinstest.Step{Workspace: dir, Script: "sleep 300 >/dev/null 2>&1 & echo $! > tmp; mv tmp pid; wait\n"})
	if !errors.Is(res.Err, jenkinstest.ErrLinkLost) {
		t.Errorf("error is %v, want ErrLinkLost", res.Err)
	}
	pid := readPID(t, filepath.Join(dir, "pid"))
	t.Cleanup(func() {
		if child, err := os.FindProcess(pid); err == nil {
			_ = child.Kill() // ended meanwhile
		}
	})
	if !running(pid) {
		t.Error("the child died with the agent")
	}
}

func TestAClosedLinkIsTakenUpAgainByTheSameProcess(t *testing.T) {
	t.Parallel()
	d, server := serve(t)
	java(t, server, d)
	next(t, d).Close("told to")
	l := next(t, d)
	if res := l.Run(t.Context(), jenkinstest.Step{Workspace: t.TempDir(), Script: "true"}); res.Err != nil || res.Exit != 0 {
		t.Errorf("result after the return is %+v", res)
	}
}

func TestNoReconnectEndsAnAgentThatLosesItsConnection(t *testing.T) {
	t.Parallel()
	d, server := serve(t)
	cmd := java(t, server, d, "-noReconnect")
	next(t, d).Close("told to")
	if err := cmd.Wait(); err != nil {
		t.Errorf("agent ended with %v, want status 0", err)
	}
}

func TestRefusedHandshakes(t *testing.T) {
	t.Parallel()
	d, server := serve(t)
	for name, tc := range map[string]struct {
		agent, secret, capability string
		want                      int
	}{
		"no headers":        {"", "", "", 400},
		"unknown agent":     {"nobody", d.secret, capability, 400},
		"wrong secret":      {d.name, "00", capability, 403},
		"another agent.jar": {d.name, d.secret, "rO0ABX", 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/wsagents/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Node-Name", tc.agent)
		req.Header.Set("Secret-Key", tc.secret)
		req.Header.Set(capabilityHeader, tc.capability)
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tc.want {
			t.Errorf("%s: status %d, want %d", name, res.StatusCode, tc.want)
		}
	}
	if d.online() {
		t.Error("a refused agent is online")
	}
}

func TestOptionsThatCannotBeHonouredAreRefusedByName(t *testing.T) {
	t.Parallel()
	jar := agentJar(t)
	base := []string{"-url", "http://127.0.0.1:1", "-secret", "00", "-name", "x"}
	for option, wantExit := range map[string]int{
		"-webSocket -cert x": 2, "-webSocket -noCertificateCheck": 2, "-direct h:1": 2, "-tunnel h:1": 2,
		"-workDir /tmp": 2, "-bogus": 0, "-webSocket -noReconnect -noReconnectAfter 1s": 0, "-version": 0, "-help": 0,
	} {
		args := append([]string{"-jar", jar}, append(base, strings.Fields(option)...)...)
		out, err := exec.CommandContext(t.Context(), "java", args...).CombinedOutput()
		got := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			got = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != wantExit {
			t.Errorf("%s: exit status %d, want %d: %s", option, got, wantExit, out)
		}
	}
}

func waitForFile(t *testing.T, name string) {
	t.Helper()
	waitUntil(t, name+" did not appear", func() bool {
		_, err := os.Stat(name)
		return err == nil
	})
}

func waitUntil(t *testing.T, never string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Error(never)
			return
		case <-ticker.C:
		}
	}
}

func readPID(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// running reports whether the process is there and not just waiting to be reaped.
func running(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(after, "Z")
}
