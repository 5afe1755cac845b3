// SPDX-License-Identifier: Apache-2.0

package loanjob_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

// lent is an agent of a lender, a process of its own, with the job that holds loans of it.
type lent struct {
	controller *testbed.Controller
	client     *jenkins.Client
	agent      *testbed.Agent
	job        string
	number     int64
}

func clientOf(t *testing.T, c *testbed.Controller) *jenkins.Client {
	t.Helper()
	client, err := jenkins.New(jenkins.Options{
		URL: c.URL, User: c.User, RequestsPerSecond: -1, Token: func(context.Context) (string, error) { return c.Token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func lender(t *testing.T) *lent {
	t.Helper()
	c := borrower(t)
	d := &lent{controller: c, client: clientOf(t, c), job: c.Unique("loans")}
	d.agent = c.Agent(t.Context(), t, testbed.NodeSpec{Name: c.Unique("a")})
	config, err := loanjob.RenderXML(loanjob.Spec{Name: d.job, Agent: d.agent.Name, Controller: "lender", Owner: "me"})
	if err != nil {
		t.Fatal(err)
	}
	c.Job(t.Context(), t, d.job, string(config))
	stored, err := d.client.JobConfig(t.Context(), d.job)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := loanjob.Same(stored, loanjob.Spec{Name: d.job, Agent: d.agent.Name, Controller: "lender", Owner: "me"}); !same || err != nil {
		t.Errorf("the job is not what was written: %t, %v", same, err)
	}
	return d
}

// lend begins a loan by a build, and waits until it is online.
func (d *lent) lend(t *testing.T, c *testbed.Controller, jar []byte) *loan {
	t.Helper()
	l := order(t, c, jar)
	l.order.Agent = d.agent.Name
	plain, passwords, err := l.order.Parameters(l.secrets)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(plain, passwords)
	id, err := d.client.Build(t.Context(), d.job, plain, &jenkins.File{Param: loanjob.FileParameter, Name: "agent.jar", Content: jar})
	if err != nil {
		t.Fatal(err)
	}
	d.number = 0
	testbed.Await(t.Context(), t, patience, "the build", func() bool {
		item, err := d.client.QueueItem(t.Context(), id)
		if err == nil && item.Executable != nil {
			d.number = item.Executable.Number
		}
		return d.number > 0
	})
	testbed.Await(t.Context(), t, patience, "the loan online", func() bool {
		return l.isOnline(t, c) && d.console(t, l).Connected
	})
	return l
}

func (d *lent) text(t *testing.T) string {
	t.Helper()
	text, _, err := d.client.ConsoleText(t.Context(), d.job, d.number, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (d *lent) console(t *testing.T, l *loan) loanjob.Console {
	t.Helper()
	c, err := loanjob.ReadConsole([]byte(d.text(t)), l.secrets.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// gone waits until nothing of the loan is left, on this machine or at the borrower.
func (d *lent) gone(t *testing.T, c *testbed.Controller, l *loan) {
	t.Helper()
	testbed.Await(t.Context(), t, patience, "the loan gone", func() bool {
		_, err := os.Lstat(l.order.Dir)
		return len(l.left(t)) == 0 && os.IsNotExist(err) && !l.isOnline(t, c)
	})
}

func (d *lent) result(t *testing.T) string {
	t.Helper()
	var b jenkins.Build
	testbed.Await(t.Context(), t, patience, "the end of the build", func() bool {
		var err error
		b, err = d.client.BuildInfo(t.Context(), d.job, d.number)
		return err == nil && b.Result != ""
	})
	return b.Result
}

func TestABuildHoldsALoan(t *testing.T) {
	t.Parallel()
	c := borrower(t)
	jar := agentJar(t, c)
	d := lender(t)

	l := d.lend(t, c, jar)
	l.hidesItsSecrets(t)
	path := fmt.Sprintf("%s/%d", testbed.JobPath(d.job), d.number)
	for _, page := range []string{path + "/consoleText", path + "/api/json?depth=2", testbed.JobPath(d.job) + "/config.xml", testbed.JobPath(d.job) + "/api/json?depth=2"} {
		if text := d.controller.Get(t.Context(), t, page); strings.Contains(text, l.secrets.Secret) || strings.Contains(text, l.secrets.Nonce) {
			t.Errorf("the secret or the nonce is in %s", page)
		}
	}
	if _, err := os.Stat(filepath.Join(d.agent.Dir, "workspace", d.job, loanjob.FileParameter)); !os.IsNotExist(err) {
		t.Errorf("the agent program is still in the workspace: %v", err)
	}
	if err := d.client.StopBuild(t.Context(), d.job, d.number); err != nil {
		t.Fatal(err)
	}
	d.gone(t, c, l)
	if got := d.result(t); got != "ABORTED" {
		t.Errorf("stopped: %s", got)
	}

	l = d.lend(t, c, jar)
	c.Post(t.Context(), t, testbed.NodePath(l.node.Name)+"/doDelete", nil)
	if got := d.result(t); got != "SUCCESS" {
		t.Errorf("deleted by the borrower: %s", got)
	}
	if e := d.console(t, l).Ended; e == nil || e.Reason != loanjob.AgentEnded || e.Left != 0 {
		t.Errorf("deleted by the borrower: %+v", e)
	}
	d.gone(t, c, l)
}

// Nothing tells the program that the agent was killed: it notices by itself.
func TestALoanDoesNotOutliveTheLendersAgent(t *testing.T) {
	t.Parallel()
	c := borrower(t)
	jar := agentJar(t, c)
	d := lender(t)
	l := d.lend(t, c, jar)
	d.agent.Hold()
	d.agent.Kill()
	if got := d.result(t); got != "FAILURE" {
		t.Errorf("result %s", got)
	}
	d.gone(t, c, l)
}
