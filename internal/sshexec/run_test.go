// SPDX-License-Identifier: Apache-2.0

//go:build unix

package sshexec_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

func TestRunReturnsOutputAndExitStatus(t *testing.T) {
	t.Parallel()
	_, e, target := setup(t, sshexec.Options{})
	dir := t.TempDir()
	for _, tt := range []struct {
		name, program string
		env           map[string]string
		exit          int
		want          string
	}{
		{name: "a program that succeeds", program: "echo hello", want: "hello\n"},
		{name: "a program that fails", program: "exit 7", exit: 7},
		{name: "a failure that the far side's own part uses too", program: "exit 125", exit: 125},
		{name: "a program that a signal ends", program: "kill -KILL $$", exit: 137},
		{name: "both streams come in the order written", program: "echo 1; echo 2 >&2; echo 3", want: "1\n2\n3\n"},
		{name: "output without a line end", program: "printf x", want: "x"},
		{name: "an empty program"},
		{name: "no text is left for the program to read", program: "cat; echo end", want: "end\n"},
		{
			name: "variables arrive as they are", program: `printf '%s|%s\n' "$A" "$B"`,
			env: map[string]string{"A": ` $(id) 'x' "y" \n `, "B": "ü"}, want: ` $(id) 'x' "y" \n |ü` + "\n",
		},
		{name: "nothing of ours is in its environment", program: "env | grep PITCREW || echo none", want: "none\n"},
		{name: "its file is its user's alone", program: `stat -c %a "$0" "${0%/*}"`, want: "600\n700\n"},
		{name: "its file is a path", program: `echo "$0" >` + dir + `/path`},
		{name: "it leads a process group of its own", program: `set -- $(cat /proc/$$/stat); test $$ = "$5" && echo yes`, want: "yes\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			exit, err := e.Run(t.Context(), target, []byte(tt.program), tt.env, &out)
			if err != nil {
				t.Fatal(err)
			}
			if exit != tt.exit || out.String() != tt.want {
				t.Errorf("got exit %d and %q, want %d and %q", exit, out.String(), tt.exit, tt.want)
			}
		})
	}
	t.Cleanup(func() {
		path, err := os.ReadFile(filepath.Join(dir, "path"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Dir(strings.TrimSpace(string(path)))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("directory of a finished program: got %v, want it gone", err)
		}
	})
}

func TestRunCarriesLargeProgramsAndOutputsWhole(t *testing.T) {
	t.Parallel()
	_, e, target := setup(t, sshexec.Options{})
	const size = 20 << 20
	filler := strings.Repeat("# filler \x00\xff\n", 200_000) // 2 MB, and not text
	hash := sha256.New()
	record := sshexec.NewRecord(4096)
	exit, err := e.Run(t.Context(), target, []byte(fmt.Sprintf("head -c %d /dev/zero; exit 3\n", size)+filler), nil, hash)
	if err != nil || exit != 3 {
		t.Fatalf("got exit %d, %v", exit, err)
	}
	if got, want := hash.Sum(nil), sha256.Sum256(make([]byte, size)); !bytes.Equal(got, want[:]) {
		t.Error("output is not what the program wrote")
	}
	if exit, err = e.Run(t.Context(), target, []byte("seq 1 100000"), nil, record); err != nil || exit != 0 {
		t.Fatalf("got exit %d, %v", exit, err)
	}
	text, whole := record.Bytes()
	if whole || len(text) > 4096+100 || !bytes.HasPrefix(text, []byte("1\n2\n")) || !bytes.HasSuffix(text, []byte("99999\n100000\n")) {
		t.Errorf("record of %d bytes, whole %t, begins %.10q", len(text), whole, text)
	}
}

