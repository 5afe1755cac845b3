// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// child says what this program is to be when a test starts it as a leftover.
const child = "SCRUB_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(child) {
	case "":
		os.Exit(prepared(m))
	case "scrub":
		os.Exit(apart())
	case "deaf": // does not listen to requests to end
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	case "headless": // its first thread ends, and others go on
		fmt.Println("ready")
		_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
	case "messenger": // has shared memory attached or a message queue open
		if err := useIPC(os.Getenv("SEGMENT"), os.Getenv("QUEUE")); err != nil {
			panic(err)
		}
	case "hydra": // starts another like it when asked to end, then ends
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		go func() {
			<-asked
			_ = again().Start()
			os.Exit(0)
		}()
	case "forking": // starts another like it all the time, and ends itself
		go func() {
			next := again()
			next.Stdout = os.Stdout
			if next.Start() == nil {
				os.Exit(0)
			}
		}()
	}
	fmt.Println("ready")
	select {} // until killed
}

// TestMain runs on the first thread of this process where that is to end.
var _ = func() bool {
	if os.Getenv(child) == "headless" {
		runtime.LockOSThread()
	}
	return true
}()

// again is this very program once more.
func again() *exec.Cmd {
	c := exec.Command("/proc/self/exe")
	c.Env = os.Environ()
	return c
}

// leftover is a process of a test.
type leftover struct {
	mode  string
	env   []string
	dir   string
	uid   uint32
	exe   string   // a copy to run, "" for the test's own program
	args0 []string // what it calls itself
}

// start starts l and returns once it runs.
func start(t *testing.T, l leftover) *exec.Cmd {
	t.Helper()
	exe := l.exe
	if exe == "" {
		exe = program
	}
	c := exec.Command(exe)
	if l.args0 != nil {
		c.Args = l.args0
	}
	c.Env = append([]string{child + "=" + strings.TrimSuffix(l.mode+"-", "-")}, l.env...)
	if l.mode == "" {
		c.Env[0] = child + "=idle"
	}
	c.Dir = l.dir
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if l.uid != 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: l.uid, Gid: l.uid}
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the leftover does not begin: %q, %v", line, err)
	}
	return c
}

// program is a copy of this test that every user may run. It is written before any process is started: one that is
// being started holds the file open for an instant, and what is open for writing cannot be run.
var program string

func prepared(m *testing.M) int {
	if os.Getenv(oldKernel) != "" {
		if err := forbid(since310); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "scrub-test-")
	if err == nil {
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "program")
		err = errors.Join(os.Chmod(dir, 0o755), copyProgram(program))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func copyProgram(to string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, self, 0o600), os.Chmod(to, 0o755))
}

// named is that copy under another name.
func named(t *testing.T, name string) string {
	t.Helper()
	return linked(t, filepath.Join(open(t), name))
}

// open is a new directory that every user may enter.
func open(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(program), "") //nolint:usetesting // those directories are closed to others
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func linked(t *testing.T, to string) string {
	t.Helper()
	if err := os.Link(program, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// lives asks the kernel, not the code under test. A killed child of ours is a zombie until we wait for it.
func lives(c *exec.Cmd) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(c.Process.Pid) + "/status")
	return err == nil && !strings.Contains(string(text), "State:\tZ")
}

// asRoot is for tests that make things only root can make.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test has to run as root")
	}
}

func uidOf(tb testing.TB, name string) uint32 {
	tb.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		tb.Fatal(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		tb.Fatal(err)
	}
	return uint32(uid)
}

// order is what a test has done by a process of its own: what descends from scrub itself survives.
type order struct {
	Spec spec.Spec
	Here scrub.Here
	Mode scrub.Mode
}

// apart carries out an order from standard input.
func apart() int {
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		panic(err)
	}
	step, err := scrub.New(o.Spec, o.Here)
	if err != nil {
		panic(err)
	}
	r, err := scrub.Reach(context.Background(), o.Spec.Kind(), step, o.Mode)
	if err := errors.Join(err, json.NewEncoder(os.Stdout).Encode(r)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func reach(t *testing.T, s spec.Spec, here scrub.Here, mode scrub.Mode) spec.Result {
	t.Helper()
	return reachAs(t, 0, s, here, mode)
}

// reachAs has a step done by a process of a user.
func reachAs(t *testing.T, uid uint32, s spec.Spec, here scrub.Here, mode scrub.Mode) spec.Result {
	t.Helper()
	if r, ok := emulated(t, uid, s, here, mode); ok {
		return r
	}
	text, err := json.Marshal(order{s, here, mode})
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), program)
	c.Env = append(os.Environ(), child+"=scrub")
	c.Stdin, c.Stderr = bytes.NewReader(text), os.Stderr
	if uid != 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	var r spec.Result
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return r
}

