// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// careful is a script for the same work, as somebody writes it who knows the usual traps: it finds processes by what they
// use and not by their command line, leaves itself and what called it alone, unmounts the deepest first, never lazily and
// again until nothing moves, deletes within one file system, and says when something did not work.
const careful = `
own=$1
users() {
	for p in /proc/[0-9]*; do
		case ${p#/proc/} in $$ | $PPID) continue ;; esac
		! ls -l "$p/cwd" "$p/root" "$p/exe" "$p/fd/" 2>/dev/null | grep -qE -- "-> $own(/|\$)" || echo "${p#/proc/}"
	done
}
pids=$(users)
[ -z "$pids" ] || kill $pids 2>/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do
	pids=$(users)
	[ -n "$pids" ] || break
	sleep 0.1
done
[ -z "$pids" ] || kill -9 $pids 2>/dev/null
mounts() { findmnt -nlo TARGET | awk -v own="$own/" 'index($0, own) == 1' | sort -r; }
before=
while now=$(mounts) && [ "$now" != "$before" ]; do
	before=$now
	printf '%s\n' "$now" | while IFS= read -r m; do [ -z "$m" ] || umount "$m" 2>/dev/null; done
done
find "$own" -mindepth 1 -xdev -delete 2>/dev/null
[ -z "$(mounts)$(ls -A "$own")" ]
`

// battlefield is what builds left, among what is not theirs. The numbers of processes are printed.
const battlefield = `
mkdir -p $O/ws $O/build $O/agent "$O/odd
name" $X/data ${O}-data
n=0; while [ $n -lt $FILES ]; do mkdir $O/ws/$n; for f in 1 2 3 4 5 6 7 8 9; do : >$O/ws/$n/$f; done; n=$((n+1)); done
echo x >$X/data/file; echo x >${O}-data/file
mount --bind $X/data "$O/odd
name"
mount -t tmpfs t ${O}-data; echo x >${O}-data/file
for d in $O/build "$O/build/with space"; do mkdir -p "$d"; mount -t tmpfs t "$d"; mount -t tmpfs t "$d"; done
quiet() { "$@" >/dev/null 2>&1 & echo $!; }
cd $O/ws/0; echo user $(quiet setsid sleep 600)
cd /; echo cookie $(NODE_NAME=a1 JENKINS_URL=http://ci/ BUILD_TAG=jenkins-app-7 quiet setsid sleep 600)
cd $O/ws/2; echo other $(quiet setpriv --reuid 4343 --clear-groups setsid sleep 600)
cd ${O}-data; echo sibling $(quiet setsid sleep 600)
cd /; echo named $(quiet setsid sh -c 'sleep 600; :' $O/ws)
echo elsewhere $(quiet setsid unshare -m sh -c 'mount -t tmpfs t $O; cd $O; echo >'$X'/there; exec sleep 600')
until [ -e $X/there ]; do :; done
`

// contenders are those who clean a battlefield: as they are called, and what their command is.
func contenders(t *testing.T, p plot, program string) map[string][]string {
	t.Helper()
	dir := filepath.Dir(p.owned)
	scrubs := "s=0; "
	for i, goal := range []spec.Goal{
		{Processes: &spec.Processes{Cookies: true, Grace: 1}}, {Mounts: &spec.Mounts{}}, {Files: &spec.Files{}},
	} {
		text, err := json.Marshal(spec.Spec{Version: spec.Version, Name: "clean", Owned: spec.Ownership{Paths: []string{p.owned}}, Goal: goal})
		file := fmt.Sprintf("%s/%d", dir, i)
		if err := errors.Join(err, os.WriteFile(file, text, 0o600)); err != nil {
			t.Fatal(err)
		}
		scrubs += program + " run " + file + " || s=1; "
	}
	return map[string][]string{"scrub": {"sh", "-c", scrubs + "exit $s"}, "the script": {"sh", "-c", careful, "sh", p.owned}}
}

