// SPDX-License-Identifier: Apache-2.0

//go:build linux

package demo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// lookalikes are processes and files of the same user that are not the demo's, however near they
// come to it. They live in directories beside the demo's.
type lookalikes struct {
	processes map[string]int
	files     []string
}

func newLookalikes(t *testing.T, dir, cookie string) lookalikes {
	t.Helper()
	beside, below := dir+"-beside", filepath.Join(t.TempDir(), filepath.Base(dir))
	var l lookalikes
	for _, d := range []string{beside, below} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(d) })
		file := filepath.Join(d, "mess")
		if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		l.files = append(l.files, file)
	}
	l.processes = map[string]int{
		"the same command line":         startProcess(t, ""),
		"a directory beside the demo's": startProcess(t, beside),
		"a directory of the same name":  startProcess(t, below),
		"another run's cookie":          startProcess(t, "", messVar+"=OTHER"+outMark+":el7-01"),
		"a cookie that begins the same": startProcess(t, "", messVar+"="+cookie+"2"+outMark+":el7-01"),
		"a cookie that ends the same":   startProcess(t, "", messVar+"=2"+cookie+outMark+":el7-01"),
		"the cookie alone":              startProcess(t, "", messVar+"="+cookie),
		"the cookie in another variable": startProcess(t, "", "MY_"+messVar+"="+cookie+outMark+":el7-01",
			"COOKIE="+cookie+outMark+":el7-01"),
	}
	return l
}

func (l lookalikes) wantUntouched(t *testing.T) {
	t.Helper()
	for what, pid := range l.processes {
		if !runs(pid) {
			t.Errorf("the process with %s was ended", what)
		}
	}
	for _, file := range l.files {
		if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
			t.Errorf("file %s: got %q, %v", file, text, err)
		}
	}
}

func TestLookalikesOfTheSameUserSurviveTheDemo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := openShow(t, options(t))
	l := newLookalikes(t, s.dir, s.cookie)
	cleaned := 0
	s.Tick = func(sum Summary) {
		// The mess of a build was cleaned away, and more builds are making more of it.
		if cleaned = sum.Cleanups; sum.RealBuilds > 0 && sum.Cleanups > s.Agents && escapees(t, s.dir) > 0 {
			cancel()
		}
	}
	if _, err := s.run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := leaveNothing(s.dir, s.cookie); err != nil {
		t.Fatal(err)
	}
	if cleaned == 0 {
		t.Error("nothing was cleaned")
	}
	wantNothingLeft(t, s.dir)
	l.wantUntouched(t)
}

func TestLeaveNothingEndsWhatIsOfThisRun(t *testing.T) {
	t.Parallel()
	s, err := newShow(options(t))
	if err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(s.dir, "out-of-band", "agents")
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	l := newLookalikes(t, s.dir, s.cookie)
	doomed := map[string]int{
		"the directory":           startProcess(t, s.dir),
		"a directory below":       startProcess(t, below),
		"the cookie, out of band": startProcess(t, "", messVar+"="+s.cookie+outMark+":el7-01"),
		"the cookie, in band":     startProcess(t, "", messVar+"="+s.cookie+inMark+":el8-02"),
	}
	if err := leaveNothing(s.dir, s.cookie); err != nil {
		t.Fatal(err)
	}
	for what, pid := range doomed {
		if runs(pid) {
			t.Errorf("the process with %s runs on", what)
		}
	}
	wantNothingLeft(t, s.dir)
	l.wantUntouched(t)
}

// A program that takes the place of another has no environment for a moment.
func TestLeaveNothingWaitsForWhatMayBeginToBeOfThisRun(t *testing.T) {
	t.Parallel()
	s, err := newShow(options(t))
	if err != nil {
		t.Fatal(err)
	}
	begins := exec.CommandContext(t.Context(), "sh", "-c", `sleep 0.1; exec env "$0" sleep 60`, messVar+"="+s.cookie+outMark+":el7-01")
	stays := exec.CommandContext(t.Context(), "sleep", "60")
	for _, cmd := range []*exec.Cmd{begins, stays} {
		cmd.Env = []string{} // none, where nil would be ours
		cmd.Dir = "/"
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	}
	if err := leaveNothing(s.dir, s.cookie); err != nil {
		t.Fatal(err)
	}
	if runs(begins.Process.Pid) {
		t.Error("the process that began to carry the cookie runs on")
	}
	if !runs(stays.Process.Pid) {
		t.Error("the process that never carried it was ended")
	}
}

