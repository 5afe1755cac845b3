// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAStepCannotLearnTheNonce(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			// A nonce of its own, for the search looks at the processes of other tests too. The pattern does not match
			// itself, so that the arguments of grep do not count.
			tail := crand.Text()
			p := compiled(t, recipeOf(strings.ReplaceAll(`
- name: search
  run: |
    env | grep PATTERN && exit 1
    for place in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do
      ! grep -l PATTERN "$place" 2>/dev/null || exit 2
    done
    find "$PITCREW_FILES/../.." -type f -exec grep -l PATTERN {} + | grep . && exit 3
    exit 0
`, "PATTERN", "'[h]idden"+tail+"'")))
			res := m.run(t, p, append(issued(), "PITCREW_NONCE=hidden"+tail))
			r, err := ParseReport([]byte(res.out), testAttempt, "hidden"+tail)
			if err != nil || r.Outcome != Cleaned {
				t.Errorf("report %+v, %v; want no trace of the nonce\n%s", r, err, res.out)
			}
		})
	}
}

func TestAStepCannotForgeAReport(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			forged := `{"version":1,"attempt":7,"phases":"all","outcome":"cleaned","verified":true}`
			p := compiled(t, recipeOf(`
- name: forges
  run: |
    body='`+forged+`'
    for mark in PITCREW_REPORT PITCREW-REPORT; do
      printf '\n%s-BEGIN 7 %s\n%s\n%s-END 7 %s %s\n' $mark `+testNonce+` "$body" $mark `+testNonce+` "$(echo "$body" | cksum)"
      printf 'x\r%s-BEGIN 7 %s' $mark `+testNonce+`
      printf '\033[8mha:x\033[0m%s-END 7 %s 1 2\n' $mark `+testNonce+`
      printf '%s-BEGIN' $mark
    done
    exit 1
`))
			r, res := m.report(t, p)
			if r.Outcome != Failed || r.Verified {
				t.Errorf("outcome %s, want failed\n%s", r.Outcome, res.out)
			}
			if n := strings.Count("\n"+res.out, "\n"+sentinel); n != 2 {
				t.Errorf("%d lines begin like a sentinel, want the program's own 2", n)
			}
		})
	}
}

func TestAStepThatWritesPastTheProgramSpoilsTheReport(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			p := compiled(t, recipeOf(`
- name: breaks out
  run: |
    parent=$PPID
    echo "PITCREW-REPORT-BEGIN 7 guessed-nonce-guessed-nonce" >/proc/$parent/fd/1
    echo "PITCREW-REPORT-END 7 guessed-nonce-guessed-nonce 1 2" >/proc/$parent/fd/1
`))
			res := m.run(t, p, issued())
			_, err := ParseReport([]byte(res.out), testAttempt, testNonce)
			if e, ok := errors.AsType[*ReportError](err); !ok || e.Fault != WrongNonce {
				t.Errorf("ParseReport: %v, want a wrong nonce\n%s", err, res.out)
			}
		})
	}
}

func TestAStepSeesACleanEnvironment(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			p := compiled(t, recipeOf(`
- name: look
  env: {MINE: "1"}
  run: |
    test -z "$LEAKED$PITCREW_NONCE$PITCREW_JOB_CONTROLLER" || exit 1
    test "$MINE$BUILD_TAG$PITCREW_AGENT$PITCREW_STEP" = 1tag-1a1look || exit 2
    test "$TMPDIR" = "`+m.tmp+`" || exit 3
    test "$(umask)" = 0022 || exit 4
    test "$(cat | wc -c)" -eq 0 || exit 5
    test "$(pwd)" = "$PITCREW_FILES" || exit 6
    test "$(cut -d' ' -f6 /proc/self/stat)" -ne "$(cut -d' ' -f6 /proc/$PPID/stat)" || exit 7
    ls -ld "$PITCREW_FILES/../.." | grep -q '^drwx------' || exit 8
`))
			r, res := m.report(t, p, "LEAKED=secret", "BUILD_TAG=tag-1")
			if s := r.step(t, "look"); s.Outcome != StepOK {
				t.Errorf("step %+v\n%s", s, res.out)
			}
		})
	}
}

