// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

var networkOfCI = spec.Spec{Owned: spec.Ownership{Names: []string{"ci-*", "vdsm-test"}}, Goal: spec.Goal{Network: &spec.Network{}}}

// ownNetwork is ownNamespaces with a network of its own, and room for names of namespaces.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if !ownNamespaces(t, syscall.CLONE_NEWNET) {
		return false
	}
	if err := unix.Mount("none", "/run", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	return true
}

// linksThere are the names of the links by the word of ip.
func linksThere(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("ip", "-o", "link", "show").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
		if name = strings.TrimSuffix(name, ":"); name != "lo" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func TestOwnedLinksAreRemoved(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	const bridge = "ip link add ci-br type bridge; ip link set ci-br up; ip addr add 10.9.0.1/24 dev ci-br; "
	for name, c := range map[string]struct {
		build string
		stays string // of what is owned or would go along
		says  string
	}{
		"a bridge": {build: bridge},
		"a bridge with routes that are no default": {build: bridge + "ip route add 10.10.0.0/16 via 10.9.0.2"},
		"a bridge whose member is released":        {build: bridge + "ip link add mem type ifb; ip link set mem master ci-br", stays: "mem"},
		"both ends of a pair":                      {build: "ip link add ci-v0 type veth peer name ci-v1"},
		"a pair that reaches into another namespace": {
			build: "ip netns add other; ip link add ci-v0 type veth peer name eth0; ip link set eth0 netns other; ip -n other route add default dev eth0 2>/dev/null || :",
		},
		"one end of a pair only":                {build: "ip link add ci-v0 type veth peer name mine", stays: "ci-v0 mine", says: "ci-v0: mine, which is its other end, is not owned"},
		"on a link of others":                   {build: "ip link add low type ifb; ip link add ci-mv link low type macvlan", stays: "low"},
		"under a link of ours":                  {build: bridge + "ip link add ci-mv link ci-br type macvlan"},
		"under a link of others":                {build: bridge + "ip link add mv link ci-br type macvlan", stays: "ci-br mv", says: "ci-br: mv, which stands on it, is not owned"},
		"a tap, a tunnel and a whole name":      {build: "ip tuntap add ci-tap mode tap; ip link add ci-vx type vxlan id 5 dstport 4789; ip link add vdsm-test type ifb"},
		"names that only begin or end alike":    {build: "ip link add vdsm-test2 type ifb; ip link add ci type ifb; ip link add xci-1 type ifb", stays: "ci vdsm-test2 xci-1"},
		"the way":                               {build: bridge + "ip route add default via 10.9.0.2", stays: "ci-br", says: "ci-br: a default route leads over it"},
		"the way of IPv6 in a table of its own": {build: bridge + "ip -6 route add default dev ci-br table 77", stays: "ci-br", says: "ci-br: a default route leads over it"},
		"the halves of the way":                 {build: bridge + "ip route add 128.0.0.0/1 via 10.9.0.2", stays: "ci-br", says: "ci-br: a default route"},
		"one of several ways": {
			build: bridge + "ip link add ci-b2 type bridge; ip link set ci-b2 up; ip addr add 10.8.0.1/24 dev ci-b2; ip route add default nexthop via 10.9.0.2 nexthop via 10.8.0.2",
			stays: "ci-b2 ci-br", says: "ci-b2: a default route leads over it",
		},
		"a way by the number of a next hop": {
			build: bridge + "echo 0 >/proc/sys/net/ipv4/nexthop_compat_mode; ip nexthop add id 5 via 10.9.0.2 dev ci-br; ip route add default nhid 5",
			stays: "ci-br", says: "ci-br: a default route leads over it",
		},
		"a member of the way": {
			build: "ip link add br0 type bridge; ip link set br0 up; ip addr add 10.9.0.1/24 dev br0; ip route add default via 10.9.0.2; ip tuntap add ci-tap mode tap; ip link set ci-tap master br0",
			stays: "br0 ci-tap", says: "ci-tap: a default route leads over br0",
		},
		"below the way": {
			build: bridge + "ip link add mv link ci-br type macvlan; ip link set mv up; ip route add default dev mv", stays: "ci-br mv", says: "ci-br: a default route leads over mv",
		},
		"the other end of the way": {
			build: "ip link add ci-v0 type veth peer name up0; ip link set up0 up; ip route add default dev up0", stays: "ci-v0 up0", says: "ci-v0: a default route leads over up0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			p.run(t, "ip link add guard type bridge; ip link add gv0 type veth peer name gv1; ip link set gv1 master guard; "+c.build)
			before := linksThere(t)
			t.Cleanup(func() {
				_ = exec.Command("ip", "netns", "del", "other").Run()
				for _, link := range linksThere(t) {
					_ = exec.Command("ip", "link", "del", link).Run()
				}
			})
			if r := do(t, networkOfCI, scrub.Plan); !slices.Equal(linksThere(t), before) {
				t.Errorf("a plan removed some: %+v", r)
			}
			r := do(t, networkOfCI, scrub.Do)
			want := append(strings.Fields(c.stays), "guard", "gv0", "gv1")
			slices.Sort(want)
			if got := linksThere(t); !slices.Equal(got, want) {
				t.Errorf("there: %q; want %q (%s)", got, want, said(r))
			}
			if unmet := r.State == spec.Unmet; unmet != (c.says != "") || !strings.Contains(said(r), c.says) {
				t.Errorf("%s: %s; want it to say %q", r.State, said(r), c.says)
			}
			if again := do(t, networkOfCI, scrub.Do); again.State == spec.Changed || c.says == "" && again.State != spec.Unchanged {
				t.Errorf("a second run at once: %+v", again)
			}
		})
	}
}

