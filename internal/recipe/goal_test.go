// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// withGoals is a recipe whose clean phase has a goal of its own kind and a script, in the wrong order. What it looks for
// in /proc is nobody's.
const withGoals = `version: 1
name: goals
owns:
  paths: [/srv/pitcrew-goal-test]
clean:
  - {name: room, disk: {paths: [/], bytesFree: 1MB, inodesFree: 1}}
  - {name: script, run: echo script}
  - {name: first, run: echo first, before: processes}
  - {name: leftovers, processes: {cookies: false}}
verify:
  - {name: still room, disk: {paths: [/], bytesFree: 1MB}}
`

func TestGoalsAreReachedByTheCarriedScrub(t *testing.T) {
	t.Parallel()
	p := compiled(t, withGoals)
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			r, res := m.report(t, p)
			if r.Outcome != Cleaned {
				t.Fatalf("outcome %s (%s)\n%s", r.Outcome, r.Reason, res.out)
			}
			var order []string
			for _, s := range r.Steps {
				order = append(order, s.Name)
			}
			if want := []string{"first", "leftovers", "script", "room", "still room"}; !slices.Equal(order, want) {
				t.Errorf("steps ran in the order %q; want %q", order, want)
			}
			s := r.step(t, "leftovers")
			if s.Scrub == nil || s.Scrub.Kind != spec.KindProcesses || s.Scrub.State != spec.Unchanged {
				t.Errorf("scrub says %+v; want an unchanged result of processes", s.Scrub)
			}
			if r.step(t, "script").Scrub != nil {
				t.Error("a script has a result of scrub")
			}
			empty(t, m.tmp)
		})
	}
}

func TestAGoalThatIsNotReachedFailsWithItsReason(t *testing.T) {
	t.Parallel()
	p := compiled(t, strings.Replace(withGoals, "bytesFree: 1MB, inodes", "bytesFree: 9000TB, inodes", 1))
	r, _ := newMachine(t, "dash").report(t, p)
	s := r.step(t, "room")
	if r.Outcome != Failed || s.Outcome != StepFailed || !strings.Contains(s.Reason, "9000000000 MB wanted") {
		t.Errorf("outcome %s, step %+v; want it to fail because of the room", r.Outcome, s)
	}
	if s.Scrub == nil || len(s.Scrub.Problems) != 1 || s.Scrub.Problems[0].ID != "/" {
		t.Errorf("scrub says %+v; want one problem about /", s.Scrub)
	}
}

func TestAPlatformWithoutScrubFailsGoalsOnly(t *testing.T) {
	t.Parallel()
	text := strings.Replace(withGoals, "clean:", "platforms: [linux/s390x]\nclean:", 1)
	r, _ := newMachine(t, "dash").report(t, compiled(t, text))
	if s := r.step(t, "leftovers"); s.Outcome != StepFailed || !strings.Contains(s.Reason, "carries no scrub for Linux") {
		t.Errorf("step %+v; want it to fail for want of scrub", s)
	}
	if s := r.step(t, "script"); s.Outcome != StepOK {
		t.Errorf("step %+v; a script needs no scrub", s)
	}
}

// TestAScrubThatDoesNotStartSaysWhy: a place that allows no execution is a reason among others.
func TestAScrubThatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			m.under = []string{"/bin/sh", "-c", `ulimit -v 300000 && exec "$@"`, "limited"}
			r, _ := m.report(t, compiled(t, withGoals))
			if s := r.step(t, "leftovers"); s.Outcome != StepFailed || !strings.HasPrefix(s.Reason, "scrub does not start here: fatal error: ") {
				t.Errorf("step %+v; want it to say how scrub fails", s)
			}
		})
	}
}

// TestASwappedScrubIsNeverRun has somebody put another program in scrub's place as fast as possible while steps begin.
func TestASwappedScrubIsNeverRun(t *testing.T) {
	t.Parallel()
	var steps strings.Builder
	m := newMachine(t, "dash")
	// A place of its own alone: in another, which all tests share, they would meet what is of the same agent.
	steps.WriteString("version: 1\nname: swapped\nplaces: ['" + m.tmp + "']\nclean:\n")
	for i := range 20 {
		steps.WriteString("  - {name: room" + string(rune('a'+i)) + ", disk: {paths: [/], inodesFree: 1}}\n")
	}
	p := compiled(t, steps.String()+"verify:\n  - {name: ok, run: 'true'}\n")
	mark := filepath.Join(t.TempDir(), "won")
	evil := []byte("#!/bin/sh\n: >" + mark + "\nexit 0\n")
	ctx, cancel := context.WithCancel(t.Context())
	var swaps atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		swap(ctx, m.tmp, evil, &swaps)
	}()
	for swaps.Load() < 10_000 {
		m.run(t, p, issued())
		if _, err := os.Stat(mark); err == nil {
			t.Fatal("the program in scrub's place was run")
		}
	}
	cancel()
	<-ended
}

