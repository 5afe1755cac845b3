// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

func TestWhenALeaseEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		state  loan.State
		with   func(*loan.Loan)
		after  time.Duration // from base
		cause  loan.Cause
		reason string
	}{
		{"its term", loan.Attached, func(*loan.Loan) {}, time.Hour, loan.ByTerm, "term of 1h0m0s"},
		{"a term that was renewed", loan.Attached, func(l *loan.Loan) { l.Until = base.Add(3 * time.Hour) }, 3 * time.Hour, loan.ByTerm, "its term is over"},
		{"a renewal up to the maximum", loan.Attached, func(l *loan.Loan) { l.Until = base.Add(8 * time.Hour) }, 8 * time.Hour, loan.ByTerm, "no loan may last longer"},
		{"the hard maximum, however long it was renewed for", loan.Attached, func(l *loan.Loan) { l.Until = base.Add(24 * time.Hour) }, 8 * time.Hour, loan.ByTerm, "8h0m0s, and no loan may last longer"},
		{"a term beyond the maximum", loan.Granted, func(l *loan.Loan) { l.Lease.Max = time.Minute }, time.Minute, loan.ByTerm, "no loan may last longer"},
		{"no maximum", loan.Attached, func(l *loan.Loan) { l.Lease.Max, l.Until = 0, base.Add(1000*time.Hour) }, 1000 * time.Hour, loan.ByTerm, "term"},
		{"silence", loan.Attached, func(l *loan.Loan) { l.Lease.TTL = time.Minute }, time.Minute, loan.BySilence, "no sign of life for 1m0s"},
		{"silence from the newest sign of life", loan.Attached, func(l *loan.Loan) { l.Lease.TTL, l.Renewed = time.Minute, base.Add(5*time.Minute) }, 6 * time.Minute, loan.BySilence, "no sign of life"},
		{"silence means nothing before it is attached", loan.Granted, func(l *loan.Loan) { l.Lease.TTL = time.Minute }, time.Hour, loan.ByTerm, "term"},
		{"silence later than the term", loan.Attached, func(l *loan.Loan) { l.Lease.TTL = 2 * time.Hour }, time.Hour, loan.ByTerm, "term"},
		{"silence later than the maximum", loan.Attached, func(l *loan.Loan) {
			l.Lease.TTL, l.Lease.Max = 2*time.Minute, time.Minute
		}, time.Minute, loan.ByTerm, "no loan may last longer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := loanIn(t, tt.state)
			tt.with(&l)
			at, cause, reason := l.Ends()
			if !at.Equal(base.Add(tt.after)) || cause != tt.cause || !strings.Contains(reason, tt.reason) {
				t.Errorf("got %s after the grant by %q (%s), want %s by %q (%s)", at.Sub(base), cause, reason, tt.after, tt.cause, tt.reason)
			}
			before := loan.Next(l, loan.Sight{}, loan.Policy{}, at.Add(-1))
			if before.Kind == loan.End && before.Cause != loan.ByTimeout {
				t.Errorf("a nanosecond before, Next says %s: %s", before.Kind, before.Reason)
			}
			for _, late := range []time.Duration{0, time.Minute, 10000 * time.Hour} {
				if act := loan.Next(l, loan.Sight{}, loan.Policy{}, at.Add(late)); act.Kind != loan.End || act.Cause != tt.cause {
					t.Errorf("%s after its end, Next says %s by %q: %s", late, act.Kind, act.Cause, act.Reason)
				}
			}
		})
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		state  loan.State
		longer time.Duration
		at     time.Duration // from base
		until  time.Duration // likewise; -1 = as it was
		err    error
		says   string
	}{
		{"a sign of life alone", loan.Attached, 0, 10 * time.Minute, -1, nil, ""},
		{"longer", loan.Attached, 2 * time.Hour, 10 * time.Minute, 130 * time.Minute, nil, ""},
		{"longer before it is attached", loan.Granted, 2 * time.Hour, time.Minute, 121 * time.Minute, nil, ""},
		{"no longer than the maximum", loan.Attached, 100 * time.Hour, 10 * time.Minute, 8 * time.Hour, nil, ""},
		{"a term from now that ends sooner", loan.Attached, time.Minute, 10 * time.Minute, 11 * time.Minute, nil, ""},
		{"a waiting loan has no term yet", loan.Waiting, time.Hour, 10 * time.Minute, -1, nil, ""},
		{"less than nothing", loan.Attached, -time.Second, 10 * time.Minute, -1, errAny, "want a time from now on"},
		{"a loan that is coming back", loan.Returning, 0, 10 * time.Minute, -1, loan.ErrOver, "returning"},
		{"a loan that is back", loan.Cleaned, time.Hour, 10 * time.Minute, -1, loan.ErrOver, "cleaned"},
		{"a loan that got no agent", loan.Expired, time.Hour, 10 * time.Minute, -1, loan.ErrOver, "expired"},
		{"a loan that failed", loan.Failed, 0, 10 * time.Minute, -1, loan.ErrOver, "failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before, now := loanIn(t, tt.state), base.Add(tt.at)
			after, err := before.Renew(tt.longer, now)
			if tt.err != nil {
				if err == nil || !errors.Is(err, tt.err) && !errors.Is(tt.err, errAny) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "l1") {
					t.Errorf("got %v, want %v that names the loan and says %q", err, tt.err, tt.says)
				}
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("refused, and changed:\n%s", diff)
				}
				return
			}
			must(t, err)
			want := before
			want.Renewed = now
			if tt.until >= 0 {
				want.Until = base.Add(tt.until)
			}
			if diff := cmp.Diff(want, after); diff != "" {
				t.Errorf("want only renewal and term changed:\n%s", diff)
			}
		})
	}
}

