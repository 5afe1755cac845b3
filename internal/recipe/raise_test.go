// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// nobody is the user, and the group, that programs of an ordinary user run as.
const nobody = 65534

// everything are the sudoers of a machine whose agent may become root.
const everything = "nobody ALL=(root) NOPASSWD: ALL\n"

// ordinary returns a machine on which the program runs as an ordinary user, with a sudo that goes by the sudoers given.
// It has /var/tmp, which is m.tmp here, and /var/cache to itself.
func ordinary(t *testing.T, shell, sudoers string) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test needs root")
		}
		t.Skip("this test needs root; CI runs it")
	}
	need(t, "sudo", "sudo")
	need(t, "setpriv", "util-linux")
	m := newMachine(t, shell)
	bin, rules := filepath.Dir(m.shell), filepath.Join(t.TempDir(), "sudoers")
	text := "Defaults env_reset, secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\nroot ALL=(ALL) ALL\n" + sudoers
	if err := errors.Join(os.WriteFile(rules, []byte(text), 0o440), os.Chmod(m.tmp, 0o777|os.ModeSticky), os.Chmod(bin, 0o755)); err != nil {
		t.Fatal(err)
	}
	const enter = `mount --make-rprivate / && mount --bind "$1" /etc/sudoers && mount --bind "$2" /var/tmp && mount --bind "$3" /mnt &&
mount --bind "$4" /var/cache && cd / && shift 4 && exec setpriv --reuid nobody --regid nogroup --clear-groups "$@"`
	m.under = []string{"unshare", "-m", "/bin/sh", "-c", enter, "enter", rules, m.tmp, bin, t.TempDir()}
	m.shell, m.path = "/mnt/sh", "/mnt:/usr/bin:/bin"
	m.env = append(m.env, "TMPDIR=/var/tmp")
	return m
}

// cache has m take directory dir for /var/cache.
func (m *machine) cache(dir string) { m.under[len(m.under)-1] = dir }

// TestAProxyWithAPasswordReachesRoot, although the password is no argument of anything on its way.
func TestAProxyWithAPasswordReachesRoot(t *testing.T) {
	t.Parallel()
	const proxy = "http://ann:it's $HOME@proxy.test:3128"
	for _, shell := range []string{"dash", "bash"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := ordinary(t, shell, everything)
			p := compiled(t, "version: 1\nname: raised\nraise: true\nplaces: [/var/tmp]\nclean:\n  - name: ask\n    as: root\n    run: |\n"+
				"      printf '%s\\n' \"$(id -u) $https_proxy\"\n      exit 1\nverify:\n  - {name: fine, run: \"true\"}\n")
			r, res := m.report(t, p, "https_proxy="+proxy)
			if s := r.step(t, "ask"); s.Tail != "0 "+proxy+"\n" {
				t.Errorf("step %+v\n%s", s, res.out)
			}
		})
	}
}

func TestOnlyStepsThatNeedRootAreRaised(t *testing.T) {
	t.Parallel()
	// Newer versions of sudo give each command a terminal of its own unless told not to.
	for shell, sudoers := range map[string]string{"dash": everything, "bash": "Defaults use_pty\n" + everything} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := ordinary(t, shell, sudoers)
			mark := "raised-" + rand.Text()
			p := compiled(t, fmt.Sprintf(`version: 1
name: raised
raise: true
places: [/var/tmp]
owns: {paths: [/srv/pitcrew-raise-test]}
clean:
  - {name: leftovers, processes: {cookies: false}}
  - {name: mounts, mounts: {}}
  - {name: mounts as before, as: user, mounts: {}}
  - name: script
    as: root
    env: {GREETING: "it's $HOME"}
    carry: [data/blob, tool]
    run: |
      echo "$(id -u) $GREETING $HOME $PITCREW_AGENT $WORKSPACE" && ./tool && od -An -tu1 data/blob
      test "$PWD" = "$PITCREW_FILES" && exit 9
    outcomes: {9: warned}
  - name: hangs
    as: root
    timeout: 8s
    run: |
      trap '' TERM
      %[1]s &
      setsid %[1]s &
      echo hangs; while :; do sleep 1; done
  - name: leaves
    as: root
    run: |
      %[1]s &
      echo leaves
  - {name: plain, run: 'echo "plain $(id -u)"'}
verify:
  - {name: ok, run: "true"}
`, stubborn(mark)), File{Path: "data/blob", Content: []byte{0, 255, '\n'}}, File{Path: "tool", Content: []byte("#!/bin/sh\necho tool\n"), Executable: true})
			r, res := m.report(t, p, "WORKSPACE=/nowhere", "HOME=/home/x")
			for _, line := range []string{"| 0 it's $HOME /root a1 /nowhere", "| tool", "|    0 255  10", "| plain 65534", "| leaves"} {
				if !strings.Contains(res.out, "\n"+line+"\n") {
					t.Errorf("the log lacks the line %q\n%s", line, res.out)
				}
			}
			if !strings.Contains(res.out, " processes it left behind\n") {
				t.Errorf("nothing tells of what a step left behind\n%s", res.out)
			}
			for name, want := range map[string]StepOutcome{
				"leftovers": StepOK, "mounts": StepOK, "mounts as before": StepOK, "script": StepWarned, "hangs": StepTimeout, "leaves": StepOK, "plain": StepOK,
			} {
				if s := r.step(t, name); s.Outcome != want {
					t.Errorf("%+v; want it %s", s, want)
				}
			}
			if s := r.step(t, "mounts"); s.Scrub == nil || s.Scrub.Kind != spec.KindMounts || s.Scrub.State != spec.Unchanged {
				t.Errorf("scrub as root says %+v; want an unchanged result of mounts", s.Scrub)
			}
			if left := marked(t, mark); len(left) > 0 {
				t.Errorf("root's processes outlive their step:\n%s", strings.Join(left, "\n"))
			}
			empty(t, m.tmp)
			if t.Failed() {
				t.Log(res.out)
			}
		})
	}
}