// TestALinkThatIsAnotherByNowStays: between the look and the removal somebody gave it a name that is not owned, or came in its place.
func TestALinkThatIsAnotherByNowStays(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "ip link add ci-renamed type ifb; ip link add ci-going type ifb; ip link add ci-replaced type ifb")
	step, err := scrub.New(networkOfCI, scrub.Here{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := step.Look(t.Context())
	if err != nil || len(found) != 3 {
		t.Fatalf("found %+v, %v", found, err)
	}
	p.run(t, "ip link set ci-renamed name mine; ip link del ci-replaced; ip link add ci-replaced type ifb")
	if err := errors.Join(step.Mend(t.Context(), found)...); err != nil {
		t.Error(err)
	}
	if left := linksThere(t); !slices.Equal(left, []string{"ci-replaced", "mine"}) {
		t.Errorf("left %q; want ci-replaced, which the next look finds, and mine", left)
	}
}

func TestNetworkNeedsRootToChange(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	newPlot(t).run(t, "ip link add ci-br type bridge; ip netns add ci-ns")
	r := reachAs(t, uidOf(t, "games"), networkOfCI, scrub.Here{}, scrub.Do)
	for _, want := range []string{"ci-br: this needs root", "/run/netns/ci-ns: this needs root", "nftables: to list its rules needs root"} {
		if !strings.Contains(said(r), want) {
			t.Errorf("%s: %s; want it to say %q", r.State, said(r), want)
		}
	}
	if r.State != spec.Unmet || !slices.Equal(linksThere(t), []string{"ci-br"}) || times(t, "/run/netns/ci-ns") == 0 {
		t.Errorf("%+v; there: %q", r, linksThere(t))
	}
	if r := reachAs(t, uidOf(t, "games"), networkOfCI, scrub.Here{}, scrub.Plan); r.State != spec.Planned || len(r.Found) != 2 {
		t.Errorf("plan: %+v; want the link and the namespace", r)
	}
}

func TestOwnedNamespacesAreGivenUp(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	for name, c := range map[string]struct {
		build, leave string
		stays        bool
		says         string
	}{
		"one that nobody is in":          {build: "ip netns add ci-a; ip -n ci-a link add br9 type bridge"},
		"a whole name":                   {build: "ip netns add vdsm-test"},
		"a name that is left over":       {build: "mkdir -p /run/netns; : >/run/netns/ci-a"},
		"mounted twice":                  {build: "ip netns add ci-a; mount --bind /run/netns/ci-a /run/netns/ci-a"},
		"a name that only begins alike":  {build: "ip netns add vdsm-test2", stays: true},
		"lived in":                       {build: "ip netns add ci-a", leave: "exec ip netns exec ci-a sh -c 'echo; exec sleep 600'", stays: true, says: "in it lives process "},
		"held open":                      {build: "ip netns add ci-a", leave: "exec 7</run/netns/ci-a; echo; exec sleep 600", stays: true, says: "it is held open by process "},
		"something else that is mounted": {build: "mkdir -p /run/netns/ci-a; mount -t tmpfs t /run/netns/ci-a", stays: true, says: "but tmpfs"},
		"another kind of namespace":      {build: "mkdir -p /run/netns; : >/run/netns/ci-a; mount --bind /proc/self/ns/uts /run/netns/ci-a", stays: true, says: "but nsfs uts:["},
		"a link":                         {build: "mkdir -p /run/netns; ln -s /etc /run/netns/ci-a", stays: true, says: "no file as namespaces are mounted on"},
		"a file with content":            {build: "mkdir -p /run/netns; echo x >/run/netns/ci-a", stays: true, says: "a file with content"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			t.Cleanup(func() {
				tidy := "for n in /run/netns/*; do while umount $n; do :; done; rm -rf $n; done; while umount /run/netns; do :; done"
				_ = exec.Command("sh", "-c", tidy).Run()
			})
			p.run(t, "ip netns add other; ip -n other link add ci-inside type bridge; "+c.build)
			if c.leave != "" {
				p.leave(t, c.leave)
			}
			there := func() string { return p.run(t, "ls /run/netns") + fmt.Sprint(mounted(t)) }
			before := there()
			if r := do(t, networkOfCI, scrub.Plan); there() != before {
				t.Errorf("a plan gave one up: %+v", r)
			}
			r := do(t, networkOfCI, scrub.Do)
			if c.stays && there() != before || !c.stays && p.run(t, "ls /run/netns") != "other" {
				t.Errorf("there: %s; before: %s", there(), before)
			}
			want := spec.Changed
			if c.says != "" {
				want = spec.Unmet
			} else if c.stays {
				want = spec.Unchanged
			}
			if r.State != want || !strings.Contains(said(r), c.says) {
				t.Errorf("%s: %s; want %s, %q", r.State, said(r), want, c.says)
			}
			if got := p.run(t, "ip -n other -o link show ci-inside | wc -l"); got != "1" {
				t.Errorf("guard: a link in a namespace of others is there %s times", got)
			}
			if again := do(t, networkOfCI, scrub.Do); again.State == spec.Changed {
				t.Errorf("a second run at once: %+v", again)
			}
		})
	}
}

