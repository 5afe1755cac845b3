// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

var ci = map[string]string{"ci": "yes"}

// engineCase is what an engine has before, what is asked, and what it has afterwards beyond its own networks.
type engineCase struct {
	build func(e *fakeEngine)
	owned spec.Ownership
	goal  spec.Containers
	self  []string // the containers that we live in
	lost  bool
	want  []string
	notes []string // parts of remarks
}

var engineCases = map[string]engineCase{
	"labels and names own, and nothing else": {
		build: func(e *fakeEngine) {
			e.add(box{name: "a", labels: ci}, box{name: "ci-b", state: "exited"}, box{name: "c", labels: map[string]string{"ci": "no"}}, box{name: "not-ci-d"})
			e.volumes = map[string]map[string]string{"a": ci, "ci-b": nil, "other": nil}
			e.networks["n"], e.networks["ci-n"], e.networks["other"] = ci, nil, nil
		},
		owned: spec.Ownership{Labels: []string{"ci=yes"}, Names: []string{"ci-*"}},
		want:  []string{"container c", "container not-ci-d", "network other", "volume other"},
	},
	"an engine of ours is emptied, but for what is kept": {
		build: func(e *fakeEngine) {
			e.add(box{name: "a"}, box{name: "mirror", volumes: []string{"mirror-data"}, networks: []string{"mirror-net"}, image: "registry"}, box{name: "mirror2"})
			e.volumes = map[string]map[string]string{"a": nil, "mirror-data": nil, "cache-maven": nil}
			e.networks["a"], e.networks["mirror-net"] = nil, nil
			e.addImages(fakeImage{id: "registry", tags: []string{"registry:2"}}, fakeImage{id: "x", tags: []string{"x:1"}}, fakeImage{id: "untagged"})
		},
		goal:  spec.Containers{All: true, Keep: []string{"mirror", "cache-*"}, Images: &spec.Images{}},
		want:  []string{"container mirror", "image registry:2", "network mirror-net", "volume cache-maven", "volume mirror-data"},
		notes: []string{"volume mirror-data is left alone: container mirror stays", "network mirror-net", "image registry:2"},
	},
	"images stay without a policy": {
		build: func(e *fakeEngine) { e.addImages(fakeImage{id: "x", tags: []string{"x:1"}}) },
		goal:  spec.Containers{All: true},
		want:  []string{"image x:1"},
	},
	"the container that we live in stays, and what it needs": {
		build: func(e *fakeEngine) {
			e.add(
				box{name: "agent", labels: ci, uses: []string{idOf("proxy")}, volumes: []string{"home"}, image: "agent"},
				box{name: "proxy", labels: ci, uses: []string{idOf("vpn")}}, box{name: "vpn", labels: ci}, box{name: "leftover", labels: ci},
			)
			e.volumes = map[string]map[string]string{"home": ci, "junk": ci}
			e.addImages(fakeImage{id: "base", tags: []string{"base:1"}, labels: ci}, fakeImage{id: "agent", tags: []string{"agent:1"}, parent: "base", labels: ci})
		},
		owned: spec.Ownership{Labels: []string{"ci"}},
		goal:  spec.Containers{Images: &spec.Images{}},
		self:  []string{idOf("agent")[:12]},
		want:  []string{"container agent", "container proxy", "container vpn", "image agent:1", "image base:1", "volume home"},
		notes: []string{"container agent is left alone: this program or an agent lives in it", "container proxy is left alone: container agent needs it", "vpn"},
	},
	"who cannot tell where it lives empties nothing": {
		build: func(e *fakeEngine) { e.add(box{name: "a"}, box{name: "b"}) },
		goal:  spec.Containers{All: true}, lost: true,
		want:  []string{"container a", "container b"},
		notes: []string{"name that one in keep"},
	},
	"who cannot tell where it lives, but is told": {
		build: func(e *fakeEngine) { e.add(box{name: "a"}, box{name: "b"}) },
		goal:  spec.Containers{All: true, Keep: []string{"a"}}, lost: true,
		want: []string{"container a"},
	},
	"who uses others goes before them": {
		build: func(e *fakeEngine) {
			e.add(
				box{name: "a"}, box{name: "b", uses: []string{idOf("a")}}, box{name: "c", uses: []string{idOf("b")[:12]}}, box{name: "d", uses: []string{"c"}},
			)
		},
		goal: spec.Containers{All: true},
	},
	"what another's container needs stays": {
		build: func(e *fakeEngine) {
			e.add(box{name: "theirs", uses: []string{idOf("ours")}, volumes: []string{"v"}, networks: []string{"n"}, image: "i"}, box{name: "ours", labels: ci})
			e.volumes["v"], e.networks["n"] = ci, ci
			e.addImages(fakeImage{id: "i", tags: []string{"i:1"}, labels: ci})
		},
		owned: spec.Ownership{Labels: []string{"ci"}}, goal: spec.Containers{Images: &spec.Images{}},
		want:  []string{"container ours", "container theirs", "image i:1", "network n", "volume v"},
		notes: []string{"container ours is left alone: container theirs needs it", "volume v", "network n", "image i:1"},
	},
	"pods go with all that is in them": {
		build: func(e *fakeEngine) {
			e.podman = true
			e.pods = map[string]map[string]string{"ours": ci, "theirs": nil}
			e.add(box{name: "ours-infra", pod: "ours"}, box{name: "a", pod: "ours"}, box{name: "theirs-infra", pod: "theirs", labels: ci}, box{name: "b", pod: "theirs"})
			e.add(box{name: "c", pod: "theirs", labels: ci})
		},
		owned: spec.Ownership{Labels: []string{"ci"}},
		want:  []string{"container b", "container theirs-infra", "pod theirs"},
	},
	"the pod that we live in stays": {
		build: func(e *fakeEngine) {
			e.podman = true
			e.pods = map[string]map[string]string{"agent": nil, "other": nil}
			e.add(box{name: "agent-infra", pod: "agent"}, box{name: "a", pod: "agent"}, box{name: "sidecar", pod: "agent"}, box{name: "b", pod: "other"})
		},
		goal: spec.Containers{All: true}, self: []string{idOf("a")},
		want: []string{"container a", "container agent-infra", "container sidecar", "pod agent"}, notes: []string{"pod agent is left alone: a container of it has to survive"},
	},
	"kept images stay, by whatever they are called, and their parents": {
		build: func(e *fakeEngine) {
			e.addImages(
				fakeImage{id: "base"}, fakeImage{id: "middle", parent: "base"}, fakeImage{id: "top", parent: "middle", tags: []string{"quay.io/ci/top:1", "x:1"}},
				fakeImage{id: "digest", digests: []string{"tools@sha256:" + idOf("d")}}, fakeImage{id: "c7", tags: []string{"docker.io/library/centos:7"}},
				fakeImage{id: "c8", tags: []string{"centos:8"}}, fakeImage{id: "ident", tags: []string{"ident:1"}}, fakeImage{id: "own", tags: []string{"localhost/own:3"}},
				fakeImage{id: "parent"}, fakeImage{id: "child", parent: "parent", tags: []string{"quay.io/cis/child:1"}},
			)
		},
		goal: spec.Containers{All: true, Images: &spec.Images{Keep: []string{"quay.io/ci/", "tools@sha256:" + idOf("d"), "centos:7", "sha256:" + idOf("ident"), "own"}}},
		want: []string{
			"image ", "image ", "image docker.io/library/centos:7", "image ident:1", "image localhost/own:3", "image quay.io/ci/top:1 x:1",
			"image tools@sha256:" + idOf("d"),
		},
	},
	"of an image that others name too only the name goes": {
		build: func(e *fakeEngine) {
			e.addImages(fakeImage{id: "i", tags: []string{"ci-app:1", "prod:1"}}, fakeImage{id: "j", tags: []string{"localhost/ci-app:2", "ci-b:1"}}, fakeImage{id: "k", tags: []string{"other/ci-app:1"}})
		},
		owned: spec.Ownership{Names: []string{"ci-*"}}, goal: spec.Containers{Images: &spec.Images{}},
		want: []string{"image other/ci-app:1", "image prod:1"},
	},
	"young images stay, and what they were built from": {
		build: func(e *fakeEngine) {
			old := time.Now().Add(-100 * time.Hour)
			e.addImages(
				fakeImage{id: "old", tags: []string{"old:1"}, built: old}, fakeImage{id: "pulled", tags: []string{"pulled:1"}, built: old, tagged: time.Now()},
				fakeImage{id: "base", tags: []string{"base:1"}, built: old}, fakeImage{id: "young", tags: []string{"young:1"}, parent: "base"},
			)
		},
		goal: spec.Containers{All: true, Images: &spec.Images{Older: 3600 * 48}},
		want: []string{"image base:1", "image pulled:1", "image young:1"},
	},
	"what BuildKit built an image from is told by its layers": {
		build: func(e *fakeEngine) {
			e.addImages(
				fakeImage{id: "base", tags: []string{"base:1"}, layers: []string{"a", "b"}}, fakeImage{id: "scratch", tags: []string{"scratch:1"}},
				fakeImage{id: "app", tags: []string{"quay.io/ci/app:1"}, layers: []string{"a", "b", "c"}},
				fakeImage{id: "twin", tags: []string{"twin:1"}, layers: []string{"a", "b", "c"}},
				fakeImage{id: "sibling", tags: []string{"sibling:1"}, layers: []string{"a", "b", "d"}},
				fakeImage{id: "other", tags: []string{"other:1"}, layers: []string{"b"}},
			)
		},
		goal: spec.Containers{All: true, Images: &spec.Images{Keep: []string{"quay.io/ci/"}}},
		want: []string{"image base:1", "image quay.io/ci/app:1"},
	},
	"layers tell of what stays for its age too": {
		build: func(e *fakeEngine) {
			old := time.Now().Add(-100 * time.Hour)
			e.addImages(
				fakeImage{id: "base", tags: []string{"base:1"}, layers: []string{"a"}, built: old},
				fakeImage{id: "middle", layers: []string{"a", "b"}, built: old},
				fakeImage{id: "app", tags: []string{"app:1"}, parent: "middle", layers: []string{"a", "b", "c"}},
			)
		},
		goal: spec.Containers{All: true, Images: &spec.Images{Older: 3600 * 48}},
		want: []string{"image ", "image app:1", "image base:1"},
	},
	"old images go, and more until there is room": {
		build: func(e *fakeEngine) {
			for i := range 5 {
				name := strconv.Itoa(i)
				e.addImages(fakeImage{id: name, tags: []string{name + ":1"}, size: 100, built: time.Now().Add(time.Duration(-i) * time.Hour)})
			}
		},
		goal: spec.Containers{All: true, Images: &spec.Images{Size: 150, Older: 3600*3 + 1800}},
		want: []string{"image 0:1"},
	},
	"what images share counts once": {
		build: func(e *fakeEngine) {
			e.addImages(fakeImage{id: "base", tags: []string{"base:1"}, size: 100, shared: 100, layers: []string{"a"}, built: time.Now().Add(-9 * time.Hour)})
			for i := range 4 {
				name := strconv.Itoa(i)
				e.addImages(fakeImage{id: name, tags: []string{name + ":1"}, size: 110, shared: 100, layers: []string{"a", name}, built: time.Now().Add(time.Duration(-i) * time.Hour)})
			}
		},
		goal: spec.Containers{All: true, Images: &spec.Images{Size: 125}},
		want: []string{"image 0:1", "image 1:1", "image base:1"},
	},
	"what images share is free when the last of them has gone": {
		build: func(e *fakeEngine) {
			for i := range 2 {
				name := strconv.Itoa(i)
				e.addImages(fakeImage{id: name, tags: []string{name + ":1"}, size: 110, shared: 100, layers: []string{"a", name}, built: time.Now().Add(-9 * time.Hour)})
			}
			e.addImages(fakeImage{id: "young", tags: []string{"young:1"}, size: 50, layers: []string{"b"}})
		},
		goal: spec.Containers{All: true, Images: &spec.Images{Size: 60}},
		want: []string{"image young:1"},
	},
	"the oldest images go until there is room": {
		build: func(e *fakeEngine) {
			for i := range 5 {
				name := strconv.Itoa(i)
				e.addImages(fakeImage{id: name, tags: []string{name + ":1"}, size: 100, shared: 20, built: time.Now().Add(time.Duration(-i) * time.Hour)})
			}
		},
		goal: spec.Containers{All: true, Images: &spec.Images{Size: 250, Keep: []string{"4"}}},
		want: []string{"image 0:1", "image 1:1", "image 4:1"},
	},
}