// build is the environment of a build of an agent that only this test knows.
func build(agent string, changes ...string) []string {
	env := map[string]string{
		"NODE_NAME": agent, "JENKINS_URL": "http://ci.example/", "BUILD_TAG": "jenkins-app-7", "JOB_NAME": "app", "BUILD_NUMBER": "7",
		"JENKINS_SERVER_COOKIE": "durable-1",
	}
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		env[name] = value
	}
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

func TestProcessesEndOnEvidenceOnly(t *testing.T) {
	t.Parallel()
	asRoot(t)
	const agent = "scrub-evidence-test"
	here := scrub.Here{Agent: agent, Controller: "http://ci.example", Tag: "jenkins-pitcrew-3", Cookie: "durable-1"}
	owned, other := open(t), open(t)
	beside := owned + "-beside"
	if err := os.Mkdir(beside, 0o755); err != nil {
		t.Fatal(err)
	}
	inside := linked(t, filepath.Join(owned, "program"))
	lp, news := uidOf(t, "lp"), uidOf(t, "news")
	cases := map[string]struct {
		leftover leftover
		ends     bool
	}{
		"of an earlier build":                           {leftover{env: build(agent)}, true},
		"of an earlier build, by another user":          {leftover{env: build(agent), uid: news}, true},
		"of the build that runs us":                     {leftover{env: build(agent, "BUILD_TAG=jenkins-pitcrew-3")}, false},
		"of another agent":                              {leftover{env: build("other-agent")}, false},
		"of an agent of the same name elsewhere":        {leftover{env: build(agent, "JENKINS_URL=http://other.example/", "JENKINS_SERVER_COOKIE=x")}, false},
		"of this controller without an address":         {leftover{env: build(agent, "JENKINS_URL=")}, true},
		"of an owned user":                              {leftover{uid: lp}, true},
		"of another user":                               {leftover{uid: news}, false},
		"of another user in an owned path":              {leftover{uid: news, dir: owned}, false},
		"in an owned path":                              {leftover{dir: owned}, true},
		"in a path of the same beginning":               {leftover{dir: beside}, false},
		"in another path":                               {leftover{dir: other}, false},
		"that only calls itself after an owned path":    {leftover{args0: []string{owned + "/program", owned}}, false},
		"that runs a program out of an owned path":      {leftover{exe: inside}, true},
		"whose name is kept":                            {leftover{exe: named(t, "keepme"), uid: lp}, false},
		"that only calls itself by a name that is kept": {leftover{uid: lp, args0: []string{"keepme"}}, true},
	}
	started := map[string]*exec.Cmd{}
	for name, c := range cases {
		started[name] = start(t, c.leftover)
	}
	s := spec.Spec{
		Owned: spec.Ownership{Paths: []string{owned}, SystemUsers: []string{"lp", "no-such-user"}},
		Goal:  spec.Goal{Processes: &spec.Processes{Cookies: true, Keep: []string{"keepme"}}},
	}
	plan := reach(t, s, here, scrub.Plan)
	for name, c := range started {
		if !lives(c) {
			t.Errorf("a plan ended the process %s", name)
		}
	}
	first := reach(t, s, here, scrub.Do)
	for name, c := range started {
		if got := !lives(c); got != cases[name].ends {
			t.Errorf("the process %s: ended %v; want %v", name, got, cases[name].ends)
		}
	}
	if first.State != spec.Changed || len(plan.Found) != len(first.Found) {
		t.Errorf("planned %d, did %+v", len(plan.Found), first)
	}
	if again := reach(t, s, here, scrub.Do); again.State != spec.Unchanged {
		t.Errorf("a second run at once: %+v; want nothing to do", again)
	}
}

func TestProcessesThatDoNotWantToEnd(t *testing.T) {
	t.Parallel()
	asRoot(t)
	for _, mode := range []string{"deaf", "hydra", "forking", "headless"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			agent := "scrub-" + mode + "-test"
			start(t, leftover{mode: mode, env: build(agent)})
			s := spec.Spec{Goal: spec.Goal{Processes: &spec.Processes{Cookies: true, Grace: 1}}}
			here := scrub.Here{Agent: agent, Controller: "http://ci.example"}
			began := time.Now()
			if r := reach(t, s, here, scrub.Do); r.State != spec.Changed {
				t.Errorf("%+v; want all of them gone", r)
			}
			if r := reach(t, s, here, scrub.Plan); len(r.Found) > 0 {
				t.Errorf("after %s there still is %+v", time.Since(began), r.Found)
			}
		})
	}
}