// rules are all rules by the word of the programs, without what changes by itself.
func rules(t *testing.T) string {
	t.Helper()
	return newPlot(t).run(t, "nft list ruleset 2>/dev/null; for p in iptables-legacy-save ip6tables-legacy-save; do $p | grep -v ^#; done || :")
}

const guardRules = `
	nft -f - <<'END'
	table inet guard {
		set s { type ipv4_addr; elements = { 10.0.0.1 } }
		chain keep { counter accept; }
		chain ci2 { accept; }
		chain in { type filter hook input priority 0; tcp dport 22 jump keep; ip saddr @s accept; }
	}
	table ip vdsm-test2 { chain c { accept; }; }
END
	iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -m comment --comment "a -j ci-x" -j DOCKER-USER
	iptables-legacy -N KEEP; iptables-legacy -A INPUT -p tcp --dport 22 -m comment --comment 'say "-j ci-x"' -j KEEP
	iptables-legacy -t nat -A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE; ip6tables-legacy -N KEEP6
	`

func TestOwnedRulesAreRemoved(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	newPlot(t).run(t, guardRules)
	before := rules(t)
	for name, build := range map[string]string{
		"a table":                   "nft add table inet ci-t; nft add chain inet ci-t c '{ type filter hook input priority 5; }'; nft add rule inet ci-t c accept",
		"a whole name":              "nft add table bridge vdsm-test",
		"a chain of others' table":  "nft add chain inet guard ci-c; nft add rule inet guard ci-c accept",
		"a chain with a hook":       "nft add chain inet guard ci-c '{ type filter hook output priority 5; }'; nft add rule inet guard ci-c accept",
		"a chain that is jumped to": "nft add chain inet guard ci-c; nft insert rule inet guard in tcp dport 80 counter jump ci-c; nft add rule inet guard keep goto ci-c",
		"chains that jump to each other": `nft add chain inet guard ci-a; nft add chain inet guard ci-b; nft add rule inet guard ci-a jump ci-b
			nft add rule inet guard ci-b tcp dport vmap { 1 : goto ci-c, 2 : accept } 2>/dev/null || { nft add chain inet guard ci-c; nft add rule inet guard ci-b tcp dport vmap '{ 1 : goto ci-c, 2 : accept }'; }; nft add rule inet guard in jump ci-a`,
		"chains of iptables-nft": "iptables-nft -N ci-n; iptables-nft -A ci-n -j ACCEPT; iptables-nft -I FORWARD -p tcp -m tcp --dport 80 -j ci-n; iptables-nft -A DOCKER-USER -g ci-n",
		"chains of iptables-legacy": `iptables-legacy -N ci-a; iptables-legacy -N ci-b; iptables-legacy -A ci-a -j ci-b;
			iptables-legacy -I INPUT -m comment --comment 'it'"'"'s a "b" \ c' -j ci-a; iptables-legacy -A KEEP -s 10.0.0.1 -g ci-b; ip6tables-legacy -N ci-6; ip6tables-legacy -A INPUT -j ci-6
			iptables-legacy -t nat -N ci-a; iptables-legacy -t nat -I POSTROUTING -o lo -j ci-a`,
	} {
		t.Run(name, func(t *testing.T) {
			newPlot(t).run(t, build)
			built := rules(t)
			if r := do(t, networkOfCI, scrub.Plan); built == before || rules(t) != built {
				t.Errorf("a plan changed them: %+v", r)
			}
			r := do(t, networkOfCI, scrub.Do)
			if after := rules(t); r.State != spec.Changed || after != before {
				t.Errorf("%s: %s; rules:\n%s\nwant:\n%s", r.State, said(r), after, before)
			}
			if again := do(t, networkOfCI, scrub.Do); again.State != spec.Unchanged {
				t.Errorf("a second run at once: %+v", again)
			}
		})
	}
}

