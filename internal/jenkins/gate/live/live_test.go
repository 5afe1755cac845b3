// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"testing"

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
