// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// groovy is where Debian's package of that name puts the whole of it, in the version that Jenkins carries (jenkins-reference 10).
const groovy = "/usr/share/java/groovy-all.jar"

// controller is a gate in a Jenkins of stubs: that of Groovy, on a Java machine of its own (testdata/harness.groovy), or the model
// of it in Go (model_test.go). Both do the same commands.
type controller struct {
	testing.TB
	target interface {
		send(line []byte) (answer []byte, err error)
	}
	groovy bool
}

// both runs a test against either gate: what one of them says and the other does not is a bug of one of them.
func both(t *testing.T, test func(j *controller)) {
	t.Helper()
	t.Run("model", func(t *testing.T) { test(booted(t, &controller{TB: t, target: newWorld()})) })
	t.Run("groovy", func(t *testing.T) { test(boot(t)) })
}

// command is one line to the harness: what to do, and its arguments.
type command map[string]any

var machine struct {
	sync.Mutex // one test at a time: each begins with a boot

	once   sync.Once
	failed error
	in     io.WriteCloser
	out    *bufio.Scanner
	dir    string
	run    *exec.Cmd
}

func TestMain(m *testing.M) {
	code := m.Run()
	if machine.run != nil {
		machine.in.Close()
		if err := machine.run.Wait(); err != nil {
			fmt.Fprintln(os.Stderr, "the harness:", err)
			code = 1
		}
	}
	os.RemoveAll(machine.dir)
	os.Exit(code)
}

// booted begins a test: Jenkins has just started, with the gate as its init script.
func booted(tb testing.TB, j *controller) *controller {
	tb.Helper()
	if said := j.do(command{"do": "boot"}); said != "pitcrew gate test: registered by the init script, as the first copy" {
		tb.Fatalf("the init script said %q", said)
	}
	return j
}

// boot begins a test of the gate in Groovy.
func boot(tb testing.TB) *controller {
	tb.Helper()
	if testing.Short() {
		tb.Skip("mostly runs another program")
	}
	for _, need := range []string{groovy, "java", "javac"} {
		if _, err := exec.LookPath(need); err != nil && !exists(need) {
			if os.Getenv("CI") == "true" {
				tb.Fatalf("there is no %s: run scripts/test-deps.sh", need)
			}
			tb.Skipf("there is no %s: scripts/test-deps.sh installs it", need)
		}
	}
	machine.Lock()
	tb.Cleanup(machine.Unlock)
	machine.once.Do(func() { machine.failed = start() })
	if machine.failed != nil {
		tb.Fatal(machine.failed)
	}
	return booted(tb, &controller{TB: tb, target: javaMachine{machine.in, machine.out}, groovy: true})
}

// javaMachine is the harness.
type javaMachine struct {
	in  io.Writer
	out *bufio.Scanner
}

