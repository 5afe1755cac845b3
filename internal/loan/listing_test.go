// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

func TestRootIsForApprovedRefsOrAgentsThatAreMadeAnew(t *testing.T) {
	t.Parallel()
	approved := loan.Root{Rule: loan.RootApproved, Refs: []string{"refs/heads/main", "refs/heads/release/*"}}
	for name, tc := range map[string]struct {
		root loan.Root
		ref  string
		want string // part of the refusal, "" = none
	}{
		"no rule at all":                    {loan.Root{}, "refs/heads/main", "no borrowed code"},
		"never":                             {loan.Root{Rule: loan.RootNever, Refs: approved.Refs}, "refs/heads/main", "no borrowed code"},
		"an approved ref":                   {approved, "refs/heads/main", ""},
		"a ref that a pattern approves":     {approved, "refs/heads/release/4.5", ""},
		"a pattern ends at a slash":         {approved, "refs/heads/release/4.5/x", "is none"},
		"a change that is under review":     {approved, "refs/changes/34/1234/5", "refs/changes/34/1234/5 is none"},
		"a ref that begins like one":        {approved, "refs/heads/mainly", "is none"},
		"no ref":                            {approved, "", "none is given"},
		"a broken pattern approves nothing": {loan.Root{Rule: loan.RootApproved, Refs: []string{"["}}, "[", "is none"},
		"agents that are made anew":         {loan.Root{Rule: loan.RootReimage}, "", ""},
	} {
		if got := tc.root.Refuses(tc.ref); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: refuses because %q, want %q", name, got, tc.want)
		}
	}
}

func TestWhatAPoolCanSpare(t *testing.T) {
	t.Parallel()
	policy, plenty := loan.Policy{Most: 3, Floor: 2}, map[string]int{"ci": 9}
	for name, tc := range map[string]struct {
		shelf     loan.Shelf
		all, here int
	}{
		"all that the most allows":       {loan.Shelf{Policy: policy, Clean: 9, Above: plenty}, 3, 3},
		"less those that are lent":       {loan.Shelf{Policy: policy, Clean: 9, Lent: 2, Above: plenty}, 1, 1},
		"as many as the floor lets":      {loan.Shelf{Policy: policy, Clean: 4, Above: plenty}, 2, 2},
		"none below the floor":           {loan.Shelf{Policy: policy, Clean: 1, Above: plenty}, 0, 0},
		"above the capacity floors":      {loan.Shelf{Policy: policy, Clean: 9, Above: map[string]int{"ci": 1, "other": 1, "short": -4}}, 2, 1},
		"of another controller":          {loan.Shelf{Policy: policy, Clean: 9, Above: map[string]int{"ci": -1, "other": 2}}, 2, 0},
		"none while the queue is short":  {loan.Shelf{Policy: policy, Clean: 9, Short: true, Above: plenty}, 0, 0},
		"none of a pool that lends none": {loan.Shelf{Clean: 9, Above: plenty}, 0, 0},
	} {
		if all, here := tc.shelf.Spare("ci"); all != tc.all || here != tc.here {
			t.Errorf("%s: %d, %d of ci; want %d, %d", name, all, here, tc.all, tc.here)
		}
	}
}
