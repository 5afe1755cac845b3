// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/notify"
)

func TestEachSinkGetsWhatItsFilterChoosesInOrderAndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, all, few, none := newOutbox(), &receiver{}, &receiver{}, &receiver{}
		stop := start(t, notify.Options{Outbox: box, Sinks: []notify.Sink{
			{Name: "all", Sender: all},
			{Name: "few", Sender: few, Filter: notify.Filter{Types: []string{"b", "c"}, Controllers: []string{"ci"}}},
			{Name: "none", Sender: none, Filter: notify.Filter{Types: []string{"b"}, Pools: []string{"other"}}},
		}})
		defer stop()
		synctest.Wait()
		box.add("a", "b")
		synctest.Wait()
		box.add("c")
		synctest.Wait()
		check(t, "all", all, "a", "b", "c")
		check(t, "few", few, "b", "c")
		check(t, "none", none)
		want := map[string]int64{"notify/all": 3, "notify/few": 3, "notify/none": 3}
		if diff := cmp.Diff(want, box.saved()); diff != "" {
			t.Errorf("positions (-want +got):\n%s", diff)
		}
	})
}

func check(t *testing.T, name string, r *receiver, want ...string) {
	t.Helper()
	if got := r.got(); !slices.Equal(got, want) {
		t.Errorf("%s got %q, want %q", name, got, want)
	}
}

func TestNewSinkStartsWithWhatHappensNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, r := newOutbox(), &receiver{}
		box.add("before")
		sinks := []notify.Sink{{Name: "s", Sender: r}}
		stop := start(t, notify.Options{Outbox: box, Sinks: sinks})
		synctest.Wait()
		stop()
		box.add("while it was down")
		stop = start(t, notify.Options{Outbox: box, Sinks: sinks})
		defer stop()
		synctest.Wait()
		check(t, "the sink", r, "while it was down")
	})
}

func TestSinkThatStartedBeforeTheFirstNoticeMissesNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, r := newOutbox(), &receiver{}
		sinks := []notify.Sink{{Name: "s", Sender: r}}
		stop := start(t, notify.Options{Outbox: box, Sinks: sinks})
		synctest.Wait()
		stop()
		box.add("first")
		stop = start(t, notify.Options{Outbox: box, Sinks: sinks})
		defer stop()
		synctest.Wait()
		check(t, "the sink", r, "first")
	})
}

func TestLostWakeUpsOnlyDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, r := newOutbox(), &receiver{}
		box.deaf = true
		stop := start(t, notify.Options{Outbox: box, Sinks: []notify.Sink{{Name: "s", Sender: r}}})
		defer stop()
		synctest.Wait()
		box.add("a")
		time.Sleep(time.Minute)
		synctest.Wait()
		check(t, "the sink", r, "a")
	})
}

func TestFailingSinkIsTriedEverLessOftenAndDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, sick, well := newOutbox(), &receiver{answer: down(errDown)}, &receiver{}
		stop := start(t, notify.Options{Outbox: box, Sinks: []notify.Sink{{Name: "sick", Sender: sick}, {Name: "well", Sender: well}}})
		defer stop()
		synctest.Wait()
		box.add("a", "b")
		time.Sleep(time.Hour)
		synctest.Wait()
		check(t, "well", well, "a", "b")
		check(t, "sick", sick)
		if n := len(sick.tried()); n < 10 || n > 40 {
			t.Errorf("%d tries in an hour, want some 20: quick at first, then every few minutes", n)
		}
		sick.answers(nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		check(t, "sick, when it is well again", sick, "a", "b")
	})
}

func TestReceiverSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ asks, least, most time.Duration }{
		"as long as it asks":       {10 * time.Minute, 10 * time.Minute, 11 * time.Minute},
		"but not for ever":         {1000 * time.Hour, time.Hour, 61 * time.Minute},
		"never sooner than we may": {0, 500 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box, r := newOutbox(), &receiver{answer: down(&notify.Refusal{After: tt.asks, Err: errDown})}
				stop := start(t, notify.Options{Outbox: box, Sinks: []notify.Sink{{Name: "s", Sender: r}}})
				defer stop()
				synctest.Wait()
				box.add("a")
				time.Sleep(2 * time.Hour)
				tries := r.tried()
				if len(tries) < 2 {
					t.Fatal("it is not tried again")
				}
				if gap := tries[1].Sub(tries[0]); gap < tt.least || gap > tt.most {
					t.Errorf("second try after %v, want %v to %v", gap, tt.least, tt.most)
				}
			})
		})
	}
}

func TestNoticeIsGivenUpWhenRefusedForGoodOrTooOldAndTheNextOneGoesOut(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{
		"refused for good": &notify.Refusal{Permanent: true, Err: errDown},
		"too old":          errDown,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box, r := newOutbox(), &receiver{}
				r.answers(func(n notify.Notice) error {
					if n.Type == "poison" {
						return answer
					}
					return nil
				})
				var mu sync.Mutex
				var givenUp []string
				stop := start(t, notify.Options{
					Outbox: box, Sinks: []notify.Sink{{Name: "s", Sender: r}}, MaxAge: 2 * time.Hour,
					Observe: func(d notify.Delivery) {
						mu.Lock()
						defer mu.Unlock()
						if d.GivenUp {
							givenUp = append(givenUp, d.Notice.ID)
						}
					},
				})
				defer stop()
				synctest.Wait()
				box.add("poison", "next")
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				check(t, "the sink", r, "next")
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(givenUp, []string{"e1-1"}) {
					t.Errorf("given up: %q, want the poison, once", givenUp)
				}
			})
		})
	}
}

func TestDeliveredNoticeIsNotRepeatedBecauseItsPositionCannotBeSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, r := newOutbox(), &receiver{}
		stop := start(t, notify.Options{Outbox: box, Sinks: []notify.Sink{{Name: "s", Sender: r}}})
		defer stop()
		synctest.Wait()
		box.breakSaving(errors.New("disk full"))
		box.add("a", "b")
		time.Sleep(time.Hour)
		synctest.Wait()
		box.breakSaving(nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		check(t, "the sink", r, "a", "b")
		if got := box.saved()["notify/s"]; got != 2 {
			t.Errorf("saved position %d, want 2", got)
		}
	})
}

func TestNoticeDeliveredAtTheVeryEndIsNotRepeatedAfterwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, r := newOutbox(), &receiver{}
		sinks := []notify.Sink{{Name: "s", Sender: r}}
		stop := start(t, notify.Options{Outbox: box, Sinks: sinks})
		synctest.Wait()
		arrived, ended := make(chan struct{}), make(chan struct{})
		r.answers(func(notify.Notice) error { // the end comes while the notice is on its way, and still it arrives
			close(arrived)
			<-ended
			return nil
		})
		box.add("a")
		<-arrived
		go stop()
		synctest.Wait()
		close(ended)
		stop()
		r.answers(nil)
		stop = start(t, notify.Options{Outbox: box, Sinks: sinks})
		defer stop()
		synctest.Wait()
		check(t, "the sink", r, "a")
	})
}

func TestSinksNeedNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for name, sinks := range map[string][]notify.Sink{"two of one name": {{Name: "a"}, {Name: "a"}}, "no name": {{}}} {
		if _, err := notify.New(notify.Options{Sinks: sinks}); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}