// TestRulesOfOthersThatLeadToOursStay: what leads to others as well cannot be removed for our sake.
func TestRulesOfOthersThatLeadToOursStay(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	p := newPlot(t)
	p.run(t, guardRules+`nft add chain inet guard ci-map; nft add chain inet guard ci-rule; nft add chain inet guard ci-free
		nft add map inet guard m '{ type inet_service : verdict; elements = { 1 : jump ci-map, 2 : accept }; }'
		nft add rule inet guard in tcp dport vmap '{ 1 : jump ci-rule, 2 : jump keep }'
		iptables-legacy -N ci-odd; iptables-legacy -A INPUT -m comment --comment -j -j ci-odd`)
	built := rules(t)
	r := do(t, networkOfCI, scrub.Do)
	for _, want := range []string{"chain inet guard ci-map: the map m of its table leads to it", "chain inet guard ci-rule: a rule of the chain in", "iptables filter ci-odd: "} {
		if !strings.Contains(said(r), want) {
			t.Errorf("it says %s; want %q", said(r), want)
		}
	}
	want := strings.Replace(built, "\n\tchain ci-free {\n\t}\n", "", 1)
	if after := rules(t); r.State != spec.Unmet || r.Removed != 1 || strings.ReplaceAll(after, "\n\n", "\n") != strings.ReplaceAll(want, "\n\n", "\n") {
		t.Errorf("%s, %d gone; rules:\n%s\nwant:\n%s", r.State, r.Removed, after, want)
	}
}

// TestRulesGoWithoutNFT: a machine with iptables-nft alone has its chains removed by that.
func TestRulesGoWithoutNFT(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	p := newPlot(t)
	tools := filepath.Join(p.owned, "bin")
	if err := os.Mkdir(tools, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			path, err := exec.LookPath(family + "-nft" + suffix)
			if err == nil {
				err = os.Symlink(path, filepath.Join(tools, family+suffix))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	p.run(t, "iptables-nft -N OTHER; iptables-nft -A INPUT -j OTHER; ip6tables-nft -N OTHER")
	before := rules(t)
	p.run(t, "iptables-nft -N ci-a; iptables-nft -I INPUT -j ci-a; ip6tables-nft -t nat -N ci-b; iptables-legacy -N ci-left")
	r := reach(t, networkOfCI, scrub.Here{Tools: []string{tools}}, scrub.Do)
	if r.State != spec.Changed || r.Removed != 2 || !strings.Contains(said(r), "the kernel has tables of iptables-legacy") {
		t.Errorf("%+v", r)
	}
	p.run(t, "iptables-legacy -X ci-left")
	after := strings.Replace(rules(t), "table ip6 nat {\n}\n", "", 1)
	if got, _, _ := strings.Cut(after, "*filter"); !strings.Contains(before, "OTHER") || strings.TrimSpace(got) != strings.TrimSpace(before) {
		t.Errorf("rules:\n%s\nwant:\n%s", after, before)
	}
}

// TestWhatCannotBeListedKeepsNothingElse: a program that fails is told, and the links go all the same.
func TestWhatCannotBeListedKeepsNothingElse(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	for name, c := range map[string]struct {
		nft   string
		state spec.State
		says  string
	}{
		"it fails":                       {"echo 'out of luck' >&2; exit 1", spec.Unmet, "nftables: nft: exit code 1: out of luck"},
		"it answers nonsense":            {"echo '{'", spec.Unmet, "nftables: read what nft lists: "},
		"it is too old and there are":    {"[ $1 != -j ] || { echo 'invalid option -- j' >&2; exit 1; }; echo 'table ip x {}'", spec.Unmet, "it can from version 0.9.0 on"},
		"it is too old and there are no": {"[ $1 != -j ] || { echo 'invalid option -- j' >&2; exit 1; }", spec.Changed, ""},
		"the kernel has none":            {"echo 'cache initialization failed: Operation not supported' >&2; exit 1", spec.Changed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tools := open(t)
			script(t, tools, "nft", c.nft)
			newPlot(t).run(t, "ip link add ci-br type bridge")
			r := reach(t, networkOfCI, scrub.Here{Tools: []string{tools}}, scrub.Do)
			if r.State != c.state || r.Removed != 1 || !strings.Contains(said(r), c.says) || len(linksThere(t)) != 0 {
				t.Errorf("%s, %d gone: %s; there: %q; want %s, %q", r.State, r.Removed, said(r), linksThere(t), c.state, c.says)
			}
		})
	}
}