func TestAProcessWithoutItsFirstThreadIsReadByAnother(t *testing.T) {
	t.Parallel()
	c := start(t, leftover{mode: "headless", env: build("scrub-threads-test")})
	until(t, func() bool {
		s, there := procfs.Machine.Stat(c.Process.Pid)
		return there && s.State == 'Z'
	})
	agent := ""
	procfs.Machine.Environ(c.Process.Pid, func(e procfs.Environ) { agent = e.Get("NODE_NAME") })
	if agent != "scrub-threads-test" {
		t.Errorf("it is of agent %q", agent)
	}
}

func TestResidueNamesItsBuildAndNoArguments(t *testing.T) {
	t.Parallel()
	const agent = "scrub-residue-test"
	start(t, leftover{env: build(agent), args0: []string{"leftover", "--password=hunter2"}})
	s := spec.Spec{Goal: spec.Goal{Processes: &spec.Processes{Cookies: true}}}
	r := reach(t, s, scrub.Here{Agent: agent, Controller: "http://ci.example"}, scrub.Plan)
	if len(r.Found) != 1 {
		t.Fatalf("found %+v; want one process", r.Found)
	}
	got := r.Found[0]
	if got.Culprit == nil || got.Culprit.Job != "app" || got.Culprit.Build != 7 || got.What != "program (started by an earlier build)" {
		t.Errorf("residue %+v, culprit %+v", got, got.Culprit)
	}
}

func TestAgentsSurvive(t *testing.T) {
	t.Parallel()
	asRoot(t)
	uid := uidOf(t, "uucp")
	agent := start(t, leftover{exe: named(t, "java"), uid: uid, args0: []string{"java", "-jar", "/srv/agent.jar"}})
	released := start(t, leftover{exe: named(t, "java"), uid: uid, args0: []string{"java", "-jar", "/srv/remoting-3256.v88a.jar"}})
	impostor := start(t, leftover{exe: named(t, "java"), uid: uid, args0: []string{"java", "-jar", "/srv/packer.jar", "/srv/agent.jar"}})
	s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"uucp"}}, Goal: spec.Goal{Processes: &spec.Processes{}}}
	seen := map[string]bool{}
	plan := reach(t, s, scrub.Here{}, scrub.Plan)
	for _, r := range plan.Found {
		seen[r.ID] = true
	}
	for _, c := range []*exec.Cmd{agent, released, impostor} {
		told := strings.Contains(strings.Join(plan.Notes, "\n"), fmt.Sprintf("process %d (java, of an owned user) stays: it runs an agent", c.Process.Pid))
		if want := c != impostor; told != want {
			t.Errorf("that process %d stays as an agent is told: %v; want %v: %q", c.Process.Pid, told, want, plan.Notes)
		}
	}
	if seen[strconv.Itoa(released.Process.Pid)] {
		t.Error("an agent whose file has the name of a release is to go")
	}
	if seen[strconv.Itoa(agent.Process.Pid)] || !seen[strconv.Itoa(impostor.Process.Pid)] {
		t.Errorf("the agent is to go: %v; another Java program is to go: %v", seen[strconv.Itoa(agent.Process.Pid)], seen[strconv.Itoa(impostor.Process.Pid)])
	}
}

// TestWhatStaysOnAnAgentsAccountIsTold: an agent that is process 1 of its container adopts what builds leave, and that descends from it then.
func TestWhatStaysOnAnAgentsAccountIsTold(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	java := linked(t, p.path("X/java"))
	p.run(t, "cp -L $(command -v busybox) $X/sh; mkfifo $X/p; chmod 666 $X/p")
	agent := p.leave(t, "exec setpriv --reuid=mail --regid=mail --clear-groups $X/sh -c 'env -i $X/sh -c \"read x <$X/p\" & export "+child+"=idle; exec -a java "+java+" -jar /srv/agent.jar'")
	s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"mail"}}, Goal: spec.Goal{Processes: &spec.Processes{Grace: 1}}}
	r := reach(t, s, scrub.Here{}, scrub.Do)
	told := strings.Join(r.Notes, "\n")
	if r.State != spec.Unchanged || !lives(agent) || len(r.Notes) != 2 || !strings.Contains(told, "(sh, of an owned user) stays: it descends from what seems to run an agent") {
		t.Errorf("%s, the agent lives: %v, notes %q; want both of its processes to stay and to be told", r.State, lives(agent), told)
	}
}

func inOwnGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func endGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestAnOwnedUserWhomNobodyKnowsIsNamed(t *testing.T) {
	t.Parallel()
	s := spec.Spec{Owned: spec.Ownership{Users: []string{"nosuch"}, SystemUsers: []string{"games"}}, Goal: spec.Goal{Processes: &spec.Processes{}}}
	for range 2 {
		if r := reach(t, s, scrub.Here{}, scrub.Plan); r.State != spec.Unchanged || !slices.Equal(r.Notes, []string{"owned user nosuch is not known here"}) {
			t.Errorf("%s, notes %q", r.State, r.Notes)
		}
	}
}