// errAny stands for an error that has no name.
var errAny = errors.New("any error")

// TestTheClockMayBeSet: a clock that was set forward ends a lease, one that was set back lets it last for as
// long as it was set back, and nothing else.
func TestTheClockMayBeSet(t *testing.T) {
	t.Parallel()
	l := loanIn(t, loan.Attached)
	l.Lease.TTL, l.Lease.Idle, l.IdleSince = 10*time.Minute, 20*time.Minute, base
	for after, want := range map[time.Duration]loan.ActionKind{
		-1000 * time.Hour: loan.Rest, -time.Hour: loan.Rest, 0: loan.Rest, 1000 * time.Hour: loan.End,
	} {
		act := loan.Next(l, loan.Sight{}, loan.Policy{Recall: time.Minute}, base.Add(after))
		if act.Kind != want {
			t.Errorf("clock at %s from the attachment: %s (%s), want %s", after, act.Kind, act.Reason, want)
		}
		if act.Kind == loan.Rest && (!act.Wake.After(base.Add(after)) || act.Wake.Sub(base.Add(after)) > 10*time.Second) {
			t.Errorf("clock at %s from the attachment: rests until %s", after, act.Wake.Sub(base))
		}
	}
	l, err := l.Renew(time.Hour, base.Add(-2*time.Hour))
	must(t, err)
	if at, cause, _ := l.Ends(); !at.Equal(base.Add(-110*time.Minute)) || cause != loan.BySilence {
		t.Errorf("renewed two hours before its attachment, it ends at %s by %q", at.Sub(base), cause)
	}
}

// TestNoTimeStaysInTheFuture sets each time of a loan ahead of the clock, by their types, so that none can be forgotten.
func TestNoTimeStaysInTheFuture(t *testing.T) {
	t.Parallel()
	var times func(v reflect.Value, path string, f func(string, *time.Time))
	times = func(v reflect.Value, path string, f func(string, *time.Time)) {
		for field, value := range v.Fields() {
			name := path + field.Name
			switch at, is := reflect.TypeAssert[*time.Time](value.Addr()); {
			case is:
				f(name, at)
			case value.Kind() == reflect.Struct:
				times(value, name+".", f)
			}
		}
	}
	seen := 0
	times(reflect.ValueOf(new(loan.Loan)).Elem(), "", func(name string, _ *time.Time) {
		seen++
		l := loan.Loan{Lease: loan.Lease{Term: time.Hour}}
		times(reflect.ValueOf(&l).Elem(), "", func(other string, at *time.Time) {
			if other == name {
				*at = base.Add(1000 * time.Hour)
			}
		})
		if ahead := loan.Ahead(l, base); ahead == (name == "Until") {
			t.Errorf("%s in the future: ahead is %t", name, ahead)
		}
		if name == "Until" {
			return // a renewal may have put it there
		}
		l = loan.SetBack(l, base)
		times(reflect.ValueOf(&l).Elem(), "", func(other string, at *time.Time) {
			if at.After(base.Add(time.Hour)) {
				t.Errorf("%s is left in the future, %s", other, at)
			}
		})
	})
	if seen < 13 {
		t.Errorf("%d times were found", seen)
	}
}

