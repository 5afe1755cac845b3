// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
	recipes "github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// awkward has what renderers and parsers of XML stumble over.
const awkward = `version: 1
name: awkward
clean:
  - name: "{braces} & <brackets>"
    env: {A: "{0} %s <&> \" ' ]]> é 日本 😀"}
    run: |
      echo "{}" '{{' '}}' "${A:-{}}"   
      printf '%s\n' '<!-- & -->' ']]>' '&amp; &#1;' '	tabs	' 'é 日本 😀'

      echo "trailing blanks"    
verify:
  - name: proof
    run: "true"
`

// resave makes Jenkins write a job in its own way: what was posted is kept as it was
// until something saves the job (hudson.model.AbstractItem#updateByXml).
func (s *scene) resave(job string) (before, after string) {
	s.Helper()
	config := testbed.JobPath(job) + "/config.xml"
	before = s.controller.Get(s.ctx, s, config)
	for _, action := range []string{"/disable", "/enable"} {
		s.controller.Must(s.ctx, s, testbed.Request{Method: http.MethodPost, Path: testbed.JobPath(job) + action}, http.StatusFound)
	}
	return before, s.controller.Get(s.ctx, s, config)
}

func (s *scene) digest(config string) string {
	s.Helper()
	digest, err := recipes.SlotDigest([]byte(config))
	s.must(err)
	return digest
}

func TestARenderedSlotSurvivesWhatJenkinsMakesOfIt(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	parsed, err := recipes.Parse("awkward.yaml", []byte(awkward), nil)
	s.must(err)
	program, err := parsed.Compile()
	s.must(err)
	name := s.name + "-rendered"
	rendered, err := recipes.RenderXML(recipes.JobSpec{
		Name: name, Program: program, Controller: "ci", Owner: "e2e & größe", Agent: `odd (räck 3) "q"`,
	})
	s.must(err)
	controller.Job(s.ctx, s, name, string(rendered))
	posted, saved := s.resave(name)
	retargeted, err := recipes.Retarget([]byte(saved), "another agent")
	s.must(err)
	controller.PostXML(s.ctx, s, testbed.JobPath(name)+"/config.xml", string(retargeted))
	again, _ := s.resave(name)
	for state, config := range map[string]string{"as it was posted": posted, "saved": saved, "tied to another agent": again} {
		if s.digest(config) != s.digest(string(rendered)) {
			t.Errorf("%s, its digest is not that of what was rendered:\n%s", state, config[:min(len(config), 3500)])
		}
		if !recipes.Carries([]byte(config), program) {
			t.Errorf("%s, it does not carry the program", state)
		}
		if owner, err := recipes.SlotOwner([]byte(config)); err != nil || owner != "e2e & größe" {
			t.Errorf("%s, its owner is %q, %v", state, owner, err)
		}
	}
	if !strings.Contains(again, "<assignedNode>&quot;another agent&quot;<") && !strings.Contains(again, `<assignedNode>"another agent"<`) {
		t.Errorf("it is not tied to the other agent:\n%s", again[:min(len(again), 3500)])
	}
}

func TestASlotThatJenkinsSavedIsUsedAndOneThatAPersonChangedIsNot(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.agent("", "CLEANABLE")
	s.serve()
	s.told(a, "agent.clean", 1)
	slot := s.life(a).Attempts[0].Job
	_, saved := s.resave(slot)
	loaded, err := recipes.Load(filepath.Join(s.dir, "recipe.yaml"))
	s.must(err)
	program, err := loaded.Compile()
	s.must(err)
	if !recipes.Carries([]byte(saved), program) {
		t.Error("the slot does not carry the program")
	}
	s.relabel(a, "CLEANABLE")
	s.told(a, "agent.clean", 2)

	changed := strings.Replace(saved, "<command>", "<command># mine\n", 1)
	controller.PostXML(s.ctx, s, testbed.JobPath(slot)+"/config.xml", changed)
	s.relabel(a, "CLEANABLE")
	s.await("the change is noticed", func() bool {
		slots, err := s.daemon.Slots(s.ctx, "ci")
		s.must(err)
		for _, one := range slots {
			if one.Job == slot && strings.Contains(one.Refused, "changed by somebody") {
				return true
			}
		}
		return false
	})
	s.told(a, "agent.clean", 3) // by another slot
	if n := s.cleanups(a); n != 3 {
		t.Errorf("it was cleaned %d times", n)
	}
	if used := s.life(a).Attempts[0].Job; used == slot {
		t.Error("a slot that a person changed was used")
	}
}