// A file can be changed in its place as well, which leaves its name and its descriptor as they were.
func TestAScrubThatItsUserChangedIsNotRun(t *testing.T) {
	t.Parallel()
	const change = "- {name: changes, run: 'echo x >>../../scrub'}\n- {name: room, disk: {paths: [/], inodesFree: 1}}\n"
	m := ordinary(t, "dash", "")
	r, res := m.report(t, compiled(t, "places: [/var/tmp]\n"+recipeOf(change)))
	if s := r.step(t, "changes"); s.Outcome != StepOK {
		t.Fatalf("%+v\n%s", s, res.out)
	}
	if s := r.step(t, "room"); s.Outcome != StepFailed || s.Reason != "scrub was changed after it was unpacked" {
		t.Errorf("%+v; want it to fail, because scrub is not what was carried\n%s", s, res.out)
	}
}

// swap puts a program in the place of each scrub that appears in dir, and the true one back, until ctx ends.
func swap(ctx context.Context, dir string, program []byte, count *atomic.Int64) {
	for ctx.Err() == nil {
		found, _ := filepath.Glob(filepath.Join(dir, "pitcrew.*", "scrub"))
		for _, scrub := range found {
			aside, bad, evil := scrub+".aside", scrub+".bad", scrub+".evil" // a new one: what writes by the name writes into it
			if os.WriteFile(evil, program, 0o700) != nil || os.Link(evil, bad) != nil || os.Link(scrub, aside) != nil {
				continue
			}
			for range 50 {
				if os.Rename(bad, scrub) == nil {
					count.Add(1)
				}
				_ = os.Link(evil, bad)
				_ = os.Rename(aside, scrub)
				_ = os.Link(scrub, aside)
			}
			_ = os.Remove(bad)
			_ = os.Remove(aside)
			_ = os.Remove(evil)
		}
	}
}

// TestAGraceThatTheLimitCutsShortIsRefused: nothing that ignores TERM would ever be killed.
func TestAGraceThatTheLimitCutsShortIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"- {name: a, processes: {grace: 10m}}":               "which is 10m0s",
		"- {name: a, timeout: 30s, processes: {grace: 30s}}": "which is 30s",
		"- {name: a, timeout: 30s, processes: {grace: 29s}}": "",
		"- {name: a, timeout: 2s, processes: {}}":            "",
	} {
		_, err := Parse("r.yaml", []byte(recipeOf(text+"\n")+"owns: {users: [ci]}\n"), opener(nil))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

func TestWhatCannotBeOwnedIsOneProblem(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte("version: 1\nname: wrong\nowns: {paths: [/]}\nclean:\n  - {name: f, files: {}}\nverify:\n  - {name: v, run: 'true'}\n"), opener(nil))
	problems, _ := errors.AsType[Problems](err)
	if len(problems) != 1 || problems[0].Path != "$.owns.paths[0]" {
		t.Errorf("problems are %v; want the path alone", problems)
	}
}

