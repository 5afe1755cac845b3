// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/mess"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

var update = flag.Bool("update", false, "write the golden files")

// example is a rehearsal with something of everything: one agent passed, one did not, and the names are unkind.
func example() Report {
	steps := []Step{
		{"clean", "end what builds left", "ok", 1200 * time.Millisecond, ""},
		{"clean", "remove the workspace", "ok", 4 * time.Second, ""},
		{"setup", "install the toolchain", "ok", 31 * time.Second, ""},
		{"verify", "compile a program", "ok", 900 * time.Millisecond, ""},
	}
	failed := append([]Step{}, steps...)
	failed[1] = Step{"clean", "remove the workspace", "failed", 4 * time.Second, "rm: cannot remove 'module': Permission denied"}
	tried := func(name string) Case {
		return Case{Name: name, Verdict: Passed, Outcome: "cleaned", Duration: 37 * time.Second, Steps: steps}
	}
	messed := Case{
		Name: "after a mess", Verdict: Failed, Outcome: "failed", Duration: 83 * time.Second, Steps: failed,
		Reason: "it left of the mess what the production recipe takes away: files-tree, process-bare",
		Log:    "pitcrew: clean 'remove the workspace' begins\n| rm: cannot remove '<b>module</b>\x1b[31m': Permission denied\n",
		Made:   []mess.Line{{Name: "files-tree", State: mess.Made}, {Name: "process-bare", State: mess.Made}, {Name: "loop", State: mess.Skipped, Detail: "needs root"}},
		Left: []mess.Line{
			{Name: "files-tree", State: mess.Removed, Detail: "/srv/ci/mess-k7f3q9x2m1-files-tree with 87 entries"},
			{Name: "process-bare", State: mess.Removed, Detail: "process 4711"},
		},
	}
	again := tried("again at once")
	again.Verdict, again.Reason, again.ChangedSteps = Failed, "the second run changed something", []string{"install the toolchain"}
	again.Differences = []state.Difference{{Kind: state.File, Key: "/srv/ci/tool chain\n<b>&\x1b[31m", Change: state.Changed, Before: "file 0644 of 0:0, 12 bytes", After: "file 0755 of 0:0, 12 bytes"}}
	skipped := Case{Name: "after a run that was stopped", Verdict: Skipped, Reason: "the run was over before it could be stopped in the middle", Duration: time.Minute}
	broken := Case{Name: "after a run that was killed", Verdict: Broken, Duration: 5 * time.Minute, Reason: "the agent el9-arm-with-a-very-long-name-that-does-not-fold.example.com did not come back"}
	linux := Recipe{"linux", "a01bc0ffee001122"}
	return Report{
		Version: Version, ID: "r-20260203-7f3q", StartedAt: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Duration: 11*time.Minute + 7*time.Second, Overhead: 48 * time.Second,
		Recipe: Recipe{"linux", "4f2a9c01d7e8b6a5"}, Controller: "war", Verdict: Failed, Gaps: []string{"pool el7: linux s390x: none is offered"},
		Agents: []Agent{
			{
				Name: "ci/el8-07", Pool: "el8", OS: "Red Hat Enterprise Linux 8.10", Arch: "amd64", Profile: "builder", Loan: "k2", Account: "pitcrew-loan", Verdict: Passed, Against: linux, Compared: true,
				Cases: []Case{
					tried("production recipe"), tried("on the agent as it is"), tried("again at once"), tried("after a mess"), tried("after a run that was stopped"),
					tried("after a run that was killed"),
					{Name: "comes back clean", Verdict: Passed, Duration: 41 * time.Second},
				},
			},
			{
				Name: "ci/el9-arm", Pool: "el9", OS: "Rocky Linux 9.5", Arch: "arm64", Loan: "k3", Account: "pitcrew-loan", Verdict: Failed, Against: linux, Compared: true,
				Cases: []Case{tried("production recipe"), tried("on the agent as it is"), again, messed, skipped, broken},
				Differences: []state.Difference{
					{Kind: state.Package, Key: "cmake.aarch64", Change: state.Removed, Before: "3.26.5-2.el9"},
					{Kind: state.Port, Key: "tcp 0.0.0.0:5037", Change: state.Added, After: "of user 1001"},
				},
			},
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", name, diff)
	}
}

func TestTheFormsOfAReport(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]func(Report) ([]byte, error){
		"report.json": JSON, "report.xml": JUnit, "report.html": HTML,
		"report.txt": func(r Report) ([]byte, error) { return []byte(Text(r, 80)), nil },
	} {
		got, err := form(example())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		golden(t, name, got)
	}
}

