// SPDX-License-Identifier: Apache-2.0

package rehearsal_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
)

var day = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// of makes an offer; bend changes it.
func of(name, os string, bend ...func(*rehearsal.Offer)) rehearsal.Offer {
	o := rehearsal.Offer{
		Controller: "ci", Agent: name, Pool: "linux", OS: os, Arch: "x86_64", Labels: []string{"any", name}, Isolated: true, Spare: 9, SpareThere: 9, CleanSince: day,
	}
	for _, f := range bend {
		f(&o)
	}
	return o
}

func TestTheChosenSetIsRepresentative(t *testing.T) {
	t.Parallel()
	profile := func(p string) func(*rehearsal.Offer) { return func(o *rehearsal.Offer) { o.Profile = p } }
	arm := func(o *rehearsal.Offer) { o.Arch = "aarch64" }
	later := func(o *rehearsal.Offer) { o.CleanSince = day.Add(time.Hour) }
	rare := func(o *rehearsal.Offer) { o.Labels = append(o.Labels, "gpu") }
	pool := func(p string) func(*rehearsal.Offer) { return func(o *rehearsal.Offer) { o.Pool = p } }
	spare := func(n int) func(*rehearsal.Offer) { return func(o *rehearsal.Offer) { o.Spare = n } }
	on := func(controller string, there int) func(*rehearsal.Offer) {
		return func(o *rehearsal.Offer) { o.Controller, o.SpareThere = controller, there }
	}
	shared := func(o *rehearsal.Offer) { o.Isolated = false }
	root := func(r loan.Root) func(*rehearsal.Offer) { return func(o *rehearsal.Offer) { o.Root = r } }
	for name, tc := range map[string]struct {
		offers []rehearsal.Offer
		wish   rehearsal.Wish
		want   string
		gaps   string // parts of the reasons, one for each gap
	}{
		"nothing is offered":            {nil, rehearsal.Wish{}, "", ""},
		"each kind once":                {[]rehearsal.Offer{of("a", "el8"), of("b", "el9"), of("c", "el9"), of("d", "el9", arm)}, rehearsal.Wish{}, "b a d", ""},
		"profiles are kinds":            {[]rehearsal.Offer{of("a", "el9"), of("b", "el9", profile("vms"))}, rehearsal.Wish{}, "a b", ""},
		"the longest clean first":       {[]rehearsal.Offer{of("a", "el9", later), of("b", "el9")}, rehearsal.Wish{}, "b", ""},
		"a rare label is needed more":   {[]rehearsal.Offer{of("a", "el9", rare), of("b", "el9", later), of("c", "el8")}, rehearsal.Wish{}, "b c", ""},
		"pools each for itself":         {[]rehearsal.Offer{of("a", "el9"), of("b", "el9", pool("other"))}, rehearsal.Wish{}, "a b", ""},
		"only the pools asked for":      {[]rehearsal.Offer{of("a", "el9"), of("b", "el9", pool("other"))}, rehearsal.Wish{Pools: []string{"other"}}, "b", ""},
		"a pool that has none":          {[]rehearsal.Offer{of("a", "el9")}, rehearsal.Wish{Pools: []string{"linux", "gone"}}, "a", "none can be lent"},
		"by labels":                     {[]rehearsal.Offer{of("a", "el9"), of("b", "el9", rare)}, rehearsal.Wish{Agents: "gpu && any"}, "b", ""},
		"never below the floor":         {[]rehearsal.Offer{of("a", "el8", spare(1)), of("b", "el9", spare(1)), of("c", "el9", spare(1))}, rehearsal.Wish{}, "b", "spare no more"},
		"none that can be spared":       {[]rehearsal.Offer{of("a", "el9", spare(0))}, rehearsal.Wish{}, "", "spare no more"},
		"each controller keeps its own": {[]rehearsal.Offer{of("a", "el8", on("east", 1)), of("b", "el9", on("east", 1), later), of("c", "el9", on("west", 1))}, rehearsal.Wish{}, "c a", ""},
		"another controller can spare":  {[]rehearsal.Offer{of("a", "el9", on("east", 0)), of("b", "el9", on("west", 1), later)}, rehearsal.Wish{}, "b", ""},
		"none of its controller":        {[]rehearsal.Offer{of("a", "el8", on("east", 1)), of("b", "el8", on("east", 1)), of("c", "el9", on("east", 1))}, rehearsal.Wish{}, "a", "spare no more"},
		"no more than asked for":        {[]rehearsal.Offer{of("a", "el8"), of("b", "el9")}, rehearsal.Wish{Most: 1}, "a", "no more than 1"},
		"an account of its own":         {[]rehearsal.Offer{of("a", "el9", shared), of("b", "el9", later)}, rehearsal.Wish{Isolated: true}, "b", ""},
		"no account of its own":         {[]rehearsal.Offer{of("a", "el9", shared)}, rehearsal.Wish{Isolated: true}, "", "account of the lender"},
		"root is refused by default":    {[]rehearsal.Offer{of("a", "el9")}, rehearsal.Wish{Root: []string{"mounts"}}, "", "root in 'mounts'"},
		"root where it is made anew":    {[]rehearsal.Offer{of("a", "el9", root(loan.Root{Rule: loan.RootReimage}))}, rehearsal.Wish{Root: []string{"mounts"}}, "a", ""},
		"root from an unapproved ref":   {[]rehearsal.Offer{of("a", "el9", root(loan.Root{Rule: loan.RootApproved, Refs: []string{"refs/heads/main"}}))}, rehearsal.Wish{Root: []string{"mounts"}, Ref: "refs/changes/1"}, "", "is none"},
		"what no report tells is kind":  {[]rehearsal.Offer{of("a", "", func(o *rehearsal.Offer) { o.Arch = "" }), of("b", "el9")}, rehearsal.Wish{}, "a b", ""},
	} {
		before := slices.Clone(tc.offers)
		chosen, gaps := rehearsal.Choose(tc.offers, tc.wish)
		var names []string
		for _, o := range chosen {
			names = append(names, o.Agent)
		}
		if got := strings.Join(names, " "); got != tc.want {
			t.Errorf("%s: chosen are %q, want %q", name, got, tc.want)
		}
		if (len(gaps) == 0) != (tc.gaps == "") || len(gaps) > 1 || len(gaps) == 1 && !strings.Contains(gaps[0].String(), tc.gaps) {
			t.Errorf("%s: not covered is %v, want %q", name, gaps, tc.gaps)
		}
		for i := range before {
			if before[i].Agent != tc.offers[i].Agent {
				t.Errorf("%s: the offers were changed", name)
			}
		}
	}
}
