// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

const (
	// patience bounds the wait for something that is sure to come.
	patience = 2 * time.Minute
	// sceneLimit bounds one scene.
	sceneLimit = 6 * time.Minute
)

// scene is one test's corner of the controller.
type scene struct {
	testing.TB
	ctx                     context.Context //nolint:containedctx // lives exactly as long as the test it belongs to
	name                    string          // begins the name of everything that is made here
	dir                     string
	controller, borrower    *testbed.Controller
	cleanable, dirty, clean string   // this scene's labels
	steps                   string   // steps of the clean phase before the recipe's own
	more                    string   // of the configuration, at the end of the pool
	under                   []string // what the daemon is run by, with arguments, to have a clock of its own; nil = nothing
	java                    string   // what agents are run by; "" = java
	daemon                  *daemon
}

func newScene(tb testing.TB) *scene {
	tb.Helper()
	if absent != nil {
		tb.Skip(absent)
	}
	return sceneAt(tb, sceneLimit, controller, borrower)
}

// sceneAt is a scene at controllers that need not be everybody's.
func sceneAt(tb testing.TB, limit time.Duration, controller, borrower *testbed.Controller) *scene {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	tb.Cleanup(cancel)
	s := &scene{TB: tb, ctx: ctx, name: controller.Unique("s"), dir: tb.TempDir(), controller: controller, borrower: borrower}
	s.cleanable, s.dirty, s.clean = s.name+"-cleanable", s.name+"-dirty", s.name+"-clean"
	return s
}

// recipe works by files in an agent's directory. It leaves begun and cleaned there,
// removes mess, and does as it is told by hold, broken and reconnect.
const recipe = `version: 1
name: endtoend
disjoint: true
places: [%s]
clean:
%s  - name: sweep
    timeout: 2m
    run: |
      cd "$WORKSPACE/../.."
      echo "$PITCREW_AGENT" >begun
      while [ -e hold ]; do sleep 0.1; done
      if [ -e broken ]; then
        echo "this agent is broken"
        exit 1
      fi
      rm -f mess
      echo "$PITCREW_ATTEMPT" >>cleaned
  - name: session
    outcomes:
      10: reconnect
    run: |
      cd "$WORKSPACE/../.."
      if [ -e reconnect ]; then
        rm reconnect
        exit 10
      fi
verify:
  - name: swept
    run: test ! -e "$WORKSPACE/../../mess"
`

const configuration = `version: 1
data: %[1]s/data
owner: %[2]s
api: {listen: "127.0.0.1:0"}
log: {format: json}
labels: {cleanable: %[2]s-cleanable, dirty: %[2]s-dirty, clean: %[2]s-clean}
controllers:
- name: ci
  url: %[3]s/
  user: %[4]s
  token: file:%[1]s/token
  poll: 500ms
  buildFeedEvery: 5s
  settle: 3s
  maxCleanups: 2
  requests: {perSecond: 100}
  jobs: {prefix: %[2]s-}
recipes:
- {name: main, file: recipe.yaml}
pools:
- name: main
  recipe: main
  backoff: {first: 1s, max: 2s}
  quarantine: {after: 2, nextLook: 1h}
  limits: {reconnect: 3m}
  capacityFloor: 0
%[5]s`

// agent makes an agent with its process. labels may say CLEANABLE and so on for the
// labels of this scene.
func (s *scene) agent(tail, labels string) *testbed.Agent {
	s.Helper()
	return s.controller.Agent(s.ctx, s, s.node(tail, labels))
}

func (s *scene) node(tail, labels string) testbed.NodeSpec {
	s.Helper()
	return testbed.NodeSpec{
		Name: s.name + tail, Labels: s.words(labels), RemoteFS: s.TempDir(), Java: s.java, Description: `<label>not one</label> & "more"`,
	}
}

// words puts the labels of this scene in for their usual names in capitals.
func (s *scene) words(text string) string {
	return strings.NewReplacer("CLEANABLE", s.cleanable, "DIRTY", s.dirty, "CLEAN", s.clean).Replace(text)
}

// labels are the label string of an agent, in the words of [scene.words].
func (s *scene) labels(a *testbed.Agent) string {
	s.Helper()
	text := testbed.LabelString(s.controller.Get(s.ctx, s, a.Path+"/config.xml"))
	return strings.NewReplacer(s.cleanable, "CLEANABLE", s.dirty, "DIRTY", s.clean, "CLEAN").Replace(text)
}

// relabel is a person's edit of the label string.
func (s *scene) relabel(a *testbed.Agent, labels string) {
	s.Helper()
	document := s.controller.Get(s.ctx, s, a.Path+"/config.xml")
	s.controller.PostXML(s.ctx, s, a.Path+"/config.xml", testbed.WithLabels(document, s.words(labels)))
}

func (s *scene) await(what string, ok func() bool) {
	s.Helper()
	testbed.Await(s.ctx, s, patience, what, ok)
}

func (s *scene) awaitLabels(a *testbed.Agent, want string) {
	s.Helper()
	s.await(a.Name+" labelled "+want, func() bool { return s.labels(a) == want })
}

// put makes a file in an agent's directory, and take removes it.
func (s *scene) put(a *testbed.Agent, file string) {
	s.Helper()
	s.must(os.WriteFile(filepath.Join(a.Dir, file), nil, 0o600))
}

func (s *scene) take(a *testbed.Agent, file string) {
	s.Helper()
	s.must(os.Remove(filepath.Join(a.Dir, file)))
}

// holds makes the agent's next cleanup wait, also for those that come after the test.
func (s *scene) holds(a *testbed.Agent) {
	s.Helper()
	s.put(a, "hold")
	s.Cleanup(func() { _ = os.Remove(filepath.Join(a.Dir, "hold")) }) // gone already
}

func there(a *testbed.Agent, file string) bool {
	_, err := os.Stat(filepath.Join(a.Dir, file))
	return err == nil
}

// read returns the lines of a file in an agent's directory, none without it.
func (s *scene) read(a *testbed.Agent, file string) []string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(a.Dir, file))
	if !os.IsNotExist(err) {
		s.must(err)
	}
	return strings.Fields(strings.ReplaceAll(string(text), " ", "_"))
}

// cleanups are the numbers of the attempts whose program swept the agent.
func (s *scene) cleanups(a *testbed.Agent) int {
	s.Helper()
	return len(s.read(a, "cleaned"))
}

// file is the path of a file in the directory of this scene, and write writes it.
func (s *scene) file(name string) string { return filepath.Join(s.dir, name) }

func (s *scene) write(name, text string) {
	s.Helper()
	s.must(os.WriteFile(s.file(name), []byte(text), 0o600))
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// configure writes what the daemon is started with.
func (s *scene) configure() {
	s.Helper()
	s.write("token", s.controller.Token)
	s.write("recipe.yaml", fmt.Sprintf(recipe, s.dir, s.steps))
	s.write("pitcrew.yaml", fmt.Sprintf(configuration, s.dir, s.name, s.controller.URL, s.controller.User, s.more))
}