func (c engineCase) spec(e *fakeEngine) spec.Spec {
	goal := c.goal
	goal.Sockets = []string{e.socket}
	return spec.Spec{Owned: c.owned, Goal: spec.Goal{Containers: &goal}}
}

func TestContainersReachTheirGoal(t *testing.T) {
	t.Parallel()
	for name, c := range engineCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			c.build(e)
			before := e.names()
			step := scrub.NewContainersIn(c.spec(e), c.self, nil, c.lost)
			plan, err := scrub.Reach(t.Context(), spec.KindContainers, step, scrub.Plan)
			if diff := cmp.Diff(before, e.names()); diff != "" || len(e.did) > 0 || err != nil {
				t.Errorf("a plan did %q (%v):\n%s", e.did, err, diff)
			}
			r, err := scrub.Reach(t.Context(), spec.KindContainers, step, scrub.Do)
			if err != nil || r.State == spec.Unmet {
				t.Errorf("result %+v, %v", r, err)
			}
			if len(plan.Found) != len(r.Found) {
				t.Errorf("it was planned that these go: %+v; these went: %+v", plan.Found, r.Found)
			}
			want := append([]string{"network bridge", "network host", "network none"}, c.want...)
			slices.Sort(want)
			if diff := cmp.Diff(want, e.names()); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			for _, note := range c.notes {
				if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, note) }) {
					t.Errorf("notes %q; want one with %q", r.Notes, note)
				}
			}
			did := len(e.did)
			again, err := scrub.Reach(t.Context(), spec.KindContainers, step, scrub.Do)
			if err != nil || again.State != spec.Unchanged || len(e.did) > did {
				t.Errorf("a second run: %+v, %v; it did %q", again, err, e.did[did:])
			}
		})
	}
}

