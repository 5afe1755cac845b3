// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

// story reads cleanups, one a minute up to base: "old ci/a", "new ci/b fails", "new ci/b on m1 fails in sweep".
func story(lines ...string) []rollout.Cleanup {
	var out []rollout.Cleanup
	for i, line := range lines {
		words := strings.Fields(line)
		c := rollout.Cleanup{Revision: rollout.Revision(words[0]), Agent: rollout.AgentID("ci/" + words[1]), At: base.Add(time.Duration(i-len(lines)) * time.Minute)}
		for at := 2; at < len(words); at++ {
			switch words[at] {
			case "on":
				at++
				c.Machine = words[at]
			case "in":
				at++
				c.Step = words[at]
			case "fails":
				c.Failed = true
			default:
				panic("no story: " + line)
			}
		}
		out = append(out, c)
	}
	return out
}

func many(n int, line string) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(line, i))
	}
	return out
}

func TestAttribute(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		story []string
		want  []string // culprit, whom, reason
	}{
		"nothing failed": {[]string{"old a", "new b"}, nil},
		"one revision on different agents": {
			[]string{"old c", "new a fails in sweep", "old c", "new b fails in sweep"},
			[]string{`revision new: revision new fails on ci/a, ci/b, in step "sweep", of 2 that tried it`},
		},
		"different revisions on one agent": {
			[]string{"old a fails in disk", "new a fails in sweep", "new a fails in disk", "new b"},
			[]string{`agent ci/a: revisions old and new fail on it, 2 of 3 times in step "disk"`},
		},
		"one revision on one agent": {
			[]string{"new a fails", "new a fails", "new b"},
			[]string{"nobody: revision new fails on ci/a: it takes 2 different agents to blame the revision, or another revision to blame the agent"},
		},
		"over: the revision cleaned both":        {[]string{"new a fails", "new b fails", "new a", "new b"}, nil},
		"over: another revision cleaned the one": {[]string{"old a fails", "new a", "old a", "new a fails", "new a"}, nil},
		"the old revision still cleans where the new one fails": {
			[]string{"new a fails", "new b fails", "old a", "old b"},
			[]string{"revision new: revision new fails on ci/a, ci/b, of 2 that tried it"},
		},
		"a sick agent is no witness against the revision": {
			[]string{"old a fails", "new a fails", "new b fails"},
			[]string{"agent ci/a: revisions old and new fail on it", "nobody: revision new fails on ci/b: it takes 2 different agents to blame the revision, or another revision to blame the agent"},
		},
		"both sick and bad": {
			[]string{"old a fails", "new a fails", "new b fails", "new c fails"},
			[]string{"agent ci/a: revisions old and new fail on it", "revision new: revision new fails on ci/b, ci/c, of 2 that tried it"},
		},
		"two agents of one machine": {
			[]string{"new a on m1 fails", "new b on m1 fails"},
			[]string{"nobody: revision new fails on ci/a, ci/b, which are not different machines: it or they, that does not tell"},
		},
		"two agents of one machine, and a third": {
			[]string{"new a on m1 fails", "new b on m1 fails", "new c on m2 fails"},
			[]string{"revision new: revision new fails on ci/a, ci/b, ci/c, of 2 that tried it"},
		},
		"all revisions at one time": {
			[]string{"old c", "new a fails", "old c fails", "old d fails", "new b fails"},
			[]string{
				"surroundings: revision new fails on ci/a, ci/b, and others fail on other agents at the same time: what they share is likelier at fault",
				"surroundings: revision old fails on ci/c, ci/d, and others fail on other agents at the same time: what they share is likelier at fault",
			},
		},
		"all revisions at one time, and one agent with both": {
			[]string{"old a fails", "new a fails", "new b fails", "new e fails", "old c fails", "old d fails"},
			[]string{
				"surroundings: revision new fails on ci/a, ci/b, ci/e, and others fail on other agents at the same time: what they share is likelier at fault",
				"surroundings: revision old fails on ci/a, ci/c, ci/d, and others fail on other agents at the same time: what they share is likelier at fault",
			},
		},
		"the old revision failed before": {
			append([]string{"old c fails", "old d fails", "old c", "old d", "new a fails", "new b fails"}, many(40, "old w%02d")...),
			[]string{"revision new: revision new fails on ci/a, ci/b, of 2 that tried it"},
		},
		"the old revision failed last before the new one was tried": {
			append(many(40, "old w%02d"), "old c fails", "old d fails", "new a fails", "new b fails", "new e fails"),
			[]string{
				"revision new: revision new fails on ci/a, ci/b, ci/e, of 3 that tried it",
				"nobody: revision old fails on ci/c, ci/d, of 42 that tried it: so many may fail anyway",
			},
		},
		"the few of a big fleet": {
			append(many(98, "new w%02d"), "new a fails", "new b fails"),
			[]string{"nobody: revision new fails on ci/a, ci/b, of 100 that tried it: so many may fail anyway"},
		},
		"two of three": {
			[]string{"new c", "new a fails", "new b fails"},
			[]string{"revision new: revision new fails on ci/a, ci/b, of 3 that tried it"},
		},
		"two of four": {
			[]string{"new c", "new d", "new a fails", "new b fails"},
			[]string{"nobody: revision new fails on ci/a, ci/b, of 4 that tried it: so many may fail anyway"},
		},
		"five of twenty": {
			append(many(15, "new w%02d"), many(5, "new x%d fails")...),
			[]string{"revision new: revision new fails on ci/x0, ci/x1, ci/x2 and 2 more, of 20 that tried it"},
		},
		"no more than with others": {
			append(append(many(12, "old w%02d"), many(3, "old x%d fails")...), append(many(3, "old x%d"), "new a fails", "new b fails", "new c")...),
			[]string{"nobody: revision new fails on ci/a, ci/b, of 3 that tried it: so many may fail anyway"},
		},
		"much more than others at one time": {
			append(append(many(5, "new y%d fails"), many(30, "old w%02d")...), many(2, "old x%d fails")...),
			[]string{
				"revision new: revision new fails on ci/y0, ci/y1, ci/y2 and 2 more, of 5 that tried it",
				"nobody: revision old fails on ci/x0, ci/x1, of 32 that tried it: so many may fail anyway",
			},
		},
		"so many that not all are named": {
			many(5, "new w%d fails"),
			[]string{"revision new: revision new fails on ci/w0, ci/w1, ci/w2 and 2 more, of 5 that tried it"},
		},
	} {
		var got []string
		for _, b := range rollout.Attribute(story(c.story...), rollout.Policy{}) {
			who := string(b.Culprit)
			then := rollout.NoConsequence
			switch b.Culprit {
			case rollout.TheAgent:
				who, then = who+" "+string(b.Agent), rollout.QuarantineAgent
			case rollout.TheRevision:
				who, then = who+" "+string(b.Revision), rollout.PauseRevision
			case rollout.Nobody, rollout.TheSurroundings:
			}
			if b.Then != then || len(b.Failures) == 0 {
				t.Errorf("%s: %s: then %q, by %d failures", name, who, b.Then, len(b.Failures))
			}
			got = append(got, who+": "+b.Reason)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

func TestPoolsMayAskForMoreAgentsBeforeTheyBlame(t *testing.T) {
	t.Parallel()
	for agents, want := range map[int]rollout.Culprit{0: rollout.TheRevision, 1: rollout.TheRevision, 2: rollout.TheRevision, 3: rollout.Nobody} {
		got := rollout.Attribute(story("new a fails", "new b fails"), rollout.Policy{BlameAgents: agents})
		if len(got) != 1 || got[0].Culprit != want {
			t.Errorf("asking for %d: %+v, want %s", agents, got, want)
		}
	}
}

// someCleanups are cleanups of three revisions on six agents of four machines.
func someCleanups(t *rapid.T) []rollout.Cleanup {
	machine := map[string]string{"a": "m1", "b": "m1", "c": "m2", "d": "m2", "e": "", "f": ""}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) rollout.Cleanup {
		name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "agent")
		return rollout.Cleanup{
			Agent: rollout.AgentID("ci/" + name), Machine: machine[name], Failed: rapid.IntRange(0, 2).Draw(t, "failed") > 0,
			Revision: rapid.SampledFrom([]rollout.Revision{oldRev, newRev, "third"}).Draw(t, "revision"),
			Step:     rapid.SampledFrom([]string{"", "sweep", "disk"}).Draw(t, "step"), At: base,
		}
	}), 0, 40).Draw(t, "cleanups")
}

