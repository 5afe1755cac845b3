// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

func TestAPoolWithoutTheSectionTakesARevisionAtOnce(t *testing.T) {
	inFleet(t, 3, 1, func(f *fleet) {
		f.rolls = false
		f.reload()
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.use(time.Hour, "all having it", func() bool { return f.has(next) == 3 })
		if r := f.stored(); r.Pool != "" {
			t.Errorf("it has a rollout: %+v", r)
		}
		f.pass(time.Hour)
		if n := f.reads.Load(); n > 0 {
			t.Errorf("%d builds were read", n)
		}
	})
}

func TestAPoolThatStopsRollingOutIsForgotten(t *testing.T) {
	inFleet(t, 3, 1, func(f *fleet) {
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.wait(time.Minute, "a rollout", f.inStage(rollout.Canary))
		f.rolls = false
		f.reload()
		f.wait(time.Minute, "its end", func() bool { return f.stored().Pool == "" })
		f.use(time.Hour, "all having it", func() bool { return f.has(next) == 3 })
		if n := len(f.events(hygiene.EventRolloutDropped)); n != 1 {
			t.Errorf("it was told %d times", n)
		}
	})
}

// A pool that is called otherwise goes on where it was, with a recipe that changed meanwhile, too.
func TestARolloutGoesOnInAPoolThatIsRenamed(t *testing.T) {
	inFleet(t, 4, 2, func(f *fleet) {
		f.allClean()
		next := compileFor(t, "new")
		f.change(next)
		f.use(time.Hour, "an attempt on the canary", func() bool { return len(f.got(next)) == 1 })
		before := f.stored()
		f.pool = "renamed"
		f.reload()
		f.wait(time.Minute, "the new name", func() bool { return f.stored().Pool == "renamed" })
		f.use(10*time.Minute, "a look", func() bool { return f.has(next) > 0 })
		if r := f.stored(); r.Number != before.Number || r.From != before.From || r.To != before.To || r.Salt != before.Salt || r.Canaries[0] != before.Canaries[0] {
			t.Errorf("it was %+v and is %+v", before, r) // its canary is cleaned under the old name, so that another may be recruited
		}
		if e := f.events(hygiene.EventRolloutDropped); len(e) != 1 || !strings.Contains(e[0].Reason, "goes on in pool renamed") {
			t.Errorf("told is %+v", e)
		}
		f.use(50*time.Hour, "its end", f.inStage(rollout.Done))
	})
}

func TestARevisionThatWasRolledBackDoesNotComeWithANewName(t *testing.T) {
	inFleet(t, 3, 1, func(f *fleet) {
		f.allClean()
		bad := compileFor(t, "bad")
		f.change(bad)
		f.wait(time.Minute, "a rollout", f.inStage(rollout.Canary))
		_, err := f.rollouts.Rollback(f.t.Context(), "all", "ann", "it is bad")
		must(t, err)
		got := len(f.got(bad))
		f.pool = "renamed"
		f.reload()
		f.wait(time.Minute, "the new name", func() bool { return f.stored().Pool == "renamed" })
		f.use(10*time.Hour, "time to go by", func() bool { return f.builds() > 200 })
		if n := len(f.got(bad)); n != got {
			t.Errorf("%d agents got it, and %d before", n, got)
		}
		if r := f.stored(); r.Stage != rollout.RolledBack {
			t.Errorf("it is %+v", r)
		}
	})
}

// A pool that is new beside another that stays, or has another recipe, inherits nothing.
func TestANewPoolPinsWhatItsRecipeIs(t *testing.T) {
	inFleet(t, 3, 1, func(f *fleet) {
		f.allClean()
		f.change(compileFor(t, "new"))
		f.wait(time.Minute, "a rollout", f.inStage(rollout.Canary))
		f.pool, f.now = "another", compileAs(t, "another", "other")
		f.change(f.now)
		f.wait(time.Minute, "the other pool", func() bool { return f.stored().Pool == "another" })
		f.wait(time.Minute, "its pin", func() bool { return string(f.stored().Pinned()) == f.now.Revision })
		if r := f.stored(); r.Number != 0 {
			t.Errorf("it is %+v", r)
		}
	})
}