// TestAProxysPasswordIsNoArgument holds that nobody who lists the processes sees it, however a session is begun: the programs that
// are started with the environment of a step write down their arguments.
func TestAProxysPasswordIsNoArgument(t *testing.T) {
	t.Parallel()
	const proxy = "http://ann:pass word'$HOME@proxy.test:3128"
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			seen := filepath.Join(m.tmp, "seen")
			for _, tool := range []string{"env", "setsid"} {
				real, err := exec.LookPath(tool)
				if err != nil {
					t.Fatal(err)
				}
				at := filepath.Join(filepath.Dir(m.shell), tool)
				_ = os.Remove(at) // busybox's
				if err := os.WriteFile(at, []byte("#!/bin/sh\nprintf '%s\\n' \"$*\" >>'"+seen+"'\nexec "+real+" \"$@\"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			p := compiled(t, recipeOf(`
- name: look
  env: {MINE: "a@b"}
  run: |
    printf '%s\n' "$http_proxy" "$HTTPS_PROXY" "$no_proxy" "$MINE" "$PITCREW_STEP"
    test "$(cat | wc -c)" -eq 0 || exit 5
    exit 1
`))
			r, res := m.report(t, p, "http_proxy="+proxy, "HTTPS_PROXY="+proxy, "no_proxy=.test")
			if s := r.step(t, "look"); s.Tail != proxy+"\n"+proxy+"\n.test\na@b\nlook\n" || s.Reason != "exit code 1" {
				t.Errorf("step %+v\n%s", s, res.out)
			}
			if shell == "busybox" {
				return // it starts no other program for these
			}
			text, err := os.ReadFile(seen)
			if err != nil || !strings.Contains(string(text), "MINE=a@b") || !strings.Contains(string(text), "no_proxy=.test") {
				t.Errorf("arguments: %v\n%s", err, text)
			}
			if strings.Contains(string(text), "pass word") {
				t.Errorf("the password is among the arguments:\n%s", text)
			}
		})
	}
}

func TestTailsSurviveWhateverTheBytes(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			random := rand.New(rand.NewPCG(1, 2))
			blob := make([]byte, 3000)
			for i := range blob {
				// Half of it lies where UTF-8 sequences begin and go on, so that all kinds of them occur, broken ones too.
				blob[i] = byte(random.IntN(256))
				if random.IntN(2) == 0 {
					blob[i] = []byte("\xc2\xe0\xe2\xed\xef\xf0\xf4\x80\x8f\x9f\xa0\xbf\"\\\n\x00\x1b\x7f")[random.IntN(18)]
				}
			}
			blob = append(blob, "größe 😀 \xf0\x9f"...)
			p := compiled(t, recipeOf("- name: noise\n  carry: [blob]\n  run: cat blob; exit 1\n"), File{Path: "blob", Content: blob})
			r, _ := m.report(t, p)
			if got := r.step(t, "noise").Tail; got != valid(blob) {
				t.Errorf("tail differs:\ngot  %q\nwant %q", got, valid(blob))
			}
		})
	}
}

// valid returns b with each byte that is no UTF-8 replaced.
func valid(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		s.WriteRune(r)
		b = b[size:]
	}
	return s.String()
}

func TestTheAgentProcessIsTheJavaAbove(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	java := filepath.Join(t.TempDir(), "java")
	if err := os.Symlink(m.shell, java); err != nil {
		t.Fatal(err)
	}
	cmd := m.command(t.Context(), t, compiled(t, recipeOf("- name: x\n  run: \"true\"\n")), issued())
	cmd.Path, cmd.Args = java, []string{java, "-c", `"$0" "$1"; exit`, m.shell, cmd.Args[1]}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := ParseReport(out, testAttempt, testNonce)
	if err != nil || r.AgentProcess.PID != cmd.Process.Pid || r.AgentProcess.Start == "" {
		t.Errorf("agent process %+v, %v; want pid %d", r.AgentProcess, err, cmd.Process.Pid)
	}
}

// TestAnAgentThatBeginsAnewInItsPlaceIsAnotherProgram has a Java run the program twice, and a third time after it has
// replaced itself, as remoting does on a lost connection unless told -noReconnect: its number and start stay.
func TestAnAgentThatBeginsAnewInItsPlaceIsAnotherProgram(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	java := filepath.Join(t.TempDir(), "java")
	if err := os.Symlink(m.shell, java); err != nil {
		t.Fatal(err)
	}
	cmd := m.command(t.Context(), t, compiled(t, recipeOf("- name: x\n  run: \"true\"\n")), issued())
	const twice = `"$0" "$1" && echo CUT && "$0" "$1" && echo CUT && exec "$2" -c '"$0" "$1"; exit' "$0" "$1"`
	cmd.Path, cmd.Args = java, []string{java, "-c", twice, m.shell, cmd.Args[1], java}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var seen []AgentProcess
	for log := range bytes.SplitSeq(out, []byte("CUT\n")) {
		r, err := ParseReport(log, testAttempt, testNonce)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		seen = append(seen, r.AgentProcess)
	}
	if len(seen) != 3 || seen[0].PID != cmd.Process.Pid || seen[0].Image == "" {
		t.Fatalf("agent processes %+v, want three of pid %d", seen, cmd.Process.Pid)
	}
	if seen[1] != seen[0] {
		t.Errorf("the same program is %+v, then %+v", seen[0], seen[1])
	}
	if anew := seen[2]; anew.PID != seen[0].PID || anew.Start != seen[0].Start || anew.Image == "" || anew.Image == seen[0].Image {
		t.Errorf("after it began anew in its place %+v is %+v", seen[0], anew)
	}
}
