// SPDX-License-Identifier: Apache-2.0

package thirdparty

import (
	"encoding/xml"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	parsed, err := recipe.Parse("awkward.yaml", []byte(awkwardRecipe), nil)
	if err != nil {
		t.Fatal(err)
	}
	program, err := parsed.Compile()
	if err != nil {
		t.Fatal(err)
	}
	spec := recipe.JobSpec{Name: "pitcrew-1", Program: program, Controller: "ci", Owner: "test", Agent: agent}
	file, err := recipe.RenderJJB(spec)
	if err != nil {
		t.Fatal(err)
	}
	rendered := filepath.Join(t.TempDir(), "slot.yaml")
	if err := os.WriteFile(rendered, file, 0o600); err != nil {
		t.Fatal(err)
	}
	root := start(t)
	jobBuilder(t, root, "update", rendered)

	config := get(t, root+"/job/pitcrew-1/config.xml")
	if got := scriptOf(t, config); got != string(program.Text) {
		t.Error("the script on the controller differs from the program")
	}
	sameDigest(t, spec, config)
	nonce := strings.Repeat("0123456789abcdef", 2)
	console := build(t, root, "pitcrew-1", url.Values{
		"PITCREW_AGENT": {agent}, "PITCREW_CONTROLLER": {"ci"}, "PITCREW_ATTEMPT": {"7"}, "PITCREW_NONCE": {nonce},
	}.Encode())
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