func TestJSONComesBack(t *testing.T) {
	t.Parallel()
	text, err := JSON(example())
	if err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALogIsShownInLines(t *testing.T) {
	t.Parallel()
	r := example()
	r.Agents[1].Cases[3].Log = "fetch\r\n 10%\r100%\r\nend\x1b[0m\n"
	page, err := HTML(r)
	if want := "<pre>fetch\n 10%\n100%\nend\uFFFD[0m\n</pre>"; err != nil || !bytes.Contains(page, []byte(want)) {
		t.Errorf("%v, or it is not shown as %q", err, want)
	}
}

func TestAReportOfNothingHasListsInJSON(t *testing.T) {
	t.Parallel()
	text, err := JSON(Report{Verdict: Broken})
	if err != nil || !bytes.Contains(text, []byte(`"gaps": []`)) || !bytes.Contains(text, []byte(`"agents": []`)) {
		t.Errorf("it is %s, %v", text, err)
	}
}

func TestJUnitCountsWhatItHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change                           func(*Report)
		tests, failures, errors, skipped int
	}{
		"the example":              {func(*Report) {}, 15, 2, 1, 1},
		"not compared":             {func(r *Report) { r.Agents[0].Compared = false }, 15, 2, 1, 2},
		"no agent":                 {func(r *Report) { r.Agents = nil }, 1, 0, 1, 0},
		"no agent, and yet passed": {func(r *Report) { r.Agents, r.Verdict = nil, Passed }, 1, 0, 1, 0},
		"one agent broken, and no case says why": {func(r *Report) {
			r.Agents[0].Verdict, r.Agents[0].Cases = Broken, nil
		}, 9, 2, 2, 1},
	} {
		r := example()
		c.change(&r)
		text, err := JUnit(r)
		if err != nil {
			t.Fatal(err)
		}
		dec := xml.NewDecoder(bytes.NewReader(text))
		var root struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
			Skipped  int `xml:"skipped,attr"`
		}
		if err := dec.Decode(&root); err != nil {
			t.Fatal(err)
		}
		cases := strings.Count(string(text), "<testcase")
		if root.Tests != c.tests || cases != c.tests || root.Failures != c.failures || root.Errors != c.errors || root.Skipped != c.skipped {
			t.Errorf("%s: %+v with %d cases, want %d tests, %d failures, %d errors, %d skipped", name, root, cases, c.tests, c.failures, c.errors, c.skipped)
		}
	}
}

func FuzzForeignTextHarmsNoForm(f *testing.F) {
	f.Add("\x00\x1b[2J\xff<script>alert(1)</script>]]>\u202e", 80)
	f.Add(strings.Repeat("x", 300), 3)
	f.Fuzz(func(t *testing.T, text string, width int) {
		width %= 200
		r := example()
		r.Gaps, r.Recipe.Name, r.Agents[0].Name, r.Agents[1].Cases[3].Reason = []string{text}, text, text, text
		r.Agents[1].Cases[3].Steps[1].Message, r.Agents[1].Differences[0].Key = text, text
		junit, err := JUnit(r)
		if err != nil {
			t.Fatal(err)
		}
		var any struct{}
		if err := xml.Unmarshal(junit, &any); err != nil {
			t.Errorf("JUnit: %v", err)
		}
		page, err := HTML(r)
		if err != nil || bytes.Contains(page, []byte("<script")) {
			t.Errorf("HTML: %v, or a script in it", err)
		}
		for line := range strings.Lines(Text(r, width)) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > max(width, narrowest) {
				t.Errorf("%q has %d characters, want at most %d", line, n, width)
			}
			if strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("%q has control characters", line)
			}
		}
	})
}
