// SPDX-License-Identifier: Apache-2.0

package loanjob_test

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

func TestALoanComesOnlineAndEndsWhenItIsStopped(t *testing.T) {
	t.Parallel()
	c := borrower(t)
	jar := agentJar(t, c)
	for shell, signal := range map[string]syscall.Signal{"dash": syscall.SIGTERM, "bash": syscall.SIGINT, "busybox": syscall.SIGHUP} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, shell)
			l := order(t, c, jar)
			l.hold(t, p, jar)
			l.online(t, c)
			l.hidesItsSecrets(t)
			if err := l.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			l.wantEnd(t, p, loanjob.Stopped, 0)
			if s := l.console(t).Started; s == nil || s.Isolated || s.Dir != l.order.Dir || filepath.Base(s.Java) != "java" {
				t.Errorf("started %+v", s)
			}
			if strings.Contains(l.out.String(), l.secrets.Secret) {
				t.Error("the secret is in the console")
			}
		})
	}
}

// hidesItsSecrets looks for secret and nonce where a loan that lives could show them.
func (l *loan) hidesItsSecrets(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"/proc/[0-9]*/environ", "/proc/[0-9]*/cmdline", l.order.Dir + "/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // a directory, or a process that has ended
			}
			for what, hidden := range map[string]string{"secret": l.secrets.Secret, "nonce": l.secrets.Nonce} {
				if bytes.Contains(text, []byte(hidden)) {
					t.Errorf("the %s is in %s", what, file)
				}
			}
		}
	}
	if text := l.out.String(); strings.Contains(text, l.secrets.Nonce) || strings.Contains(text, l.secrets.Secret) {
		t.Error("the nonce or the secret is in the console")
	}
}

func TestALoanEndsWhenTheBorrowerLetsGo(t *testing.T) {
	t.Parallel()
	for name, lets := range map[string]func(*testing.T, *testbed.Controller, *loan){
		"disconnects": func(t *testing.T, c *testbed.Controller, l *loan) {
			t.Helper()
			c.Post(t.Context(), t, testbed.NodePath(l.node.Name)+"/doDisconnect", url.Values{"offlineMessage": {"bye"}})
		},
		"deletes": func(t *testing.T, c *testbed.Controller, l *loan) {
			t.Helper()
			c.Post(t.Context(), t, testbed.NodePath(l.node.Name)+"/doDelete", nil)
		},
		"dies": func(t *testing.T, c *testbed.Controller, _ *loan) {
			t.Helper()
			if err := c.Restart(t.Context(), testbed.Kill); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := borrower(t)
			if !c.CanRestart() {
				t.Skip("the controller is not ours to end")
			}
			jar := agentJar(t, c)
			p := newPlace(t, "dash")
			l := order(t, c, jar)
			l.hold(t, p, jar)
			l.online(t, c)
			lets(t, c, l)
			l.wantEnd(t, p, loanjob.AgentEnded, 0)
		})
	}
}

func TestALoanThatDoesNotConnectIsGivenUp(t *testing.T) {
	t.Parallel()
	c := borrower(t)
	jar := agentJar(t, c)
	p := newPlace(t, "dash")
	first := order(t, c, jar)
	first.hold(t, p, jar)
	first.online(t, c)
	t.Run("others", func(t *testing.T) {
		for name, change := range map[string]func(*loan){
			"wrong secret": func(l *loan) { l.secrets.Secret = strings.Repeat("0", 64) },
			"name taken":   func(l *loan) { l.order.Node, l.secrets.Secret = first.order.Node, first.secrets.Secret },
			"nobody there": func(l *loan) { l.order.URL = "http://127.0.0.1:1/" },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, "dash")
				l := order(t, c, jar)
				l.order.Attach = 15 * time.Second
				change(l)
				l.hold(t, p, jar)
				testbed.Await(t.Context(), t, patience, "the secret on disk", func() bool {
					info, err := os.Stat(filepath.Join(l.order.Dir, "secret"))
					return err == nil && info.Mode() == 0o600 || l.over()
				})
				l.wantEnd(t, p, loanjob.NotConnected, 69)
			})
		}
	})
	if !first.isOnline(t, c) || first.over() {
		t.Error("the first loan suffered")
	}
}

func TestALoanEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	c := borrower(t)
	jar := agentJar(t, c)
	p := newPlace(t, "busybox")
	l := order(t, c, jar)
	l.order.Limit = 20 * time.Second
	l.hold(t, p, jar)
	l.wantEnd(t, p, loanjob.LimitReached, 0)
}

// A loan that outlived its agent would go on unseen: the lender takes the agent for free.
func TestALoanEndsWhenTheLendersAgentIsKilled(t *testing.T) {
	t.Parallel()
	c := borrower(t)
	jar := agentJar(t, c)
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, shell)
			p.under = []string{"/bin/sh", "-c", `"$@" & echo "holder $!"; wait`, "agent"}
			l := order(t, c, jar)
			l.hold(t, p, jar)
			l.online(t, c)
			if err := l.cmd.Process.Kill(); err != nil { // the program's parent
				t.Fatal(err)
			}
			l.wantEnd(t, p, loanjob.LenderGone, -1)
		})
	}
}

// What a build of the borrower has started survives its agent program if it has given itself another parent and another
// build's number. The marks it inherited give it away.
func TestWhatTheBorrowersBuildsLeftEndsWithTheLoan(t *testing.T) {
	t.Parallel()
	c := borrower(t)
	jar := agentJar(t, c)
	p := newPlace(t, "busybox") // whose grep is another
	l := order(t, c, jar)
	l.hold(t, p, jar)
	l.online(t, c)
	job := c.Unique("j")
	c.Job(t.Context(), t, job, `<project><assignedNode>`+l.node.Name+`</assignedNode><builders><hudson.tasks.Shell><command>#!/bin/sh
export BUILD_ID=dontKillMe
(setsid sh -c 'trap "" TERM; sleep 500' &amp;) &lt;/dev/null &gt;/dev/null 2&gt;&amp;1
env &gt;"$WORKSPACE/../environment"
</command></hudson.tasks.Shell></builders></project>`)
	c.Post(t.Context(), t, testbed.JobPath(job)+"/build?delay=0sec", nil)
	testbed.Await(t.Context(), t, patience, "the build", func() bool {
		a, err := c.Send(t.Context(), testbed.Request{Method: "GET", Path: testbed.JobPath(job) + "/1/api/json?tree=result"})
		return err == nil && strings.Contains(a.Body, "SUCCESS")
	})
	testbed.Await(t.Context(), t, patience, "Java and what the build left, marked", func() bool { return len(l.left(t)) >= 2 })
	text, err := os.ReadFile(filepath.Join(l.order.Dir, "workspace", "environment"))
	if err != nil {
		t.Fatal(err)
	}
	for _, lenders := range []string{"LENDERS_OWN", "lender.example", "PITCREW_NONCE", "PITCREW_LOAN_", "PITCREW_ATTEMPT", "jenkins-x-1"} {
		if bytes.Contains(text, []byte(lenders)) {
			t.Errorf("a build of the borrower sees %s", lenders)
		}
	}
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	l.wantEnd(t, p, loanjob.Stopped, 0)
}