func TestNobodyIsBlamedWithoutTwoWitnesses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cleanups := someCleanups(t)
		blames := rollout.Attribute(cleanups, rollout.Policy{})
		again := rollout.Attribute(slices.Clone(cleanups), rollout.Policy{})
		if fmt.Sprint(again) != fmt.Sprint(blames) {
			t.Fatalf("the same cleanups gave %v and %v", blames, again)
		}
		explained := map[rollout.Revision]bool{}
		sick := map[rollout.AgentID]bool{}
		for _, b := range blames {
			agents, revisions := map[rollout.AgentID]bool{}, map[rollout.Revision]bool{}
			for _, f := range b.Failures {
				agents[f.Agent], revisions[f.Revision] = true, true
				if !f.Failed || !slices.Contains(cleanups, f) {
					t.Fatalf("%+v is no failure that happened", f)
				}
			}
			switch {
			case b.Culprit == rollout.TheRevision && (len(agents) < 2 || len(revisions) != 1 || b.Then != rollout.PauseRevision):
				t.Fatalf("blames a revision by %d agents: %+v", len(agents), b)
			case b.Culprit == rollout.TheAgent && (len(revisions) < 2 || len(agents) != 1 || b.Then != rollout.QuarantineAgent):
				t.Fatalf("blames an agent by %d revisions: %+v", len(revisions), b)
			case (b.Culprit == rollout.Nobody || b.Culprit == rollout.TheSurroundings) && b.Then != rollout.NoConsequence:
				t.Fatalf("nobody is to blame, and %s follows", b.Then)
			case b.Reason == "":
				t.Fatalf("says not why: %+v", b)
			}
			explained[b.Revision] = true
			sick[b.Agent] = b.Culprit == rollout.TheAgent
		}
		for i, c := range cleanups { // no failure goes without a word
			over := slices.ContainsFunc(cleanups[i:], func(l rollout.Cleanup) bool { return l.Agent == c.Agent && l.Revision == c.Revision && !l.Failed })
			if c.Failed && !over && !explained[c.Revision] && !sick[c.Agent] {
				t.Fatalf("nothing is said of %+v: %+v", c, blames)
			}
		}
	})
}
