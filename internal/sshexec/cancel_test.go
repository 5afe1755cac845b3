// SPDX-License-Identifier: Apache-2.0

//go:build unix

package sshexec_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

// stubborn prints the process ids of a tree that does not listen to TERM: itself, two children, a grandchild.
const stubborn = `trap '' TERM
sh -c 'sleep 600 & echo $!; wait' &
echo $!
echo $$
sleep 600 &
echo $!
while :; do sleep 1; done
`

// tools are what a far side must have for the programs of these tests.
var tools = []string{"mktemp", "head", "wc", "rm", "date", "sleep", "cat", "env", "tr", "mkfifo", "setsid", "ps"}

// shells are far sides of different make, as directories to be the PATH there.
func shells(t *testing.T) map[string]string {
	t.Helper()
	far := map[string]string{}
	for _, make := range []struct{ name, shell, tool, without string }{
		{name: "dash and coreutils", shell: "dash"},
		{name: "bash and coreutils", shell: "bash"},
		{name: "busybox alone", shell: "busybox", tool: "busybox"},
		{name: "dash without setsid", shell: "dash", without: "setsid"},
		{name: "bash without setsid", shell: "bash", without: "setsid"},
	} {
		dir := t.TempDir()
		complete := link(t, make.shell, dir, "sh")
		for _, tool := range tools {
			source := tool
			if make.tool != "" {
				source = make.tool
			}
			if tool != make.without {
				complete = link(t, source, dir, tool) && complete
			}
		}
		if complete {
			far[make.name] = dir
		} else if os.Getenv("CI") == "true" {
			t.Errorf("%s: not on this machine: scripts/test-deps.sh installs it", make.name)
		} else {
			t.Logf("%s: not on this machine: scripts/test-deps.sh installs it", make.name)
		}
	}
	return far
}

func link(t *testing.T, tool, dir, name string) bool {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		return false
	}
	if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return true
}

func TestCancelEndsTheWholeProcessGroupOnEveryKindOfFarSide(t *testing.T) {
	t.Parallel()
	for name, path := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			_, e, target := setup(t, sshexec.Options{}, "SetEnv PATH="+path+" TMPDIR="+tmp)
			if exit, err := e.Run(t.Context(), target, []byte("exit 9"), nil, newLines()); err != nil || exit != 9 {
				t.Fatalf("a plain program: got exit %d, %v, want 9", exit, err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			pids, done := startStubborn(ctx, t, e, target)
			because := errors.New("attempt was taken back")
			cancel(because)
			err := <-done
			if kind(t, err) != sshexec.Unfinished || !errors.Is(err, because) {
				t.Errorf("got %v, want unfinished because %v", err, because)
			}
			for _, pid := range pids {
				if runs(pid) {
					t.Errorf("process %s of %v survived", pid, pids)
				}
			}
			eventually(t, "no file is left behind", func() bool {
				left, err := os.ReadDir(tmp)
				return err == nil && len(left) == 0
			})
		})
	}
}

// startStubborn returns the processes of a program that runs, and where its end is going to be told.
func startStubborn(ctx context.Context, t *testing.T, e *sshexec.Executor, target sshexec.Target) ([]string, <-chan error) {
	t.Helper()
	out := newLines()
	done := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx, target, []byte(stubborn), nil, out)
		done <- err
	}()
	var pids []string
	for range 4 {
		pid := out.next(t)
		pids = append(pids, pid)
		t.Cleanup(func() { end(t, pid) })
	}
	return pids, done
}

// end makes sure that a test that failed leaves no process behind.
func end(t *testing.T, pid string) {
	t.Helper()
	if n, err := strconv.Atoi(pid); err == nil && n > 1 && runs(pid) {
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
}

func TestRunTimeLimitEndsTheProgram(t *testing.T) {
	t.Parallel()
	_, e, target := setup(t, sshexec.Options{RunTimeout: 2 * time.Second})
	out := newLines()
	_, err := e.Run(t.Context(), target, []byte(stubborn), nil, out)
	if !errors.Is(err, sshexec.ErrRunTimeout) {
		t.Errorf("got %v, want the run time limit", err)
	}
	for len(out.seen) > 0 { // on a very busy machine it may not even have started
		if pid := out.next(t); runs(pid) {
			t.Errorf("process %s survived", pid)
			end(t, pid)
		}
	}
}

func TestCancelBeforeTheProgramStartsStartsNothing(t *testing.T) {
	t.Parallel()
	_, e, target := setup(t, sshexec.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "touched")
	for range 20 { // whichever branch each select takes
		_, err := e.Run(ctx, target, []byte("touch "+file), nil, newLines())
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want canceled", err)
		}
		if _, statErr := os.Stat(file); statErr == nil && !mayHaveRun(err) {
			t.Fatalf("%v, but the program ran", err)
		}
		_ = os.Remove(file)
	}
}

func mayHaveRun(err error) bool {
	var trouble *sshexec.Error
	return errors.As(err, &trouble) && trouble.MayHaveRun()
}

func TestCloseEndsRunningPrograms(t *testing.T) {
	t.Parallel()
	key, public := clientKey(t)
	s := startSSHD(t, public)
	e := sshexec.New(sshexec.Options{Grace: time.Second})
	pids, done := startStubborn(t.Context(), t, e, sshexec.Target{Host: s.host(t, key)})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; kind(t, err) != sshexec.Lost {
		t.Errorf("got %v, want lost", err)
	}
	eventually(t, "the far side ends "+strings.Join(pids, " "), func() bool {
		return !slices.ContainsFunc(pids, runs)
	})
	_, err := e.Run(t.Context(), sshexec.Target{Host: s.host(t, key)}, nil, nil, newLines())
	if !errors.Is(err, sshexec.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
}
