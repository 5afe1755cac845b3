// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// bootID is what a kernel draws at its n-th boot.
func bootID(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) }

// minute is the n-th of the day of these tests.
func minute(n int) time.Time { return base.Add(time.Duration(n) * time.Minute) }

// look is what one cleanup told of its agent's machine.
type look struct {
	claimed, judged int // minutes
	boot            string
	up              time.Duration
	machine, host   string // "" = the one machine id, the agent's own host
}

// saw returns an agent of which the looks were had, in their order.
func saw(t *testing.T, name string, looks ...look) hygiene.Agent {
	t.Helper()
	a := hygiene.Agent{ID: hygiene.AgentID{Controller: "ci", Name: name}, State: hygiene.Due}
	for _, l := range looks {
		claimed, attempt, err := hygiene.Claim(a, hygiene.Policy{}, "s1", "nonce", minute(l.claimed))
		must(t, err)
		claimed, err = claimed.To(hygiene.Running, "", minute(l.claimed))
		must(t, err)
		v := hygiene.Verdict{
			Number: attempt.Number, Nonce: "nonce", On: name, Outcome: hygiene.Failed, BootID: l.boot, Uptime: l.up,
			Machine: or(l.machine, "m"), Host: or(l.host, "host-of-"+name),
		}
		a, _, err = hygiene.Judge(claimed, attempt, v, hygiene.Policy{}, minute(l.judged))
		must(t, err)
	}
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func TestAgentsAreOfOneMachineUnlessTwoKernelsWereSeenAtOneTime(t *testing.T) {
	t.Parallel()
	one, two := bootID(1), bootID(2)
	tests := []struct {
		name string
		a, b []look
		one  bool
	}{
		{"one boot", []look{{0, 1, one, time.Hour, "", ""}}, []look{{2, 3, one, time.Hour, "", ""}}, true},
		{"two machine ids", []look{{0, 1, one, time.Hour, "m1", ""}}, []look{{2, 3, one, time.Hour, "m2", ""}}, false},
		{"clones that have been up for long", []look{{0, 1, one, time.Hour, "", ""}}, []look{{2, 3, two, time.Hour, "", ""}}, false},
		{"rebooted between the two", []look{{0, 1, one, time.Hour, "", ""}}, []look{{10, 11, two, 5 * time.Minute, "", ""}}, true},
		{"rebooted between the two, and the host renamed", []look{{0, 1, one, time.Hour, "", "h1"}}, []look{{10, 11, two, 5 * time.Minute, "", "h2"}}, true},
		{"the uptime is not known", []look{{0, 1, one, 0, "", ""}}, []look{{2, 3, two, 0, "", ""}}, true},
		{"not known, and seen in turn", []look{{0, 1, one, 0, "", ""}, {4, 5, one, 0, "", ""}}, []look{{2, 3, two, 0, "", ""}}, false},
		{"not known, and seen one after the other", []look{{0, 1, one, 0, "", ""}, {2, 3, one, 0, "", ""}}, []look{{4, 5, two, 0, "", ""}}, true},
		{"not known, and perhaps seen in turn", []look{{0, 1, one, 0, "", ""}, {4, 5, one, 0, "", ""}}, []look{{3, 6, two, 0, "", ""}}, true},
		{
			"rebooted while a report waited to be read",
			[]look{{0, 1, one, time.Hour, "", ""}, {2, 9, one, time.Hour, "", ""}},
			[]look{{4, 5, two, time.Second, "", ""}},
			true,
		},
		{
			"a clone that was rebooted since",
			[]look{{0, 1, one, time.Hour, "", ""}, {8, 9, bootID(3), time.Minute, "", ""}},
			[]look{{2, 3, two, time.Hour, "", ""}},
			false,
		},
		{
			"a clone that was moved to the other's machine",
			[]look{{0, 1, one, time.Hour, "", ""}},
			[]look{{2, 3, two, time.Hour, "", ""}, {4, 5, one, time.Hour, "", "host-of-a"}},
			true,
		},
		{
			"a clone that was moved to the other's machine, which was rebooted then",
			[]look{{0, 1, one, time.Hour, "", ""}},
			[]look{{2, 3, two, time.Hour, "", ""}, {8, 9, bootID(3), time.Minute, "", "host-of-a"}},
			true,
		},
		{
			"set back to a snapshot",
			[]look{{0, 1, one, time.Hour, "", ""}, {4, 5, bootID(3), time.Minute, "", ""}, {6, 7, one, time.Second, "", ""}},
			[]look{{2, 3, two, time.Minute, "", ""}},
			true,
		},
		{"boot ids that the time of the boot makes", []look{{0, 1, "boot-1769", time.Hour, "", ""}}, []look{{2, 3, "boot-1770", time.Hour, "", ""}}, true},
		{"one that shows no boot id any more", []look{{0, 1, one, time.Hour, "", ""}, {2, 3, "", time.Hour, "", ""}}, []look{{4, 5, two, time.Hour, "", ""}}, true},
		{"a machine id that is not known", []look{{0, 1, one, time.Hour, "", ""}}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, b := saw(t, "a", tt.a...), saw(t, "b", tt.b...)
			if got := hygiene.OneMachine(a, b); got != tt.one {
				t.Errorf("one machine: %t, want %t; %+v and %+v", got, tt.one, a.Boots, b.Boots)
			}
			if got := hygiene.OneMachine(b, a); got != tt.one {
				t.Errorf("the other way round: %t", got)
			}
		})
	}
}