func TestTheBuildCacheGoesByItsPolicy(t *testing.T) {
	t.Parallel()
	record := func(id, parent string, age time.Duration, inUse bool) map[string]any {
		return map[string]any{"ID": id, "Parents": []string{parent}, "Size": 100, "InUse": inUse, "CreatedAt": time.Now().Add(-age), "LastUsedAt": nil}
	}
	for name, c := range map[string]struct {
		policy spec.BuildCache
		cache  []map[string]any
		asked  string // "" if nothing is to be asked
	}{
		"all of it":                    {spec.BuildCache{}, []map[string]any{record("a", "", 0, false), record("b", "", 0, true)}, "POST /v1.41/build/prune?all=1"},
		"what is in use stays":         {spec.BuildCache{}, []map[string]any{record("a", "", 0, false), record("b", "a", 0, true)}, ""},
		"what is young stays":          {spec.BuildCache{Older: 3600}, []map[string]any{record("a", "", 2*time.Hour, false), record("b", "a", 0, false)}, ""},
		"what is old goes":             {spec.BuildCache{Older: 3600}, []map[string]any{record("a", "", 2*time.Hour, false)}, "POST /v1.41/build/prune?all=1&filters=%7B%22until%22:%7B%221h0m0s%22:true%7D%7D"},
		"nothing goes that finds room": {spec.BuildCache{Size: 200}, []map[string]any{record("a", "", 0, false), record("b", "", 0, false)}, ""},
		"what finds none goes":         {spec.BuildCache{Size: 150}, []map[string]any{record("a", "", 0, false), record("b", "", 0, false)}, "POST /v1.41/build/prune?all=1&keep-storage=150"},
		"what is old and what finds no room goes": {
			spec.BuildCache{Older: 3600, Size: 50},
			[]map[string]any{record("a", "", 2*time.Hour, false), record("b", "", 0, false)},
			"POST /v1.41/build/prune?all=1&filters=%7B%22until%22:%7B%221h0m0s%22:true%7D%7D POST /v1.41/build/prune?all=1&keep-storage=50",
		},
		"what is in use stays, room or none": {spec.BuildCache{Size: 50}, []map[string]any{record("a", "", 0, false), record("b", "a", 0, true)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			e.cache = c.cache
			s := engineCase{goal: spec.Containers{All: true, BuildCache: &c.policy}}.spec(e)
			r, err := scrub.Reach(t.Context(), spec.KindContainers, scrub.NewContainersIn(s, nil, nil, false), scrub.Do)
			if err != nil || r.State == spec.Unmet || strings.Join(e.did, " ") != c.asked {
				t.Errorf("asked %q (%+v, %v); want %q", e.did, r, err, c.asked)
			}
		})
	}
}