func TestWrongGoalsAreRefusedWhereTheyStand(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte(`version: 1
name: wrong
clean:
  - {name: a, processes: {cookies: false, keep: ["[", "gradle*"]}}
  - {name: b, mounts: {}, run: ls}
  - {name: c, files: {paths: [/srv/other, /srv/ci/x], older: 3x, names: ["a/b"], size: big}}
  - {name: d, disk: {bytesFree: 10}}
  - {name: e, processes: {}, env: {A: b}, outcomes: {1: ok}}
  - {name: f, run: ls, required: true, before: nothing}
  - {name: g, loops: {x: 1}}
setup:
  - {name: h, processes: {}}
  - {name: i, run: ls, before: disk}
verify:
  - {name: j, disk: {paths: [rel], bytesFree: 1GB}}
owns:
  paths: [/srv/ci, /usr, /srv/ci/x, rel]
  users: [root]
  names: ["*"]
platforms: [linux/s390, linux/amd64, linux/amd64]
`), opener(nil))
	problems, _ := errors.AsType[Problems](err)
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	want := []string{
		`r.yaml:4:55: $.clean[0].processes.keep[1]: "gradle*": want the whole name of a program; patterns are not meant here`,
		`r.yaml:5:5: $.clean[1]: mounts and run exclude each other: a step does one thing`,
		`r.yaml:6:31: $.clean[2].files.paths[0]: "/srv/other": it is not owned; add it, or a directory above it, to "owns"`,
		`r.yaml:6:62: $.clean[2].files.older: "3x" is no duration: write for example 90s, 10m or 1h30m`,
		`r.yaml:6:74: $.clean[2].files.names[0]: "a/b": want the pattern of one name, without directories`,
		`r.yaml:6:88: $.clean[2].files.size: "big" is no amount of room: write for example 10GB or 512MiB`,
		`r.yaml:7:21: $.clean[3].disk: the field "paths" is missing: whose room is to be judged?`,
		`r.yaml:7:33: $.clean[3].disk.bytesFree: "10" is no amount of room: write for example 10GB or 512MiB`,
		`r.yaml:8:35: $.clean[4].env: only scripts have this field; processes says what is to be reached, not how`,
		`r.yaml:8:53: $.clean[4].outcomes: only scripts have this field; processes says what is to be reached, not how`,
		`r.yaml:9:48: $.clean[5].before: "nothing" is no kind: want one of ` + kindNames(spec.CleanKinds()),
		`r.yaml:10:23: $.clean[6].loops.x: unknown field "x"`,
		`r.yaml:12:5: $.setup[0]: processes belongs to the clean phase, or to the verify phase, where it is judged only`,
		`r.yaml:13:32: $.setup[1].before: only the clean phase is put in order; in others steps run as they stand`,
		`r.yaml:15:30: $.verify[0].disk.paths[0]: "rel": want an absolute path`,
		`r.yaml:15:21: $.verify[0].disk: the field "paths" is missing: whose room is to be judged?`,
		`r.yaml:17:20: $.owns.paths[1]: owned path "/usr": others have things there on every machine; own a directory below it`,
		`r.yaml:17:26: $.owns.paths[2]: owned paths "/srv/ci" and "/srv/ci/x" overlap; name the outer one only`,
		`r.yaml:17:37: $.owns.paths[3]: owned path "rel": want an absolute path`,
		`r.yaml:18:11: $.owns.users[0]: owned user "root": its processes keep the machine alive; own paths or control groups instead`,
		`r.yaml:19:11: $.owns.names[0]: owned name "*": it would match things of others; begin it with at least two characters that are meant`,
		`r.yaml:20:13: $.platforms[0]: scrub does not exist for "linux/s390"; did you mean "linux/s390x"?`,
		`r.yaml:20:38: $.platforms[2]: linux/amd64 is there twice`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestSharedDirectoriesAreThoseOfTemporaryThings(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte(`version: 1
name: wrong
clean:
  - {name: a, files: {shared: [/home, /usr/lib, /, /tmp], names: ["*", "?[a-z]*x", "*.rpm"]}}
verify: [{name: b, run: "true"}]
owns: {users: [jenkins]}
`), opener(nil))
	problems, _ := errors.AsType[Problems](err)
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	const homes = "what it holds are homes, or what services live on, and no leftovers; own directories below it instead"
	const loose = "it would match things of others; at least two of its characters have to be meant"
	want := []string{
		`r.yaml:4:32: $.clean[0].files.shared[0]: "/home": ` + homes,
		`r.yaml:4:39: $.clean[0].files.shared[1]: "/usr/lib": all of /usr belongs to the system`,
		`r.yaml:4:49: $.clean[0].files.shared[2]: "/": ` + homes,
		`r.yaml:4:67: $.clean[0].files.names[0]: "*": ` + loose,
		`r.yaml:4:72: $.clean[0].files.names[1]: "?[a-z]*x": ` + loose,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestThePolicyOfACacheReachesScrub(t *testing.T) {
	t.Parallel()
	r := parse(t, `version: 1
name: cache
owns: {paths: [/srv/cache]}
clean:
  - {name: cache, files: {keep: [pinned], older: 14d, size: 20GB, pressure: 1GiB}}
verify:
  - {name: ok, run: "true"}
`)
	s, err := spec.Read(bytes.NewReader(r.Steps[0].Script))
	want := &spec.Files{Keep: []string{"pinned"}, Older: 14 * 24 * 60 * 60, Size: 20e9, Pressure: 1 << 30}
	if diff := cmp.Diff(want, s.Files); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
