// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
)

func TestWhatIsWrongWithARehearsalIsSaidBeforeItBegins(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		bend func(r *rehearsing, dir string)
		want string // "" = nothing is wrong
	}{
		"all is well": {func(r *rehearsing, dir string) {
			r.wish.Agents, r.junit, r.report = "el9 && kvm", filepath.Join(dir, "old.xml"), filepath.Join(dir, "new.html")
		}, ""},
		"no label expression":       {func(r *rehearsing, _ string) { r.wish.Agents = "el9 &&" }, "--agents: "},
		"less than no agents":       {func(r *rehearsing, _ string) { r.wish.Most = -1 }, "--most -1: "},
		"no directory for JUnit":    {func(r *rehearsing, dir string) { r.junit = filepath.Join(dir, "no", "j.xml") }, "--junit: "},
		"a directory as the report": {func(r *rehearsing, dir string) { r.report = dir }, "--report: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			old := filepath.Join(dir, "old.xml")
			if err := os.WriteFile(old, []byte("of before"), 0o600); err != nil {
				t.Fatal(err)
			}
			r := &rehearsing{}
			tc.bend(r, dir)
			err := r.checkWish()
			coded, _ := errors.AsType[*exitError](err)
			if tc.want == "" && err != nil || tc.want != "" && (coded == nil || coded.code != exitUsage || !strings.HasPrefix(err.Error(), tc.want)) {
				t.Errorf("it said %v, want %q", err, tc.want)
			}
			if text, err := os.ReadFile(old); err != nil || string(text) != "of before" {
				t.Errorf("what was there is %q, %v", text, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "new.html")); err == nil {
				t.Error("a report is there before there is a result")
			}
		})
	}
}

// A CI job that ends a rehearsal by timeout(1) interrupts it twice within microseconds.
func TestAnInterruptionThatComesTwiceAtOnceReturnsEverything(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before  bool            // it is interrupted before everything is returned
		signals []time.Duration // after that began
		left    bool            // something is left behind
	}{
		"once":                         {true, nil, false},
		"twice at once":                {true, []time.Duration{time.Millisecond}, false},
		"again while it returns":       {true, []time.Duration{time.Millisecond, 5 * time.Second}, true},
		"when it was to end anyway":    {false, []time.Duration{time.Second}, false},
		"twice when it was to end":     {false, []time.Duration{time.Second, 3 * time.Second}, true},
		"twice at once when it was to": {false, []time.Duration{time.Second, time.Second + time.Millisecond}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var said bytes.Buffer
				r := &rehearsing{cli: silentCLI(&said)}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.before {
					cancel()
				}
				undo := &rehearsal.Undo{}
				undo.Push("a loan", func(context.Context) error {
					time.Sleep(10 * time.Second)
					return nil
				})
				signals := make(chan os.Signal, 1)
				for _, after := range tc.signals {
					time.AfterFunc(after, func() { signals <- os.Interrupt })
				}
				err := takeBackUnless(ctx, signals, undo, r.newRehearsalProgress())
				if left := err != nil && strings.Contains(err.Error(), "left behind:\n  a loan\n"); left != tc.left || !left && err != nil {
					t.Errorf("it ended with %v", err)
				}
				time.Sleep(time.Minute) // what was left is undone in this process, which would be gone
			})
		})
	}
}
