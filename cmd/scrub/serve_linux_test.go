// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestARequestIsOneLine(t *testing.T) {
	t.Parallel()
	got, err := parseRequest("12 1 600 verify room for a  build")
	if want := (request{"12", "1", 10 * time.Minute, "verify", "room for a  build"}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, line := range []string{"", "12 1 600 verify", "../12 1 600 clean x", "12 1 soon clean x", "12 1 -1 clean x"} {
		if got, err := parseRequest(line); err == nil {
			t.Errorf("%q is taken for %+v", line, got)
		}
	}
}

// A step sees the variables, the directory and the standard error of its own, and nothing of the step before.
func TestAStepTakesUpItsOwnPlace(t *testing.T) { //nolint:paralleltest // the place of a process is that of all its tests
	stderr, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PITCREW_STEP", "PITCREW_TRY", "PITCREW_PHASE", "PITCREW_FILES"} {
		t.Setenv(name, "of nobody")
	}
	t.Chdir("/")
	before := os.Environ()
	dir := t.TempDir()
	old := os.Stderr
	os.Stderr = stderr
	defer func() { os.Stderr = old }()
	for _, r := range []request{{"1", "3", time.Second, "clean", "first"}, {"2", "1", time.Second, "verify", "second one"}} {
		step := filepath.Join(dir, r.step)
		files := filepath.Join(step, "files")
		if err := os.MkdirAll(files, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := takeUp(step, r); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"PITCREW_STEP": r.name, "PITCREW_TRY": r.try, "PITCREW_PHASE": r.phase, "PITCREW_FILES": files} {
			if got := os.Getenv(name); got != want {
				t.Errorf("%s is %q; want %q", name, got, want)
			}
		}
		if got, err := os.Getwd(); err != nil || got != files {
			t.Errorf("it stands in %q, %v; want %q", got, err, files)
		}
		if _, err := os.Stderr.WriteString(r.name); err != nil {
			t.Error(err)
		}
		if tail, err := os.ReadFile(filepath.Join(step, "tail")); err != nil || string(tail) != r.name {
			t.Errorf("standard error went to %q, %v", tail, err)
		}
		if got := os.Environ(); len(got) != len(before) {
			t.Errorf("the environment is %q; want that of before with other values: %q", got, before)
		}
	}
}

func TestWhatAStepLeavesInItsProcessIsSeen(t *testing.T) { //nolint:paralleltest // what a process has is shared by its tests
	before := holdings()
	if !before.still() {
		t.Fatal("there is something although nothing was left")
	}
	for name, leave := range map[string]func() (end func()){
		"a routine": func() func() { // many of them: others, of tests that came before, may end meanwhile
			ends := make(chan struct{})
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() { <-ends })
			}
			return func() { close(ends); all.Wait() }
		},
		"an open file": func() func() {
			f, err := os.Open("/")
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = f.Close() }
		},
		"a child": func() func() {
			p, err := os.StartProcess("/bin/sleep", []string{"sleep", "600"}, &os.ProcAttr{})
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = p.Kill(); _, _ = p.Wait() }
		},
	} {
		end := leave()
		if before.still() {
			t.Errorf("%s is not seen", name)
		}
		end()
		if !before.still() {
			t.Errorf("%s is seen although it has ended", name)
		}
	}
	zombie := exec.Command("/bin/true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	for !before.still() { // until it is one
	}
}
