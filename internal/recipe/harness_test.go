// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	testAttempt = 7
	testNonce   = "0123456789abcdef0123456789abcdef"
)

// machine is a place to run programs for real: a shell, a search path and a directory for temporary files.
type machine struct {
	shell string // what "sh" is
	path  string
	tmp   string
	env   []string
	// under is the command that runs the shell with what it is given on standard input; nil to run it as it is.
	under []string
}

// need returns the path of a tool that the tests run. Without it a developer's run skips, CI fails.
func need(t *testing.T, tool, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%s is missing; install the Debian package %s", tool, pkg)
	}
	if err != nil {
		t.Skipf("%s is missing (Debian package %s); CI runs this test", tool, pkg)
	}
	return path
}

// shells are the shells that programs must work with.
func shells() []string { return []string{"dash", "bash", "busybox"} }

// newMachine returns a machine where "sh" is shell and everything else is the system's own. busybox brings all its
// commands along and sees nothing else, which is the barest machine that programs promise to work on.
func newMachine(t *testing.T, shell string) *machine {
	t.Helper()
	bin := t.TempDir()
	path := need(t, shell, shell) // Debian names the packages like that too
	m := &machine{shell: filepath.Join(bin, "sh"), path: bin + ":" + os.Getenv("PATH"), tmp: t.TempDir()}
	if shell == "busybox" {
		if out, err := exec.CommandContext(t.Context(), path, "--install", "-s", bin).CombinedOutput(); err != nil {
			t.Fatalf("install busybox: %v\n%s", err, out)
		}
		m.path = bin
	} else if err := os.Symlink(path, m.shell); err != nil {
		t.Fatal(err)
	}
	return m
}

// result is what came of running a program.
type result struct {
	out  string
	exit int
}

// issued is the environment of a build that was issued for agent a1.
func issued() []string {
	return []string{
		"NODE_NAME=a1", "NODE_LABELS=a1 el7 cleanable dirty", "PITCREW_JOB_CONTROLLER=ci",
		"PITCREW_AGENT=a1", "PITCREW_CONTROLLER=ci", "PITCREW_ATTEMPT=7", "PITCREW_NONCE=" + testNonce,
	}
}

// command returns the command that runs program p on m, not yet started.
func (m *machine) command(ctx context.Context, t *testing.T, p *Program, env []string, args ...string) *exec.Cmd {
	t.Helper()
	if !strings.Contains(m.path, ":") {
		p = only(p)
	}
	file := filepath.Join(t.TempDir(), "program.sh")
	if err := os.WriteFile(file, p.Text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, m.shell, append([]string{file}, args...)...)
	if m.under != nil {
		cmd = exec.CommandContext(ctx, m.under[0], slices.Concat(m.under[1:], []string{m.shell, "-s", "--"}, args)...)
		cmd.Stdin = bytes.NewReader(p.Text)
	}
	cmd.Env = append([]string{"PATH=" + m.path, "TMPDIR=" + m.tmp, "HOME=" + m.tmp}, append(env, m.env...)...)
	if m.under == nil {
		cmd.Dir = m.tmp
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends its step, which no kill would
	cmd.WaitDelay = stopGrace
	return cmd
}

func (m *machine) run(t *testing.T, p *Program, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // a machine may have much else to do
	defer cancel()
	cmd := m.command(ctx, t, p, env, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) {
		t.Fatalf("run program: %v\n%s", err, out.String())
	}
	return result{out: out.String(), exit: cmd.ProcessState.ExitCode()}
}

// report runs p as issued and returns its report.
func (m *machine) report(t *testing.T, p *Program, env ...string) (Report, result) {
	t.Helper()
	res := m.run(t, p, append(issued(), env...))
	r, err := ParseReport([]byte(res.out), testAttempt, testNonce)
	if err != nil {
		t.Fatalf("ParseReport: %v\n%s", err, res.out)
	}
	if err := p.Matches(r); err != nil {
		t.Fatalf("Matches: %v", err)
	}
	return r, res
}

// parse returns the recipe in text, which must be right; files are those it mentions.
func parse(t *testing.T, text string, files ...File) *Recipe {
	t.Helper()
	r, err := Parse("recipe.yaml", []byte(text), opener(files))
	if err != nil {
		t.Fatalf("Parse:\n%v", err)
	}
	return r
}

func opener(files []File) Opener {
	return func(path string) (File, error) {
		for _, f := range files {
			if f.Path == path {
				return f, nil
			}
		}
		return File{}, errors.New("no such file")
	}
}

func compiled(t *testing.T, text string, files ...File) *Program {
	t.Helper()
	p, err := parse(t, text, files...).Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// recipeOf returns a recipe with the given clean steps and a verify step that passes.
func recipeOf(steps string) string {
	return "version: 1\nname: test\nclean:\n" + indent(steps) + "verify:\n  - name: proof\n    run: \"true\"\n"
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		b.WriteString("  " + line)
	}
	return b.String()
}

// step returns the report of the step called name.
func (r Report) step(t *testing.T, name string) StepReport {
	t.Helper()
	for _, s := range r.Steps {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no step %q in %+v", name, r.Steps)
	return StepReport{}
}

// empty fails if anything is left in directory dir.
func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s", filepath.Join(dir, e.Name()))
	}
}
