// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/rtnetlink"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// TestLinksOfKindsThatTheKernelHereLacks has a machine with bonds, VLANs, dummies and a VRF as data: kernels that the
// tests run on may have none of them.
func TestLinksOfKindsThatTheKernelHereLacks(t *testing.T) {
	t.Parallel()
	physical := func(index int, name string, master int) rtnetlink.Link {
		return rtnetlink.Link{Index: index, Name: name, Master: master}
	}
	made := func(index int, name, kind string, lower int) rtnetlink.Link {
		return rtnetlink.Link{Index: index, Name: name, Kind: kind, Lower: lower}
	}
	way := func(bits int, links ...int) rtnetlink.Route {
		return rtnetlink.Route{Bits: bits, Unicast: true, Links: links}
	}
	for name, c := range map[string]struct {
		links  []rtnetlink.Link
		routes []rtnetlink.Route
		hops   []rtnetlink.Hop
		goes   string   // in order
		stays  []string // how what is said of each begins
		notes  string
	}{
		"a bond with physical members": {
			links: []rtnetlink.Link{physical(2, "eth0", 0), physical(3, "eth1", 9), made(9, "ci-bond", "bond", 0)},
			goes:  "ci-bond",
		},
		"a VLAN, what it stands on first": {
			links: []rtnetlink.Link{made(4, "ci-bond", "bond", 0), made(5, "ci-bond.7", "vlan", 4), made(6, "ci-mac", "macvlan", 5)},
			goes:  "ci-mac ci-bond.7 ci-bond",
		},
		"a VLAN on a physical device": {
			links: []rtnetlink.Link{physical(2, "eth0", 0), made(5, "ci-eth0.7", "vlan", 2)}, routes: []rtnetlink.Route{way(0, 2)},
			goes: "ci-eth0.7",
		},
		"below a VLAN that is the way": {
			links:  []rtnetlink.Link{physical(2, "ci-eth0", 4), made(4, "ci-bond", "bond", 0), made(5, "bond.7", "vlan", 4)},
			routes: []rtnetlink.Route{way(0, 5)},
			stays:  []string{"ci-bond: a default route leads over bond.7, which belongs together with it"},
			notes:  "ci-eth0 has an owned name",
		},
		"the VRF that the way is a member of": {
			links:  []rtnetlink.Link{physical(2, "eth0", 4), made(4, "ci-vrf", "vrf", 0), {Index: 5, Name: "ci-dummy", Kind: "dummy", Master: 4}},
			routes: []rtnetlink.Route{way(0, 2)},
			goes:   "ci-dummy",
			stays:  []string{"ci-vrf: a default route leads over eth0"},
		},
		"members of a bridge that is the way, and what those stand on": {
			links: []rtnetlink.Link{
				made(4, "br0", "bridge", 0), {Index: 5, Name: "ci-vlan", Kind: "vlan", Lower: 6, Master: 4}, made(6, "ci-team", "team", 0), physical(7, "eth0", 6),
			},
			routes: []rtnetlink.Route{way(0, 4)},
			stays:  []string{"ci-vlan: a default route leads over br0", "ci-team: a default route leads over br0"},
		},
		"a way through a group of next hops": {
			links:  []rtnetlink.Link{made(4, "ci-a", "dummy", 0), made(5, "ci-b", "dummy", 0), made(6, "ci-c", "dummy", 0)},
			routes: []rtnetlink.Route{{Unicast: true, Hop: 30}}, hops: []rtnetlink.Hop{{ID: 10, Link: 4}, {ID: 20, Link: 5}, {ID: 30, Group: []uint32{10, 20}}, {ID: 40, Link: 6}},
			goes: "ci-c", stays: []string{"ci-a: a default route leads over it", "ci-b: a default route leads over it"},
		},
		"routes that are no default": {
			links:  []rtnetlink.Link{made(4, "ci-a", "dummy", 0)},
			routes: []rtnetlink.Route{way(2, 4), {IPv6: true, Bits: 4, Unicast: true, Links: []int{4}}, {Links: []int{4}}},
			goes:   "ci-a",
		},
		"public IPv6 as a whole": {
			links: []rtnetlink.Link{made(4, "ci-a", "dummy", 0)}, routes: []rtnetlink.Route{{IPv6: true, Bits: 3, Unicast: true, Links: []int{4}}},
			stays: []string{"ci-a: a default route leads over it"},
		},
		"links of drivers and of other programs": {
			links: []rtnetlink.Link{made(4, "ci-can", "can", 0), made(5, "ci-ovs", "openvswitch", 0)},
			stays: []string{"ci-can: links of the kind can are not removed", "ci-ovs: links of the kind openvswitch are not removed"},
		},
		"under one that stays": {
			links: []rtnetlink.Link{made(4, "ci-a", "dummy", 0), made(5, "ci-b", "macvlan", 4), made(6, "other", "vlan", 5)},
			stays: []string{"ci-b: other, which stands on it, is not owned and would go along", "ci-a: ci-b, which stands on it, stays: other"},
		},
		"on the number of a link in another namespace": {
			links: []rtnetlink.Link{made(4, "ci-a", "dummy", 0), {Index: 6, Name: "other", Kind: "macvlan", Lower: 4, Afar: true}},
			goes:  "ci-a",
		},
		"a ring, which no kernel makes": {
			links: []rtnetlink.Link{made(4, "ci-a", "vlan", 5), made(5, "ci-b", "vlan", 4)},
			goes:  "ci-a ci-b",
		},
		"the loopback and the kernel's own": {
			links: []rtnetlink.Link{{Index: 1, Name: "ci-lo", Kind: "dummy", Loopback: true}, made(2, "sit0", "sit", 0)},
			notes: "ci-lo has an owned name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			owned := spec.Ownership{Names: []string{"ci-*", "sit?"}}
			step := scrub.NewInterfacesOf(owned, c.links, c.routes, c.hops)
			r, err := scrub.Reach(t.Context(), spec.KindNetwork, step, scrub.Plan)
			if err != nil {
				t.Fatal(err)
			}
			var goes []string
			for _, found := range r.Found {
				goes = append(goes, found.ID)
			}
			if got := strings.Join(goes, " "); got != c.goes {
				t.Errorf("goes: %q; want %q", got, c.goes)
			}
			for i, p := range r.Problems {
				if said := p.ID + ": " + p.Why; i >= len(c.stays) || !strings.HasPrefix(said, c.stays[i]) {
					t.Errorf("stays: %q; want %q", said, c.stays)
				}
			}
			if len(r.Problems) != len(c.stays) {
				t.Errorf("%d stay; want %q", len(r.Problems), c.stays)
			}
			if !strings.Contains(strings.Join(r.Notes, "\n"), c.notes) {
				t.Errorf("notes: %q; want %q", r.Notes, c.notes)
			}
		})
	}
}