// TestEnginesThatMisbehave has the engine of a labelled container do something else than one wants.
func TestEnginesThatMisbehave(t *testing.T) {
	t.Parallel()
	id := idOf("a")
	answer := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, text) }
	}
	for name, c := range map[string]struct {
		at     string
		answer http.HandlerFunc
		state  spec.State
		why    string
	}{
		"it is gone when it is looked at":        {"GET /v1.41/containers/" + id + "/json", answer(404, "{}"), spec.Unchanged, ""},
		"its state is too broken to be told":     {"GET /v1.41/containers/" + id + "/json", answer(500, `{"message":"broken"}`), spec.Changed, ""},
		"it refuses to remove it":                {"DELETE /v1.41/containers/" + id, answer(409, `{"message":"it is in use"}`), spec.Unmet, "the engine refuses (409): it is in use"},
		"it says that it is gone, and it is not": {"DELETE /v1.41/containers/" + id, answer(404, `{}`), spec.Unmet, "it came back, or was not removed"},
		"its list is cut off":                    {"GET /v1.41/containers/json", answer(200, `[{"Id":"x"`), spec.Unmet, "makes no sense"},
		"its list is no list":                    {"GET /v1.41/networks", answer(200, `{"a":1}`), spec.Unmet, "makes no sense"},
		"it refuses to tell":                     {"GET /v1.41/volumes", answer(500, "disk full"), spec.Unmet, "disk full"},
		"it greets like something else":          {"GET /_ping", answer(403, "<html>"), spec.Unmet, "<html>"},
		"its answer has no end": {"GET /v1.41/networks", func(w http.ResponseWriter, _ *http.Request) {
			for chunk := []byte(strings.Repeat(" ", 1<<20)); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, spec.Unmet, "larger than anybody wants"},
		"it closes the connection": {"GET /v1.41/volumes", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, spec.Unmet, "without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			e.add(box{name: "a", labels: ci})
			e.faults[c.at] = c.answer
			s := engineCase{owned: spec.Ownership{Labels: []string{"ci"}}}.spec(e)
			r, _ := scrub.Reach(t.Context(), spec.KindContainers, scrub.NewContainersIn(s, nil, nil, false), scrub.Do)
			if r.State != c.state || !strings.Contains(r.Reason, c.why) {
				t.Errorf("state %s, reason %q; want %s because of %q", r.State, r.Reason, c.state, c.why)
			}
		})
	}
}

