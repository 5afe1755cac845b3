// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

func TestANewRevisionReachesCanariesFirstAndThenAllOnEvidence(t *testing.T) {
	inFleet(t, 4, 1, func(f *fleet) {
		f.policy.Plan.Named = []rollout.AgentID{"ci/a3"}
		f.reload()
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.wait(time.Minute, "a rollout", f.inStage(rollout.Canary))
		f.use(5*time.Hour, "a share", func() bool {
			if f.stored().Stage != rollout.Canary {
				return true
			}
			if got := f.got(next); len(got) > 0 && !slices.Equal(got, []string{"ci/a3"}) {
				t.Fatalf("in the canary stage %v got the new revision", got)
			}
			return false
		})
		if r := f.stored(); r.Stage != rollout.Share || r.Percent() != 50 {
			t.Fatalf("after the canary it is %s: %s", r.Where(), r.Reason)
		}
		f.use(5*time.Hour, "the next share", func() bool {
			if f.stored().Percent() != 50 {
				return true
			}
			if got := f.got(next); len(got) > 2 {
				t.Fatalf("with half of 4 agents %v got the new revision", got)
			}
			return false
		})
		f.use(5*time.Hour, "the end", f.inStage(rollout.Done))
		if r := f.stored(); r.Pinned() != rollout.Revision(next.Revision) || !strings.Contains(r.Reason, "goes to the whole pool") {
			t.Errorf("done: %+v", r)
		}
		var kinds []hygiene.EventType
		for _, e := range f.events(hygiene.EventRolloutStarted, hygiene.EventRolloutStage, hygiene.EventRolloutDone, hygiene.EventRolloutPaused, hygiene.EventRolloutRolledBack) {
			kinds = append(kinds, e.Type)
		}
		want := []hygiene.EventType{hygiene.EventRolloutStarted, hygiene.EventRolloutStage, hygiene.EventRolloutStage, hygiene.EventRolloutDone}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		f.use(5*time.Hour, "all having it", func() bool { return f.has(next) == 4 })
	})
}

func TestARevisionThatAlwaysFailsIsRolledBackAndItsAgentsGetClean(t *testing.T) {
	inFleet(t, 5, 1, func(f *fleet) {
		f.policy.Plan.Canaries = 2
		f.reload()
		f.allClean()
		f.use(5*time.Hour, "a record of the old revision", func() bool { return f.builds() > 20 })
		bad := compileFor(t, "bad")
		f.fails(func(revision, _ string) bool { return revision == bad.Revision })
		f.change(bad)
		f.use(5*time.Hour, "a rollback", f.inStage(rollout.RolledBack))
		if got := f.got(bad); len(got) != 2 {
			t.Errorf("%v got the bad revision, want the two canaries", got)
		}
		if r := f.stored(); r.By != "pitcrew" || !strings.Contains(r.Reason, "fail") {
			t.Errorf("rolled back by %s: %s", r.By, r.Reason)
		}
		f.allClean()
		if n := f.has(f.old); n != 5 {
			t.Errorf("%d of 5 agents were cleaned with the old revision again", n)
		}
		for _, a := range f.all() {
			if a.Quarantine != nil {
				t.Errorf("%s was blamed for what the revision did: %+v", a.ID, a.Quarantine)
			}
		}
		before := f.stored()
		f.down()
		f.up()
		f.pass(time.Hour)
		if got := f.stored(); got.Number != before.Number || got.Stage != rollout.RolledBack {
			t.Errorf("after a restart it came again: %+v", got)
		}
	})
}

