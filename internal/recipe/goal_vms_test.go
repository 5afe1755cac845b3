// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestVMsWantOwnedNames(t *testing.T) {
	t.Parallel()
	const text = "version: 1\nname: x\nclean:\n  - {name: vms, vms: {GOAL}}\nverify:\n  - {name: v, run: 'true'}\n"
	parse := func(goal string) (*Recipe, error) {
		return Parse("r.yaml", []byte(strings.Replace(text, "GOAL", goal, 1)), opener(nil))
	}
	for goal, want := range map[string]string{
		"":                       "the recipe owns no names",
		"all: yes please":        "want true or false",
		"all: true, vols: 1":     `unknown field "vols"`,
		"all: true, keep: [a/b]": "without directories",
		"all: true, uri: 'qemu+ssh://root@other/system'": "want a connection to this machine",
		"all: true, uri: alias":                          "want a connection to this machine",
	} {
		if _, err := parse(goal); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want an error with %q", goal, err, want)
		}
	}
	r, err := parse("all: true, uri: 'test:///default', keep: [golden-*], volumes: true")
	if err != nil {
		t.Fatal(err)
	}
	want := spec.VMs{URI: "test:///default", All: true, Keep: []string{"golden-*"}, Volumes: true}
	if diff := cmp.Diff(&want, r.Steps[0].Goal.VMs); diff != "" {
		t.Errorf("goal (-want +got):\n%s", diff)
	}
}
