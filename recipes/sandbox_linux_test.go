// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/carried"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
	"github.com/pitcrew-ci/pitcrew/recipes"
)

// inside names the test that runs in a sandbox, in a second run of this program; shared is a directory that both see.
const inside, shared = "RECIPES_TEST_INSIDE", "RECIPES_TEST_SHARED"

// The users of a sandbox: whose builds run there, and somebody else.
const jenkins, stranger = 4242, 4343

// sandbox is this machine for one test: its files as they are, with changes that nobody else sees and that end with the
// test, and with process numbers, links, IPC objects and a name of its own. What it shares with the machine is the kernel:
// loop devices, control groups, values in /proc/sys that are of no namespace.
type sandbox struct {
	*testing.T
	agent string
	// changes is the directory in which all changes to files are seen.
	changes string
}

// inSandbox runs a test in a sandbox. Outside of it, it starts that run and passes on what comes of it.
func inSandbox(t *testing.T, test func(s sandbox)) {
	t.Helper()
	need(t, "setpriv", "util-linux")
	if os.Getuid() != 0 {
		missing(t, "this test needs root")
	}
	if os.Getenv(inside) == t.Name() {
		s := sandbox{T: t, agent: "a1", changes: "/changes"}
		s.enter(os.Getenv(shared))
		test(s)
		return
	}
	// Not in parallel: loop devices are the machine's, and all sandboxes have the same paths.
	dir := t.TempDir()
	t.Cleanup(func() { detachAll(t) })
	self, err := os.Executable()
	check(t, err)
	// A shell is the first process, which takes over what leftovers leave.
	c := exec.CommandContext(t.Context(), "/bin/sh", "-c", `"$@"; exit $?`, "sh", self,
		"-test.run=^"+t.Name()+"$", "-test.timeout=5m", fmt.Sprintf("-test.v=%v", testing.Verbose()))
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "CI=" + os.Getenv("CI"), inside + "=" + t.Name(), shared + "=" + dir}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWCGROUP,
		Pdeathsig: syscall.SIGKILL,
	}
	out, err := c.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("in the sandbox:\n%s", out)
	}
	if err != nil {
		t.Error(err)
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// need skips a test for want of a tool, but not in CI.
func need(t *testing.T, tool, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		missing(t, tool+" is missing; install the Debian package "+pkg)
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// enter makes what the sandbox is.
func (s sandbox) enter(dir string) {
	s.Helper()
	up, work, root := dir+"/up", dir+"/work", dir+"/root"
	check(s.T, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"),
		os.Mkdir(up, 0o755), os.Mkdir(work, 0o755), os.Mkdir(root, 0o755))
	must := func(err error) { s.Helper(); check(s.T, err) }
	err := unix.Mount("overlay", root, "overlay", 0, "lowerdir=/,upperdir="+up+",workdir="+work)
	if errors.Is(err, unix.ENODEV) {
		missing(s.T, "this kernel has no overlay file systems")
	}
	must(err)
	must(unix.Mount("/dev", root+"/dev", "", unix.MS_BIND|unix.MS_REC, ""))
	must(unix.Mount("/sys", root+"/sys", "", unix.MS_BIND|unix.MS_REC, ""))
	must(unix.Mount("proc", root+"/proc", "proc", 0, ""))
	for path, mode := range map[string]string{"/dev/shm": "1777", "/run": "755", "/tmp": "1777", "/var/tmp": "1777"} {
		must(unix.Mount("tmpfs", root+path, "tmpfs", 0, "mode="+mode))
	}
	must(os.Mkdir(root+s.changes, 0o755))
	must(unix.Mount(up, root+s.changes, "", unix.MS_BIND, ""))
	must(unix.PivotRoot(root, root+"/tmp"))
	must(os.Chdir("/"))
	must(unix.Unmount("/tmp", unix.MNT_DETACH)) // the old root
	must(unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777"))
	must(unix.Sethostname([]byte("sandbox")))
	// Values of the kernel that are of no namespace: these are files that nobody reads.
	s.sh(`rm -f /.dockerenv # it is not the machine's container that is cleaned
		cp -r --no-preserve=all /proc/sys/fs /tmp/fs 2>/dev/null || :
		mount -t tmpfs tmpfs /proc/sys/fs; cp -r /tmp/fs/. /proc/sys/fs; rm -r /tmp/fs; mkdir -p /run/lock
		ip link set lo up
		echo jenkins:x:4242:4242::/home/jenkins:/bin/sh >>/etc/passwd; echo jenkins:x:4242: >>/etc/group
		echo stranger:x:4343:4343::/home/stranger:/bin/sh >>/etc/passwd; echo stranger:x:4343: >>/etc/group
		echo 'jenkins:*:19000:0:99999:7:::' >>/etc/shadow; echo 127.0.0.1 localhost sandbox >/etc/hosts
		mkdir -p /home/jenkins/workspace/cleanup /home/stranger
		chown -R 4242:4242 /home/jenkins; chown 4343:4343 /home/stranger`)
}

// sh runs a shell script as root and returns what it prints.
func (s sandbox) sh(script string) string {
	s.Helper()
	c := exec.CommandContext(s.Context(), "/bin/sh", "-euc", script)
	c.Dir = "/"
	var wrong bytes.Buffer
	c.Stderr = &wrong
	out, err := c.Output()
	if err != nil {
		s.Fatalf("%s: %v\n%s", script, err, wrong.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// leave starts a process of a user that stays, in a session of its own and with this environment, and returns its number.
func (s sandbox) leave(uid uint32, env []string, args ...string) int {
	s.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Env = "/", append([]string{"PATH=/usr/bin:/bin"}, env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	check(s.T, c.Start())
	go func() { _ = c.Wait() }()
	return c.Process.Pid
}

// standIn has a shell script stand in for a program of another distribution. What it is told to change it notes by
// "order". Its state is in the directory $D.
func (s sandbox) standIn(name, script string) {
	s.Helper()
	const dir = "/var/lib/stand-in"
	check(s.T, os.MkdirAll(dir, 0o777))
	text := "#!/bin/sh\nD=" + dir + "\norder() { echo \"" + name + " $*\" >>$D/orders; }\n" + script + "\n"
	check(s.T, os.RemoveAll("/usr/sbin/"+name), os.WriteFile("/usr/sbin/"+name, []byte(text), 0o755))
}

// orders are what stand-ins were told to change, since this was asked last.
func (s sandbox) orders() string {
	text, _ := os.ReadFile("/var/lib/stand-in/orders")
	_ = os.Remove("/var/lib/stand-in/orders")
	return string(text)
}

// scale are the changes that a test makes to every recipe, as people change them for their site: room that this machine
// has, and its platform alone.
var scale = []struct {
	what *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`bytesFree: \d+GB`), "bytesFree: 1MB"},
	{regexp.MustCompile(`inodesFree: \d+`), "inodesFree: 10"},
	{regexp.MustCompile(`(?m)^platforms: .*`), "platforms: [linux/" + runtime.GOARCH + "]"},
}

// program compiles a recipe.
func (s sandbox) program(r *recipe.Recipe) *recipe.Program {
	s.Helper()
	p, err := r.Compile()
	check(s.T, err)
	return p
}

// recipe reads a recipe of the library, with further changes: old and new texts, of which the old have to be there.
func (s sandbox) recipe(name string, changes ...string) *recipe.Recipe {
	s.Helper()
	unused := map[string]bool{}
	for change := range slices.Chunk(changes, 2) {
		unused[change[0]] = true
	}
	read := func(path string) (recipe.File, error) {
		text, err := recipes.Files.ReadFile(path)
		for _, c := range scale {
			text = c.what.ReplaceAll(text, []byte(c.to))
		}
		for change := range slices.Chunk(changes, 2) {
			unused[change[0]] = unused[change[0]] && !bytes.Contains(text, []byte(change[0]))
			text = bytes.ReplaceAll(text, []byte(change[0]), []byte(change[1]))
		}
		return recipe.File{Path: path, Content: text}, err
	}
	main, err := read(name + ".yaml")
	check(s.T, err)
	r, err := recipe.Parse(name+".yaml", main.Content, read)
	check(s.T, err)
	for text, is := range unused {
		if is {
			s.Fatalf("no file of %s has the text %q", name, text)
		}
	}
	return r
}

// as is whom a program runs as, and where.
type as struct {
	uid       uint32
	workspace string
	tmp       string
	phases    string
}

// environment is that of a build of the agent.
func (s sandbox) environment(who as) []string {
	return []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/jenkins", "TMPDIR=" + who.tmp, "NODE_NAME=" + s.agent, "NODE_LABELS=" + s.agent,
		"WORKSPACE=" + who.workspace, "JENKINS_URL=https://jenkins.example/", "JOB_NAME=cleanup", "BUILD_NUMBER=9", "BUILD_TAG=jenkins-cleanup-9",
		"JENKINS_SERVER_COOKIE=ours", "PITCREW_AGENT=" + s.agent, "PITCREW_PHASES=" + who.phases,
	}
}

// run runs a program as a build of the agent does, and returns its report.
func (s sandbox) run(p *recipe.Program, who as) recipe.Report {
	s.Helper()
	file := filepath.Join(s.TempDir(), "program.sh")
	check(s.T, os.WriteFile(file, p.Text, 0o600), os.Chown(file, int(who.uid), -1))
	for dir := filepath.Dir(file); dir != "/tmp"; dir = filepath.Dir(dir) {
		check(s.T, os.Chmod(dir, 0o755))
	}
	const nonce = "0123456789abcdef0123456789abcdef"
	ctx, cancel := context.WithTimeout(s.Context(), 4*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "/bin/sh", file, "--no-reboot")
	c.Dir = "/"
	c.Env = append(s.environment(who), "PITCREW_JOB_CONTROLLER=ci", "PITCREW_CONTROLLER=ci", "PITCREW_ATTEMPT=1", "PITCREW_NONCE="+nonce)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: who.uid, Gid: who.uid}}
	out, _ := c.CombinedOutput()
	r, err := recipe.ParseReport(out, 1, nonce)
	if err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
	return s.logged(r)
}

func (s sandbox) logged(r recipe.Report) recipe.Report {
	s.Helper()
	s.Logf("%s: %s %s", r.Recipe, r.Outcome, r.Reason)
	for _, step := range r.Steps {
		s.Logf("%s %q: %s %s %s", step.Phase, step.Name, step.Outcome, step.Reason, step.Tail)
	}
	return r
}

// found fails unless each of these steps found exactly what it says: kinds and names.
func (s sandbox) found(r recipe.Report, want map[string][]string) {
	s.Helper()
	got := map[string][]string{}
	for _, step := range r.Steps {
		if _, asked := want[step.Name]; !asked || step.Scrub == nil {
			continue
		}
		for _, f := range append(step.Scrub.Found, step.Scrub.Differs...) {
			got[step.Name] = append(got[step.Name], f.Kind+" "+f.ID)
		}
		slices.Sort(got[step.Name])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("found (-want +got):\n%s", diff)
	}
}

// idle fails if the steps, run at once after a first run, change anything: by their own word, by what stand-ins were told,
// and by the files. Files below but are those that living programs write.
func (s sandbox) idle(of *recipe.Recipe, who as, but ...string) {
	s.Helper()
	_ = s.orders()
	before := s.files(but)
	s.unchanged(s.steps(of, who))
	if diff := cmp.Diff(before, s.files(but)); diff != "" {
		s.Errorf("at once again files changed (-before +after):\n%s", diff)
	}
	if orders := s.orders(); orders != "" {
		s.Errorf("at once again there were orders:\n%s", orders)
	}
}

// steps runs the steps of a recipe one after the other, as its program does but without the program around them, which
// costs ten times as much. It says what a program would report of them, and that all have run.
func (s sandbox) steps(of *recipe.Recipe, who as) recipe.Report {
	s.Helper()
	binary, err := carried.For("linux/" + runtime.GOARCH)
	check(s.T, err)
	program, err := binary.Unpack()
	dir := s.TempDir()
	scrub := filepath.Join(dir, "scrub")
	check(s.T, err, os.WriteFile(scrub, program, 0o755), os.Chmod(filepath.Dir(dir), 0o755))
	report := recipe.Report{Recipe: of.Name, Outcome: recipe.Cleaned}
	plan := of.Plan(s.facts(who), recipe.Standard)
	for i, step := range of.Steps {
		if !plan[i].Runs {
			continue
		}
		at := filepath.Join(dir, strconv.Itoa(i))
		script := filepath.Join(at, "script")
		check(s.T, os.Mkdir(at, 0o755), os.WriteFile(script, step.Script, 0o644), os.Chown(at, int(who.uid), -1))
		command := append(slices.Clone(step.Interpreter), script)
		if step.Goal != nil {
			verb := map[bool]string{true: "verify", false: "run"}[step.Phase == recipe.Verify]
			command = []string{scrub, verb, script, "--result", at}
		}
		c := exec.CommandContext(s.Context(), command[0], command[1:]...)
		c.Dir, c.Env = at, append(s.environment(who), "PITCREW_FILES="+at)
		for _, v := range step.Env {
			c.Env = append(c.Env, v.Name+"="+v.Value)
		}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: who.uid, Gid: who.uid}}
		out, _ := c.CombinedOutput()
		code := c.ProcessState.ExitCode()
		done := recipe.StepReport{Name: step.Name, Phase: step.Phase, Outcome: step.Outcomes[code], Exit: code, Tail: string(out)}
		if text, err := os.ReadFile(filepath.Join(at, "result")); err == nil {
			done.Scrub = &spec.Result{}
			check(s.T, json.Unmarshal(text, done.Scrub))
		}
		switch {
		case code == 0:
			done.Outcome = recipe.StepOK
		case done.Outcome == "" && step.OnFailure == recipe.StepWarned:
			done.Outcome = recipe.StepWarned
		case done.Outcome == recipe.StepReconnect && report.Outcome == recipe.Cleaned:
			report.Outcome = recipe.Reconnect
		case done.Outcome == "" || done.Outcome == recipe.StepFailed:
			done.Outcome, report.Outcome = recipe.StepFailed, recipe.Failed
			report.Reason += step.Name + ": " + string(out)
		}
		report.Steps = append(report.Steps, done)
	}
	return s.logged(report)
}

