// SPDX-License-Identifier: Apache-2.0

package rehearsal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// tool returns the path of a program. Without it the test fails in CI and is skipped elsewhere.
func tool(t *testing.T, name, where string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("%s is missing, and CI is set: install it (Debian: apt-get install %s)", name, where)
	default:
		t.Skipf("%s is missing (Debian: apt-get install %s)", name, where)
	}
	return path
}

func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "rehearsal", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestJenkinsJobBuilderMakesAJobOfTheExample(t *testing.T) {
	t.Parallel()
	c := exec.CommandContext(t.Context(), tool(t, "jenkins-jobs", "jenkins-job-builder"), "test", filepath.Join("..", "..", "examples", "rehearsal", "job.yaml"))
	c.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	var log strings.Builder
	c.Stderr = &log
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	for _, want := range []string{
		"<project>", "com.sonyericsson.hudson.plugins.gerrit.trigger", "<variable>PITCREW_TOKEN</variable>", "exec pitcrew rehearse cleanup.yaml", "<testResults>rehearsal.xml</testResults>",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the job lacks %s:\n%s", want, out)
		}
	}
}

// A patch set is anybody's: with the token around, and where a ref is named that may ask for root, no script of it may run.
func TestTheJobForPatchSetsRunsNoScriptOfThem(t *testing.T) {
	t.Parallel()
	script := inJob(t)
	for line := range strings.Lines(script) {
		switch word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "", "#!/bin/sh", "#", "export", "pitcrew":
		case "exec":
			if !strings.Contains(line, "exec pitcrew rehearse cleanup.yaml") {
				t.Errorf("the job runs %s", line)
			}
		default:
			if !strings.HasPrefix(word, "--") {
				t.Errorf("the job runs %s", line)
			}
		}
	}
}

// inJob is the shell step of the FreeStyle job.
func inJob(t *testing.T) string {
	t.Helper()
	_, rest, ok := strings.Cut(example(t, "job.yaml"), "- shell: |\n")
	script, _, closed := strings.Cut(rest, "\n    publishers:")
	if !ok || !closed {
		t.Fatal("the job has no shell step")
	}
	return regexp.MustCompile(`(?m)^ {10}`).ReplaceAllString(script, "") + "\n"
}

func TestTheWorkflowIsYAMLAndRunsTheScriptForOurBranchesOnly(t *testing.T) {
	t.Parallel()
	var w struct {
		On          map[string]any
		Permissions map[string]string
		Jobs        map[string]struct {
			If    string
			Steps []struct{ Run string }
		}
	}
	if err := yaml.UnmarshalWithOptions([]byte(example(t, "github.yaml")), &w); err != nil {
		t.Fatal(err)
	}
	job := w.Jobs["rehearse"]
	if !strings.Contains(job.If, "head.repo.full_name == github.repository") || w.Permissions["contents"] != "read" || w.On["pull_request"] == nil {
		t.Errorf("the workflow is %+v", w)
	}
	if len(job.Steps) < 2 || job.Steps[1].Run != "sh examples/rehearsal/rehearse.sh" {
		t.Errorf("its steps are %+v", job.Steps)
	}
}

func TestShellInTheExamplesIsSound(t *testing.T) {
	t.Parallel()
	check := tool(t, "shellcheck", "shellcheck")
	_, inPipeline, ok := strings.Cut(example(t, "Jenkinsfile"), "sh '''")
	inPipeline, _, closed := strings.Cut(inPipeline, "'''")
	if !ok || !closed {
		t.Fatal("the Jenkinsfile has no shell step")
	}
	if open, shut := strings.Count(example(t, "Jenkinsfile"), "{"), strings.Count(example(t, "Jenkinsfile"), "}"); open != shut {
		t.Errorf("the Jenkinsfile opens %d braces and closes %d", open, shut)
	}
	for name, script := range map[string]string{"rehearse.sh": example(t, "rehearse.sh"), "Jenkinsfile": "#!/bin/sh\n" + inPipeline, "job.yaml": inJob(t)} {
		c := exec.CommandContext(t.Context(), check, "-s", "sh", "-")
		c.Stdin = strings.NewReader(script)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestTheExamplesUseFlagsThatExist(t *testing.T) {
	t.Parallel()
	help, err := os.ReadFile(filepath.Join("..", "..", "cmd", "pitcrew", "testdata", "help.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(help), "$ pitcrew rehearse --help\n")
	page, _, _ = strings.Cut(page, "\n$ ")
	flags := regexp.MustCompile(`--[a-z][a-z-]+`)
	for _, name := range []string{"rehearse.sh", "Jenkinsfile", "job.yaml"} {
		for _, flag := range flags.FindAllString(example(t, name), -1) {
			if !regexp.MustCompile(regexp.QuoteMeta(flag) + `\b`).MatchString(page) {
				t.Errorf("%s uses %s, which pitcrew rehearse does not have", name, flag)
			}
		}
	}
}
