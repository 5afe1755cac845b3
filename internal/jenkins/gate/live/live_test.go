// SPDX-License-Identifier: Apache-2.0

package live

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// TestNoBuildStartsOnAnUncleanAgent runs all set-ups, one after the other: there is one gate per controller, and a machine
// that has two of them at once shows less of either.
func TestNoBuildStartsOnAnUncleanAgent(t *testing.T) { //nolint:paralleltest // see above
	if testing.Short() {
		t.Skip("mostly runs other programs")
	}
	s := open(t.Context(), t)
	t.Cleanup(func() { t.Log("\n" + s.table()) })
	for range s.size.agents {
		s.fleet = append(s.fleet, s.Agent(t.Context(), t, testbed.NodeSpec{Name: s.Unique("a"), Labels: "waiting"}))
	}
	t.Run("numbers", s.numbers)
	for _, u := range setups {
		t.Run(u.name, func(t *testing.T) { s.try(t, u) })
	}
	for _, every := range s.size.polls {
		t.Run(fmt.Sprintf("labels only, polled every %s", every), func(t *testing.T) { s.tryLabels(t, every) })
	}
}

func TestAControllerThatIsInUseIsLeftAlone(t *testing.T) { //nolint:paralleltest // one controller at a time
	if named, err := testbed.FromEnvironment(); named != nil || err != nil {
		t.Skip("nothing that could be mistaken for somebody else's is made on a controller that is named")
	}
	for name, c := range map[string]struct {
		stem, gate string
		labels     string
		free       bool
	}{
		"an empty one":          {stem: "x", free: true},
		"other agents":          {stem: "x", labels: "linux", free: true},
		"agents that are clean": {stem: "x", labels: "linux cleanable"},
		"a gate":                {stem: "x", gate: "v1"},
		"leftovers":             {stem: stem, labels: "cleanable", gate: version, free: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			c0, err := testbed.Open(ctx, c.stem, func(o *jenkinstest.Options) {
				o.Script = new(console).run
				o.Boot = func(j *jenkinstest.Jenkins) {
					if c.gate != "" {
						j.InstallGate(jenkinstest.GateOptions{Version: c.gate})
					}
				}
			})
			if errors.Is(err, testbed.ErrNoJDK) && os.Getenv("CI") == "" {
				t.Skip(err)
			}
			must(t, err)
			t.Cleanup(func() { must(t, c0.Close(ctx)) })
			s := &suite{Controller: c0}
			s.client = s.newClient(t)
			if c.labels != "" {
				s.Node(ctx, t, testbed.NodeSpec{Name: s.Unique("a"), Labels: c.labels})
			}
			if err := s.occupied(ctx); (err == nil) != c.free {
				t.Errorf("free %t, and the suite says: %v", c.free, err)
			}
		})
	}
}

func TestNothingIsBegunThatGoTestWouldEndInTheMiddle(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for left, want := range map[time.Duration]int{10 * time.Minute: 0, fewerPatience - time.Second: 0, time.Hour: fewer.builds, wholePatience: whole.builds, 2 * time.Hour: whole.builds} {
		if got, err := fitting(now.Add(left), true, now); (err == nil) != (want > 0) || got.builds != want {
			t.Errorf("%s: %d builds of each set-up, want %d: %v", left, got.builds, want, err)
		}
	}
	if got, err := fitting(time.Time{}, false, now); err != nil || got.builds != whole.builds {
		t.Errorf("without a limit: %d builds, %v", got.builds, err)
	}
}
