// SPDX-License-Identifier: Apache-2.0

package loanjob_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

// patience bounds the waits for what other processes do while the machine has much else to do.
const patience = 4 * time.Minute

// shells are the shells that the program must work with.
func shells() []string { return []string{"dash", "bash", "busybox"} }

// need returns the path of a tool. Without it the test fails in CI and is skipped elsewhere.
func need(t *testing.T, tool string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("%s is missing; CI runs this test", tool)
	}
	if err != nil {
		t.Fatalf("%s is missing", tool)
	}
	return path
}

// borrower returns a controller that agents can connect to.
func borrower(t *testing.T) *testbed.Controller {
	t.Helper()
	c, err := testbed.Open(t.Context(), "loan")
	if errors.Is(err, testbed.ErrNoJDK) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return c
}

// agentJar is the borrower's agent program.
func agentJar(t *testing.T, c *testbed.Controller) []byte {
	t.Helper()
	return []byte(c.Get(t.Context(), t, "/jnlpJars/agent.jar"))
}

// place is where a program runs: a shell, and directories of its own.
type place struct {
	shell, path string
	home        string
	workspace   string
	under       []string // words before the shell
	java        string   // JAVA_HOME; "" is none
	uid         int      // of who runs the program
	loanUID     int      // the loan's account
	loanHome    string   // its home
}

// newPlace returns a place where "sh" is shell. busybox brings all its commands along, and the tools that a machine with
// Java has besides: Java.
func newPlace(t *testing.T, shell string) *place {
	t.Helper()
	bin := t.TempDir()
	path := need(t, shell)
	p := &place{shell: filepath.Join(bin, "sh"), path: bin + ":" + os.Getenv("PATH"), home: t.TempDir(), workspace: t.TempDir(), uid: os.Geteuid()}
	if shell == "busybox" {
		if out, err := exec.CommandContext(t.Context(), path, "--install", "-s", bin).CombinedOutput(); err != nil {
			t.Fatalf("install busybox: %v\n%s", err, out)
		}
		if err := os.Symlink(need(t, "java"), filepath.Join(bin, "java")); err != nil {
			t.Fatal(err)
		}
		p.path = bin
	} else if err := os.Symlink(path, p.shell); err != nil {
		t.Fatal(err)
	}
	return p
}

// loan is one loan of a test, with what the program prints about it.
type loan struct {
	order   loanjob.Order
	secrets loanjob.Secrets
	node    testbed.NodeSpec
	out     *output
	cmd     *exec.Cmd
	ended   chan struct{}
}

