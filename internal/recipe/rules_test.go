// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withFailures is a recipe of which steps fail, each with another wish for that case: scripts and goals.
const withFailures = `version: 1
name: failures
rebootCommand: touch %[1]s/rebooted
clean:
  - {name: warns, run: echo why; exit 3, onFailure: warn}
  - {name: warns late, run: sleep 100, timeout: 1s, onFailure: warn}
  - {name: warns at last, run: echo x >>%[1]s/tries; exit 3, retries: 2, retryDelay: 0s, onFailure: warn}
  - {name: warns of no room, disk: {paths: [/], bytesFree: 9000TB}, retries: 1, retryDelay: 0s, onFailure: warn}
  - {name: skipped goal, disk: {paths: [/], bytesFree: 9000TB}, when: {labels: nowhere}}
  - {name: reconnects, run: exit 3, onFailure: reconnect, when: {labels: reconnects}}
  - {name: reboots, run: exit 3, onFailure: reboot, when: {labels: reboots}}
  - {name: reboots without room, disk: {paths: [/], bytesFree: 9000TB}, onFailure: reboot, when: {labels: full}}
setup:
  - {name: still, run: "true"}
verify:
  - {name: proof, run: "true", when: {labels: proved}}
  - {name: late, run: exit 3, onFailure: reconnect, when: {labels: late}}
  - {name: hint, run: exit 3, onFailure: warn}
`

func TestWhatAFailureMeansIsUpToTheStep(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			notes := t.TempDir()
			p := compiled(t, fmt.Sprintf(withFailures, notes))
			r, res := m.report(t, p, "NODE_LABELS=proved")
			if r.Outcome != Cleaned || !r.Verified {
				t.Errorf("outcome %s (%s); want cleaned with warnings\n%s", r.Outcome, r.Reason, res.out)
			}
			for name, want := range map[string]StepReport{
				"warns":            {Outcome: StepWarned, Exit: 3, Tries: 1, Reason: "exit code 3", Tail: "why\n"},
				"warns at last":    {Outcome: StepWarned, Exit: 3, Tries: 3, Reason: "exit code 3"},
				"warns of no room": {Outcome: StepWarned, Exit: 1, Tries: 2},
				"skipped goal":     {Outcome: StepSkipped, Reason: "labels do not match nowhere"},
				"still":            {Outcome: StepOK, Tries: 1},
			} {
				got := r.step(t, name)
				if got.Outcome != want.Outcome || got.Exit != want.Exit || got.Tries != want.Tries ||
					want.Reason != "" && got.Reason != want.Reason || want.Tail != "" && got.Tail != want.Tail {
					t.Errorf("%s: %+v, want %+v", name, got, want)
				}
			}
			if s := r.step(t, "warns late"); s.Outcome != StepWarned || s.Reason != "no end after 1 s" {
				t.Errorf("%+v; want a warning about the limit", s)
			}
			if s := r.step(t, "warns of no room"); s.Scrub == nil || len(s.Scrub.Problems) != 1 {
				t.Errorf("%+v; want what scrub found", s)
			}
			tried, err := os.ReadFile(filepath.Join(notes, "tries"))
			if err != nil || string(tried) != "x\nx\nx\n" {
				t.Errorf("tries %q (%v), want 3", tried, err)
			}
			for labels, want := range map[string]Outcome{"": Failed, "proved reconnects": Reconnect, "proved late": Reconnect, "late": Reconnect} {
				if shell != "dash" && labels != "late" {
					continue
				}
				if r, _ := m.report(t, p, "NODE_LABELS="+labels); r.Outcome != want || r.Verified {
					t.Errorf("labels %q: outcome %s (%s); want %s", labels, r.Outcome, r.Reason, want)
				}
			}
			r, _ = m.report(t, p, "NODE_LABELS=reconnects proved full")
			if s := r.step(t, "reboots without room"); r.Outcome != Reboot || s.Outcome != StepWarned || !strings.HasSuffix(s.Reason, "; asks for a reboot") {
				t.Errorf("outcome %s, step %+v; want reboot", r.Outcome, s)
			}
			appears(t, filepath.Join(notes, "rebooted"))
			r, _ = m.report(t, p, "NODE_LABELS=late proved", "PITCREW_PHASES=verify")
			if s := r.step(t, "late"); r.Outcome != Failed || s.Outcome != StepFailed || !strings.Contains(s.Reason, "does not help") {
				t.Errorf("after the reconnect: outcome %s, step %+v; want it to fail", r.Outcome, s)
			}
		})
	}
}