func TestARemovalInProgressIsAwaited(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	e.add(box{name: "a"})
	id, asked := idOf("a"), 0
	e.faults["DELETE /v1.41/containers/"+id] = func(w http.ResponseWriter, _ *http.Request) {
		e.lock.Lock()
		defer e.lock.Unlock()
		e.faults["GET /v1.41/containers/"+id+"/json"] = func(w http.ResponseWriter, _ *http.Request) {
			if asked++; asked == 3 {
				e.lock.Lock()
				defer e.lock.Unlock()
				delete(e.boxes, id)
				refuse(w, 404, "no such container")
			}
		}
		refuse(w, 409, "removal of container a is already in progress")
	}
	s := engineCase{goal: spec.Containers{All: true}}.spec(e)
	r, err := scrub.Reach(t.Context(), spec.KindContainers, scrub.NewContainersIn(s, nil, nil, false), scrub.Do)
	if err != nil || r.State != spec.Changed || asked != 3 {
		t.Errorf("%+v, %v, asked %d times; want it awaited", r, err, asked)
	}
}

// TestWhatAnEngineHadIsNotGoneBecauseItDies has it killed by its removal of one of two containers.
func TestWhatAnEngineHadIsNotGoneBecauseItDies(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]bool{"its socket stays": false, "its socket goes as well": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			e.add(box{name: "a", labels: ci}, box{name: "b", labels: ci})
			for _, b := range []string{"a", "b"} {
				e.faults["DELETE /v1.41/containers/"+idOf(b)] = func(http.ResponseWriter, *http.Request) {
					if take {
						_ = os.Remove(e.socket)
					}
					e.stop()
				}
			}
			s := engineCase{owned: spec.Ownership{Labels: []string{"ci"}}}.spec(e)
			r, err := scrub.Reach(t.Context(), spec.KindContainers, scrub.NewContainersIn(s, nil, nil, false), scrub.Do)
			if err != nil || r.State != spec.Unmet || r.Removed != 0 {
				t.Errorf("%v, %+v; want it unmet, and nothing to be gone", err, r)
			}
			if !slices.ContainsFunc(r.Problems, func(p spec.Problem) bool {
				return strings.HasPrefix(p.ID, "a ") && strings.Contains(p.Why, "whether it is gone is not known")
			}) {
				t.Errorf("problems are %+v; want the container among them", r.Problems)
			}
		})
	}
}

