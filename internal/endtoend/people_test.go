// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// cleaning makes an agent whose cleanup has begun and waits.
func (s *scene) cleaning(labels string) *testbed.Agent {
	s.Helper()
	a := s.agent("", labels)
	s.holds(a)
	s.serve()
	s.await("the program has begun", func() bool { return there(a, "begun") })
	return a
}

func TestACleanThatAPersonAddsInMidRunIsTakenOffAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.cleaning("CLEANABLE el7")
	s.relabel(a, "CLEANABLE el7 el8 CLEAN")
	s.awaitLabels(a, "CLEANABLE el7 el8 DIRTY")
	s.take(a, "hold")
	s.told(a, "agent.clean", 1)
	s.awaitLabels(a, "CLEANABLE el7 el8 CLEAN")
}

func TestRemovingCleanAsksForACleanup(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.agent("", "CLEANABLE el7")
	s.serve()
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
	s.relabel(a, "CLEANABLE el7")
	s.told(a, "agent.clean", 2)
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
	if n := s.cleanups(a); n != 2 {
		t.Errorf("it was cleaned %d times", n)
	}
}

func TestRemovingCleanableInMidRunTakesTheAgentOut(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.cleaning("CLEANABLE el7")
	s.relabel(a, "el7 DIRTY")
	s.told(a, "agent.withdrawn", 1)
	s.awaitLabels(a, "el7")
	slot := s.name + "-slot-01"
	if b := s.finish(slot, 1); b.Result != "ABORTED" {
		t.Errorf("its build is %+v", b)
	}
	s.polled(a)
	if got := s.labels(a); got != "el7" {
		t.Errorf("afterwards it is labelled %q", got)
	}
	if n := s.cleanups(a); n != 0 {
		t.Errorf("it was cleaned %d times", n)
	}
}

func TestAnAgentThatAPersonTakesOfflineInMidRunIsGrantedWhenItIsBack(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.cleaning("CLEANABLE el7")
	controller.Post(s.ctx, s, a.Path+"/changeOfflineCause", url.Values{"offlineMessage": {"new fan"}})
	s.take(a, "hold")
	s.await("the program is over", func() bool { return s.cleanups(a) == 1 })
	s.polled(a)
	s.polled(a)
	state := testbed.Read[struct {
		TemporarilyOffline bool
		OfflineCauseReason string
	}](s.ctx, s, controller, a.Path+"/api/json?tree=temporarilyOffline,offlineCauseReason")
	if !state.TemporarilyOffline || state.OfflineCauseReason != "new fan" {
		t.Errorf("the person's mark is now %+v", state)
	}
	controller.Post(s.ctx, s, a.Path+"/toggleOffline", nil)
	s.told(a, "agent.clean", 1)
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
}

func TestABuildOnAnAgentThatIsKeptOutIsReported(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.agent("", "CLEANABLE el7")
	s.serve()
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
	s.pitcrew("hold", a.Name, "--reason", "a new disk", "--for", "1h")
	s.await("the label clean is off", func() bool { return !slices.Contains(strings.Fields(s.labels(a)), "CLEAN") })
	s.put(a, "hold-build")
	job := s.job(quoted(a.Name)) // who asks for an agent by name asks for no label
	number := s.number(s.schedule(job))
	told := s.told(a, "build.contaminated", 1)
	s.take(a, "hold-build")
	b := s.finish(job, number)
	if !strings.Contains(told[0].Reason, b.URL) {
		t.Errorf("told of %q, the build is %s", told[0].Reason, b.URL)
	}
	if urls := s.contaminated(); len(urls) != 1 || urls[0] != b.URL {
		t.Errorf("reported are %v", urls)
	}
	if out := s.pitcrew("builds", "--contaminated"); !strings.Contains(out, job) {
		t.Errorf("the command line shows\n%s", out)
	}
}

// quoted is a name as a label expression.
func quoted(name string) string { return `"` + name + `"` }

func TestAnAgentWithAnOddNameIsServiced(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	tail := ` (räck 3) "q" it's 日本`
	if controller.Real {
		// agent.jar sends its name in a header of the WebSocket handshake, which holds Latin-1 at most.
		tail = ` (rack 3) "q" it's`
	}
	a := s.agent(tail, "CLEANABLE el7")
	job := s.job("CLEAN && el7")
	item := s.schedule(job)
	s.serve()
	number := s.number(item)
	if b := s.finish(job, number); b.Result != "SUCCESS" || b.BuiltOn != a.Name {
		t.Errorf("the build is %+v", b)
	}
	s.told(a, "agent.clean", 2)
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
	text, err := os.ReadFile(a.Dir + "/begun")
	s.must(err)
	if got := strings.TrimSpace(string(text)); got != a.Name {
		t.Errorf("the program was issued for %q", got)
	}
	if out := s.pitcrew("agent", a.Name); !strings.Contains(out, `"q" it's`) {
		t.Errorf("the command line shows\n%s", out)
	}
}
