// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/carried"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
	"github.com/pitcrew-ci/pitcrew/recipes"
)

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
