// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"slices"
	"sync/atomic"
	"testing"
)

func TestVetoBlocksAndIsNamedInWhy(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		var clean atomic.Bool
		b.j.Register(Hooks{CanTake: func(n NodeView, it ItemView) string {
			if n.Name == "a1" && it.Job == "x" && !clean.Load() {
				return "agent is not clean"
			}
			return ""
		}})
		id := b.start("x")
		settle()
		b.want(b.why(id), "agent is not clean", "why")
		clean.Store(true)
		pass(5 * second)
		b.want(len(b.j.Builds("x")), 1, "builds at the next maintenance run")
	})
}

func TestThrowingVetoMeansBlocked(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		remove := b.j.Register(Hooks{CanTake: func(NodeView, ItemView) string { panic("bug") }})
		id := b.start("x")
		settle()
		b.want(b.why(id), "Exception evaluating if the node can take the task", "why")
		remove()
		settle()
		b.want(len(b.j.Builds("x")), 1, "builds")
	})
}

func TestThrowingListenerIsSwallowed(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		bug := func() { panic("bug") }
		b.j.Register(Hooks{
			OnLeft: func(NodeView, ItemView) { bug() }, OnLeaveBuildable: func(ItemView) { bug() }, TaskAccepted: func(string, ItemView) { bug() },
		})
		b.start("x")
		settle()
		b.want(len(b.j.Builds("x")), 1, "builds")
	})
}

func TestCanRunBlocksBeforeAnyNodeIsKnown(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.j.Register(Hooks{CanRun: func(ItemView) string { return "not today" }})
		id := b.start("x")
		settle()
		it := b.json("/queue/item/" + id + "/api/json")
		b.want(dig(it, "blocked"), true, "blocked")
		b.want(dig(it, "why"), "not today", "why")
	})
}

func TestOnLeftComesUnderTheLockBeforeTheBuildExistsAndMayConsume(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable clean", Executors: 2})
		b.job(JobSpec{Name: "x", Label: "clean", Concurrent: true})
		b.j.Register(Hooks{
			OnLeft: func(n NodeView, it ItemView) {
				if it.Cancelled || len(b.j.root.child("x").builds) != 0 {
					b.t.Error("left too late, or cancelled")
				}
				n.SetLabels("cleanable")
			},
			CanTake: func(n NodeView, _ ItemView) string {
				if !slices.Contains(n.Labels, "clean") || !n.Idle {
					return "agent is not clean"
				}
				return ""
			},
		})
		b.start("x")
		b.start("x")
		pass(minute)
		b.start("x")
		pass(minute)
		b.want(len(b.j.Builds("x")), 1, "builds: the second never starts")
		b.want(b.j.Labels("a1"), "cleanable", "labels")
	})
}

func TestFlyweightsBypassCanTakeButNotCanRunNorOnLeft(t *testing.T) {
	const matrix = `<matrix-project><assignedNode>clean</assignedNode><canRoam>false</canRoam>
		<builders><hudson.tasks.Shell><command>checkout</command></hudson.tasks.Shell></builders></matrix-project>`
	for _, block := range []bool{false, true} {
		t.Run(map[bool]string{false: "canTake only", true: "canRun too"}[block], func(t *testing.T) {
			inBubble(t, Options{Plugins: []string{PluginMatrix}, Execute: holding}, func(b *bench) {
				b.agent(AgentSpec{Name: "a1", Labels: "clean"})
				if err := b.j.CreateJobXML("m", matrix); err != nil {
					t.Fatal(err)
				}
				var seen []string
				b.j.Register(Hooks{
					CanTake: func(NodeView, ItemView) string { return "never" },
					CanRun: func(it ItemView) string {
						if block && it.Flyweight {
							return "blocked"
						}
						return ""
					},
					OnLeft: func(n NodeView, _ ItemView) { seen = append(seen, n.Name) },
				})
				b.start("m")
				settle()
				b.want(len(b.j.Builds("m")) == 0, block, "blocked")
				if block {
					return
				}
				b.want(seen, []string{"a1"}, "onLeft saw the node")
				c := b.json("/computer/a1/api/json?depth=1")
				b.want(dig(c, "oneOffExecutors", 0, "number"), -1, "one-off executor")
				b.want(dig(c, "executors", 0, "idle"), true, "regular executor")
				b.want(dig(c, "idle"), false, "the computer is not idle")
			})
		})
	}
}

func TestRegistrationsAreLostAtRestartButNotAtReload(t *testing.T) {
	boots := 0
	opts := Options{Boot: func(j *Jenkins) { boots++; j.Register(Hooks{Name: "boot"}) }}
	inBubble(t, opts, func(b *bench) {
		b.j.Register(Hooks{Name: "script"})
		b.j.Register(Hooks{Name: "script"})
		b.want(b.j.Registered("script"), 2, "two copies of a script that does not remove the old one")
		b.j.Reload(b.t.Context())
		b.want(b.j.Registered("script"), 2, "after a reload")
		b.want(boots, 1, "a reload does not run init scripts")
		if err := b.j.Restart(b.t.Context(), RestartNow); err != nil {
			t.Fatal(err)
		}
		b.want(b.j.Registered("script"), 0, "after a restart")
		b.want(b.j.Registered("boot"), 1, "registered by the init script")
	})
}
