// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// culprits are the builds that left what an engine has, by its names, and all that is found there.
func culprits(t *testing.T, e *fakeEngine, goal spec.Containers) (map[string]spec.Culprit, []spec.Residue) {
	t.Helper()
	r, err := scrub.Reach(t.Context(), spec.KindContainers, scrub.NewContainersIn(engineCase{goal: goal}.spec(e), nil, nil, false), scrub.Plan)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]spec.Culprit{}
	for _, f := range r.Found {
		if name, _, _ := strings.Cut(f.ID, " ("); f.Culprit != nil {
			got[name] = *f.Culprit
		}
	}
	return got, r.Found
}

func TestContainersTellWhoLeftThem(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	e.add(
		box{name: "a", env: []string{"PATH=/bin", "JOB_NAME=folder/app", "BUILD_NUMBER=17"}},
		box{name: "b", labels: map[string]string{"JOB_NAME": "lib", "BUILD_NUMBER": "x"}}, box{name: "c"},
	)
	got, found := culprits(t, e, spec.Containers{All: true})
	for _, f := range found {
		if f.Age < 7000 || f.Age > 9000 {
			t.Errorf("%s is said to be %d s old; want two hours", f.ID, f.Age)
		}
	}
	want := map[string]spec.Culprit{"a": {Job: "folder/app", Build: 17, By: "environment"}, "b": {Job: "lib", By: "label"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("culprits (-want +got):\n%s", diff)
	}
}

func TestVolumesAndNetworksTellWhoLeftThem(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	e.add(box{name: "a", env: []string{"JOB_NAME=app", "BUILD_NUMBER=17"}, volumes: []string{"of-a"}, networks: []string{"net-of-a"}})
	labels := map[string]string{"JOB_NAME": "lib", "BUILD_NUMBER": "9"}
	e.volumes["of-a"], e.volumes["labelled"], e.volumes["nobody's"] = nil, labels, nil
	e.networks["net-of-a"], e.networks["net"] = nil, labels
	e.addImages(fakeImage{id: "i", tags: []string{"i:1"}, labels: labels}) // it may have them from what it was built from
	got, _ := culprits(t, e, spec.Containers{All: true, Images: &spec.Images{}})
	app, lib := spec.Culprit{Job: "app", Build: 17, By: "environment"}, spec.Culprit{Job: "lib", Build: 9, By: "label"}
	if diff := cmp.Diff(map[string]spec.Culprit{"a": app, "of-a": app, "net-of-a": app, "labelled": lib, "net": lib}, got); diff != "" {
		t.Errorf("culprits (-want +got):\n%s", diff)
	}
}