// In a pool of one or two agents nobody else can be asked: the old revision is tried where the new one fails, and not only when
// a person has looked.
func TestInASmallPoolTheOldRevisionIsTriedWhereTheNewOneFails(t *testing.T) {
	for _, agents := range []int{1, 2} {
		for what, sick := range map[string]bool{"the revision is bad": false, "the agent is sick": true} {
			t.Run(fmt.Sprintf("%d agents, %s", agents, what), func(t *testing.T) {
				inFleet(t, agents, 1, func(f *fleet) {
					f.policy.Plan.Named = []rollout.AgentID{"ci/a1"}
					f.reload()
					f.allClean()
					f.use(20*time.Hour, "a record of the old revision", func() bool { return f.builds() > 20 })
					next := compileFor(t, "new")
					f.fails(func(revision, agent string) bool { return agent == "a1" && (sick || revision == next.Revision) })
					f.change(next)
					f.use(5*time.Hour, "a rollback", f.inStage(rollout.RolledBack))
					if r := f.stored(); r.By != "pitcrew" || !strings.Contains(r.Reason, "only the old revision can tell") {
						t.Errorf("rolled back by %s: %s", r.By, r.Reason)
					}
					if !sick {
						f.allClean()
						return
					}
					f.wait(5*time.Hour, "a quarantine", func() bool { return f.agent("a1").Quarantine != nil })
					if f.has(f.old) != agents {
						t.Error("the old revision was not tried on it")
					}
				})
			})
		}
	}
}

// A cleanup that runs when its revision is given up ends with it: what it does to the agent then is the revision's doing as well.
func TestWhatFailsWithARevisionAfterItsRollbackIsTriedAgain(t *testing.T) {
	inFleet(t, 2, 1, func(f *fleet) {
		f.givenUpInMidRun(func() {
			_, err := f.rollouts.Rollback(f.t.Context(), "all", "ann", "it is bad")
			must(t, err)
		})
	})
}

func TestWhatFailsWithARevisionAfterItsReplacementIsTriedAgain(t *testing.T) {
	inFleet(t, 3, 1, func(f *fleet) {
		f.givenUpInMidRun(func() { f.change(compileFor(t, "good")) })
	})
}

// givenUpInMidRun gives up a bad revision while it runs on its canary for the third time, which is quarantined for that and
// must be clean soon after.
func (f *fleet) givenUpInMidRun(giveUp func()) {
	f.t.Helper()
	f.policy.Plan.Named, f.policy.OnFailure = []rollout.AgentID{"ci/a1"}, rollout.PauseOnFailure
	f.reload()
	f.allClean()
	bad := compileFor(f.t, "bad")
	f.fails(func(revision, _ string) bool { return revision == bad.Revision })
	f.change(bad)
	f.use(5*time.Hour, "a third attempt with it", func() bool {
		a, attempt, err := f.store.Agent(f.t.Context(), hygiene.AgentID{Controller: "ci", Name: "a1"})
		must(f.t, err)
		return a.Failures == 2 && a.State == hygiene.Running && attempt.Revision == bad.Revision
	})
	giveUp()
	began := time.Now()
	f.wait(time.Hour, "quarantine", func() bool { return len(f.events(hygiene.EventQuarantined)) == 1 })
	f.allClean()
	if took := time.Since(began); took > 15*time.Minute {
		f.t.Errorf("the agent was kept out for %s for what a revision did that was given up", took)
	}
}

// TestARevisionThatFailsIsPausedWhereTheOldOneHasNoRecord leaves it to a person: two failures beside five cleanups are too few.
func TestARevisionThatFailsIsPausedWhereTheOldOneHasNoRecord(t *testing.T) {
	takesLong(t)
	inFleet(t, 5, 1, func(f *fleet) {
		f.policy.Plan.Canaries = 2
		f.reload()
		f.allClean()
		bad := compileFor(t, "bad")
		f.fails(func(revision, _ string) bool { return revision == bad.Revision })
		f.change(bad)
		f.use(5*time.Hour, "a pause", f.inStage(rollout.Paused))
		if blames := f.events(hygiene.EventRolloutBlamed); len(blames) != 1 || !strings.Contains(blames[0].Reason, "revision "+bad.Revision[:12]+" is to blame") {
			t.Errorf("blames: %+v", blames)
		}
		f.pass(20 * time.Hour) // the canaries fail again and again, into quarantine
		if q := f.agent(strings.TrimPrefix(string(f.stored().Canaries[0]), "ci/")).Quarantine; q == nil {
			t.Error("the canary is not in quarantine")
		}
		_, err := f.rollouts.Rollback(f.t.Context(), "all", "ann", "seen")
		must(f.t, err)
		f.wait(10*time.Minute, "all being clean again", func() bool {
			return !slices.ContainsFunc(f.all(), func(a hygiene.Agent) bool { return a.State != hygiene.Clean })
		})
		if n := f.has(f.old); n != 5 || len(f.got(bad)) != 2 {
			t.Errorf("%d have the old revision, and %v got the bad one", n, f.got(bad))
		}
	})
}