const withProfile = `version: 1
name: profile
clean:
  - {name: needed, run: "true", when: {tools: [nosuchtool]}, required: {labels: docker}}
  - {name: needed everywhere, run: "true", when: {labels: "!bare"}, required: true}
  - {name: dangerous, run: echo DANGER, forbidden: {labels: shared && !mine, os: linux}}
  - {name: both, run: echo DANGER, when: {labels: "!calm"}, required: {os: linux}, forbidden: {labels: both}}
  - {name: loops, loops: {}, required: {labels: loops}}
owns: {paths: [/srv/pitcrew-profile-test]}
verify:
  - {name: proof, run: "true"}
`

func TestAProfileSaysWhereAStepMustOrMustNotRun(t *testing.T) {
	t.Parallel()
	r := parse(t, withProfile)
	p, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for labels, want := range map[string]map[string]string{
		"":            {"needed": "no nosuchtool here"},
		"docker":      {"needed": "!required (labels docker), but skipped: no nosuchtool here"},
		"bare":        {"needed": "no nosuchtool here", "needed everywhere": "!required (everywhere), but skipped: labels do not match !bare"},
		"shared":      {"needed": "no nosuchtool here", "dangerous": "!forbidden (labels shared && !mine, os linux)"},
		"shared mine": {"needed": "no nosuchtool here"},
		"both":        {"needed": "no nosuchtool here", "both": "!forbidden (labels both)"},
		"both calm":   {"needed": "no nosuchtool here", "both": "!required (os linux), but skipped: labels do not match !calm"},
	} {
		for _, shell := range shells() {
			if shell != "dash" && labels != "both" && labels != "docker" {
				continue
			}
			t.Run(labels+", "+shell, func(t *testing.T) {
				t.Parallel()
				m := newMachine(t, shell)
				report, res := m.report(t, p, "NODE_LABELS="+labels)
				fails := false
				for _, s := range report.Steps {
					why, bad := strings.CutPrefix(want[s.Name], "!")
					outcome := StepOK
					if why != "" {
						outcome = StepSkipped
					}
					if bad {
						outcome, fails = StepFailed, true
					}
					if s.Phase == Verify && fails || s.Name == "loops" {
						continue
					}
					if s.Outcome != outcome || s.Reason != why {
						t.Errorf("%+v; want %s (%s)", s, outcome, why)
					}
				}
				if (report.Outcome == Failed) != fails {
					t.Errorf("outcome %s; some step fails: %v", report.Outcome, fails)
				}
				if strings.Contains(labels, "both") && strings.Count(res.out, "| DANGER") != 1 {
					t.Errorf("want DANGER from the first step alone:\n%s", res.out)
				}
				for _, s := range r.Plan(Facts{OS: []string{"linux"}, Labels: strings.Fields(labels)}, Standard) {
					why, bad := strings.CutPrefix(want[s.Name], "!")
					if s.Why != why || s.Fails != bad || s.Runs != (why == "") {
						t.Errorf("the plan says %+v; want %q", s, want[s.Name])
					}
				}
				plan := m.run(t, p, nil, "--plan", "--labels", labels).out
				for name, why := range want {
					line := "skip  clean: " + name + " (" + why + ")\n"
					if text, bad := strings.CutPrefix(why, "!"); bad {
						line = "fail  clean: " + name + " (" + text + ")\n"
					}
					if !strings.Contains(plan, line) {
						t.Errorf("the program's plan lacks %q:\n%s", line, plan)
					}
				}
			})
		}
	}
}

func TestAnAbsentEngineFailsWhereItIsRequired(t *testing.T) {
	t.Parallel()
	// A script in scrub's place says that there is nothing to look after.
	r := parse(t, withProfile)
	for i, s := range r.Steps {
		if s.Name == "loops" {
			r.Steps[i].Goal, r.Steps[i].Interpreter, r.Steps[i].Script = nil, []string{"sh"}, []byte("exit 3\n")
		}
	}
	p, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for labels, want := range map[string]StepReport{
		"":      {Outcome: StepSkipped, Reason: "there is nothing here to look after"},
		"loops": {Outcome: StepFailed, Reason: "required (labels loops), but skipped: there is nothing here to look after"},
	} {
		report, res := newMachine(t, "dash").report(t, p, "NODE_LABELS="+labels)
		if s := report.step(t, "loops"); s.Outcome != want.Outcome || s.Reason != want.Reason {
			t.Errorf("labels %q: %+v; want %+v\n%s", labels, s, want, res.out)
		}
	}
}