func TestClonesAreFound(t *testing.T) {
	t.Parallel()
	agents := []hygiene.Agent{
		saw(t, "a", look{0, 1, bootID(1), time.Hour, "", ""}), saw(t, "b", look{0, 1, bootID(2), time.Hour, "", ""}),
		saw(t, "c", look{0, 1, bootID(1), time.Hour, "", ""}), saw(t, "d", look{9, 10, bootID(4), time.Minute, "", ""}),
		saw(t, "other", look{0, 1, bootID(5), time.Hour, "m2", ""}), saw(t, "left", look{0, 1, bootID(6), time.Hour, "", ""}),
	}
	agents[5].State = hygiene.Unmanaged
	id := func(name string) hygiene.AgentID { return hygiene.AgentID{Controller: "ci", Name: name} }
	want := []hygiene.Clones{{Machine: "m", Agents: []hygiene.AgentID{id("a"), id("b"), id("c")}}}
	if diff := cmp.Diff(want, hygiene.FindClones(agents)); diff != "" {
		t.Errorf("clones (-want +got):\n%s", diff)
	}
}

// TestAgentsOfOneMachineAreNeverToldApart reboots machines that bear one machine id while cleanups of their agents are
// claimed, run and judged, in any order.
func TestAgentsOfOneMachineAreNeverToldApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type machine struct {
			boot string
			up   time.Time
		}
		boots, now := 0, base
		boot := func() machine { boots++; return machine{bootID(boots), now} }
		machines := []machine{boot(), boot()}
		type agent struct {
			hygiene.Agent
			on      int
			attempt hygiene.Attempt
			report  *hygiene.Verdict
		}
		agents := make([]*agent, 4)
		for i := range agents {
			agents[i] = &agent{on: i % 2}
			agents[i].ID, agents[i].State = hygiene.AgentID{Controller: "ci", Name: fmt.Sprint(i)}, hygiene.Due
		}
		tells := rapid.Bool().Draw(t, "uptime is told")
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "seconds")) * time.Second)
			if n := rapid.IntRange(0, 5).Draw(t, "who"); n < len(agents) {
				a := agents[n]
				var err error
				switch {
				case a.State == hygiene.Due:
					a.Agent, a.attempt, err = hygiene.Claim(a.Agent, hygiene.Policy{}, "s1", "n", now)
					a.State = hygiene.Running
				case a.report == nil:
					m := machines[a.on]
					a.report = &hygiene.Verdict{Number: a.attempt.Number, Nonce: "n", On: a.ID.Name, Outcome: hygiene.Failed, Machine: "m", BootID: m.boot}
					if tells {
						a.report.Uptime = now.Sub(m.up).Truncate(time.Second)
					}
				default:
					a.Agent, _, err = hygiene.Judge(a.Agent, a.attempt, *a.report, hygiene.Policy{}, now)
					a.report = nil
				}
				if err != nil {
					t.Fatal(err)
				}
			} else {
				machines[n-len(agents)] = boot()
			}
			for i, a := range agents {
				for _, b := range agents[i+1:] {
					if a.on == b.on && a.Machine != "" && b.Machine != "" && !hygiene.OneMachine(a.Agent, b.Agent) {
						t.Fatalf("I4: agents %s and %s of one machine are told apart: %+v and %+v", a.ID, b.ID, a.Boots, b.Boots)
					}
				}
			}
		}
	})
}