// TestNoLinkGoesWhileAWayIsUntold: a filter of system calls, or an emulator, answers for routes and not for the next hops that they refer to.
func TestNoLinkGoesWhileAWayIsUntold(t *testing.T) {
	t.Parallel()
	links := []rtnetlink.Link{{Index: 4, Name: "ci-a", Kind: "dummy"}, {Index: 5, Name: "ci-b", Kind: "dummy"}}
	way := rtnetlink.Route{Unicast: true, Hop: 30}
	told := rtnetlink.Route{Unicast: true, Hop: 30, Links: []int{4}} // with nexthop_compat_mode, which is the default
	group := rtnetlink.Hop{ID: 30, Group: []uint32{10, 20}}
	for name, c := range map[string]struct {
		route rtnetlink.Route
		hops  []rtnetlink.Hop
		goes  int
		says  string
	}{
		"no hop is told":             {route: way, says: "a default route leads over next hop 30, and the kernel does not tell by which links"},
		"only others are":            {route: way, hops: []rtnetlink.Hop{{ID: 10, Link: 4}}, says: "next hop 30"},
		"a member of a group is not": {route: way, hops: []rtnetlink.Hop{group, {ID: 10, Link: 4}}, says: "next hop 30"},
		"the route tells by itself":  {route: told, goes: 1, says: "ci-a: a default route leads over it"},
		"it leads nowhere":           {route: way, hops: []rtnetlink.Hop{{ID: 30}}, goes: 2},
		"it is no default":           {route: rtnetlink.Route{Unicast: true, Hop: 30, Bits: 8}, goes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := scrub.NewInterfacesOf(spec.Ownership{Names: []string{"ci-*"}}, links, []rtnetlink.Route{c.route}, c.hops)
			r, _ := scrub.Reach(t.Context(), spec.KindNetwork, step, scrub.Plan) // the result says why
			goes := 0
			for _, found := range r.Found {
				if found.Kind == "link" {
					goes++
				}
			}
			if text := r.Reason + said(r); goes != c.goes || !strings.Contains(text, c.says) {
				t.Errorf("%d go: %s; want %d, %q", goes, text, c.goes, c.says)
			}
		})
	}
}
