// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// treeOf returns every path below dir with its size and time, to see whether anything was touched.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			b.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAProgramIssuedForAnotherAgentTouchesNothing(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			p := compiled(t, recipeOf("- name: harm\n  run: echo harm >"+m.tmp+"/harm\n"))
			for name, c := range map[string]struct {
				env  []string
				args []string
				want string
			}{
				"another agent":         {env: []string{"NODE_NAME=a2"}, want: "issued for agent 'a1', but this is 'a2'"},
				"agent with a prefix":   {env: []string{"NODE_NAME=a1 "}, want: "issued for agent 'a1'"},
				"no node name":          {env: []string{"NODE_NAME="}, want: "issued for agent 'a1'"},
				"agent by argument":     {args: []string{"--agent", "a3"}, want: "but this is 'a3'"},
				"another controller":    {env: []string{"PITCREW_JOB_CONTROLLER=old"}, want: "issued for controller 'ci', but this is 'old'"},
				"no controller":         {env: []string{"PITCREW_CONTROLLER="}, want: "not issued for any controller"},
				"not issued":            {env: []string{"PITCREW_AGENT="}, want: "not issued for any agent"},
				"attempt is no number":  {env: []string{"PITCREW_ATTEMPT=7x"}, want: "not the number of an attempt"},
				"attempt is octal":      {env: []string{"PITCREW_ATTEMPT=07"}, want: "not the number of an attempt"},
				"no nonce":              {env: []string{"PITCREW_NONCE="}, want: "not a nonce"},
				"short nonce":           {env: []string{"PITCREW_NONCE=abc"}, want: "too short"},
				"nonce with a line end": {env: []string{"PITCREW_NONCE=0123456789abcdef\nx"}, want: "not a nonce"},
				"unknown phases":        {env: []string{"PITCREW_PHASES=none"}, want: "neither all nor verify"},
				"unknown argument":      {args: []string{"--frobnicate"}, want: "unknown argument"},
			} {
				before := treeOf(t, m.tmp)
				res := m.run(t, p, append(issued(), c.env...), c.args...)
				if res.exit != 78 || !strings.Contains(res.out, c.want) || strings.Contains(res.out, sentinel) {
					t.Errorf("%s: exit %d, log %q; want 78 and %q", name, res.exit, res.out, c.want)
				}
				if after := treeOf(t, m.tmp); after != before {
					t.Errorf("%s: something was touched\nbefore:\n%s\nafter:\n%s", name, before, after)
				}
				if _, err := ParseReport([]byte(res.out), testAttempt, testNonce); err == nil {
					t.Errorf("%s: a refusal has a report", name)
				}
			}
		})
	}
}

func TestAProgramCutShortDoesNothing(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			whole := compiled(t, recipeOf("- name: harm\n  run: echo harm >"+m.tmp+"/harm\n"))
			before := treeOf(t, m.tmp)
			for _, part := range []float64{0.2, 0.5, 0.8, 0.95, 0.999} {
				p := *whole
				p.Text = p.Text[:int(float64(len(p.Text))*part)]
				res := m.run(t, &p, issued())
				if _, err := ParseReport([]byte(res.out), testAttempt, testNonce); err == nil {
					t.Errorf("%v of the program sends a report", part)
				}
				if after := treeOf(t, m.tmp); after != before {
					t.Errorf("%v of the program touched something:\n%s", part, after)
				}
			}
		})
	}
}

func TestAPlanSaysWhatWouldRunAndDoesNothing(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			p := compiled(t, recipeOf(`
- name: harm
  timeout: 3m
  retries: 2
  run: echo harm >`+m.tmp+`/harm
- name: elsewhere
  when: {labels: s390x}
  run: "true"
`))
			before := treeOf(t, m.tmp)
			res := m.run(t, p, nil, "--plan", "--labels", "el7 big")
			for _, want := range []string{
				"run   clean: harm (limit 180s, tries 3)", "skip  clean: elsewhere (labels do not match s390x)", "run   verify: proof",
			} {
				if !strings.Contains(res.out, want) {
					t.Errorf("the plan lacks %q:\n%s", want, res.out)
				}
			}
			if after := treeOf(t, m.tmp); after != before || res.exit != 0 {
				t.Errorf("exit %d, or something was touched:\n%s", res.exit, after)
			}
		})
	}
}

func TestByHandAProgramRunsWithoutBeingIssued(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			p := compiled(t, recipeOf("- name: greet\n  run: echo hello\n"))
			res := m.run(t, p, nil, "--by-hand")
			if res.exit != 0 || !strings.Contains(res.out, "| hello\n") || !strings.Contains(res.out, "pitcrew: outcome: cleaned") {
				t.Errorf("exit %d\n%s", res.exit, res.out)
			}
			if strings.Contains(res.out, sentinel) {
				t.Errorf("by hand there is no report to be had:\n%s", res.out)
			}
			empty(t, m.tmp)
		})
	}
}

func TestAProgramCanBePipedToAShell(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			p := compiled(t, recipeOf("- name: greet\n  run: cat; echo hello\n"))
			cmd := m.command(t.Context(), t, p, issued())
			cmd.Args = []string{m.shell, "-s"}
			cmd.Stdin = strings.NewReader(string(p.Text))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if r, err := ParseReport(out, testAttempt, testNonce); err != nil || r.Outcome != Cleaned {
				t.Errorf("report %+v, %v\n%s", r, err, out)
			}
		})
	}
}
