// SPDX-License-Identifier: Apache-2.0

package thirdparty

import (
	"context"
	"encoding/xml"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

const awkwardRecipe = `version: 1
name: awkward
clean:
  - name: "{braces} {{twice}}"
    env: {A: "{0} %s <&> \" ' ]]> é"}
    run: |
      echo "{}" '{{' '}}' "${A:-{}}"   
      printf '%s\n' '<!-- & -->' ']]>' '{x|y}'
verify:
  - name: proof
    run: "true"
`

// TestASlotRenderedForJobBuilderArrivesUnchangedAndCleans goes the way of people who
// keep jobs as code: render, jenkins-jobs update, build, report.
func TestASlotRenderedForJobBuilderArrivesUnchangedAndCleans(t *testing.T) {
	t.Parallel()
	need(t, "jenkins-job-builder", "/usr/bin/jenkins-jobs", "--version")
	program := compile(t, awkwardRecipe)
	root, agent := start(t)
	slot, config := updateSlot(t, root, agent, program)
	if got := scriptOf(t, config); got != string(program.Text) {
		t.Error("the script on the controller differs from the program")
	}
	clean(t, build(t, root, slot, issued(agent).Encode()))
}

// TestALargeProgramComesByFileToASlotRenderedForJobBuilder sends the program as the daemon
// does, to a real shell.
func TestALargeProgramComesByFileToASlotRenderedForJobBuilder(t *testing.T) {
	t.Parallel()
	need(t, "jenkins-job-builder", "/usr/bin/jenkins-jobs", "--version")
	blob := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(blob) // never fails
	program := compile(t, heavyRecipe, recipe.File{Path: "blob", Content: blob})
	root, agent := start(t)
	slot, config := updateSlot(t, root, agent, program)
	if !program.ByFile() || !recipe.Carries([]byte(config), program) || len(config) > 20_000 {
		t.Fatalf("the job has %d bytes, or does not take the program by file:\n%s", len(config), config[:min(len(config), 4000)])
	}
	options := jenkins.Options{URL: root, User: controller.User}
	if controller.Password != "" {
		options.Password = func(context.Context) (string, error) { return controller.Password, nil }
	} else {
		options.Token = func(context.Context) (string, error) { return controller.Token, nil }
	}
	client, err := jenkins.New(options)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	params := map[string]string{}
	for name, values := range issued(agent) {
		params[name] = values[0]
	}
	file := &jenkins.File{Param: recipe.FileParameter, Name: program.FileName(), Content: program.Text}
	if _, err := client.Build(t.Context(), slot, params, file); err != nil {
		t.Fatal(err)
	}
	console := firstConsole(t, root, slot)
	clean(t, console)
	for _, want := range []string{"Copying file to " + recipe.FileParameter, "| left in the workspace: nothing"} {
		if !strings.Contains(console, "\n"+want+"\n") {
			t.Errorf("the log lacks %q:\n%s", want, console)
		}
	}
}

const heavyRecipe = `version: 1
name: heavy
clean:
  - name: carries
    carry: [blob]
    run: |
      test "$(wc -c <blob)" -eq 2097152
      left=$(ls -A "$WORKSPACE")
      echo "left in the workspace: ${left:-nothing}"
verify:
  - {name: proof, run: "true"}
`

func compile(t *testing.T, text string, files ...recipe.File) *recipe.Program {
	t.Helper()
	parsed, err := recipe.Parse("test.yaml", []byte(text), func(string) (recipe.File, error) { return files[0], nil })
	if err != nil {
		t.Fatal(err)
	}
	program, err := parsed.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// updateSlot brings a slot of a program to the controller, and returns its name and what
// the controller has then.
func updateSlot(t *testing.T, root, agent string, program *recipe.Program) (name, config string) {
	t.Helper()
	name = controller.Unique("slot")
	controller.RemoveJob(t.Context(), t, name)
	spec := recipe.JobSpec{Name: name, Program: program, Controller: "ci", Owner: "test", Agent: agent}
	file, err := recipe.RenderJJB(spec)
	if err != nil {
		t.Fatal(err)
	}
	rendered := filepath.Join(t.TempDir(), "slot.yaml")
	if err := os.WriteFile(rendered, file, 0o600); err != nil {
		t.Fatal(err)
	}
	jobBuilder(t, root, "update", rendered)
	config = get(t, root+"/job/"+name+"/config.xml")
	sameDigest(t, spec, config)
	return name, config
}

var nonce = strings.Repeat("0123456789abcdef", 2)

// issued are the parameters of a build of attempt 7.
func issued(agent string) url.Values {
	return url.Values{"PITCREW_AGENT": {agent}, "PITCREW_CONTROLLER": {"ci"}, "PITCREW_ATTEMPT": {"7"}, "PITCREW_NONCE": {nonce}}
}

// clean fails the test unless the log has a report that says cleaned.
func clean(t *testing.T, console string) {
	t.Helper()
	report, err := recipe.ParseReport([]byte(console), 7, nonce)
	if err != nil {
		t.Fatalf("read report: %v\n%s", err, console)
	}
	if report.Outcome != recipe.Cleaned || !report.Verified {
		t.Errorf("outcome is %s, verified %t: %s", report.Outcome, report.Verified, report.Reason)
	}
}

// sameDigest compares the job on the controller with the one that the daemon would
// write itself.
func sameDigest(t *testing.T, spec recipe.JobSpec, config string) {
	t.Helper()
	ours, err := recipe.RenderXML(spec)
	if err != nil {
		t.Fatal(err)
	}
	want, err := recipe.SlotDigest(ours)
	if err != nil {
		t.Fatal(err)
	}
	got, err := recipe.SlotDigest([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("the digest of the job on the controller is %s, want %s:\n%s", got, want, config[:min(len(config), 4000)])
	}
}

func scriptOf(t *testing.T, config string) string {
	t.Helper()
	var job struct {
		Command string `xml:"builders>hudson.tasks.Shell>command"`
	}
	if err := xml.Unmarshal([]byte(strings.Replace(config, "1.1", "1.0", 1)), &job); err != nil {
		t.Fatal(err)
	}
	return job.Command
}