// What waits in quarantine for what a revision did is tried as soon as another takes its place, as after a rollback.
func TestWhatARevisionKeptOutIsTriedWhenAnotherTakesItsPlace(t *testing.T) {
	inFleet(t, 5, 1, func(f *fleet) {
		f.policy.Plan.Canaries, f.policy.OnFailure = 2, rollout.PauseOnFailure
		f.reload()
		f.allClean()
		bad, good := compileFor(t, "bad"), compileFor(t, "good")
		f.fails(func(revision, _ string) bool { return revision == bad.Revision })
		f.change(bad)
		f.use(5*time.Hour, "a pause", f.inStage(rollout.Paused))
		f.wait(20*time.Hour, "quarantines", func() bool {
			n := 0
			for _, a := range f.all() {
				if a.Quarantine != nil {
					n++
				}
			}
			return n == 2
		})
		f.change(good)
		f.wait(time.Minute, "nobody in quarantine", func() bool { return len(f.events(hygiene.EventReleased)) == 2 })
		f.wait(15*time.Minute, "all being clean again", func() bool {
			return !slices.ContainsFunc(f.all(), func(a hygiene.Agent) bool { return a.State != hygiene.Clean })
		})
		f.use(5*time.Hour, "the end", f.inStage(rollout.Done))
	})
}

// Who mends a bad revision by another bad one has the agent fail with both: what the first did, which is given up, counts neither
// against the second nor against the agent.
func TestASecondBadRevisionIsJudgedByWhatItDoesItself(t *testing.T) {
	inFleet(t, 4, 1, func(f *fleet) {
		f.policy.Plan.Named = []rollout.AgentID{"ci/a1"}
		f.reload()
		f.allClean()
		f.use(20*time.Hour, "a record of the old revision", func() bool { return f.builds() > 40 })
		first, second := compileFor(t, "bad"), compileFor(t, "bad as well")
		f.fails(func(revision, _ string) bool { return revision != f.old.Revision })
		f.change(first)
		f.use(5*time.Hour, "a pause", f.inStage(rollout.Paused))
		f.change(second)
		f.wait(time.Minute, "the second", f.inStage(rollout.Canary))
		if a := f.agent("a1"); a.Failures > 0 {
			t.Errorf("the first revision left it with %d failures", a.Failures)
		}
		began := time.Now()
		f.use(5*time.Hour, "a pause of the second", f.inStage(rollout.Paused))
		if took := time.Since(began); took > 30*time.Minute || f.agent("a1").Quarantine != nil || len(f.events(hygiene.EventRolloutBlamed)) > 0 {
			t.Errorf("after %s: %s; blamed are %+v", took, f.stored().Reason, f.events(hygiene.EventRolloutBlamed))
		}
		_, err := f.rollouts.Rollback(f.t.Context(), "all", "ann", "bad as well")
		must(t, err)
		f.wait(10*time.Minute, "all being clean again", func() bool {
			return !slices.ContainsFunc(f.all(), func(a hygiene.Agent) bool { return a.State != hygiene.Clean })
		})
	})
}

