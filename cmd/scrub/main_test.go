// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// leaver is whoever listens and has gone: where it is written to, this process ends.
type leaver struct{ dir, had string }

func (l *leaver) Write(p []byte) (int, error) {
	for _, name := range []string{"result", "reason"} {
		if _, err := os.Stat(filepath.Join(l.dir, name)); err == nil && !strings.Contains(l.had, name) {
			l.had += name + " "
		}
	}
	return 0, fs.ErrClosed
}

// TestNoNameBreaksALine: a build chooses the names of its files, its programs and, in its environment, its job.
func TestNoNameBreaksALine(t *testing.T) {
	t.Parallel()
	const odd = "a\x1b[2Jb\nfiles: unchanged"
	var out strings.Builder
	say(&out, spec.Result{
		Kind: spec.KindProcesses, State: spec.Planned,
		Found:    []spec.Residue{{Kind: odd[:1], ID: odd, What: odd, Owner: "ci", Culprit: &spec.Culprit{Job: odd, Build: 1}}},
		Problems: []spec.Problem{{ID: odd, Why: "it is there"}},
	})
	if text := out.String(); strings.Count(text, "\n") != 3 || strings.Contains(text, "\x1b") {
		t.Errorf("it says\n%q", text)
	}
}

func TestTheResultIsThereBeforeAnythingIsSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := specText(t, spec.Spec{Name: "room", Goal: spec.Goal{Disk: &spec.Disk{Paths: []string{dir}, BytesFree: 1}}})
	l := &leaver{dir: dir}
	if code, err := run(t.Context(), []string{"verify", "-", "--result", dir}, strings.NewReader(in), l); code != reached || err != nil {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if l.had != "result reason " {
		t.Errorf("when it was said, there were: %q", l.had)
	}
}

func TestAgesAreReadable(t *testing.T) {
	t.Parallel()
	for age, want := range map[spec.Seconds]string{90: "for 1m30s", 47 * 3600: "for 47h0m0s", 48 * 3600: "for 2 days", 99*24*3600 + 7: "for 99 days"} {
		if got := residue(spec.Residue{Kind: "file", ID: "/f", Age: age}); got != "file /f "+want {
			t.Errorf("%d seconds: %q; want %q", age, got, want)
		}
	}
}
