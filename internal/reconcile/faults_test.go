// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// requestFaults are ways in which single requests go wrong.
var requestFaults = map[string]jenkinstest.Fault{
	"a write is answered 200 and dropped":    {Method: http.MethodPost, Path: "/computer/*/config.xml", Drop: true},
	"answers are 500":                        {Status: http.StatusInternalServerError},
	"answers are 502":                        {Status: http.StatusBadGateway},
	"answers are 503":                        {Status: http.StatusServiceUnavailable},
	"connections are reset before":           {Refuse: true},
	"connections are reset after":            {Lose: true},
	"connections are reset in the middle":    {Break: 40},
	"JSON is cut short and looks whole":      {Truncate: 40},
	"the controller is slow":                 {Latency: 20 * time.Second},
	"the controller is slower than we wait":  {Latency: 40 * time.Second},
	"reads of an agent's configuration fail": {Method: http.MethodGet, Path: "/computer/*/config.xml", Status: http.StatusInternalServerError},
}

func TestFaultsOfEveryThirdRequestDelayCleaningAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, fault := range requestFaults {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				if fault.Truncate > 0 {
					fault.Match = isJSON
				}
				fault.Probability = 1. / 3
				remove := r.jenkins.Inject(fault)
				r.wait(12*time.Hour, "a first cleanup", func() bool { return r.has("linux-7", isClean) })
				r.runBuild("app", "clean&&el7")
				r.wait(12*time.Hour, "a cleanup after the build", func() bool {
					return r.has("linux-7", func(a hygiene.Agent) bool { return isClean(a) && a.Attempt > 1 })
				})
				remove()
				r.pass(10 * time.Minute)
				r.waitState("linux-7", hygiene.Clean)
				if got := r.labels("linux-7"); got != "cleanable clean" {
					t.Errorf("labels are %s", got)
				}
			})
		})
	}
}

func isJSON(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/api/json") }

func isClean(a hygiene.Agent) bool { return a.State == hygiene.Clean }

// lossy is an engine that loses three of four wake-ups, and of the handlers' wishes to be called again.
type lossy struct {
	engine.Engine
	mu   sync.Mutex
	rand *rand.Rand
	lost int
}

func (l *lossy) loses() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := l.rand.IntN(4) > 0
	if lost {
		l.lost++
	}
	return lost
}

func (l *lossy) Enqueue(kind, key string) {
	if !l.loses() {
		l.Engine.Enqueue(kind, key)
	}
}

func (l *lossy) Register(kind string, h engine.Handler, o engine.HandlerOptions) {
	l.Engine.Register(kind, func(ctx context.Context, key string) (time.Duration, error) {
		again, err := h(ctx, key)
		if l.loses() {
			return engine.Rest, nil
		}
		return again, err
	}, o)
}

// TestLostWakeUpsCostTimeAndNothingElse holds that whatever is to be done is found again by the polls.
func TestLostWakeUpsCostTimeAndNothingElse(t *testing.T) {
	l := &lossy{rand: rand.New(rand.NewPCG(1, 2))}
	spec := setup{agents: one, engine: func(e engine.Engine) engine.Engine {
		l.Engine = e
		return l
	}}
	inRig(t, spec, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		for round := range int64(5) {
			r.runBuild("app", "clean&&el7")
			r.wait(time.Hour, "a cleanup after the build", func() bool {
				return r.has("linux-7", func(a hygiene.Agent) bool { return isClean(a) && a.Attempt == round+2 })
			})
		}
		must(t, r.crew.OrderHold(r.t.Context(), "linux-7", "ann", "mine", time.Now().Add(time.Hour)))
		r.wait(10*time.Minute, "the hold shown", func() bool { return r.labels("linux-7") == "cleanable dirty" })
		r.wait(2*time.Hour, "a cleanup after the hold", func() bool { return r.has("linux-7", isClean) })
		r.jenkins.SaveLabels("linux-7", "clean el7", "ann")
		r.wait(10*time.Minute, "our labels taken off", func() bool { return r.jenkins.Labels("linux-7") == "el7" })
		if a := r.agent("linux-7"); a.Failures != 0 || len(r.contaminated()) > 0 {
			t.Errorf("%d failures, contaminated: %q", a.Failures, r.contaminated())
		}
		if l.lost < 50 {
			t.Errorf("only %d wake-ups were lost", l.lost)
		}
	})
}
