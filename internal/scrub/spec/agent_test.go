// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func ofAgent() spec.Spec {
	return spec.Spec{
		Version: spec.Version, Name: "own", Owned: spec.Ownership{Paths: []string{"/srv/ci/{agent}"}, Names: []string{"vm-{agent}-*"}},
		Goal: spec.Goal{Files: &spec.Files{Paths: []string{"/srv/ci/{agent}/mess"}}},
	}
}

func TestTheAgentsNameTakesThePlaceOfItsWord(t *testing.T) {
	t.Parallel()
	for _, agent := range []string{"el7-01", "büro (2)", "a b", "100%", "<x>&"} {
		got, err := ofAgent().For(agent)
		if err != nil {
			t.Errorf("%q: %v", agent, err)
			continue
		}
		want := ofAgent()
		want.Owned = spec.Ownership{Paths: []string{"/srv/ci/" + agent}, Names: []string{"vm-" + agent + "-*"}}
		want.Files = &spec.Files{Paths: []string{"/srv/ci/" + agent + "/mess"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", agent, diff)
		}
	}
	plain := spec.Spec{Version: spec.Version, Name: "x", Goal: spec.Goal{Loops: &spec.Loops{}}}
	if got, err := plain.For(""); err != nil || !cmp.Equal(got, plain) {
		t.Errorf("a step that is about no agent: %+v, %v", got, err)
	}
}

func TestANameThatMeansSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"": "nobody said", "..": "another directory", ".": "another directory", "a/b": "take for", "*": "take for", "a?": "take for",
		"[a]": "take for", `a\b`: "take for", "a\nb": "take for", "{agent}": "take for", "a\x00": "take for", `a"b`: "take for",
	} {
		if _, err := ofAgent().For(agent); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want an error with %q", agent, err, want)
		}
	}
	for _, p := range []string{"/{agent}", "/home/{agent}", "/var/lib/{agent}/x", "/srv/ci-{agent}"} {
		if problems := (spec.Ownership{Paths: []string{p}}).Check(); len(problems) != 1 || !strings.Contains(problems[0].Error(), "directory of your own") {
			t.Errorf("%s: %v; want that it is refused", p, problems)
		}
	}
	twice := ofAgent()
	twice.Owned.Paths = append(twice.Owned.Paths, "/srv/ci/el7-01/more")
	if _, err := twice.For("el7-01"); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("%v; want that the paths overlap for this agent", err)
	}
}

func TestAFactInAPlacedFileIsNotTheAgentsWord(t *testing.T) {
	t.Parallel()
	s := spec.Spec{Version: spec.Version, Name: "x", Goal: spec.Goal{Place: &spec.Place{Files: []spec.Placed{{Path: "/a/{agent}", State: spec.PlaceFile, Content: "${agent}"}}}}}
	filled, err := s.For("a1")
	if err != nil || filled.Place.Files[0].Path != "/a/a1" || filled.Place.Files[0].Content != "${agent}" {
		t.Errorf("%+v, %v", filled.Place, err)
	}
}
