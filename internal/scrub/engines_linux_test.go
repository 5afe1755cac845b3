// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/unixhttp"
)

func TestPodmanRunsAContainer(t *testing.T) { realEngineRuns(t, startPodman, "podman", "runc") }

func TestDockerRunsAContainer(t *testing.T) {
	realEngineRuns(t, startDocker, "dockerd", "docker", "runc")
}

func realEngineRuns(t *testing.T, start func(*testing.T) realEngine, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("mostly runs other programs; left to the longer run")
	}
	needs(t, programs...)
	if !ownNamespaces(t, unix.CLONE_NEWNET) {
		removeGroups(t)
		removeGroup("/libpod_parent") // Podman's own, in which it leaves those of its containers
		return
	}
	apartFromMachine(t)
	e := start(t)
	e.importBase(t)
	here := scrub.Here{Agent: "a1", Controller: "https://jenkins.example/"}
	e.make(t, "create", "--name=guard", "--label=ci=yes", "base:1", "/bin/sleep", "1000")
	e.make(t, "create", "--name=theirs", "--label="+scrub.ProofLabel(scrub.Here{Agent: "a2", Controller: here.Controller}), "base:1", "/bin/sleep", "1000")
	before := e.has(t)
	// What an earlier run left that was killed.
	e.make(t, "run", "--detach", "--name=leftover", "--label="+scrub.ProofLabel(here), "base:1", "/bin/sleep", "1000")
	goal := func(says string, wait spec.Seconds, words ...string) spec.Goal {
		return spec.Goal{Engine: &spec.Engine{Sockets: []string{e.socket}, Image: "base:1", Run: words, Says: says, Wait: wait}}
	}
	if r := goalReached(t, goal("", 0, "/bin/sleep", "0"), here, scrub.Plan); r.State != spec.Unchanged || e.do(t, "ps", "--quiet", "--filter=name=leftover") == "" {
		t.Errorf("plan: %+v; want the leftover there", r)
	}
	// No limit of time that a loaded machine could pass is set where a container ends.
	for name, c := range map[string]struct {
		goal spec.Goal
		says string // "" if it is proved
	}{
		"it says":            {goal("Usage: sleep", 600, "/bin/sleep", "--help"), ""},
		"it does not say":    {goal("something else", 600, "/bin/sleep", "--help"), `a container ran, and did not say "something else": `},
		"it fails":           {goal("", 600, "/bin/sleep", "no-number"), "a container ran and exited with 1: sleep: invalid number"},
		"it cannot be begun": {goal("", 600, "/bin/none"), "a container: the engine refuses"},
		"it does not end":    {goal("", 3, "/bin/sleep", "1000"), "it has not run a container to its end within 3s"},
		"no such image":      {spec.Goal{Engine: &spec.Engine{Sockets: []string{e.socket}, Image: "base:2"}}, "it has no image base:2; let a step of the setup phase pull it"},
	} {
		r := goalReached(t, c.goal, here, scrub.Judge)
		if (r.State == spec.Unchanged) != (c.says == "") || !strings.Contains(said(r), c.says) {
			t.Errorf("%s: %+v; want %q", name, r, c.says)
		}
	}
	if diff := cmp.Diff(before, e.has(t)); diff != "" {
		t.Errorf("afterwards (-before +after):\n%s", diff)
	}
	e.stopped(t, goal("", 600, "/bin/sleep", "1000"), here)
	if diff := cmp.Diff(before, e.has(t)); diff != "" {
		t.Errorf("after it was stopped (-before +after):\n%s", diff)
	}
}

// stopped has a proof stopped while its container runs.
func (e realEngine) stopped(t *testing.T, goal spec.Goal, here scrub.Here) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		defer stop()
		client := unixhttp.Client{Socket: e.socket, Limit: 1 << 20}
		for {
			answer, err := client.Do(ctx, "GET", "/v1.41/containers/json") // those that run
			if err != nil || strings.Contains(string(answer.Body), "pitcrew.proof") {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond): // the test's own limit ends this
			}
		}
	}()
	step, err := scrub.New(spec.Spec{Version: spec.Version, Name: "proof", Goal: goal}, here)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := scrub.Reach(ctx, spec.KindEngine, step, scrub.Judge); err == nil || r.State != spec.Unmet {
		t.Errorf("stopped: %+v, %v", r, err)
	}
}

func TestEnginesThatAreNotThereRunNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir, "file")
	for name, c := range map[string]struct {
		step scrub.Step
		says string
	}{
		"none":          {scrub.NewEnginesAt(spec.Engine{Image: "a:1"}, dir+"/none"), "container engine: no container engine is here"},
		"none as named": {scrub.NewEnginesAt(spec.Engine{Image: "a:1", Sockets: []string{dir + "/none"}}), "/none: GET /_ping: connect: no such file"},
		"no socket":     {scrub.NewEnginesAt(spec.Engine{Image: "a:1"}, dir+"/file"), "/file: GET /_ping: connect: connection refused"},
	} {
		r, err := scrub.Reach(t.Context(), spec.KindEngine, c.step, scrub.Judge)
		if err != nil || r.State != spec.Unmet || !strings.Contains(said(r), c.says) {
			t.Errorf("%s: %+v, %v; want %q", name, r, err, c.says)
		}
	}
}

// TestImagesArePulledOnlyIfAsked has an engine that can fetch an image, and cannot run it.
func TestImagesArePulledOnlyIfAsked(t *testing.T) {
	t.Parallel()
	pulled := func(e *fakeEngine) []string {
		return slices.DeleteFunc(slices.Clone(e.did), func(did string) bool { return !strings.Contains(did, "/images/create") })
	}
	for name, c := range map[string]struct {
		pull   bool
		answer string
		says   string
		pulls  int
	}{
		"not asked": {answer: "{}", says: "it has no image quay.io/ci/tools:latest; let a step"},
		"asked":     {pull: true, answer: `{"status":"Pulling"}` + "\n", says: "create a container: the engine refuses", pulls: 1},
		"refused":   {pull: true, answer: `{"status":"Pulling"}` + "\n" + `{"error":"manifest unknown"}` + "\n", says: ": manifest unknown", pulls: 1},
	} {
		e := newFakeEngine(t)
		e.faults["POST /v1.41/images/create"] = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("fromImage") == "quay.io/ci/tools:latest" && !strings.Contains(c.answer, "error") {
				e.lock.Lock()
				e.addImages(fakeImage{id: "tools", tags: []string{"quay.io/ci/tools:latest"}})
				e.lock.Unlock()
			}
			_, _ = w.Write([]byte(c.answer))
		}
		goal := spec.Goal{Engine: &spec.Engine{Sockets: []string{e.socket}, Image: "quay.io/ci/tools", Pull: c.pull}}
		r := goalReached(t, goal, scrub.Here{}, scrub.Do)
		if got := pulled(e); r.State != spec.Unmet || !strings.Contains(said(r), c.says) || min(len(got), 1) != c.pulls {
			t.Errorf("%s: %+v, and it pulled %q; want %q", name, r, got, c.says)
		}
	}
}