func TestAnAgentOnWhichEveryRevisionFailsIsBlamedAndQuarantined(t *testing.T) {
	inFleet(t, 5, 1, func(f *fleet) {
		f.policy.Plan.Named, f.policy.Plan.Canaries = []rollout.AgentID{"ci/a2", "ci/a4"}, 2
		f.reload()
		f.allClean()
		f.fails(func(_, agent string) bool { return agent == "a2" })
		f.use(time.Hour, "a failure", func() bool { return f.agent("a2").Failures > 0 })
		f.change(compileFor(t, "new"))
		f.use(5*time.Hour, "a quarantine", func() bool { return f.agent("a2").Quarantine != nil })
		q := f.agent("a2").Quarantine
		if !strings.Contains(q.Reason, "blamed in the rollout") || !strings.Contains(q.Reason, "revisions") {
			t.Errorf("the reason is %q", q.Reason)
		}
		f.use(5*time.Hour, "the end", f.inStage(rollout.Done))
		blames := f.events(hygiene.EventRolloutBlamed)
		if len(blames) != 1 || blames[0].Agent.Name != "a2" || !strings.Contains(blames[0].Reason, "agent ci/a2 is to blame") {
			t.Errorf("blames: %+v", blames)
		}
		must(t, f.crew.OrderRelease(f.t.Context(), "a2", "ann", "mended"))
		f.fails(func(string, string) bool { return false })
		f.wait(time.Hour, "the released agent being clean", func() bool { return f.agent("a2").State == hygiene.Clean })
	})
}

// TestADaemonRestartAtEveryStageChangesNothing ends the daemon twice in each stage.
func TestADaemonRestartAtEveryStageChangesNothing(t *testing.T) {
	inFleet(t, 4, 1, func(f *fleet) {
		f.policy.MinCleanups = 6 // more than can end between two looks of this test: no stage goes by unseen
		f.reload()
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		restarts := map[string]int{}
		f.use(5*time.Hour, "the end", func() bool {
			r := f.stored()
			if restarts[r.Where()] < 2 {
				restarts[r.Where()]++
				f.down()
				f.up()
				after := f.stored()
				if after.Number != r.Number || after.Where() != r.Where() || !slices.Equal(after.Canaries, r.Canaries) || after.Bound != r.Bound {
					t.Fatalf("a restart made %+v of %+v", after, r)
				}
			}
			return r.Stage == rollout.Done
		})
		if len(restarts) < 4 {
			t.Errorf("restarts in %v", restarts)
		}
		if n := len(f.events(hygiene.EventRolloutStarted)); n != 1 {
			t.Errorf("%d rollouts were started", n)
		}
	})
}

// TestAThirdRevisionTakesThePlaceOfTheSecond has it come while the second is with some agents: it starts from the first.
func TestAThirdRevisionTakesThePlaceOfTheSecond(t *testing.T) {
	inFleet(t, 4, 1, func(f *fleet) {
		f.allClean()
		second, third := compileFor(t, "second"), compileFor(t, "third")
		f.change(second)
		f.use(5*time.Hour, "a share", f.inStage(rollout.Share))
		f.change(third)
		f.wait(time.Minute, "the third", func() bool { return f.stored().To == rollout.Revision(third.Revision) })
		r := f.stored()
		if r.From != rollout.Revision(f.old.Revision) || r.Stage != rollout.Canary || r.Number != 2 {
			t.Errorf("got %+v", r)
		}
		if len(f.events(hygiene.EventRolloutRolledBack)) != 1 || len(f.events(hygiene.EventRolloutStarted)) != 2 {
			t.Errorf("events: %+v", f.events(hygiene.EventRolloutRolledBack, hygiene.EventRolloutStarted))
		}
		f.use(5*time.Hour, "the end", f.inStage(rollout.Done))
		f.use(5*time.Hour, "all having it", func() bool { return f.has(third) == 4 })
	})
}