// fight makes a battlefield and lets a contender at it, in the care of an agent that stands in an owned directory. It returns
// what is not as it has to be afterwards, and how long that took.
func fight(t *testing.T, who, program string) (wrong []string, took time.Duration) {
	t.Helper()
	p := newPlot(t)
	pids := map[string]string{}
	for line := range strings.Lines(p.run(t, battlefield)) {
		name, pid, _ := strings.Cut(strings.TrimSpace(line), " ")
		pids[name] = pid
	}
	// The agent's shell starts another, as Jenkins does, and that one the contender.
	agent := exec.CommandContext(t.Context(), "sh", append([]string{
		"-c", `cd "$0" && (cd / && sh -c '"$@"; exit $?' sh "$@"); exit $?`, p.owned + "/agent",
	}, contenders(t, p, program)[who]...)...)
	agent.Env = append(os.Environ(), "NODE_NAME=a1", "JENKINS_URL=http://ci/", "BUILD_TAG=jenkins-cleanup-9")
	agent.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	began := time.Now()
	out, err := agent.CombinedOutput()
	took = time.Since(began)
	t.Logf("%s: %v\n%s", who, err, out)
	status, _ := agent.ProcessState.Sys().(syscall.WaitStatus)
	for what, right := range p.judgement(t, pids, !status.Signaled()) {
		if !right {
			wrong = append(wrong, what)
		}
	}
	slices.Sort(wrong)
	return wrong, took
}

// judgement says of each thing on a battlefield whether it is as it has to be.
func (p plot) judgement(t *testing.T, pids map[string]string, agent bool) map[string]bool {
	t.Helper()
	lives := func(who string) bool {
		text, err := os.ReadFile("/proc/" + pids[who] + "/stat")
		return err == nil && !strings.Contains(string(text), ") Z ")
	}
	there := func(path string) bool { _, err := os.Lstat(path); return err == nil }
	left, err := os.ReadDir(p.owned)
	if err != nil {
		t.Fatal(err)
	}
	below := func(m string) bool { return strings.HasPrefix(m, p.owned+"/") }
	return map[string]bool{
		"gone: files":                           len(left) == 0,
		"gone: mounts":                          !slices.ContainsFunc(mounted(t), below),
		"gone: a process in an owned directory": !lives("user"),
		"gone: a build's process that uses nothing owned":      !lives("cookie"),
		"kept: the agent, which stands in an owned directory":  agent,
		"kept: another user's process in an owned directory":   lives("other"),
		"kept: a process in a container with a path like ours": lives("elsewhere"),
		"kept: a process that has the path as an argument":     lives("named"),
		"kept: a directory whose name begins alike":            lives("sibling") && there(p.owned+"-data/file") && times(t, p.owned+"-data") == 1,
		"kept: what a bind mount shows":                        there(p.other + "/data/file"),
	}
}

// TestScrubKeepsWhatACarefulScriptBreaks states what the same work costs when it is written in shell. PITCREW_LONG=1 makes
// the battlefield large and prints the times, by turns.
func TestScrubKeepsWhatACarefulScriptBreaks(t *testing.T) {
	if testing.Short() {
		t.Skip("mostly runs other programs; left to the longer run")
	}
	if !ownNamespaces(t) {
		return
	}
	program := built(t)
	turns := 1
	t.Setenv("FILES", "200")
	if os.Getenv("PITCREW_LONG") != "" {
		turns = 5
		t.Setenv("FILES", "1000")
	}
	wrong, took := map[string][]string{}, map[string][]time.Duration{}
	for range turns {
		for _, who := range []string{"scrub", "the script"} {
			t.Run(who, func(t *testing.T) {
				w, d := fight(t, who, program)
				wrong[who], took[who] = w, append(took[who], d)
			})
		}
	}
	want := map[string][]string{
		"scrub": nil,
		"the script": {
			"gone: a build's process that uses nothing owned",
			"gone: files",
			"gone: mounts",
			"kept: a process in a container with a path like ours",
			"kept: another user's process in an owned directory",
			"kept: the agent, which stands in an owned directory",
			"kept: what a bind mount shows",
		},
	}
	if diff := cmp.Diff(want, wrong); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}
	for who, all := range took {
		slices.Sort(all)
		t.Logf("%s: median of %d turns %s", who, len(all), all[len(all)/2].Round(time.Millisecond))
	}
}

// built returns scrub, built for this machine.
func built(tb testing.TB) string {
	tb.Helper()
	program := filepath.Join(open(tb), "scrub")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "github.com/pitcrew-ci/pitcrew/cmd/scrub")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return program
}
