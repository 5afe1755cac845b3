// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
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
		"no label expression":        {func(r *rehearsing, _ string) { r.wish.Agents = "el9 &&" }, "--agents: "},
		"less than no agents":        {func(r *rehearsing, _ string) { r.wish.Most = -1 }, "--most -1: "},
		"a TTL that nobody can keep": {func(r *rehearsing, _ string) { _ = r.ttl.Set("9s") }, "--ttl 9s: want 10s or more"},
		"a short TTL":                {func(r *rehearsing, _ string) { _ = r.ttl.Set("10s") }, ""},
		"no directory for JUnit":     {func(r *rehearsing, dir string) { r.junit = filepath.Join(dir, "no", "j.xml") }, "--junit: "},
		"a directory as the report":  {func(r *rehearsing, dir string) { r.report = dir }, "--report: "},
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

// A CI job publishes what stands in the files: that must not be the result of the rehearsal before.
func TestARehearsalThatComesToNothingLeavesNoReportOfBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out bytes.Buffer
	r := &rehearsing{cli: silentCLI(&out), junit: filepath.Join(dir, "j.xml"), report: filepath.Join(dir, "r.json")}
	for _, file := range []string{r.junit, r.report} {
		if err := os.WriteFile(file, []byte(strings.Repeat("all passed", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.removeOld(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{r.junit, r.report} {
		if text, err := os.ReadFile(file); err != nil || len(text) > 0 {
			t.Errorf("%s has %.20q, %v", file, text, err)
		}
	}
	why := errors.New("there is no agent")
	if err := r.tellOfNone(report.Report{}, why); !errors.Is(err, why) || out.Len() > 0 {
		t.Errorf("it ends with %v, and says %q", err, &out)
	}
	for file, want := range map[string]string{r.junit: `errors="1"`, r.report: `"verdict": "broken"`} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) || !strings.Contains(string(text), "everything: there is no agent") {
			t.Errorf("%s, %v", text, err)
		}
	}
}

// What the token does not allow is said before agents are taken away from people, and not at the end.
func TestWhatATokenDoesNotAllowIsSaidBeforeARehearsal(t *testing.T) {
	t.Parallel()
	borrower := api.Identity{Name: "ci", Role: "borrower", Borrower: "lab"}
	operator := api.Identity{Name: "release", Role: "operator"}
	for name, tc := range map[string]struct {
		who  api.Identity
		r    rehearsing
		code int
		want string // "" = nothing is wrong
	}{
		"its borrower":              {borrower, rehearsing{}, 0, ""},
		"its borrower by name":      {borrower, rehearsing{borrower: "lab"}, 0, ""},
		"another borrower":          {borrower, rehearsing{borrower: "others"}, exitDenied, "--borrower others: the token ci is that of lab"},
		"a borrower that records":   {borrower, rehearsing{record: true}, exitDenied, "--record needs the token of an operator; the token ci has the role borrower"},
		"who may look":              {api.Identity{Name: "eye", Role: "viewer"}, rehearsing{borrower: "lab"}, exitDenied, "the token eye has the role viewer"},
		"an operator":               {operator, rehearsing{borrower: "lab", record: true}, 0, ""},
		"an operator for nobody":    {operator, rehearsing{record: true}, exitUsage, "say with --borrower who borrows: "},
		"an administrator, as well": {api.Identity{Name: "root", Role: "admin"}, rehearsing{borrower: "lab", record: true}, 0, ""},
	} {
		err := tc.r.checkRole(tc.who)
		coded, _ := errors.AsType[*exitError](err)
		if tc.want == "" && err != nil || tc.want != "" && (coded == nil || coded.code != tc.code || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
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

// A Jenkins takes a minute to start: what the daemon would refuse after that, it is asked for before.
func TestWhatTheDaemonRefusesOfARehearsalIsSaidBeforeAJenkinsIsStarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	recipe := write("r.yaml", "version: 1\nname: r\nclean:\n  - {name: old, run: ':'}\nverify:\n  - {name: well, run: ':'}\n", 0o600)
	started := filepath.Join(dir, "started")
	java := write("java", "#!/bin/sh\n: > '"+started+"'\nexit 1\n", 0o700)
	problem := func(w http.ResponseWriter, status int, body string) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the client says what it misses
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/whoami", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"name":"release","role":"operator"}`))
	})
	mux.HandleFunc("GET /api/v1/loans/offers", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("borrower") != "lab" {
			problem(w, http.StatusUnprocessableEntity, `{"detail":"validation failed","errors":[{"location":"query.borrower","message":"is unknown"}]}`)
			return
		}
		_, _ = w.Write([]byte(`{"items":[]}`))
	})
	mux.HandleFunc("GET /api/v1/pools/{pool}/program", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, `{"detail":"no pool that lends its agents is called so"}`)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for want, flags := range map[string][]string{
		"--borrower: is unknown":                                 {"--borrower", "nope"},
		"--pool el8: no pool that lends its agents is called so": {"--borrower", "lab", "--pool", "el8"},
	} {
		code, said := asked(t.Context(), server.URL, nil, append([]string{"rehearse", recipe, "--war", recipe, "--java", java}, flags...)...)
		if code != exitUsage || said != "pitcrew: "+want+"\n" {
			t.Errorf("%q: it ended with %d and said %q, want %q", flags, code, said, want)
		}
		if _, err := os.Stat(started); err == nil {
			t.Errorf("%q: a Jenkins was started", flags)
		}
	}
}

func TestAnUnknownKindOfMessIsAnsweredByThoseThatThereAre(t *testing.T) {
	t.Parallel()
	if kinds, err := messKinds([]string{"files", "loop devices"}); err != nil || len(kinds) != 2 {
		t.Errorf("%q, %v", kinds, err)
	}
	const want = `--mess: no mess is of the kind "loops": want some of files, processes, mounts, loop devices, containers, `
	if _, err := messKinds([]string{"files", "loops"}); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("it says %v, want %s", err, want)
	}
}

// A CI job must not take a candidate that failed for one that could not be rehearsed because a report found no room.
func TestWhatCannotBeToldHidesNoVerdict(t *testing.T) {
	t.Parallel()
	full := errors.New("write junit.xml: no space left on device")
	for verdict, want := range map[report.Verdict][2]int{report.Passed: {exitOK, exitFailed}, report.Failed: {exitFound, exitFound}, report.Broken: {exitFailed, exitFailed}} {
		if got := [2]int{codeOf(ending(verdict, nil)), codeOf(ending(verdict, full))}; got != want || !errors.Is(ending(verdict, full), full) {
			t.Errorf("%s ends with %v; want %v, and to hear of the report", verdict, got, want)
		}
	}
}