func TestAStepThatCannotBeRaisedFailsAtOnceWithTheReason(t *testing.T) {
	t.Parallel()
	p := compiled(t, recipeOf(`
- {name: needs, as: root, run: echo ran}
- {name: if it can, as: root, when: {sudo: true}, run: echo ran}
- {name: must, as: root, when: {sudo: true}, required: true, run: echo ran}
`))
	for name, c := range map[string]struct{ sudoers, path, want string }{
		"a password":    {"nobody ALL=(root) ALL\n", "", "it needs root, and sudo refuses: a password is required"},
		"no sudoer":     {"", "", "it needs root, and sudo refuses: a password is required"},
		"some commands": {"nobody ALL=(root) NOPASSWD: /usr/bin/true\n", "", "only certain commands without a password; raising needs /bin/sh, or a rule such as: nobody ALL="},
		"another user":  {"Defaults runas_default=daemon\nnobody ALL=(daemon) NOPASSWD: ALL\n", "", "it needs root, and sudo leads to user daemon"},
		"no terminal":   {"Defaults requiretty\n" + everything, "", "you must have a tty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := ordinary(t, "dash", c.sudoers)
			r, res := m.report(t, p)
			if s := r.step(t, "needs"); s.Outcome != StepFailed || !strings.Contains(s.Reason, c.want) {
				t.Errorf("%+v; want it to fail with %q", s, c.want)
			}
			if name != "some commands" && name != "another user" { // there "sudo -n true" works
				if s := r.step(t, "if it can"); s.Outcome != StepSkipped {
					t.Errorf("%+v; want it skipped", s)
				}
				if s := r.step(t, "must"); s.Outcome != StepFailed || !strings.Contains(s.Reason, "required") {
					t.Errorf("%+v; want it to fail because it is required", s)
				}
			}
			if plan := m.run(t, p, nil, "--plan"); name == "a password" &&
				!strings.Contains(plan.out, "fail  clean: needs (needs root, and sudo without a password does not work)") {
				t.Errorf("the plan does not say that it is going to fail\n%s", plan.out)
			}
			if strings.Contains(res.out, "| ran") {
				t.Error("it was run all the same")
			}
			empty(t, m.tmp)
		})
	}
}