func TestRunKeepsBindingOffEveryCommandLine(t *testing.T) {
	t.Parallel()
	_, e, target := setup(t, sshexec.Options{})
	const nonce, marker = "n0nce-5f2a9c", "pr0gram-text-81b7"
	out := newLines()
	fifo := filepath.Join(t.TempDir(), "go")
	program := "# " + marker + "\nmkfifo " + fifo + "; echo \"$PITCREW_NONCE\"; read -r _ <" + fifo
	done := make(chan error, 1)
	go func() {
		_, err := e.Run(t.Context(), target, []byte(program), map[string]string{"PITCREW_NONCE": nonce}, out)
		done <- err
	}()
	if got := out.next(t); got != nonce {
		t.Fatalf("the program got %q", got)
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Fatalf("no command lines to look at: %v", err)
	}
	looked := 0
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		looked++
		if bytes.Contains(line, []byte(nonce)) || bytes.Contains(line, []byte(marker)) {
			t.Errorf("command line %q", line)
		}
	}
	if looked == 0 {
		t.Error("no command line could be read")
	}
	write(t, filepath.Dir(fifo), "go", []byte("\n"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRunDoesNotWaitForProcessesThatKeepTheOutputOpen(t *testing.T) {
	t.Parallel()
	_, e, target := setup(t, sshexec.Options{DrainTimeout: 2 * time.Second})
	out := newLines()
	exit, err := e.Run(t.Context(), target, []byte("sleep 600 & echo $!; exit 4"), nil, out)
	pid := out.next(t)
	defer end(t, pid)
	if err != nil || exit != 4 {
		t.Errorf("got exit %d, %v, want 4", exit, err)
	}
	if !runs(pid) {
		t.Error("a program that ends by itself may leave a service behind, but it was ended")
	}
}

func TestRunDoesNotDisturbTheProgramWhenNobodyTakesItsOutput(t *testing.T) {
	t.Parallel()
	_, e, target := setup(t, sshexec.Options{})
	file := filepath.Join(t.TempDir(), "ended")
	full := errors.New("disk full")
	exit, err := e.Run(t.Context(), target, []byte("seq 1 200000; echo yes >"+file+"; exit 5"), nil, broken{full})
	if exit != 5 || !errors.Is(err, full) {
		t.Errorf("got exit %d, %v, want 5 and the writer's error", exit, err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("the program did not come to its end")
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestRunRefusesBindingThatCouldBreakOutOfItsLine(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sshexec.Options{})
	target := sshexec.Target{Host: sshexec.Host{Address: "127.0.0.1:1", User: "nobody"}}
	for _, env := range []map[string]string{{"A": "1\nB=2"}, {"A B": "1"}, {"": "1"}, {"A": "\x00"}, {"A=B": "1"}} {
		_, err := e.Run(t.Context(), target, nil, env, nil)
		if got := kind(t, err); got != sshexec.Misconfigured {
			t.Errorf("%q: got %v, want misconfigured", env, err)
		}
	}
}

func TestRunSaysWhyTheFarSideCannotTakeAProgram(t *testing.T) {
	t.Parallel()
	_, e, target := setup(t, sshexec.Options{}, "SetEnv TMPDIR=/nonexistent")
	var out bytes.Buffer
	_, err := e.Run(t.Context(), target, []byte("echo started"), nil, &out)
	if kind(t, err) != sshexec.NotStarted || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("got %v, want not started, with what mktemp says", err)
	}
	if out.Len() > 0 {
		t.Errorf("got output %q", out.String())
	}
}

// kind is the kind of trouble that err tells, after a look that it says truly whether the program may have run.
func kind(t *testing.T, err error) sshexec.Kind {
	t.Helper()
	var trouble *sshexec.Error
	if !errors.As(err, &trouble) {
		t.Fatalf("got %v, want an *sshexec.Error", err)
	}
	if may := trouble.Kind == sshexec.Lost || trouble.Kind == sshexec.Unfinished; trouble.MayHaveRun() != may {
		t.Errorf("%v: MayHaveRun says %t", err, trouble.MayHaveRun())
	}
	return trouble.Kind
}

func TestRunsAtOnceAreLimited(t *testing.T) {
	t.Parallel()
	_, e, target := setup(t, sshexec.Options{MaxRuns: 1})
	out := newLines()
	fifo := filepath.Join(t.TempDir(), "go")
	done := make(chan error, 1)
	go func() {
		_, err := e.Run(t.Context(), target, []byte("mkfifo "+fifo+"; echo ready; read -r _ <"+fifo), nil, out)
		done <- err
	}()
	out.next(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Run(ctx, target, []byte("echo second"), nil, out)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "free slot") {
		t.Errorf("got %v, want a wait for a free slot", err)
	}
	write(t, filepath.Dir(fifo), "go", []byte("\n"))
	if err := <-done; err != nil {
		t.Error(err)
	}
	if exit, err := e.Run(t.Context(), target, []byte("exit 6"), nil, out); err != nil || exit != 6 {
		t.Errorf("with the slot free again: got exit %d, %v", exit, err)
	}
}