func TestARollbackByHandAfterTheEndFindsTheOldProgram(t *testing.T) {
	inFleet(t, 3, 1, func(f *fleet) {
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.use(5*time.Hour, "the end", f.inStage(rollout.Done))
		f.use(5*time.Hour, "all having it", func() bool { return f.has(next) == 3 })
		f.down()
		f.up() // nothing of the old recipe is in memory
		_, err := f.store.PurgePrograms(f.t.Context())
		must(t, err)
		f.wait(time.Minute, "a look", func() bool {
			s, err := f.rollouts.Status(f.t.Context(), "all")
			return err == nil && s.Rollout.Stage == rollout.Done
		})
		s, err := f.rollouts.Rollback(f.t.Context(), "all", "ann", "it is bad after all")
		must(t, err)
		if s.Rollout.Stage != rollout.RolledBack || s.Rollout.By != "ann" {
			t.Errorf("got %+v", s.Rollout)
		}
		f.use(5*time.Hour, "all having the old one", func() bool { return f.has(f.old) == 3 })
		f.allClean()
		f.pass(time.Hour)
		if r := f.stored(); r.Stage != rollout.RolledBack {
			t.Errorf("it came again by itself: %+v", r)
		}
		s, err = f.rollouts.Start(f.t.Context(), "all", next.Revision[:8], "ann", "mended elsewhere")
		must(t, err)
		if s.Rollout.Stage != rollout.Canary || s.Rollout.Number != 2 || s.Rollout.To != rollout.Revision(next.Revision) {
			t.Errorf("started again: %+v", s.Rollout)
		}
	})
}

func TestAPauseKeepsEverythingAsItIs(t *testing.T) {
	takesLong(t)
	inFleet(t, 4, 1, func(f *fleet) {
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.use(5*time.Hour, "a share", f.inStage(rollout.Share))
		f.use(5*time.Hour, "half of them having it", func() bool { return f.has(next) == 2 })
		_, err := f.rollouts.Pause(f.t.Context(), "all", "ann", "to look at it")
		must(t, err)
		n := 0
		f.use(5*time.Hour, "an hour", func() bool { n++; return n > 180 })
		if got := f.has(next); got != 2 || len(f.got(next)) != 2 {
			t.Errorf("in a pause %d have it, and %v got it; want the two of before", got, f.got(next))
		}
		if err := f.promote(f.stored().Position()); err == nil {
			t.Error("a paused rollout is promoted")
		}
		_, err = f.rollouts.Resume(f.t.Context(), "all", "ann", "")
		must(t, err)
		f.use(5*time.Hour, "the end", f.inStage(rollout.Done))
	})
}

// Who promotes what the evidence has promoted a moment before would else skip a share that nobody looked at.
func TestAPromotionByHandIsOfWhatWasSeen(t *testing.T) {
	inFleet(t, 4, 1, func(f *fleet) {
		f.allClean()
		f.change(compileFor(t, "new"))
		f.wait(time.Minute, "a rollout", f.inStage(rollout.Canary))
		seen := f.stored().Position()
		must(t, f.promote(seen))
		if err := f.promote(seen); !errors.Is(err, rollout.ErrChanged) || f.stored().Where() != "share 50%" {
			t.Errorf("promoted from where it was once, it is at %s: %v", f.stored().Where(), err)
		}
		must(t, f.promote(f.stored().Position()))
		other := f.stored().Position()
		if other.Revision = "0123456789ab"; !errors.Is(f.promote(other), rollout.ErrChanged) {
			t.Error("another revision was promoted than was seen")
		}
	})
}

