// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestAnAgentIsKnownByTheNameThatItWasTold(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"java -jar agent.jar -url http://ci/ -secret abc -name el9-a -webSocket -workDir /srv/ci":  "el9-a",
		"java -jar agent.jar -jnlpUrl http://ci/x/computer/el9%20a/jenkins-agent.jnlp -secret abc": "el9 a",
		"java -cp agent.jar hudson.remoting.jnlp.Main -headless -url http://ci abc el9-a":          "el9-a",
		"java -jar swarm-client-3.40.jar -controller http://ci -name el9-a":                        "el9-a",
		"java -jar remoting.jar -workDir /srv/ci -jar-cache /srv/ci/remoting/jarCache":             "",
		"java -jar agent.jar -name":                    "",
		"java -jar agent.jar -jnlpUrl http://ci/el9-a": "",
	} {
		if got := scrub.AgentName(strings.Fields(line)...); got != want {
			t.Errorf("%s: %q; want %q", line, got, want)
		}
	}
}

// TestWhatABuildOfAnotherAgentHasInTheBackgroundSurvives: two agents of one user, which is owned. The steps of a Pipeline descend from no
// agent; that of a machine with one agent must not stay by calling itself another's.
func TestWhatABuildOfAnotherAgentHasInTheBackgroundSurvives(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	asked := func(name string) []string {
		return []string{"java", "-jar", "agent.jar", "-secret", "x", "-name", name}
	}
	unnamed := []string{"java", "-jar", "remoting.jar", "-workDir", "/srv/x"}
	uid := uidOf(t, "irc")
	for name, c := range map[string]struct {
		agents [][]string
		left   []string // what one of those agents was started with
		env    []string
		stays  bool
	}{
		"of the other agent":                              {[][]string{asked("ours"), asked("other")}, nil, build("other"), true},
		"of a namesake at another controller":             {[][]string{unnamed, unnamed}, nil, build("ours", "JENKINS_URL=http://else.example/"), true},
		"of the other, neither was told a name":           {[][]string{unnamed, unnamed}, nil, build("other"), true},
		"of the other, ours was told its name":            {[][]string{asked("ours"), unnamed}, nil, build("other"), true},
		"of the other, ours is not connected":             {[][]string{asked("other")}, nil, build("other"), true},
		"of this agent":                                   {[][]string{asked("ours"), asked("other")}, nil, build("ours"), false},
		"of no build":                                     {[][]string{asked("ours"), asked("other")}, nil, nil, false},
		"of another agent, which is not here":             {[][]string{asked("ours")}, nil, build("other"), false},
		"of another agent, the one here may well be ours": {[][]string{unnamed}, nil, build("other"), false},
		"of another agent, which a build of ours left":    {[][]string{asked("ours"), asked("other")}, build("ours"), build("other"), false},
		"of another agent, none is here":                  {nil, nil, build("other"), false},
	} {
		t.Run(name, func(t *testing.T) {
			for i, args := range c.agents {
				l := leftover{exe: named(t, "java"), uid: uid, args0: args}
				if i > 0 {
					l.env = c.left
				}
				start(t, l)
			}
			suspect := start(t, leftover{uid: uid, env: c.env})
			s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"irc"}}, Goal: spec.Goal{Processes: &spec.Processes{Cookies: true, Grace: 1}}}
			here := scrub.Here{Agent: "ours", Controller: "http://ci.example/"}
			isSuspect := func(f spec.Residue) bool { return f.ID == strconv.Itoa(suspect.Process.Pid) }
			if plan := reach(t, s, here, scrub.Plan); slices.ContainsFunc(plan.Found, isSuspect) == c.stays {
				t.Errorf("planned to go are %+v", plan.Found)
			}
			r := reach(t, s, here, scrub.Do)
			want := fmt.Sprintf("process %d (program, of an owned user) stays: a build of another agent has started it", suspect.Process.Pid)
			if told := strings.Contains(strings.Join(r.Notes, "\n"), want); lives(suspect) != c.stays || told != c.stays {
				t.Errorf("it lives: %v, that is told: %v; want %v (%s, notes %q)", lives(suspect), told, c.stays, r.State, r.Notes)
			}
		})
	}
}

// TestAnAgentBesideTheOneAboveUsIsAnother, whatever either was told.
func TestAnAgentBesideTheOneAboveUsIsAnother(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	uid := uidOf(t, "irc")
	dir := filepath.Dir(linkedJava(t))
	if err := os.WriteFile(filepath.Join(dir, "hudson.remoting.Launcher"), []byte(`"$1"; exit $?`), 0o644); err != nil {
		t.Fatal(err)
	}
	suspect := start(t, leftover{uid: uid, env: build("other")})
	s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"irc"}}, Goal: spec.Goal{Processes: &spec.Processes{Cookies: true, Grace: 1}}}
	clean := func() spec.Result {
		r, _ := ordered(t, s, scrub.Here{Agent: "ours", Controller: "http://ci.example/"}, nil,
			"bash", "-c", "cd "+dir+`; exec -a java ./java hudson.remoting.Launcher "$0"`)
		return r
	}
	other := start(t, leftover{exe: named(t, "java"), uid: uid, args0: []string{"java", "-jar", "remoting.jar"}})
	if r := clean(); !lives(suspect) {
		t.Errorf("beside another agent it was ended (%s, notes %q)", r.State, r.Notes)
	}
	_ = other.Process.Kill()
	_ = other.Wait()
	if r := clean(); lives(suspect) {
		t.Errorf("beside no other agent it stays (%s, notes %q)", r.State, r.Notes)
	}
}
