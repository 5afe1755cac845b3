// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// exposed are the series whose names begin so, without that beginning.
func exposed(t *testing.T, m *metrics, beginning string) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	var ours []string
	for line := range strings.Lines(w.Body.String()) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), beginning); ok {
			ours = append(ours, rest)
		}
	}
	return strings.Join(ours, "; ")
}

func TestGaugesOfAGate(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	shown := func() string { return exposed(t, m, "pitcrew_gate_") }
	m.Gated("ci", reconcile.GateSight{Launched: 1, Status: &gate.Status{
		Head: gate.Head{Hook: "console"}, Failed: 2,
		Agents: map[string]gate.Agent{"a": {State: gate.Clean}, "b": {State: gate.Clean, Drift: "label"}, "c": {State: gate.Used}},
	}})
	want := `agents{controller="ci",state="claimed"} 0; agents{controller="ci",state="clean"} 1; agents{controller="ci",state="drifted"} 1; ` +
		`agents{controller="ci",state="held"} 0; agents{controller="ci",state="unknown"} 0; agents{controller="ci",state="used"} 1; ` +
		`at_boot{controller="ci"} 0; faults{controller="ci"} 2; launched_agents{controller="ci"} 1; up{controller="ci"} 1`
	if got := shown(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	m.Gated("ci", reconcile.GateSight{Lost: true})
	if got := shown(); got != `up{controller="ci"} 0` {
		t.Errorf("lost: %s", got)
	}
	m.Gated("ci", reconcile.GateSight{})
	if got := shown(); got != "" {
		t.Errorf("labels alone: %s", got)
	}
}
