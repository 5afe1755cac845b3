// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"strings"
	"testing"
)

func TestAProgramRunsItsStepsAndReports(t *testing.T) {
	t.Parallel()
	p := compiled(t, `
version: 1
name: test
clean:
  - name: first
    env: {GREETING: "grüß dich\n"}
    run: printf '%s' "$GREETING"
  - name: not here
    when: {labels: "!el7"}
    run: exit 1
setup:
  - name: second
    file: scripts/second.sh
    carry: [data/blob, scripts/tool]
verify:
  - name: third
    run: test "$PITCREW_PHASE" = verify
`,
		File{Path: "scripts/second.sh", Content: []byte("#!/bin/sh\nod -An -tx1 data/blob && ./scripts/tool # grüß")},
		File{Path: "scripts/tool", Content: []byte("#!/bin/sh\necho tool\n"), Executable: true},
		File{Path: "data/blob", Content: []byte{0, 255, '\n', 13, 200}})
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			r, res := m.report(t, p)
			if r.Outcome != Cleaned || !r.Verified || res.exit != 0 {
				t.Errorf("outcome %s, verified %v, exit %d, want cleaned\n%s", r.Outcome, r.Verified, res.exit, res.out)
			}
			for _, line := range []string{"| grüß dich", "|  00 ff 0a 0d c8", "| tool"} {
				if !strings.Contains(res.out, "\n"+line+"\n") {
					t.Errorf("the log lacks the line %q\n%s", line, res.out)
				}
			}
			if s := r.step(t, "not here"); s.Outcome != StepSkipped || s.Reason != "labels do not match !el7" {
				t.Errorf("step %+v, want skipped with its reason", s)
			}
			if r.Machine.BootID == "" || r.Machine.Up() <= 0 || r.Disk.After.BytesFree == 0 || r.Disk.Before.InodesFree == 0 || r.Machine.Arch == "" {
				t.Errorf("facts are missing: %+v %+v", r.Machine, r.Disk)
			}
			empty(t, m.tmp)
		})
	}
}

// What is cut short on its way here runs nothing of what has arrived.
func TestAProgramThatIsCutShortDoesNothing(t *testing.T) {
	t.Parallel()
	p := compiled(t, "version: 1\nname: cut\nclean: [{name: room, disk: {paths: [/], inodesFree: 1}}]\nverify: [{name: ok, run: 'echo ran'}]\n")
	text := string(p.Text)
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			for _, size := range []int{
				strings.Index(text, "\npitcrew_main") + 5, strings.Index(text, "pitcrew_main \"$@\"\n") + 18, len(text) / 2,
				strings.LastIndex(text, "\tpitcrew_become"), len(text) - len("e\n}\n"), len(text) - len("}\n"),
			} {
				cut := *p
				cut.Text = p.Text[:size]
				if res := m.run(t, &cut, issued()); res.exit == 0 || strings.Contains(res.out, "pitcrew: ") {
					t.Errorf("cut to %d of %d: exit %d; want it to fail without a word of ours\n%s", size, len(text), res.exit, res.out)
				}
				empty(t, m.tmp)
			}
		})
	}
}

// The Korn shell keeps descriptors to itself, and reads patterns in its own way.
func TestAProgramRunsInAKornShell(t *testing.T) {
	t.Parallel()
	need(t, "ksh93", "ksh93u+m")
	m := newMachine(t, "ksh93")
	r, res := m.report(t, compiled(t, `version: 1
name: korn
clean:
  - {name: room, disk: {paths: [/], inodesFree: 1}}
  - {name: script, run: echo hello}
  - {name: hangs, run: sleep 100, timeout: 1s, onFailure: warn}
  - {name: room again, disk: {paths: [/], inodesFree: 1}}
verify:
  - {name: ok, run: "true"}
`))
	if r.Outcome != Cleaned || r.Disk.After.BytesFree <= 0 || r.Machine.BootID == "" {
		t.Errorf("outcome %s (%s): %+v\n%s", r.Outcome, r.Reason, r, res.out)
	}
	if s := r.step(t, "hangs"); s.Outcome != StepWarned || !strings.HasPrefix(s.Reason, "no end after 1 s") {
		t.Errorf("%+v; want a timeout", s)
	}
	empty(t, m.tmp)
}