func (m javaMachine) send(line []byte) ([]byte, error) {
	if _, err := fmt.Fprintf(m.in, "%s\n", line); err != nil {
		return nil, err
	}
	if !m.out.Scan() {
		return nil, fmt.Errorf("the harness is gone: %w", m.out.Err())
	}
	return m.out.Bytes(), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// start compiles the stubs and starts the harness with the gate.
func start() error {
	var err error
	if machine.dir, err = os.MkdirTemp("", "gate-test-"); err != nil {
		return err
	}
	script, err := Script("test", Labels{"cleanable", "dirty", "clean"})
	if err != nil {
		return err
	}
	file := filepath.Join(machine.dir, "gate.groovy")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return err
	}
	args := []string{"-d", machine.dir}
	err = filepath.WalkDir("testdata/java", func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".java") {
			args = append(args, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	if out, err := exec.Command("javac", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("compile the stubs: %w\n%s", err, out)
	}
	machine.run = exec.Command("java", "-cp", groovy+":"+machine.dir, "groovy.ui.GroovyMain", "testdata/harness.groovy", file)
	machine.run.Stderr = os.Stderr
	if machine.in, err = machine.run.StdinPipe(); err != nil {
		return err
	}
	out, err := machine.run.StdoutPipe()
	if err != nil {
		return err
	}
	machine.out = bufio.NewScanner(out)
	machine.out.Buffer(nil, 16<<20)
	return machine.run.Start()
}

// do sends a command and returns its answer.
func (j *controller) do(c command) any {
	j.Helper()
	line, err := json.Marshal(c)
	if err != nil {
		j.Fatal(err)
	}
	said, err := j.target.send(line)
	if err != nil {
		j.Fatal(err)
	}
	var answer struct {
		OK     any
		Failed string
		At     []string
	}
	if err := json.Unmarshal(said, &answer); err != nil {
		j.Fatalf("%v: %s", err, said)
	}
	if answer.Failed != "" {
		j.Fatalf("%s: %s\n%s", line, answer.Failed, strings.Join(answer.At, "\n"))
	}
	return answer.OK
}

// on does something to an agent.
func (j *controller) on(agent, what string, more ...any) any {
	j.Helper()
	c := command{"do": what, "name": agent}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	return j.do(c)
}

// item queues a task of a kind, and returns its number.
func (j *controller) item(kind, task string, more ...any) float64 {
	j.Helper()
	c := command{"do": "queue", "kind": kind, "task": task}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	return j.do(c).(float64)
}

// take is what the gate says to an item on an agent, "" if it may start there.
func (j *controller) take(agent string, item float64) string {
	j.Helper()
	said, _ := j.on(agent, "take", "item", item).(string)
	return said
}

// answered is an answer of the gate's address.
type answered struct {
	Code     float64
	Type     string
	Protocol int
	Session  string
	Seq      int
	Failed   int
	Fault    string
	Gap      bool
	Owner    string
	Hook     string
	Error    string
	Results  []struct{ Agent, Result string }
	Agents   map[string]struct {
		State, Drift, Why string
		Build             string
		Attempt, Item     int
	}
	Events []map[string]any
}

func (j *controller) read(answer any) answered {
	j.Helper()
	a := answer.(map[string]any)
	got := answered{Code: a["code"].(float64)}
	got.Type, _ = a["type"].(string)
	body := a["body"].(string)
	if got.Code == 403 {
		return got
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		j.Fatalf("%v: %s", err, body)
	}
	return got
}

// ask sends one verb for one agent, as the daemon named "daemon", and returns its result.
func (j *controller) ask(verb, agent string, more ...any) string {
	j.Helper()
	one := map[string]any{"agent": agent}
	for i := 0; i < len(more); i += 2 {
		one[more[i].(string)] = more[i+1]
	}
	request, err := json.Marshal(map[string]any{"protocol": Protocol, "owner": "daemon", "agents": []any{one}})
	if err != nil {
		j.Fatal(err)
	}
	got := j.read(j.do(command{"do": "call", "verb": verb, "request": string(request)}))
	if got.Code != 200 || len(got.Results) != 1 || got.Results[0].Agent != agent {
		j.Fatalf("%s %s: %+v", verb, request, got)
	}
	return got.Results[0].Result
}

// must is ask, for what has to succeed.
func (j *controller) must(verb, agent string, more ...any) {
	j.Helper()
	if got := j.ask(verb, agent, more...); got != "ok" {
		j.Fatalf("%s %s %v: %s", verb, agent, more, got)
	}
}

// labels are what stands on the agent.
func (j *controller) labels(agent string) string {
	j.Helper()
	return j.on(agent, "view").(map[string]any)["labels"].(string)
}

func TestEachStubIsListedWithItsSource(t *testing.T) {
	t.Parallel()
	const dir = "testdata/java"
	list, err := os.ReadFile(filepath.Join(dir, "SOURCES.md"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if rest, ok := strings.CutSuffix(path, ".java"); ok && !strings.Contains(string(list), "`"+strings.TrimPrefix(filepath.ToSlash(rest), dir+"/")+".java`") {
			t.Errorf("%s is not in %s/SOURCES.md", path, dir)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