// facts are those of the sandbox.
func (s sandbox) facts(who as) recipe.Facts {
	f := recipe.Facts{Labels: []string{s.agent}, OS: []string{"linux"}, Arch: strings.TrimSpace(s.sh("uname -m")), Root: who.uid == 0, Sudo: who.uid == 0}
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
		entries, err := os.ReadDir(dir)
		check(s.T, err)
		for _, e := range entries {
			f.Tools = append(f.Tools, e.Name())
		}
	}
	return f
}

// unchanged fails if a report, of a run that came at once after another, does not say that all is as it was.
func (s sandbox) unchanged(r recipe.Report) {
	s.Helper()
	if r.Outcome != recipe.Cleaned {
		s.Errorf("at once again: %s: %s", r.Outcome, r.Reason)
	}
	for _, step := range r.Steps {
		if step.Scrub != nil && step.Scrub.State != spec.Unchanged && step.Scrub.State != spec.Skipped && step.Outcome != recipe.StepWarned {
			s.Errorf("at once again step %q: %+v", step.Name, step.Scrub)
		}
	}
}

// files are what all changed files are like: type and mode, owner, size, and when they were changed.
func (s sandbox) files(but []string) map[string]string {
	s.Helper()
	all := map[string]string{}
	for line := range strings.Lines(s.sh(`find ` + s.changes + ` /tmp /var/tmp /dev/shm -printf '%p %M %U:%G %s %T@\n'`)) {
		path, rest, _ := strings.Cut(line, " ")
		path = strings.TrimPrefix(path, s.changes)
		own := path == "" || path == "/tmp" || strings.HasPrefix(path, "/tmp/"+s.Name()) // in which programs unpack, and this one
		if !own && !slices.ContainsFunc(but, func(root string) bool { return spec.Within(root, path) }) {
			all[path] = rest
		}
	}
	return all
}

// gone fails for each path at which something is; there for each at which nothing is.
func (s sandbox) gone(paths ...string) {
	s.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			s.Errorf("%s is still there", path)
		}
	}
}

func (s sandbox) there(paths ...string) {
	s.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); err != nil {
			s.Errorf("it should not have gone: %v", err)
		}
	}
}

// alive says which of the processes are alive.
func alive(processes map[string]int) []string {
	var all []string
	for name, pid := range processes {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err == nil && !strings.Contains(string(text), ") Z ") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// loopFile marks the files of loop devices that sandboxes make.
const loopFile = "pitcrew-recipes-test.img"

// attached are the loop devices of sandboxes and their files, by the word of losetup.
func attached(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE").Output()
	check(t, err)
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, file, _ := strings.Cut(strings.TrimSpace(line), " "); strings.Contains(file, loopFile) {
			all[name] = file
		}
	}
	return all
}

func detachAll(t *testing.T) {
	t.Helper()
	for name := range maps.Keys(attached(t)) {
		_ = exec.Command("losetup", "--detach", name).Run()
	}
}
