// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/rtnetlink"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// fabric is how the links of a namespace hang together.
type fabric struct {
	links map[int]rtnetlink.Link
	ways  []int // the links that default routes lead over
}

// These prefixes are taken for default routes. A VPN halves 0.0.0.0/0 to go before it, and 2000::/3 is all that there is
// of public IPv6 addresses (RFC 4291, IANA's registry).
const (
	defaultBits, defaultBits6 = 1, 3
)

// newFabric refuses what does not tell by which links a default route leads: any could be the one.
func newFabric(all []rtnetlink.Link, routes []rtnetlink.Route, hops []rtnetlink.Hop) (fabric, error) {
	f := fabric{links: make(map[int]rtnetlink.Link, len(all))}
	for _, one := range all {
		f.links[one.Index] = one
	}
	for _, r := range routes {
		bits := defaultBits
		if r.IPv6 {
			bits = defaultBits6
		}
		if !r.Unicast || r.Bits > bits {
			continue
		}
		links, told := ofHop(hops, r.Hop)
		if r.Hop != 0 && !told && len(r.Links) == 0 {
			return f, fmt.Errorf("a default route leads over next hop %d, and the kernel does not tell by which links", r.Hop)
		}
		f.ways = append(append(f.ways, r.Links...), links...)
	}
	return f, nil
}

// ofHop returns the links of a next hop, which may be a group of them; told is whether all are known. Groups of groups do not exist.
func ofHop(hops []rtnetlink.Hop, id uint32) (all []int, told bool) {
	for _, hop := range hops {
		if hop.ID != id || id == 0 {
			continue
		}
		all = append(all, hop.Link)
		members := 0
		for _, member := range hops {
			if slices.Contains(hop.Group, member.ID) {
				all = append(all, member.Link)
				members++
			}
		}
		told = members == len(hop.Group)
	}
	return all, told
}

// virtual are the kinds of links that exist because somebody made them. Others with a kind are made by drivers (can, dsa,
// ipoib, rmnet, wwan), or by somebody who has to be asked to remove them (openvswitch).
var virtual = []string{
	"amt", "bareudp", "batadv", "bond", "bridge", "dummy", "erspan", "geneve", "gre", "gretap", "gtp", "hsr", "ifb", "ip6erspan", "ip6gre",
	"ip6gretap", "ip6tnl", "ipip", "ipvlan", "ipvtap", "macsec", "macvlan", "macvtap", "netdevsim", "netkit", "nlmon", "sit", "team", "tun",
	"vcan", "veth", "vlan", "vrf", "vti", "vti6", "vxcan", "vxlan", "wireguard", "xfrm",
}

// pairs are the kinds whose links come in twos. Neither end outlives the other.
var pairs = []string{"netkit", "veth", "vxcan"}

// kernels are links that the kernel makes itself when it learns a kind of tunnel. They cannot be removed.
var kernels = []string{"erspan0", "gre0", "gretap0", "ip6_vti0", "ip6gre0", "ip6tnl0", "ip_vti0", "sit0", "tunl0"}

// ours returns the links with owned names, those that stand on others first, and apart from them those that nobody made.
func (f fabric) ours(owned spec.Ownership) (made, physical []rtnetlink.Link) {
	for _, index := range slices.Sorted(maps.Keys(f.links)) {
		one := f.links[index]
		switch {
		case !owned.Named(one.Name):
		case one.Kind == "" || one.Loopback || slices.Contains(kernels, one.Name):
			physical = append(physical, one)
		default:
			made = append(made, one)
		}
	}
	slices.SortStableFunc(made, func(a, b rtnetlink.Link) int { return cmp.Compare(f.height(b), f.height(a)) })
	return made, physical
}

// height is on how many links one stands.
func (f fabric) height(one rtnetlink.Link) int {
	n := 0
	for ; n < len(f.links) && !slices.Contains(pairs, one.Kind); n++ {
		below, ok := f.below(one)
		if !ok {
			break
		}
		one = below
	}
	return n
}

// below returns the link that one stands on, or its other end.
func (f fabric) below(one rtnetlink.Link) (rtnetlink.Link, bool) {
	lower, ok := f.links[one.Lower]
	return lower, ok && !one.Afar
}

// stays says of each of ours that has to stay why.
func (f fabric) stays(ours []rtnetlink.Link) map[int]string {
	why := map[int]string{}
	carriers := f.carriers()
	for _, one := range ours {
		switch way := carriers[one.Index]; {
		case way == one.Name:
			why[one.Index] = "a default route leads over it"
		case way != "":
			why[one.Index] = "a default route leads over " + shown(way) + ", which belongs together with it"
		case !slices.Contains(virtual, one.Kind):
			why[one.Index] = "links of the kind " + shown(one.Kind) + " are not removed"
		}
	}
	for changed := true; changed; {
		changed = false
		for _, one := range ours {
			if reason := f.takesAlong(one, ours, why); reason != "" && why[one.Index] == "" {
				why[one.Index], changed = reason, true
			}
		}
	}
	return why
}

// takesAlong says what would go along with a link and must not; "" if nothing.
func (f fabric) takesAlong(one rtnetlink.Link, ours []rtnetlink.Link, why map[int]string) string {
	for _, index := range slices.Sorted(maps.Keys(f.links)) {
		other := f.links[index]
		if below, ok := f.below(other); !ok || below.Index != one.Index {
			continue
		}
		how := shown(other.Name) + ", which stands on it, "
		if slices.Contains(pairs, one.Kind) && one.Lower == other.Index {
			how = shown(other.Name) + ", which is its other end, "
		}
		switch {
		case !slices.ContainsFunc(ours, func(o rtnetlink.Link) bool { return o.Index == other.Index }):
			return how + "is not owned and would go along"
		case why[other.Index] != "":
			return how + "stays: " + why[other.Index]
		}
	}
	return ""
}

// carriers returns for each link that a default route depends on the name of the link that it leads over: those that
// this one stands on, their members (of a bond, of a bridge) and what those stand on, and whatever it is a member of.
func (f fabric) carriers() map[int]string {
	carriers := map[int]string{}
	var down func(index int, way string)
	down = func(index int, way string) {
		one, ok := f.links[index]
		if _, seen := carriers[index]; seen || !ok {
			return
		}
		carriers[index] = way
		if below, ok := f.below(one); ok {
			down(below.Index, way)
		}
		for _, other := range f.links {
			if other.Master == index {
				down(other.Index, way)
			}
		}
	}
	for _, way := range f.ways {
		down(way, f.links[way].Name)
	}
	for _, way := range f.ways {
		carriers[way] = f.links[way].Name
	}
	for index, way := range maps.Clone(carriers) {
		for master := f.links[index].Master; master != 0 && carriers[master] == ""; master = f.links[master].Master {
			carriers[master] = way
		}
	}
	delete(carriers, 0)
	return carriers
}
