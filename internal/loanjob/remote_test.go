// SPDX-License-Identifier: Apache-2.0

package loanjob_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

// remote runs the program as who comes over SSH does, and returns what it said, and its exit status.
func (l *loan) remote(t *testing.T, p *place, verb string) (loanjob.Console, int) {
	t.Helper()
	input, err := l.order.Input(l.secrets, filepath.Join(p.workspace, "agent program.jar"))
	if err != nil {
		t.Fatal(err)
	}
	l.out = &output{}
	l.start(t, p, input, nil, verb)
	exit := l.exit(t)
	return l.console(t), exit
}

// upload puts the agent program where the order says that it is.
func upload(t *testing.T, p *place, jar []byte) {
	t.Helper()
	file := filepath.Join(p.workspace, "agent program.jar")
	if err := errors.Join(os.WriteFile(file, jar, 0o600), os.Chown(file, p.uid, p.uid)); err != nil {
		t.Fatal(err)
	}
}

func TestALoanWithoutABuildIsStartedAskedForAndEnded(t *testing.T) {
	t.Parallel()
	c := borrower(t)
	jar := agentJar(t, c)
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, shell)
			upload(t, p, jar)
			l := order(t, c, jar)
			said := func(verb string, want int) loanjob.Console {
				c, exit := l.remote(t, p, verb)
				if exit != want {
					t.Errorf("%s: exit status %d, want %d", verb, exit, want)
				}
				return c
			}
			if s := said("status", 3); s.Alive == nil || *s.Alive {
				t.Errorf("before: %+v", s)
			}
			if s := said("start", 0); !s.Connected || s.Started == nil || s.Ended != nil {
				t.Errorf("started: %+v", s)
			}
			if !l.isOnline(t, c) {
				t.Error("the loan is not online")
			}
			l.hidesItsSecrets(t)
			if s := said("status", 0); s.Alive == nil || !*s.Alive || !s.Connected {
				t.Errorf("meanwhile: %+v", s)
			}
			if s := said("start", 78); !strings.Contains(s.Refusal, "has begun here before") {
				t.Errorf("started again: %+v", s)
			}
			for range 2 { // ended already is success
				if s := said("end", 0); s.Ended == nil || s.Ended.Reason != loanjob.Asked || s.Ended.Left != 0 {
					t.Errorf("ended: %+v", s)
				}
			}
			l.nothingLeft(t, p)
		})
	}
}

func TestWhoStartsALoanHearsWhyItFailed(t *testing.T) {
	t.Parallel()
	l, p := pretend(t, "dash", "echo no such luck; exit 4")
	upload(t, p, jar)
	c, exit := l.remote(t, p, "start")
	if exit != 69 || c.Ended == nil || c.Ended.Reason != loanjob.NotConnected || c.Ended.Code != 4 || !strings.Contains(l.out.String(), "| no such luck") {
		t.Errorf("exit status %d, %+v", exit, c)
	}
	l.nothingLeft(t, p)
	other, p := pretend(t, "busybox", connects)
	upload(t, p, []byte("another one"))
	if c, exit := other.remote(t, p, "start"); exit != 78 || !strings.Contains(c.Refusal, "and was to have "+other.order.JarSHA256) {
		t.Errorf("exit status %d, %+v", exit, c)
	}
	other.nothingLeft(t, p)
}

// Killed, the holder ends nothing. What it wrote down and the marks tell the next one what there is to end.
func TestALoanWhoseHolderWasKilledIsEndedAllTheSame(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			l, p := pretend(t, shell, `setsid sleep 302 &
`+connects)
			l.hold(t, p, jar)
			l.connected(t)
			if err := l.cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			testbed.Await(t.Context(), t, patience, "two processes left", func() bool { return len(l.left(t)) >= 2 })
			if c, exit := l.remote(t, p, "status"); exit != 0 || c.Alive == nil || !*c.Alive {
				t.Errorf("status: exit status %d, %+v", exit, c)
			}
			c, exit := l.remote(t, p, "end")
			if exit != 0 || c.Ended == nil || c.Ended.Left != 0 || c.Ended.DirKept {
				t.Errorf("end: exit status %d, %+v", exit, c)
			}
			l.nothingLeft(t, p)
		})
	}
}