// output is written by a program and read by its test.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// order makes a node at the borrower and the order of a loan of it.
func order(t *testing.T, c *testbed.Controller, jar []byte) *loan {
	t.Helper()
	sum := sha256.Sum256(jar)
	name := c.Unique("n")
	dir := filepath.Join(t.TempDir(), "work")
	l := &loan{
		order: loanjob.Order{
			Agent: "lent " + name, Controller: "lender", Attempt: 7, Loan: "loan-" + rand.Text(),
			URL: c.URL + "/", Node: name, Dir: dir, Isolation: loanjob.None,
			JarSHA256: hex.EncodeToString(sum[:]), Limit: time.Hour, Attach: patience,
		},
		secrets: loanjob.Secrets{Nonce: "nonce-" + rand.Text()},
		node:    testbed.NodeSpec{Name: name, RemoteFS: dir},
		out:     &output{},
	}
	c.Node(t.Context(), t, l.node)
	secret, err := c.Secret(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	l.secrets.Secret = secret
	return l
}

// environment is that of a build of the lender that was issued for the loan, with what its job does besides.
func (l *loan) environment(t *testing.T) []string {
	t.Helper()
	plain, passwords, err := l.order.Parameters(l.secrets)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(plain, passwords)
	maps.Copy(plain, map[string]string{
		"NODE_NAME": l.order.Agent, "PITCREW_JOB_CONTROLLER": l.order.Controller, "PITCREW_LOAN_JAR": "agent.jar",
		"JENKINS_URL": "http://lender.example/", "BUILD_URL": "http://lender.example/job/x/1/", "BUILD_ID": "1", "BUILD_TAG": "jenkins-x-1",
		"LENDERS_OWN": "not for the borrower",
	})
	var env []string
	for name, value := range plain {
		env = append(env, name+"="+value)
	}
	return env
}

// hold starts the program as a build does.
func (l *loan) hold(t *testing.T, p *place, jar []byte, more ...string) {
	t.Helper()
	file := filepath.Join(p.workspace, loanjob.FileParameter)
	if err := errors.Join(os.WriteFile(file, jar, 0o600), os.Chown(file, p.uid, p.uid)); err != nil {
		t.Fatal(err)
	}
	l.start(t, p, nil, slices.Concat(l.environment(t), []string{"WORKSPACE=" + p.workspace}, more))
}

// start runs the program until it ends, or the test does.
func (l *loan) start(t *testing.T, p *place, stdin []byte, env []string, args ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program.sh")
	if err := os.WriteFile(file, loanjob.Program(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(filepath.Dir(filepath.Dir(file)), 0o755), os.Chown(file, p.uid, p.uid)); err != nil {
		t.Fatal(err)
	}
	words := slices.Concat(p.under, []string{p.shell, file}, args)
	l.cmd = exec.Command(words[0], words[1:]...)
	l.cmd.Env = append([]string{"PATH=" + p.path, "HOME=" + p.home, "LANG=C.UTF-8"}, env...)
	if p.java != "" {
		l.cmd.Env = append(l.cmd.Env, "JAVA_HOME="+p.java)
	}
	l.cmd.Dir, l.cmd.Stdout, l.cmd.Stderr, l.cmd.Stdin = p.workspace, l.out, l.out, bytes.NewReader(stdin)
	l.cmd.WaitDelay = patience
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.ended = make(chan struct{})
	go func() {
		defer close(l.ended)
		_ = l.cmd.Wait() // the status is read from ProcessState
	}()
	t.Cleanup(func() {
		_ = l.cmd.Process.Signal(syscall.SIGTERM)
		<-l.ended
		if t.Failed() {
			said := strings.ReplaceAll(l.out.String(), l.secrets.Secret, "[the secret]")
			t.Logf("the program said:\n%s\n...\n%s", said[:min(len(said), 3000)], said[max(0, len(said)-600):])
		}
		for pid, what := range l.left(t) {
			t.Errorf("left behind: process %d: %s", pid, what)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}

// left are the processes that bear the loan's mark.
func (l *loan) left(t *testing.T) map[int]string {
	t.Helper()
	return withVariable("PITCREW_LOAN=" + l.order.Loan)
}

// withVariable returns the command lines of the processes with that variable in their environment, by process number.
func withVariable(variable string) map[int]string {
	found := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !slices.Contains(strings.Split(string(text), "\x00"), variable) {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
	}
	return found
}

// exit waits for the end of the program and returns its status.
func (l *loan) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-l.ended:
	case <-time.After(patience):
		t.Fatal("the program does not end")
	}
	return l.cmd.ProcessState.ExitCode()
}

// console reads what the program has said so far.
func (l *loan) console(t *testing.T) loanjob.Console {
	t.Helper()
	c, err := loanjob.ReadConsole([]byte(l.out.String()), l.secrets.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// online waits until the borrower has the agent, and the program has said so.
func (l *loan) online(t *testing.T, c *testbed.Controller) {
	t.Helper()
	testbed.Await(t.Context(), t, patience, "the loan online", func() bool {
		return l.isOnline(t, c) && l.console(t).Connected || l.over()
	})
	if l.over() {
		t.Fatal("the loan ended")
	}
}

func (l *loan) isOnline(t *testing.T, c *testbed.Controller) bool {
	t.Helper()
	a, err := c.Send(t.Context(), testbed.Request{Method: "GET", Path: testbed.NodePath(l.node.Name) + "/api/json?tree=offline"})
	return err == nil && strings.Contains(a.Body, `"offline":false`)
}

func (l *loan) over() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// wantEnd waits for the end and compares it. The work directory, and all that the program keeps, must be gone.
func (l *loan) wantEnd(t *testing.T, p *place, reason loanjob.Reason, exit int) {
	t.Helper()
	if got := l.exit(t); got != exit {
		t.Errorf("exit status %d, want %d", got, exit)
	}
	c := l.console(t)
	if c.Ended == nil || c.Ended.Reason != reason || c.Ended.Left != 0 || c.Ended.DirKept {
		t.Errorf("ended %+v, want %s with nothing left", c.Ended, reason)
	}
	l.nothingLeft(t, p)
}

func (l *loan) nothingLeft(t *testing.T, p *place) {
	t.Helper()
	if _, err := os.Lstat(l.order.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the work directory is there: %v", err)
	}
	if kept, _ := filepath.Glob(filepath.Join(p.home, ".pitcrew-loans", "*")); len(kept) > 0 {
		t.Errorf("it keeps %q", kept)
	}
	if left := l.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func (l *loan) String() string { return fmt.Sprintf("%s at %s", l.order.Loan, l.order.Node) }
