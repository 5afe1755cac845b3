// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestProofsAreRead(t *testing.T) {
	t.Parallel()
	steps := stepsOf(t, `
  - {name: machines, kvm: {nested: true}}
  - {name: any machines, kvm: {}}
`)
	want := []spec.Goal{
		{KVM: &spec.KVM{Nested: true}},
		{KVM: &spec.KVM{}},
	}
	for i, w := range want {
		if diff := cmp.Diff(w, *steps[i].Goal); diff != "" {
			t.Errorf("step %s (-want +got):\n%s", steps[i].Name, diff)
		}
	}
}