// The recipe, run by hand on one agent, touches nothing of the agents beside it, nor of the agent
// of the same name on the other controller.
func TestACleanupTouchesItsOwnAgentOnly(t *testing.T) {
	t.Parallel()
	for name, clean := range map[string]string{"by scrub": byScrub, "by shell": byShell} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cleanupTouchesItsOwnAgentOnly(t, clean)
		})
	}
}

// buildOf is what Jenkins puts into the environment of a build on an agent, beside the demo's own mark.
func buildOf(url, agent, number, mess string) []string {
	return []string{
		"JENKINS_URL=" + url, "NODE_NAME=" + agent, "JOB_NAME=app", "BUILD_NUMBER=" + number, "BUILD_TAG=jenkins-app-" + number,
		messVar + "=" + mess + ":" + agent,
	}
}

func cleanupTouchesItsOwnAgentOnly(t *testing.T, clean string) {
	t.Helper()
	s, err := newShow(options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leaveNothing(s.dir, s.cookie); err != nil {
			t.Error(err)
		}
	})
	fleet := []agentPlan{{name: "el7-01", label: "el7"}, {name: "el7-011", label: "el7"}}
	own := filepath.Join(s.dir, "own")
	program, err := writeRecipe(filepath.Join(s.dir, "recipe.yaml"), own, s.cookie+outMark, clean)
	if err != nil {
		t.Fatal(err)
	}
	if err := prepareDirs(own, fleet); err != nil {
		t.Fatal(err)
	}
	blob, others := filepath.Join(own, "el7-01", "mess", "cache", "blob"), filepath.Join(own, "el7-011", "mess", "cache", "blob")
	for _, file := range []string{blob, others} {
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const mine, other = "http://127.0.0.1:1/", "http://127.0.0.1:2/"
	left := startProcess(t, "", buildOf(mine, "el7-01", "1", s.cookie+outMark)...)
	l := newLookalikes(t, s.dir, s.cookie)
	l.files = append(l.files, others)
	l.processes["an agent whose name begins the same"] = startProcess(t, "", buildOf(mine, "el7-011", "1", s.cookie+outMark)...)
	l.processes["the agent of the other controller"] = startProcess(t, "", buildOf(other, "el7-01", "1", s.cookie+inMark)...)
	l.processes["the agent beside it, at work in its directory"] = startProcess(t, filepath.Dir(others))

	cmd := exec.CommandContext(t.Context(), "sh", "-s", "--", "--by-hand", "--agent", "el7-01")
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "NODE_NAME=el7-01", "JENKINS_URL="+mine, "BUILD_TAG=jenkins-pitcrew-slot-01-9")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = stdin.Write(program.Text)
		_ = stdin.Close()
	}()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if runs(left) {
		t.Error("the process that a build left on the agent runs on")
	}
	if _, err := os.Stat(blob); !os.IsNotExist(err) {
		t.Errorf("the file that a build left: got %v, want that it is gone", err)
	}
	l.wantUntouched(t)
}

func TestADirectoryThatScriptsCannotCarryIsRefused(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/tmp/pitcrew-demo-1": true, "/home/jürgen/t+m_p/a.b,c@d=e~/x": true,
		"/tmp/a b": false, "/tmp/$HOME": false, "/tmp/a'b": false, `/tmp/a"b`: false, "/tmp/a\nb": false, "/tmp/a:b": false, "/tmp/`id`": false,
	} {
		if got := plain(path); got != want {
			t.Errorf("plain(%q): got %t, want %t", path, got, want)
		}
	}
}
