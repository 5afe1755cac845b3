// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestFeedsAreJudged(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	real := func(url string, s int) hygiene.Start { return hygiene.Start{URL: url, At: at(s)} }
	ours := func(url string, s int) hygiene.Start { return hygiene.Start{URL: url, At: at(s), Ours: true} }
	granted := func(url string) hygiene.Attempt {
		return hygiene.Attempt{Run: hygiene.Run{URL: url}, Proved: epoch, Outcome: hygiene.Cleaned}
	}
	remote := func(s int) hygiene.Attempt {
		return hygiene.Attempt{
			Delivery: hygiene.BySSH, Began: at(s).Add(time.Second / 2), Handed: epoch.Add(-time.Hour),
			Proved: epoch, Outcome: hygiene.Cleaned,
		}
	}
	verified := func(url string) hygiene.Attempt {
		return hygiene.Attempt{Run: hygiene.Run{URL: url}, Proved: epoch, Outcome: hygiene.Cleaned, Need: hygiene.NeedVerify}
	}
	reconnected := func(t hygiene.Attempt, swept string, s int) hygiene.Attempt {
		t.Reconnect, t.Run.Swept = 1, hygiene.Swept{Began: at(s), URL: swept}
		return t
	}
	lost := func(t hygiene.Attempt, s int, usedBy string) hygiene.Attempt {
		t.Lose(at(s), usedBy)
		return t
	}
	numbered := func(n int64, t hygiene.Attempt) hygiene.Attempt {
		t.Number = n
		return t
	}
	failed := hygiene.Attempt{Run: hygiene.Run{URL: "f"}, Outcome: hygiene.Failed}
	proved := hygiene.Attempt{Run: hygiene.Run{URL: "p"}, Proved: epoch}
	tests := []struct {
		name     string
		starts   []hygiene.Start // oldest first
		attempts []hygiene.Attempt
		adopted  time.Time
		from     time.Time
		want     []string
		used     string
	}{
		{
			name: "the first build after a cleanup is clean", starts: []hygiene.Start{ours("1", 1), real("a", 2)},
			attempts: []hygiene.Attempt{granted("1")}, used: "a",
		},
		{
			// The loss of the first, to a build that this reading does not show, came in the second in which the next one began.
			name: "a loss before a cleanup that followed at once", starts: []hygiene.Start{real("a", 90)},
			attempts: []hygiene.Attempt{
				numbered(2, hygiene.Attempt{Began: at(32).Add(400 * time.Millisecond), Proved: epoch, Outcome: hygiene.Cleaned}),
				numbered(1, hygiene.Attempt{Began: at(15), Proved: epoch, Outcome: hygiene.Cleaned, Lost: at(32).Add(300 * time.Millisecond), UsedBy: "earlier"}),
			}, used: "a",
		},
		{
			// It is over, and the next cleanup began over SSH, in the second in which it started.
			name: "a build before a cleanup over SSH that followed at once", starts: []hygiene.Start{real("a", 10)},
			attempts: []hygiene.Attempt{
				numbered(2, hygiene.Attempt{Delivery: hygiene.BySSH, Began: at(10).Add(800 * time.Millisecond), Proved: epoch}),
				numbered(1, lost(remote(5), 10, "a")),
			},
		},
		{
			name: "the second is not", starts: []hygiene.Start{ours("1", 1), real("a", 2), real("b", 3)},
			attempts: []hygiene.Attempt{granted("1")}, want: []string{"b"}, used: "b",
		},
		{
			name: "the next cleanup begins anew", starts: []hygiene.Start{ours("1", 1), real("a", 2), ours("2", 3), real("b", 4)},
			attempts: []hygiene.Attempt{granted("1"), granted("2")}, used: "b",
		},
		{
			name: "a cleanup after the last build ends its use", starts: []hygiene.Start{ours("1", 1), real("a", 2), ours("2", 3)},
			attempts: []hygiene.Attempt{granted("1"), granted("2")},
		},
		{
			name: "one after a cleanup that failed is not clean", starts: []hygiene.Start{ours("f", 1), real("a", 2)},
			attempts: []hygiene.Attempt{failed}, want: []string{"a"},
		},
		{
			name: "nor one after a cleanup that nobody knows", starts: []hygiene.Start{ours("1", 1), ours("x", 2), real("a", 3)},
			attempts: []hygiene.Attempt{granted("1")}, want: []string{"a"}, used: "a",
		},
		{
			name: "nor one before any cleanup", starts: []hygiene.Start{real("a", 1), ours("1", 2), real("b", 3)},
			attempts: []hygiene.Attempt{granted("1")}, want: []string{"a"}, used: "b",
		},
		{
			name: "nor one between proof and grant, which uses the proof up", starts: []hygiene.Start{ours("p", 1), real("a", 2)},
			attempts: []hygiene.Attempt{proved}, want: []string{"a"}, used: "a",
		},
		{
			name: "verification alone does not end a use", starts: []hygiene.Start{ours("1", 1), real("a", 2), ours("v", 3)},
			attempts: []hygiene.Attempt{granted("1"), verified("v")}, used: "a",
		},
		{
			name: "nor is it one", starts: []hygiene.Start{real("a", 1), ours("1", 2), ours("v", 3)},
			attempts: []hygiene.Attempt{granted("1"), verified("v")}, want: []string{"a"},
		},
		{
			name: "a build between clean phase and verification in a new session is not undone by it", starts: []hygiene.Start{ours("c", 1), real("a", 2), ours("v", 3)},
			attempts: []hygiene.Attempt{reconnected(granted("v"), "c", 1)}, want: []string{"a"}, used: "a",
		},
		{
			name: "nor is the one after it clean", starts: []hygiene.Start{ours("c", 1), real("a", 2), ours("v", 3), real("b", 4)},
			attempts: []hygiene.Attempt{reconnected(granted("v"), "c", 1)}, want: []string{"a", "b"}, used: "b",
		},
		{
			name: "over SSH neither", starts: []hygiene.Start{real("a", 3)},
			attempts: []hygiene.Attempt{reconnected(remote(4), "", 2)}, want: []string{"a"}, used: "a",
		},
		{
			name: "a build before the clean phase is", starts: []hygiene.Start{ours("1", 1), real("a", 2), ours("c", 3), ours("v", 4)},
			attempts: []hygiene.Attempt{granted("1"), reconnected(granted("v"), "c", 3)},
		},
		{
			name: "and the first after all is clean", starts: []hygiene.Start{ours("c", 1), ours("v", 2), real("a", 3)},
			attempts: []hygiene.Attempt{reconnected(granted("v"), "c", 1)}, used: "a",
		},
		{
			name: "verifications in two sessions undo nothing", starts: []hygiene.Start{ours("1", 1), real("a", 2), ours("c", 3), ours("v", 4)},
			attempts: []hygiene.Attempt{granted("1"), reconnected(verified("v"), "c", 3)}, used: "a",
		},
		{
			name: "what was judged earlier is not told again, and goes on telling", starts: []hygiene.Start{ours("1", 1), real("a", 2), real("b", 3), real("c", 4)},
			attempts: []hygiene.Attempt{granted("1")}, from: at(3), want: []string{"c"}, used: "c",
		},
		{
			name: "a cleanup that was judged earlier still makes clean", starts: []hygiene.Start{ours("1", 1), real("a", 2)},
			attempts: []hygiene.Attempt{granted("1")}, from: at(1), used: "a",
		},
		{
			name: "what began in one second keeps the feed's order", starts: []hygiene.Start{real("a", 1), ours("1", 1), real("b", 1)},
			attempts: []hygiene.Attempt{granted("1")}, want: []string{"a"}, used: "b",
		},
		{
			name: "a cleanup over SSH stands in no feed", starts: []hygiene.Start{real("a", 1), real("b", 3)},
			attempts: []hygiene.Attempt{remote(2)}, want: []string{"a"}, used: "b",
		},
		{
			name: "it comes before what began in its second", starts: []hygiene.Start{real("a", 2)},
			attempts: []hygiene.Attempt{remote(2)}, used: "a",
		},
		{
			name: "a loss ends the cleanliness", starts: []hygiene.Start{ours("1", 1), real("a", 4)},
			attempts: []hygiene.Attempt{lost(granted("1"), 3, "")}, want: []string{"a"}, used: "a",
		},
		{
			name: "but not that of a later cleanup", starts: []hygiene.Start{ours("1", 1), ours("2", 3), real("a", 4)},
			attempts: []hygiene.Attempt{lost(granted("1"), 2, ""), granted("2")}, used: "a",
		},
		{
			name: "nor does a later cleanup make up for it", starts: []hygiene.Start{ours("1", 1), real("a", 3), ours("2", 4), real("b", 5)},
			attempts: []hygiene.Attempt{lost(granted("1"), 2, ""), granted("2")}, want: []string{"a"}, used: "b",
		},
		{
			name: "a use that the feed shows is no loss besides", starts: []hygiene.Start{ours("1", 1), real("a", 4)},
			attempts: []hygiene.Attempt{lost(granted("1"), 3, "a")}, used: "a",
		},
		{
			name: "a use that no feed shows, by a Pipeline, is one", starts: []hygiene.Start{ours("1", 1), real("a", 4)},
			attempts: []hygiene.Attempt{lost(granted("1"), 3, "pipe")}, want: []string{"a"}, used: "a",
		},
		{
			name: "what ran before the agent was ours is not judged", starts: []hygiene.Start{real("a", 1), real("b", 5)},
			adopted: at(3), want: []string{"b"},
		},
		{
			name: "nothing that was clean before is so when it comes back to us", starts: []hygiene.Start{ours("1", 1), real("a", 4)},
			attempts: []hygiene.Attempt{granted("1")}, adopted: at(3), want: []string{"a"}, used: "a",
		},
		{
			name: "the second in which it became ours counts", starts: []hygiene.Start{real("a", 3)},
			adopted: at(3).Add(time.Second / 2), want: []string{"a"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			newestFirst := slices.Clone(tt.starts)
			slices.Reverse(newestFirst)
			judged := hygiene.Feed{Starts: newestFirst, Attempts: tt.attempts, Adopted: tt.adopted, From: tt.from}.Judge()
			var got []string
			for _, c := range judged.Contaminated {
				got = append(got, c.URL)
				if c.Reason == "" {
					t.Errorf("%s without a reason", c.URL)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("contaminated (-want +got):\n%s", diff)
			}
			used := ""
			if judged.Used != nil {
				used = judged.Used.URL
			}
			if used != tt.used {
				t.Errorf("used by %q, want %q", used, tt.used)
			}
		})
	}
}
