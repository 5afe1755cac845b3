// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

func TestACheckSaysWhatIsWrongWithAGate(t *testing.T) {
	t.Parallel()
	const ok = "ok the gate of pitcrew v2 keeps builds off"
	for name, c := range map[string]struct {
		gate   *jenkinstest.GateOptions
		agents []jenkinstest.AgentSpec
		fault  jenkinstest.Fault
		want   []string // levels and the beginnings of what is said
	}{
		"none":           {want: []string{"note no gate is loaded"}},
		"well":           {gate: &jenkinstest.GateOptions{}, want: []string{ok}},
		"of before":      {gate: &jenkinstest.GateOptions{Version: "v1"}, want: []string{"ok the gate of pitcrew v1", "warn the gate is of pitcrew v1, and this is v2"}},
		"console":        {gate: &jenkinstest.GateOptions{Hook: "console"}, want: []string{ok, "warn the gate was registered by the console alone"}},
		"deleted":        {gate: &jenkinstest.GateOptions{Hook: "deleted script"}, want: []string{ok, "warn the file that brought the gate was deleted"}},
		"other labels":   {gate: &jenkinstest.GateOptions{Clean: "spotless"}, want: []string{"fail the gate cannot be used: it was made for the labels"}},
		"other protocol": {gate: &jenkinstest.GateOptions{Protocol: 2}, want: []string{"fail the gate cannot be used: it is of pitcrew v2 and speaks protocol 2"}},
		"broken":         {gate: &jenkinstest.GateOptions{Broken: true}, want: []string{"fail the gate cannot be used: "}},
		"failed":         {gate: &jenkinstest.GateOptions{DiskFull: true}, want: []string{ok, "warn the gate failed 1 times"}},
		"proxy":          {gate: &jenkinstest.GateOptions{}, fault: jenkinstest.Fault{Path: "/pitcrew-gate/status", Status: 503}, want: []string{"warn the gate could not be asked"}},
		"no list":        {gate: &jenkinstest.GateOptions{}, fault: jenkinstest.Fault{Path: "/computer/api/json", Status: 503}, want: []string{ok, "warn the agents could not be listed"}},
		"launched": {
			gate: &jenkinstest.GateOptions{},
			agents: []jenkinstest.AgentSpec{
				{Name: "ssh", Labels: "cleanable", Launched: true}, {Name: "other", Labels: "linux", Launched: true}, {Name: "inbound", Labels: "cleanable"},
			},
			want: []string{ok, "warn Jenkins itself launches ssh: a build that was queued before a restart can get one of them before the gate is up"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, err := jenkinstest.New(jenkinstest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(j.Close)
			for _, a := range append(c.agents, jenkinstest.AgentSpec{Name: "a", Labels: "cleanable"}) {
				if _, err := j.AddAgent(a); err != nil {
					t.Fatal(err)
				}
			}
			if c.gate != nil {
				if c.gate.Version == "" {
					c.gate.Version = "v2"
				}
				j.InstallGate(*c.gate)
			}
			client, err := jenkins.New(jenkins.Options{Name: "ci", URL: "http://ci.test/", Transport: j.Transport(), RequestsPerSecond: -1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			if c.gate != nil && c.gate.DiskFull {
				answer, err := NewClient(client, labels).Claim(t.Context(), Owner{ID: "daemon"}, Claim{Agent: "a", Attempt: 1})
				if err := errors.Join(err, answer.Err("claim", "a")); err == nil || !strings.Contains(err.Error(), "No space left") {
					t.Fatalf("claimed on a full disk: %v", err)
				}
			}
			if c.fault.Path != "" {
				j.Inject(c.fault)
			}
			found, _ := Check(t.Context(), client, "v2", labels)
			begins := func(f jenkins.Finding, want string) bool {
				return strings.HasPrefix(string(f.Level)+" "+f.Message, want)
			}
			if !slices.EqualFunc(found, c.want, begins) {
				t.Errorf("found (-want +got):\n%s", cmp.Diff(c.want, found))
			}
			for _, f := range found {
				if f.Topic != "gate" || (f.Level == jenkins.LevelOK) == (f.Remedy != "") {
					t.Errorf("without a remedy: %+v", f)
				}
			}
		})
	}
}
