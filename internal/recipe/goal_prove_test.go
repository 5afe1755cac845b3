// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestProofsAreRead(t *testing.T) {
	t.Parallel()
	steps := stepsOf(t, `
  - {name: machines, kvm: {nested: true}}
  - {name: any machines, kvm: {}}
  - {name: all, reach: {names: [a.example], servers: ["tcp://b.example:22", {url: "https://c.example/v2/", status: [200, 401]}], wait: 1m, tries: 5, direct: true}}
  - {name: clock, time: {against: ["ntp://ntp.example", "https://jenkins.example/"], within: 5s, synchronised: true}}
  - {name: containers, engine: {sockets: [/run/docker.sock], image: "quay.io/ci/tools:1", run: [echo, "a b"], says: a b, network: bridge, wait: 2m, pull: true}}
`)
	want := []spec.Goal{
		{KVM: &spec.KVM{Nested: true}},
		{KVM: &spec.KVM{}},
		{Reach: &spec.Reach{
			Names: []string{"a.example"}, Wait: 60, Tries: 5, Direct: true,
			Servers: []spec.Endpoint{{URL: "tcp://b.example:22"}, {URL: "https://c.example/v2/", Status: []int{200, 401}}},
		}},
		{Time: &spec.Time{Against: []string{"ntp://ntp.example", "https://jenkins.example/"}, Within: 5, Synchronised: true}},
		{Engine: &spec.Engine{
			Sockets: []string{"/run/docker.sock"}, Image: "quay.io/ci/tools:1", Run: []string{"echo", "a b"}, Says: "a b", Network: "bridge", Wait: 120, Pull: true,
		}},
	}
	for i, w := range want {
		if diff := cmp.Diff(w, *steps[i].Goal); diff != "" {
			t.Errorf("step %s (-want +got):\n%s", steps[i].Name, diff)
		}
	}
}

func TestWrongProofsAreRefused(t *testing.T) {
	t.Parallel()
	got := problemsOf(`
  - {name: a, kvm: {nested: perhaps}}
  - {name: b, reach: {names: ["-a", "a b"], servers: ["ftp://x/", {status: [401]}, {url: "tcp://a:1", status: [200]}, {url: "http://a/", status: [100]}], wait: 0s, tries: 0}}
  - {name: c, time: {against: ["tcp://a:1", "ntp://a/b"]}}
  - {name: d, time: {within: 5s}}
  - {name: e, time: {against: ["ntp://a"], within: 0s}}
  - {name: f, reach: {servers: ["ntp://a"]}}
  - {name: g, engine: {}}
  - {name: h, engine: {image: "quay.io/ci/*", network: "container:x"}}
  - {name: i, engine: {image: "quay.io/ci/"}}
`)
	want := []string{
		`5: $.setup[0].kvm.nested: want true or false, not text`,
		`6: $.setup[1].reach.names[0]: "-a": want the name of a host`,
		`6: $.setup[1].reach.names[1]: "a b": want the name of a host`,
		`6: $.setup[1].reach.servers[0]: "ftp://x/": want a URL as tcp://host:port, ntp://host, http://host/path or https://host/path`,
		`6: $.setup[1].reach.servers[1]: the field "url" is missing`,
		`6: $.setup[1].reach.servers[2].url: tcp answers with no status; write the URL alone`,
		`6: $.setup[1].reach.servers[3].status[0]: want a status of HTTP, as 401`,
		`7: $.setup[2].time.against[0]: "tcp://a:1": a connection tells no time; want ntp://host, http://host/ or https://host/`,
		`7: $.setup[2].time.against[1]: "ntp://a/b": ntp knows no path`,
		`8: $.setup[3].time: the field "against" is missing: who knows the time?`,
		`9: $.setup[4].time.within: 0s: want whole seconds from 1s to 24h0m0s`,
		`9: $.setup[4].time: the field "within" is missing: by how much may the clock differ?`,
		`11: $.setup[6].engine: the field "image" is missing: what is to be run?`,
		`12: $.setup[7].engine.image: "quay.io/ci/*": want one image, not several`,
		`12: $.setup[7].engine.network: "container:x": want the name of a network, as bridge`,
		`13: $.setup[8].engine.image: "quay.io/ci/": want one image, not several`,
		`10: $.setup[5].reach.servers[0]: servers of ntp are asked by the goal "time"`,
		`6: $.setup[1].reach.tries: want one try at least`,
		`6: $.setup[1].reach.wait: 0s: want whole seconds from 1s to 10m0s`,
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestVerifyingPullsNoImage(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte(`version: 1
name: pull
setup:
  - {name: a, run: "true"}
verify:
  - {name: b, engine: {image: "a:1", pull: true}}
`), opener(nil))
	const want = `r.yaml:6:5: $.verify[0]: the verify phase changes nothing, so it pulls no image; let a step of the setup phase pull it`
	if err == nil || err.Error() != want {
		t.Errorf("%v; want %s", err, want)
	}
}