func TestAnEngineThatHangsEndsWithItsTime(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"GET /_ping", "GET /v1.41/volumes", "DELETE /v1.41/containers/" + idOf("a")} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			e, other := newFakeEngine(t), newFakeEngine(t)
			for _, engine := range []*fakeEngine{e, other} {
				engine.add(box{name: "a", labels: ci})
			}
			ctx, cancel := context.WithCancel(t.Context())
			e.faults[at] = func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() }
			s := engineCase{owned: spec.Ownership{Labels: []string{"ci"}}}.spec(e)
			s.Containers.Sockets = append(s.Containers.Sockets, other.socket)
			r, _ := scrub.Reach(ctx, spec.KindContainers, scrub.NewContainersIn(s, nil, nil, false), scrub.Do)
			if r.State != spec.Unmet || !strings.Contains(r.Reason, "stopped: canceled") {
				t.Errorf("%+v; want it stopped", r)
			}
		})
	}
}

func TestSocketsThatDoNotServe(t *testing.T) {
	t.Parallel()
	asRoot(t)
	dead := filepath.Join(t.TempDir(), "dead.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: dead}); err != nil { // and nobody listens
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	gone := filepath.Join(t.TempDir(), "gone.sock")
	live := newFakeEngine(t)
	alias := filepath.Join(t.TempDir(), "alias.sock")
	if err := os.Symlink(live.socket, alias); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sockets, usual []string
		state          spec.State
		why            string
		removed        int64
	}{
		"none is there":           {usual: []string{gone, gone + "/x"}, state: spec.Skipped, why: "no container engine is here"},
		"none of those named":     {sockets: []string{gone}, state: spec.Skipped, why: gone},
		"one is dead":             {sockets: []string{dead, live.socket}, state: spec.Unmet, why: dead + ": nobody listens", removed: 1},
		"one has two names":       {usual: []string{gone, alias, live.socket}, state: spec.Changed, removed: 1},
		"it is no socket of ours": {sockets: []string{"/dev/null"}, state: spec.Unmet, why: "nobody listens"},
	} {
		t.Run(name, func(t *testing.T) { // one after the other, in any order
			live.add(box{name: "a", labels: ci})
			s := engineCase{owned: spec.Ownership{Labels: []string{"ci"}}, goal: spec.Containers{}}.spec(live)
			s.Containers.Sockets = c.sockets
			r, _ := scrub.Reach(t.Context(), spec.KindContainers, scrub.NewContainersIn(s, nil, c.usual, false), scrub.Do)
			if r.State != c.state || !strings.Contains(r.Reason, c.why) || r.Removed != c.removed {
				t.Errorf("%+v; want %s because of %q", r, c.state, c.why)
			}
		})
	}
}