// TestAgentsAreCleanedAgainNeverBelowTheFloor has all agents clean by the old revision when the new one is done.
func TestAgentsAreCleanedAgainNeverBelowTheFloor(t *testing.T) {
	inFleet(t, 6, 2, func(f *fleet) {
		f.policy.Stale = rollout.StaleOnce
		f.floor = func(total int) int { return (total + 1) / 2 }
		f.reload()
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.wait(time.Minute, "a rollout", f.inStage(rollout.Canary))
		for range 3 {
			must(t, f.promote(f.stored().Position()))
		}
		least := 6
		f.wait(10*time.Hour, "all cleaned with the new revision", func() bool {
			clean := 0
			for _, a := range f.all() {
				if a.State == hygiene.Clean {
					clean++
				}
			}
			least = min(least, clean)
			return clean == 6 && f.has(next) == 6
		})
		if least < 3 {
			t.Errorf("only %d agents were clean at a time, and the floor is 3", least)
		}
	})
}

// TestAVerificationDoesNotMakeAnAgentOneOfTheNewRevision lets clean agents be verified while the pool pins another.
func TestAVerificationDoesNotMakeAnAgentOneOfTheNewRevision(t *testing.T) {
	inFleet(t, 2, 1, func(f *fleet) {
		f.ttl, f.policy.StaleAfter = time.Hour, 3*time.Hour
		f.reload()
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.wait(time.Minute, "a rollout", f.inStage(rollout.Canary))
		for range 3 {
			must(t, f.promote(f.stored().Position()))
		}
		whole := func() (n int) {
			for _, a := range f.all() {
				if _, at, err := f.store.Agent(f.t.Context(), a.ID); err == nil && at.Revision == next.Revision && at.Need == hygiene.NeedCleanup && at.Outcome == hygiene.Cleaned {
					n++
				}
			}
			return n
		}
		f.pass(2 * time.Hour) // verified by the new revision
		if n := f.has(next); n != 2 || whole() != 0 {
			t.Fatalf("%d agents were verified with the new revision, %d cleaned", n, whole())
		}
		f.policy.Stale = rollout.StaleOnce
		f.reload()
		f.wait(time.Hour, "whole cleanups", func() bool { return whole() == 2 })
	})
}

func TestTwoControllersOfAPoolShareOneRollout(t *testing.T) {
	inFleet(t, 6, 2, func(f *fleet) {
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.use(5*time.Hour, "a share", func() bool {
			if got := f.got(next); f.stored().Stage == rollout.Canary && len(got) > 1 {
				t.Fatalf("%v got it, and one canary is wanted", got)
			}
			return f.stored().Stage == rollout.Share
		})
		f.use(5*time.Hour, "the end", f.inStage(rollout.Done))
		f.use(5*time.Hour, "all having it", func() bool { return f.has(next) == 6 })
		if n := len(f.events(hygiene.EventRolloutStarted)); n != 1 {
			t.Errorf("%d rollouts were started", n)
		}
	})
}

// Nobody looks at the agents of a pool before its recipe is changed: one that is kept out, or dead, must not hold a rollout up for days.
func TestACanaryThatTellsNothingIsMadeUpFor(t *testing.T) {
	for what, take := range map[string]func(*fleet, string){
		"held": func(f *fleet, name string) {
			must(f.t, f.crew.OrderHold(f.t.Context(), name, "ann", "new disk", time.Time{}))
		},
		"dead": func(f *fleet, name string) { f.jenkins.Agent(name).Kill() },
	} {
		t.Run(what, func(t *testing.T) {
			inFleet(t, 4, 1, func(f *fleet) {
				f.allClean()
				next := compileFor(t, "new")
				f.change(next)
				f.wait(time.Minute, "a rollout", f.inStage(rollout.Canary))
				canary := f.stored().Canaries
				take(f, strings.TrimPrefix(string(canary[0]), "ci/"))
				f.use(6*time.Hour, "a share", f.inStage(rollout.Share))
				if r := f.stored(); len(canary) != 1 || len(r.Canaries) != 2 || r.Canaries[0] != canary[0] {
					t.Errorf("of the canary %v it made %v", canary, r.Canaries)
				}
			})
		})
	}
}

