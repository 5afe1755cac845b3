// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

func TestAnAgentProcessThatDiesInMidCleanupCostsTheAgentNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.cleaning("CLEANABLE el7")
	a.Hold()
	a.Kill()
	lost := s.told(a, "cleanup.lost", 1)
	if !strings.Contains(lost[0].Reason, "connection") {
		t.Errorf("the reason is %q", lost[0].Reason)
	}
	s.take(a, "hold") // the program of the dead process ends, and counts for nothing
	a.Release()
	s.told(a, "agent.clean", 1)
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
	if got := s.life(a); got.Failures != 0 || got.Attempt < 2 {
		t.Errorf("it has %d failures after %d attempts", got.Failures, got.Attempt)
	}
}

func TestAnAgentThatWasDeletedAndMadeAgainIsCleanedAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.agent("", "CLEANABLE el7")
	s.serve()
	s.told(a, "agent.clean", 1) // the label comes first, and is looked at once more
	controller.Post(s.ctx, s, a.Path+"/doDelete", nil)
	s.told(a, "agent.forgotten", 1)
	s.await("the process was sent away", func() bool { return a.Starts() > 1 })

	// Its own labels of before prove nothing.
	controller.Post(s.ctx, s, "/computer/doCreateItem", testbed.NodeSpec{
		Name: a.Name, Labels: s.words("CLEANABLE CLEAN el7"), RemoteFS: a.Dir,
	}.Form())
	a.WaitOnline(s.ctx, t)
	s.told(a, "agent.clean", 2)
	s.await("its labels", func() bool {
		got := s.labels(a)
		return got == "CLEANABLE el7 CLEAN" || got == "CLEANABLE CLEAN el7"
	})
	if n := s.cleanups(a); n != 2 {
		t.Errorf("it was cleaned %d times", n)
	}
}

func TestADaemonThatIsKilledInMidRunTakesTheCleanupUpAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.cleaning("CLEANABLE el7")
	first := s.daemon
	_ = first.command.Process.Kill()
	<-first.ended
	s.take(a, "hold")
	s.await("the program is over", func() bool { return s.cleanups(a) == 1 })
	s.startDaemon()
	s.told(a, "agent.clean", 1)
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
	if n := s.cleanups(a); n != 1 {
		t.Errorf("it was cleaned %d times", n)
	}
}

// TestARestartOfTheControllerInMidRun is no parallel test: it disturbs all others.
func TestARestartOfTheControllerInMidRun(t *testing.T) { //nolint:paralleltest // see above
	s := newScene(t)
	if !controller.Restartable {
		t.Skip("PITCREW_TEST_JENKINS_RESTART is not 1: others may use this controller")
	}
	a := s.cleaning("CLEANABLE el7")
	job := s.job("CLEAN && el7")
	item := s.schedule(job)
	before := session(s)
	answer, err := controller.Send(s.ctx, testbed.Request{Method: http.MethodPost, Path: "/restart"})
	s.must(err)
	if answer.Status != http.StatusFound {
		t.Skipf("this controller cannot be restarted from outside: status %d, %s", answer.Status, answer.Excerpt())
	}
	s.await("a new session", func() bool { now := session(s); return now != "" && now != before })
	s.take(a, "hold")
	a.WaitOnline(s.ctx, t)
	number := s.number(item)
	if b := s.finish(job, number); b.Result != "SUCCESS" {
		t.Errorf("the build that waited is %+v", b)
	}
	s.told(a, "agent.clean", 2)
	if got := s.life(a); got.Failures != 0 {
		t.Errorf("it has %d failures", got.Failures)
	}
	if builds := s.read(a, "builds"); len(builds) != 1 || builds[0] != "1-clean" {
		t.Errorf("builds met %v", builds)
	}
}

// session is the mark of the controller's present run, "" while there is none.
func session(s *scene) string {
	a, err := controller.Send(s.ctx, testbed.Request{Method: http.MethodGet, Path: "/api/json?tree=mode"})
	if err != nil || a.Status != http.StatusOK {
		return ""
	}
	return a.Header.Get("X-Jenkins-Session")
}

// TestTheDaemonChecksAControllerThatItHasReached tells in its log what a person would have to find out at the first failure.
func TestTheDaemonChecksAControllerThatItHasReached(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.holds(s.agent("", "CLEANABLE"))
	controller.Node(s.ctx, s, testbed.NodeSpec{Name: s.name + "-two", Labels: s.words("CLEANABLE"), RemoteFS: t.TempDir(), Executors: 2})
	s.serve()
	s.await("what it found", func() bool {
		said := s.daemon.log.String()
		return strings.Contains(said, `"msg":"controller was checked","controller":"ci","topic":"agents"`) && strings.Contains(said, s.name+"-two")
	})
}
