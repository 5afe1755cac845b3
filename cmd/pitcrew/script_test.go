// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

var update = flag.Bool("update", false, "write files that hold what is wanted")

func TestMain(m *testing.M) {
	time.Local = time.UTC // what people see are times of their zone
	testscript.Main(m, map[string]func(){"pitcrew": main})
}

// TestScripts runs the program as people do: as a process, against a daemon of this process.
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("mostly runs another program")
	}
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Setenv(envConfig, "")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"agent":   addOpenAgent,
			"appears": appears,
			"daemon":  startDaemon,
			"exits":   exits,
			"job":     createJob,
			"build":   runBuild,
		},
		RequireExplicitExec: true,
		UpdateScripts:       *update,
	})
}

// garages are those of the scripts that run now.
var garages sync.Map // of *testscript.TestScript to *garage

// startDaemon starts a daemon with the controllers that are named, and says to the script where it is.
func startDaemon(ts *testscript.TestScript, neg bool, controllers []string) {
	if neg || len(controllers) == 0 {
		ts.Fatalf("usage: daemon CONTROLLER...")
	}
	dir := ts.MkAbs("daemon")
	ts.Check(os.MkdirAll(dir, 0o700))
	ctx, cancel := context.WithCancel(context.Background())
	g, err := openGarage(ctx, dir, controllers...)
	ts.Check(err)
	garages.Store(ts, g)
	ts.Defer(func() {
		if err := g.close(); err != nil {
			ts.Logf("close the daemon: %v", err)
		}
		cancel()
		garages.Delete(ts)
	})
	token, err := g.token()
	ts.Check(err)
	ts.Setenv(envServer, g.url())
	ts.Setenv(envToken, token)
	ts.Setenv("DAEMON", dir)
}

// exits runs a command and checks its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// appears waits for a text in a file that another process writes: appears FILE REGEXP.
func appears(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: appears FILE REGEXP")
	}
	wanted := regexp.MustCompile(args[1])
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && wanted.Match(text) {
			return
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			ts.Fatalf("%s did not appear in %s, which has:\n%s", args[1], args[0], text)
		}
	}
}

// addOpenAgent adds an agent that takes jobs without labels, and two at once: agent CONTROLLER NAME.
func addOpenAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: agent CONTROLLER NAME")
	}
	_, err := controllerOf(ts, args[0]).AddAgent(jenkinstest.AgentSpec{Name: args[1], Labels: "cleanable el8", Normal: true, Executors: 2})
	ts.Check(err)
}

// createJob makes a job with a label expression: job CONTROLLER NAME [EXPRESSION].
func createJob(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: job CONTROLLER NAME [EXPRESSION]")
	}
	ts.Check(controllerOf(ts, args[0]).CreateFreeStyle(jenkinstest.JobSpec{Name: args[1], Label: strings.Join(args[2:], " "), Script: "true"}))
}

// runBuild builds a job and waits for the end: build CONTROLLER NAME.
func runBuild(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: build CONTROLLER NAME")
	}
	j := controllerOf(ts, args[0])
	before := len(j.Builds(args[1]))
	_, err := j.Schedule(args[1], nil)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if builds := j.Builds(args[1]); len(builds) > before && builds[len(builds)-1].Complete && builds[0].Complete {
			return
		}
		ts.Check(pause(ctx, 20*time.Millisecond))
	}
}

func controllerOf(ts *testscript.TestScript, name string) *jenkinstest.Jenkins {
	g, ok := garages.Load(ts)
	if !ok {
		ts.Fatalf("no daemon was started")
	}
	return g.(*garage).jenkins[name]
}
