// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestContainersAreRead(t *testing.T) {
	t.Parallel()
	r, err := Parse("r.yaml", []byte(`version: 1
name: docker
clean:
  - name: containers
    containers:
      all: true
      sockets: [/run/docker.sock]
      keep: [mirror, "cache-*"]
      images: {keep: ["centos:7", quay.io/ci/], older: 3d, size: 20GB}
      buildCache: {older: 12h, size: 5GB}
verify: [{name: ok, run: "true"}]
`), opener(nil))
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Read(strings.NewReader(string(r.Steps[0].Script)))
	if err != nil {
		t.Fatal(err)
	}
	want := &spec.Containers{
		All: true, Sockets: []string{"/run/docker.sock"}, Keep: []string{"mirror", "cache-*"},
		Images:     &spec.Images{Keep: []string{"centos:7", "quay.io/ci/"}, Older: 3 * 24 * 3600, Size: 20e9},
		BuildCache: &spec.BuildCache{Older: 12 * 3600, Size: 5e9},
	}
	if diff := cmp.Diff(want, s.Containers); diff != "" {
		t.Errorf("goal (-want +got):\n%s", diff)
	}
}

func TestWrongContainersAreRefusedWhereTheyStand(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte(`version: 1
name: wrong
clean:
  - {name: a, containers: {}}
  - {name: b, containers: {all: true, sockets: [docker.sock], keep: [a/b], images: {keep: ["quay.io/*/", "x@sha256:1"], newer: 1d}}}
  - {name: c, containers: {buildCache: {}}}
verify: [{name: ok, run: "true"}]
`), opener(nil))
	problems, _ := errors.AsType[Problems](err)
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	want := []string{
		`r.yaml:4:5: $.clean[0]: the recipe owns no labels or names: name them in "owns", or say "all: true" if the engine belongs to CI as a whole`,
		`r.yaml:5:49: $.clean[1].containers.sockets[0]: "docker.sock": want an absolute path`,
		`r.yaml:5:70: $.clean[1].containers.keep[0]: "a/b": want the pattern of one name, without directories`,
		`r.yaml:5:92: $.clean[1].containers.images.keep[0]: "quay.io/*/": what ends with a slash is a plain prefix and can have no *, ? or [`,
		`r.yaml:5:106: $.clean[1].containers.images.keep[1]: "x@sha256:1": want a digest as sha256: and 64 digits of 0-9 and a-f, not "sha256:1"`,
		`r.yaml:5:121: $.clean[1].containers.images.newer: unknown field "newer"`,
		`r.yaml:6:5: $.clean[2]: the recipe owns no labels or names: name them in "owns", or say "all: true" if the engine belongs to CI as a whole`,
		`r.yaml:6:40: $.clean[2].containers.buildCache: a build cache bears no names and no labels; it goes only with "all: true", where the engine belongs to CI as a whole`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