func TestWhereAProgramLives(t *testing.T) {
	t.Parallel()
	id, other := idOf("self"), idOf("other")
	pid := strconv.Itoa(os.Getpid())
	for name, c := range map[string]struct {
		files map[string]string // below proc/ and root/
		ids   []string
		lost  bool
	}{
		"on the machine": {files: map[string]string{
			"proc/" + pid + "/cgroup":    "0::/system.slice/jenkins-agent.service\n",
			"proc/" + pid + "/mountinfo": "30 1 0:25 / /var/lib/docker/overlay2/" + other + "/merged rw - overlay overlay rw\n31 1 0:26 /" + other + " /mnt rw - ext4 /dev/a rw\n",
		}},
		"by its control group":       {files: map[string]string{"proc/" + pid + "/cgroup": "4:memory:/docker/" + id + "\n0::/\n"}, ids: []string{id}},
		"by systemd's control group": {files: map[string]string{"proc/" + pid + "/cgroup": "0::/machine.slice/libpod-" + id + ".scope/container\n"}, ids: []string{id}},
		"by what is mounted": {files: map[string]string{
			"proc/" + pid + "/cgroup":    "0::/\n",
			"proc/" + pid + "/mountinfo": "31 1 8:1 /var/lib/docker/containers/" + id + "/hostname /etc/hostname rw - ext4 /dev/a rw\n",
			"root/.dockerenv":            "",
		}, ids: []string{id}},
		"by Podman's mark": {files: map[string]string{"root/run/.containerenv": "engine=\"podman\"\nid=\"" + id + "\"\n"}, ids: []string{id}},
		"somewhere":        {files: map[string]string{"proc/" + pid + "/cgroup": "0::/\n", "root/.dockerenv": ""}, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range c.files {
				at := filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ids, lost := scrub.Dwelling(filepath.Join(dir, "proc"), filepath.Join(dir, "root"))
			if diff := cmp.Diff(c.ids, ids); diff != "" || lost != c.lost {
				t.Errorf("lost %v, identities (-want +got):\n%s", lost, diff)
			}
		})
	}
}

// TestAContainerIsKnownByTheNameOfItsHost, which engines make of its identity: where nothing else is told it is the last resort.
func TestAContainerIsKnownByTheNameOfItsHost(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "touch $X/.dockerenv")
	for name, want := range map[string]string{idOf("self")[:12]: idOf("self")[:12], "agent-07.test": "", "jenkinsagent": ""} {
		if err := unix.Sethostname([]byte(name)); err != nil {
			t.Fatal(err)
		}
		if ids, lost := scrub.Dwelling(p.other, p.other); strings.Join(ids, " ") != want || lost != (want == "") {
			t.Errorf("%s: %q, lost %t", name, ids, lost)
		}
	}
}

func TestAnEngineThatDoesNotServeUsIsSkipped(t *testing.T) {
	asRoot(t)
	dir := open(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if err := os.Mkdir(filepath.Join(dir, "podman"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "podman/podman.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(l.Addr().String(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := spec.Spec{Goal: spec.Goal{Containers: &spec.Containers{All: true}}}
	r := reachAs(t, uidOf(t, "nobody"), s, scrub.Here{}, scrub.Do)
	if r.State != spec.Skipped || !strings.Contains(r.Reason, "no container engine serves this user") || !strings.Contains(r.Reason, dir) {
		t.Errorf("%+v; want it skipped", r)
	}
}