func TestADeeperCleanupRunsMore(t *testing.T) {
	t.Parallel()
	r := parse(t, recipeOf(`
- {name: always, run: 'echo "$PITCREW_DEPTH"'}
- {name: light, run: "true", depth: light}
- {name: standard, run: "true", depth: standard}
- {name: deep, run: "true", depth: deep, required: true}
`))
	p, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for depth, want := range map[Depth][]string{
		"": {"always", "light", "standard", "proof"}, Light: {"always", "light", "proof"},
		Standard: {"always", "light", "standard", "proof"}, Deep: {"always", "light", "standard", "deep", "proof"},
	} {
		for _, shell := range shells() {
			t.Run(string(depth)+", "+shell, func(t *testing.T) {
				t.Parallel()
				m := newMachine(t, shell)
				report, res := m.report(t, p, "PITCREW_DEPTH="+string(depth))
				meant := depth
				if meant == "" {
					meant = Standard
				}
				var ran, planned []string
				for _, s := range report.Steps {
					if s.Outcome == StepOK {
						ran = append(ran, s.Name)
					} else if s.Outcome != StepSkipped || s.Reason != "runs from depth "+s.Name+" on; this is "+string(meant) {
						t.Errorf("%+v; want it skipped for its depth", s)
					}
				}
				for _, s := range r.Plan(Facts{}, meant) {
					if s.Runs {
						planned = append(planned, s.Name)
					}
				}
				if !slices.Equal(ran, want) || !slices.Equal(planned, want) {
					t.Errorf("ran %q, planned %q; want %q", ran, planned, want)
				}
				if report.Depth != meant || report.Outcome != Cleaned || !strings.Contains(res.out, "| "+string(meant)+"\n") {
					t.Errorf("the report says depth %q, outcome %s; want %q\n%s", report.Depth, report.Outcome, meant, res.out)
				}
			})
		}
	}
	if res := newMachine(t, "dash").run(t, p, append(issued(), "PITCREW_DEPTH=bottomless")); res.exit != 78 {
		t.Errorf("an unknown depth: exit %d; want a refusal\n%s", res.exit, res.out)
	}
	if res := newMachine(t, "dash").run(t, p, nil, "--plan", "--depth", "deep"); !strings.Contains(res.out, "run   clean: deep (") {
		t.Errorf("the plan of a deep cleanup lacks its step\n%s", res.out)
	}
}

func TestWrongRulesAreRefused(t *testing.T) {
	t.Parallel()
	for rules, want := range map[string]string{
		`depth: deeper`:                                                  `$.clean[0].depth: "deeper": want one of light, standard, deep; did you mean "deep"?`,
		`onFailure: ignore`:                                              `$.clean[0].onFailure: "ignore": want one of fail, warn, reconnect, reboot`,
		`forbidden: true`:                                                "never runs",
		`required: sometimes`:                                            "want true, or the condition where, not text",
		`required: {lables: x}`:                                          `did you mean "labels"?`,
		`when: {labels: a}, forbidden: {labels: a}`:                      "can never run",
		`required: {labels: a}, forbidden: {labels: a}`:                  "required and forbidden under the same condition",
		`forbidden: {os: ["a", "!a"]}`:                                   "can never hold",
		`required: true, forbidden: {labels: a}, depth: deep`:            "",
		`required: false, forbidden: false, onFailure: fail`:             "",
		`required: {labels: a}, forbidden: {labels: b}, onFailure: warn`: "",
	} {
		_, err := Parse("r.yaml", []byte(recipeOf("- {name: a, run: ls, "+rules+"}\n")), opener(nil))
		problems, _ := errors.AsType[Problems](err)
		if want == "" && err != nil || want != "" && (len(problems) != 1 || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want one problem with %q", rules, err, want)
		}
	}
}