// A clock that is corrected a little takes nothing of what a renewal has added.
func TestAClockThatIsSetBackTakesNoRenewal(t *testing.T) {
	t.Parallel()
	for _, back := range []time.Duration{time.Millisecond, time.Hour, 1000 * time.Hour} {
		l, err := loanIn(t, loan.Attached).Renew(6*time.Hour, base.Add(time.Minute))
		must(t, err)
		now := base.Add(time.Minute - back)
		if !loan.Ahead(l, now) {
			t.Errorf("set back by %s, it is not ahead", back)
		}
		l = loan.SetBack(l, now)
		if lasts := l.Until.Sub(now); lasts != 6*time.Hour {
			t.Errorf("set back by %s, it lasts %s", back, lasts)
		}
	}
}

// TestNoRenewalOutlivesTheMaximum renews at any times, also such that lie before the grant.
func TestNoRenewalOutlivesTheMaximum(t *testing.T) {
	t.Parallel()
	start := loanIn(t, loan.Attached)
	rapid.Check(t, func(rt *rapid.T) {
		l := start
		for range rapid.IntRange(0, 20).Draw(rt, "renewals") {
			now := base.Add(time.Duration(rapid.IntRange(-600, 600).Draw(rt, "at")) * time.Minute)
			longer := time.Duration(rapid.IntRange(0, 2000).Draw(rt, "longer")) * time.Minute
			next, err := l.Renew(longer, now)
			if err != nil {
				rt.Fatal(err)
			}
			if longer > 0 && next.Until.After(now.Add(longer)) {
				rt.Fatalf("renewed for %s, it lasts %s", longer, next.Until.Sub(now))
			}
			l = next
			if at, _, _ := l.Ends(); at.After(l.Granted.Add(l.Lease.Max)) || l.Until.After(l.Granted.Add(l.Lease.Max)) {
				rt.Fatalf("ends %s after the grant, until %s", at.Sub(l.Granted), l.Until.Sub(l.Granted))
			}
		}
	})
}

func TestIdles(t *testing.T) {
	t.Parallel()
	later := base.Add(time.Minute)
	tests := []struct {
		name  string
		since time.Time
		idle  bool
		want  time.Time
		news  bool
	}{
		{"it becomes idle", time.Time{}, true, later, true},
		{"it stays idle, since the same time", base, true, base, false},
		{"it becomes busy", base, false, time.Time{}, true},
		{"it stays busy", time.Time{}, false, time.Time{}, false},
	}
	for _, tt := range tests {
		l := loan.Loan{IdleSince: tt.since}
		if news := l.Idles(tt.idle, later); news != tt.news || !l.IdleSince.Equal(tt.want) {
			t.Errorf("%s: idle since %s, news %t; want %s, %t", tt.name, l.IdleSince, news, tt.want, tt.news)
		}
	}
}

func TestOverdue(t *testing.T) {
	t.Parallel()
	p := loan.Policy{Return: time.Hour}
	for _, s := range loan.States {
		l := loanIn(t, s)
		if got, want := l.Overdue(p, base.Add(time.Hour)), s == loan.Returning; got != want {
			t.Errorf("%s for an hour: overdue %t, want %t", s, got, want)
		}
	}
	l := loanIn(t, loan.Returning)
	if l.Overdue(p, base.Add(time.Hour-1)) || l.Overdue(loan.Policy{}, base.Add(1000*time.Hour)) {
		t.Error("overdue before its time, or although nobody wants to hear of it")
	}
}
