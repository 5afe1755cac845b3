// SPDX-License-Identifier: Apache-2.0

package web

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNamesAreOrderedAsPeopleDo(t *testing.T) {
	t.Parallel()
	want := []string{"", "2", "10", "a", "a-01", "a-1", "a-2", "a-2b", "a-10", "a-10-9", "a-10-10", "b", "büro 7", "büro 70"}
	got := slices.Clone(want)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, natural)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestTitleOf(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, address, want string }{
		{"a job at the top", "http://jenkins.example/job/build/7/", "build #7"},
		{"a job in folders", "http://jenkins.example/ci/job/team/job/sub%20team/job/build/12/", "team/sub team/build #12"},
		{"no number", "http://jenkins.example/job/build/", "http://jenkins.example/job/build/"},
		{"no job", "http://jenkins.example/computer/x/", "http://jenkins.example/computer/x/"},
		{"a view in between", "http://jenkins.example/job/a/view/b/7/", "http://jenkins.example/job/a/view/b/7/"},
		{"no address", "%%", "%%"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := titleOf(tt.address); got != tt.want {
				t.Errorf("titleOf(%q) = %q, want %q", tt.address, got, tt.want)
			}
		})
	}
}