func TestNothingIsRaisedBeforeTheProcessesOfTheUserAreEnded(t *testing.T) {
	t.Parallel()
	const text = `version: 1
name: order
places: [/var/tmp]
owns: {paths: [/srv/pitcrew-raise-test]}
clean:
  - {name: leftovers, WHEN processes: {cookies: false}}
  - {name: first, run: echo first, before: processes}
  - {name: raised, as: root, run: echo raised}
verify:
  - {name: raised too, as: root, run: echo raised too}
`
	const why = "nothing is raised before the goal 'processes' is reached as this user"
	m := ordinary(t, "dash", everything)
	r, _ := m.report(t, compiled(t, strings.Replace(text, "WHEN ", "depth: deep, ", 1)))
	if s := r.step(t, "raised"); s.Outcome != StepFailed || s.Reason != why {
		t.Errorf("%+v; want it to fail, because the goal was skipped", s)
	}
	p := compiled(t, strings.Replace(text, "WHEN ", "", 1))
	if r, res := m.report(t, p); r.Outcome != Cleaned {
		t.Errorf("outcome %s (%s)\n%s", r.Outcome, r.Reason, res.out)
	}
	// After a reconnect that goal is judged: nothing is there.
	if r, res := m.report(t, p, "PITCREW_PHASES=verify"); r.Outcome != Cleaned || !strings.Contains(res.out, "\n| raised too\n") {
		t.Errorf("outcome %s (%s)\n%s", r.Outcome, r.Reason, res.out)
	}
	left, url := exec.CommandContext(t.Context(), "sleep", "600"), "http://"+strings.ToLower(rand.Text())+"/"
	left.Env = []string{"NODE_NAME=a1", "JENKINS_URL=" + url, "JOB_NAME=left", "BUILD_NUMBER=3", "BUILD_TAG=jenkins-left-3"}
	left.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	p = compiled(t, strings.Replace(text, "WHEN processes: {cookies: false}", "processes: {}", 1))
	build := []string{"JENKINS_URL=" + url, "JOB_NAME=cleanup", "BUILD_NUMBER=4", "BUILD_TAG=jenkins-cleanup-4"}
	r, res := m.report(t, p, append(build, "PITCREW_PHASES=verify")...)
	if s := r.step(t, "raised too"); s.Outcome != StepFailed || s.Reason != "nothing is raised while processes of earlier builds are there" {
		t.Errorf("%+v; want it to fail, because of what a build left\n%s", s, res.out)
	}
	if err := left.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("what is judged was ended: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- left.Wait() }()
	if r, res := m.report(t, p, build...); r.Outcome != Cleaned || r.step(t, "leftovers").Scrub.Removed != 1 {
		t.Errorf("outcome %s (%s)\n%s", r.Outcome, r.Reason, res.out)
		_ = left.Process.Kill() // it need not be waited for
	}
	if <-ended == nil {
		t.Error("what a build left ended by itself")
	}
}

func TestWhatARaisedStepLeftWhenItWasKilledIsRemoved(t *testing.T) {
	t.Parallel()
	m := ordinary(t, "dash", everything)
	at := func(name string) string { return filepath.Join(m.tmp, "pitcrew-root."+name) }
	space := strings.TrimSuffix(strings.TrimPrefix(readLink(t, "/proc/self/ns/pid"), "pid:["), "]")
	dead, alive, others, link := at(space+".4194305.a"), at(fmt.Sprintf("%s.%d.a", space, os.Getpid())), at(space+".4194305.b"), at(space+".4194305.c")
	unseen := at("1.4194305.a") // of another container
	for _, dir := range []string{dead + "/files", alive, others, unseen} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(others, nobody, nobody), os.Symlink(alive, link)); err != nil {
		t.Fatal(err)
	}
	r, res := m.report(t, compiled(t, "places: [/var/tmp]\n"+recipeOf("- {name: raised, as: root, run: echo raised}\n")))
	if r.Outcome != Cleaned {
		t.Fatalf("outcome %s (%s)\n%s", r.Outcome, r.Reason, res.out)
	}
	left, _ := filepath.Glob(at("*"))
	want := []string{others, link, alive, unseen}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left %q; want %q", left, want)
	}
}

func TestStepsThatCannotRunAsRootAreRefused(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte(`version: 1
name: wrong
clean:
  - {name: a, as: root, processes: {}}
  - {name: b, as: root, run: ls, before: processes}
  - {name: c, as: root, run: ls, outcomes: {125: ok}}
  - {name: d, as: me, run: ls}
  - {name: e, processes: {}}
  - {name: f, as: root, processes: {}}
verify:
  - {name: g, as: root, processes: {}}
`), opener(nil))
	problems, _ := errors.AsType[Problems](err)
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	want := []string{
		`r.yaml:4:19: $.clean[0].as: put a step with processes and without "as" before it: as root comes after this user's own are ended`,
		`r.yaml:5:19: $.clean[1].as: what runs as root runs after processes, which ends those that could get in its way: not before: processes`,
		`r.yaml:6:19: $.clean[2].as: exit code 125 says that it could not be raised: no outcome can be given to it`,
		`r.yaml:7:19: $.clean[3].as: "me": want one of root, user`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestGoalsAreRaisedByTheirKind(t *testing.T) {
	t.Parallel()
	text := `version: 1
name: kinds
owns: {paths: [/srv/ci]}
clean:
  - {name: leftovers, processes: {}}
  - {name: mounts, mounts: {}}
  - {name: loops, as: user, loops: {}}
  - {name: files, files: {}}
  - {name: more files, as: root, files: {paths: [/srv/ci/x]}}
verify:
  - {name: ok, run: "true"}
`
	for top, want := range map[string][]string{"": {"more files"}, "raise: true\n": {"mounts", "more files"}} {
		var got []string
		r := parse(t, top+text)
		for _, s := range r.Steps {
			if s.AsRoot {
				got = append(got, s.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("with %q these run as root: %q; want %q", top, got, want)
		}
		for _, planned := range r.Plan(Facts{}, Standard) {
			if planned.Fails != slices.Contains(want, planned.Name) {
				t.Errorf("without root or sudo the plan has %+v", planned)
			}
		}
	}
}

func readLink(t *testing.T, path string) string {
	t.Helper()
	to, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return to
}