// A revision after which agents do not come back must not get the next one for that.
func TestACanaryThatItsRevisionKilledIsNotMadeUpFor(t *testing.T) {
	inFleet(t, 4, 1, func(f *fleet) {
		f.policy.Patience = 12 * time.Hour
		f.reload()
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.use(time.Hour, "an attempt on the canary", func() bool { return len(f.got(next)) == 1 })
		f.jenkins.Agent(strings.TrimPrefix(f.got(next)[0], "ci/")).Kill()
		f.waitStage(rollout.Paused) // nobody but a person can know
		if r, got := f.stored(), f.got(next); len(r.Canaries) != 1 || len(got) != 1 {
			t.Errorf("it went on from canary to canary: %v, and %v got it", r.Canaries, got)
		}
	})
}

func TestARehearsalComesFirstWherePolicyWantsOne(t *testing.T) {
	inFleet(t, 3, 1, func(f *fleet) {
		f.policy.RehearsalRequired = true
		f.reload()
		f.allClean()
		good, bad := compileFor(t, "good"), compileFor(t, "bad")
		f.change(bad)
		f.wait(time.Minute, "a rollout", f.inStage(rollout.Rehearsing))
		_, err := f.rollouts.Rehearsed(f.t.Context(), "all", bad.Revision[:12], false, "step sweep fails", "ci")
		must(t, err)
		f.waitStage(rollout.RolledBack)
		if r := f.stored(); !strings.Contains(r.Reason, "the rehearsal failed: step sweep fails") {
			t.Errorf("the reason is %q", r.Reason)
		}
		_, err = f.rollouts.Rehearsed(f.t.Context(), "all", good.Revision, true, "", "ci") // before it is there
		must(t, err)
		f.change(good)
		f.waitStage(rollout.Canary)
		if got := f.got(bad); len(got) > 0 {
			t.Errorf("%v got a revision whose rehearsal failed", got)
		}
		_, err = f.rollouts.Rehearsed(f.t.Context(), "all", good.Revision, false, "it leaves a mount", "ci")
		must(t, err)
		f.waitStage(rollout.RolledBack)
		if r := f.stored(); r.Reason != "canary: a rehearsal failed: it leaves a mount" {
			t.Errorf("the reason is %q", r.Reason)
		}
		status, err := f.rollouts.Rehearsed(f.t.Context(), "all", good.Revision, true, "the mount is gone", "ci")
		if r := status.Rehearsal; err != nil || r.Result != rollout.RehearsalPassed || r.Reason != "the mount is gone" {
			t.Errorf("whoever told it is shown %+v, %v", r, err)
		}
	})
}

// TestRealBuildsThatFailOnTheNewRevisionPauseIt has builds fail on the canary alone, and counts what it costs to know.
func TestRealBuildsThatFailOnTheNewRevisionPauseIt(t *testing.T) {
	inFleet(t, 4, 1, func(f *fleet) {
		f.policy.MinCleanups = 100 // so that cleanups do not promote it before
		f.policy.Plan.Named, f.policy.Plan.Canaries = []rollout.AgentID{"ci/a1"}, 1
		f.reload()
		f.allClean()
		f.use(3*time.Hour, "some history", func() bool { return f.builds() > 40 })
		if n := f.reads.Load(); n > 0 {
			t.Errorf("%d builds were read before there was a rollout", n)
		}
		f.mu.Lock()
		f.buildFails = func(agent string) bool { return agent == "a1" }
		f.mu.Unlock()
		f.change(compileFor(t, "new"))
		f.use(5*time.Hour, "a pause", f.inStage(rollout.Paused))
		if r := f.stored(); !strings.Contains(r.Reason, "real builds on its agents") {
			t.Errorf("the reason is %q", r.Reason)
		}
		builds := f.builds()
		n := int(f.reads.Load())
		if n == 0 || n > builds {
			t.Errorf("%d requests for %d builds", n, builds)
		}
		t.Logf("%d requests for how %d builds ended", n, builds)
	})
}
