// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// ask is a waiting loan: its id, who wants it, the minute of its request, and the pool it wants.
func ask(id, borrower string, minute int, pool string) loan.Loan {
	return loan.Loan{ID: id, Borrower: borrower, State: loan.Waiting, Requested: base.Add(time.Duration(minute) * time.Minute), Want: loan.Want{Pool: pool}}
}

// has is a loan that has an agent.
func has(borrower string, state loan.State) loan.Loan {
	return loan.Loan{ID: "has-" + borrower + string(state), Borrower: borrower, State: state}
}

// offers returns n agents of a pool, of which the last has been clean for longest.
func offers(pool string, n int) []loan.Offer {
	var out []loan.Offer
	for i := range n {
		out = append(out, loan.Offer{
			Agent: loan.Agent{Controller: "ci", Name: fmt.Sprintf("%s-%d", pool, i)}, Pool: pool, CleanSince: base.Add(-time.Duration(i) * time.Minute),
		})
	}
	return out
}

// fits lets a pool's agents answer whoever wants that pool, or any.
func fits(l loan.Loan, o loan.Offer) bool { return l.Want.Pool == "" || l.Want.Pool == o.Pool }

// told writes matches as loan=agent, in their order.
func told(matches []loan.Match) []string {
	var out []string
	for _, m := range matches {
		out = append(out, m.Loan.ID+"="+m.Offer.Agent.Name)
	}
	return out
}

func TestChoose(t *testing.T) {
	t.Parallel()
	plenty := loan.Shelf{Policy: loan.Policy{Most: 10}, Clean: 10}
	tests := []struct {
		name            string
		waiting, active []loan.Loan
		offers          []loan.Offer
		shelves         map[string]loan.Shelf
		quotas          map[string]int
		want            []string
	}{
		{"nobody waits", nil, nil, offers("p", 2), nil, nil, nil},
		{"nothing is offered", []loan.Loan{ask("1", "a", 0, "")}, nil, nil, nil, nil, nil},
		{"the agent that has been clean for longest", []loan.Loan{ask("1", "a", 0, "")}, nil, offers("p", 3), nil, nil, []string{"1=p-2"}},
		{
			"the oldest request of a borrower first, whatever the order they come in",
			[]loan.Loan{ask("1", "a", 5, ""), ask("2", "a", 3, ""), ask("3", "a", 4, "")},
			nil, offers("p", 2), nil, nil,
			[]string{"2=p-1", "3=p-0"},
		},
		{
			"of requests of one moment the one with the lower id",
			[]loan.Loan{ask("2", "a", 0, ""), ask("1", "a", 0, "")},
			nil, offers("p", 1), nil, nil,
			[]string{"1=p-0"},
		},
		{
			"the borrower with the fewest agents before the one that has waited longer",
			[]loan.Loan{ask("1", "a", 0, ""), ask("2", "b", 9, "")},
			[]loan.Loan{has("a", loan.Attached)},
			offers("p", 1), nil, nil,
			[]string{"2=p-0"},
		},
		{
			"an agent that is coming back counts",
			[]loan.Loan{ask("1", "a", 0, ""), ask("2", "b", 9, "")},
			[]loan.Loan{has("a", loan.Returning)},
			offers("p", 1), nil, nil,
			[]string{"2=p-0"},
		},
		{
			"one that is back does not, nor one that waits",
			[]loan.Loan{ask("1", "a", 0, ""), ask("2", "b", 9, "")},
			[]loan.Loan{has("a", loan.Cleaned), has("a", loan.Failed), has("a", loan.Waiting)},
			offers("p", 1), nil, nil,
			[]string{"1=p-0"},
		},
		{
			"one each in turn",
			[]loan.Loan{ask("1", "a", 0, ""), ask("2", "a", 1, ""), ask("3", "a", 2, ""), ask("4", "b", 8, ""), ask("5", "b", 9, "")},
			nil, offers("p", 4), nil, nil,
			[]string{"1=p-3", "4=p-2", "2=p-1", "5=p-0"},
		},
		{
			"a request that nothing answers does not hold up its borrower's next",
			[]loan.Loan{ask("1", "a", 0, "none"), ask("2", "a", 1, "")},
			nil, offers("p", 1), nil, nil,
			[]string{"2=p-0"},
		},
		{
			"nor others",
			[]loan.Loan{ask("1", "a", 0, "none"), ask("2", "b", 1, "")},
			[]loan.Loan{has("b", loan.Granted)},
			offers("p", 1), nil, nil,
			[]string{"2=p-0"},
		},
		{
			"no more than the quota, and what is on loan counts",
			[]loan.Loan{ask("1", "a", 0, ""), ask("2", "a", 1, "")},
			[]loan.Loan{has("a", loan.Granted)},
			offers("p", 2), nil,
			map[string]int{"a": 2},
			[]string{"1=p-1"},
		},
		{"a quota of none", []loan.Loan{ask("1", "a", 0, "")}, nil, offers("p", 1), nil, map[string]int{"a": 0}, nil},
		{
			"one borrower's quota is not another's",
			[]loan.Loan{ask("1", "a", 0, ""), ask("2", "b", 1, "")},
			nil, offers("p", 2), nil,
			map[string]int{"a": 0},
			[]string{"2=p-1"},
		},
		{
			"the floor stays",
			[]loan.Loan{ask("1", "a", 0, ""), ask("2", "a", 1, "")},
			nil, offers("p", 2),
			map[string]loan.Shelf{"p": {Policy: loan.Policy{Most: 9, Floor: 1}, Clean: 2}},
			nil,
			[]string{"1=p-1"},
		},
		{"at the floor nothing is lent", []loan.Loan{ask("1", "a", 0, "")}, nil, offers("p", 2), map[string]loan.Shelf{"p": {Policy: loan.Policy{Most: 9, Floor: 2}, Clean: 2}}, nil, nil},
		{
			"no more of a pool than may be lent",
			[]loan.Loan{ask("1", "a", 0, ""), ask("2", "a", 1, "")},
			nil, offers("p", 2),
			map[string]loan.Shelf{"p": {Policy: loan.Policy{Most: 3}, Clean: 9, Lent: 2}},
			nil,
			[]string{"1=p-1"},
		},
		{
			"no more than are usable above the capacity floor of their controller, whichever request comes first",
			[]loan.Loan{ask("1", "a", 0, ""), ask("2", "b", 0, ""), ask("3", "a", 1, "")},
			nil, slices.Concat(offers("p", 2), []loan.Offer{{Agent: loan.Agent{Controller: "other", Name: "o-0"}, Pool: "p", CleanSince: base}}),
			map[string]loan.Shelf{"p": {Policy: loan.Policy{Most: 9}, Clean: 9, Above: map[string]int{"ci": 1, "other": 1}}},
			nil,
			[]string{"1=p-1", "2=o-0"},
		},
		{
			"at the capacity floor nothing is lent, however many are clean",
			[]loan.Loan{ask("1", "a", 0, "")},
			nil, offers("p", 2),
			map[string]loan.Shelf{"p": {Policy: loan.Policy{Most: 9}, Clean: 9, Above: map[string]int{"ci": 0}}},
			nil, nil,
		},
		{"a pool that does not lend", []loan.Loan{ask("1", "a", 0, "")}, nil, offers("p", 1), map[string]loan.Shelf{"p": {Clean: 9}}, nil, nil},
		{"a pool that nobody told of", []loan.Loan{ask("1", "a", 0, "")}, nil, offers("p", 1), map[string]loan.Shelf{}, nil, nil},
		{"a short pool lends nothing", []loan.Loan{ask("1", "a", 0, "")}, nil, offers("p", 2), map[string]loan.Shelf{"p": {Policy: loan.Policy{Most: 9}, Clean: 9, Short: true}}, nil, nil},
		{
			"another pool lends instead",
			[]loan.Loan{ask("1", "a", 0, "")},
			nil, slices.Concat(offers("p", 2), offers("q", 1)),
			map[string]loan.Shelf{"p": {Policy: loan.Policy{Most: 9}, Clean: 9, Short: true}, "q": plenty},
			nil,
			[]string{"1=q-0"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			shelves := tt.shelves
			if shelves == nil {
				shelves = map[string]loan.Shelf{"p": plenty, "q": plenty}
			}
			for pool, shelf := range shelves {
				if shelf.Above == nil {
					shelf.Above = map[string]int{"ci": 99}
					shelves[pool] = shelf
				}
			}
			matches, _ := loan.Choose(tt.waiting, tt.active, tt.offers, shelves, tt.quotas, fits)
			got := told(matches)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// market is a drawn situation in which loans are chosen.
type market struct {
	waiting, active []loan.Loan
	offers          []loan.Offer
	shelves         map[string]loan.Shelf
	quotas          map[string]int
}

func someMarket(t *rapid.T) market {
	m := market{shelves: map[string]loan.Shelf{}, quotas: map[string]int{}}
	borrower := rapid.SampledFrom([]string{"a", "b", "c"})
	for i := range rapid.IntRange(0, 12).Draw(t, "waiting") {
		m.waiting = append(m.waiting, ask(fmt.Sprintf("%02d", i), borrower.Draw(t, "of"), rapid.IntRange(0, 5).Draw(t, "minute"), rapid.SampledFrom([]string{"", "p", "q", "none"}).Draw(t, "wants")))
	}
	for range rapid.IntRange(0, 6).Draw(t, "active") {
		m.active = append(m.active, has(borrower.Draw(t, "of"), rapid.SampledFrom(loan.States).Draw(t, "state")))
	}
	for _, pool := range []string{"p", "q"} {
		n := rapid.IntRange(0, 6).Draw(t, "offers of "+pool)
		m.offers = append(m.offers, offers(pool, n)...)
		m.shelves[pool] = loan.Shelf{
			Policy: loan.Policy{Most: rapid.IntRange(0, 6).Draw(t, "most"), Floor: rapid.IntRange(0, 4).Draw(t, "floor")},
			Clean:  n + rapid.IntRange(0, 3).Draw(t, "more clean"), Lent: rapid.IntRange(0, 3).Draw(t, "lent"), Short: rapid.IntRange(0, 4).Draw(t, "short") == 0,
			Above: map[string]int{"ci": rapid.IntRange(-1, 6).Draw(t, "above")},
		}
	}
	for _, name := range []string{"a", "b"} {
		if rapid.Bool().Draw(t, "quota") {
			m.quotas[name] = rapid.IntRange(0, 4).Draw(t, "quota of "+name)
		}
	}
	return m
}

func (m market) choose() []loan.Match {
	matches, _ := loan.Choose(m.waiting, m.active, m.offers, m.shelves, m.quotas, fits)
	return matches
}

// counts adds up what everybody has before and after.
func (m market) counts(matches []loan.Match) (borrowers, lent map[string]int, taken map[loan.Agent]bool) {
	borrowers, lent, taken = map[string]int{}, map[string]int{}, map[loan.Agent]bool{}
	for _, l := range m.active {
		if l.Active() {
			borrowers[l.Borrower]++
		}
	}
	for _, match := range matches {
		borrowers[match.Loan.Borrower]++
		lent[match.Offer.Pool]++
		taken[match.Offer.Agent] = true
	}
	return borrowers, lent, taken
}

// TestChooseKeepsItsRules holds every limit, and that nobody is passed over without a reason.
func TestChooseKeepsItsRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := someMarket(t)
		matches := m.choose()
		borrowers, lent, taken := m.counts(matches)
		if len(taken) != len(matches) {
			t.Fatalf("an agent was lent twice: %v", told(matches))
		}
		spares := func(pool string) bool {
			s := m.shelves[pool]
			return !s.Short && s.Lent+lent[pool] < s.Policy.Most && s.Clean-lent[pool] > s.Policy.Floor && lent[pool] < s.Above["ci"]
		}
		for pool, n := range lent {
			if s := m.shelves[pool]; s.Short || s.Lent+n > s.Policy.Most || s.Clean-n < s.Policy.Floor || n > s.Above["ci"] {
				t.Fatalf("%d of %s were lent: %+v", n, pool, s)
			}
		}
		got := map[string]bool{}
		for _, match := range matches {
			if got[match.Loan.ID] || !fits(match.Loan, match.Offer) {
				t.Fatalf("%v: twice, or what does not fit", told(matches))
			}
			got[match.Loan.ID] = true
			if quota, ok := m.quotas[match.Loan.Borrower]; ok && borrowers[match.Loan.Borrower] > quota {
				t.Fatalf("%s has %d, quota %d", match.Loan.Borrower, borrowers[match.Loan.Borrower], quota)
			}
		}
		for _, l := range m.waiting {
			quota, limited := m.quotas[l.Borrower]
			if got[l.ID] || limited && borrowers[l.Borrower] >= quota {
				continue
			}
			if i := slices.IndexFunc(m.offers, func(o loan.Offer) bool { return !taken[o.Agent] && fits(l, o) && spares(o.Pool) }); i >= 0 {
				t.Fatalf("%s got nothing, and %s is left: %v", l.ID, m.offers[i].Agent.Name, told(matches))
			}
		}
		m.fair(t, matches)
	})
}

// fair holds that of two borrowers who want the same, the one that had more never gets an agent first.
func (m market) fair(t *rapid.T, matches []loan.Match) {
	borrowers, _, _ := m.counts(nil)
	left := slices.Clone(m.waiting)
	for _, match := range matches {
		for _, l := range left {
			quota, limited := m.quotas[l.Borrower]
			if l.ID == match.Loan.ID || limited && borrowers[l.Borrower] >= quota || !fits(l, match.Offer) {
				continue
			}
			fewer := borrowers[l.Borrower] < borrowers[match.Loan.Borrower]
			older := l.Borrower == match.Loan.Borrower && l.Requested.Before(match.Loan.Requested)
			if fewer || older {
				t.Fatalf("%s of %s before %s of %s: %v", match.Loan.ID, match.Loan.Borrower, l.ID, l.Borrower, told(matches))
			}
		}
		borrowers[match.Loan.Borrower]++
		left = slices.DeleteFunc(left, func(l loan.Loan) bool { return l.ID == match.Loan.ID })
	}
}

// TestChooseDependsOnNoOrder shuffles everything, and finds the same matches and its arguments as they were.
func TestChooseDependsOnNoOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := someMarket(t)
		first := m.choose()
		shuffled := market{slices.Clone(m.waiting), slices.Clone(m.active), slices.Clone(m.offers), m.shelves, m.quotas}
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		r.Shuffle(len(shuffled.waiting), func(i, j int) {
			shuffled.waiting[i], shuffled.waiting[j] = shuffled.waiting[j], shuffled.waiting[i]
		})
		r.Shuffle(len(shuffled.offers), func(i, j int) {
			shuffled.offers[i], shuffled.offers[j] = shuffled.offers[j], shuffled.offers[i]
		})
		before := market{slices.Clone(shuffled.waiting), slices.Clone(shuffled.active), slices.Clone(shuffled.offers), maps.Clone(m.shelves), m.quotas}
		for pool, shelf := range before.shelves {
			shelf.Above = maps.Clone(shelf.Above)
			before.shelves[pool] = shelf
		}
		if diff := cmp.Diff(told(first), told(shuffled.choose())); diff != "" {
			t.Fatalf("another order gives other matches:\n%s", diff)
		}
		if diff := cmp.Diff(before, shuffled, cmp.AllowUnexported(market{})); diff != "" {
			t.Fatalf("Choose changed what it was given:\n%s", diff)
		}
	})
}

// A request for a thousand agents that nothing answers is looked at every second, while it waits: not each of its loans beside each agent.
func TestOfOneRequestThatNothingAnswersOneLoanIsTried(t *testing.T) {
	t.Parallel()
	var waiting []loan.Loan
	for i := range 1000 {
		waiting = append(waiting, ask(fmt.Sprintf("l%04d", i), "staging", 0, "none"))
	}
	asked := 0
	got, _ := loan.Choose(waiting, nil, offers("el9", 1000), map[string]loan.Shelf{"el9": {Policy: loan.Policy{Most: 10}, Clean: 1000, Above: map[string]int{"ci": 1000}}}, nil, func(l loan.Loan, o loan.Offer) bool {
		asked++
		return fits(l, o)
	})
	if len(got) != 0 || asked != 1000 {
		t.Errorf("%d loans got agents, after %d comparisons", len(got), asked)
	}
}

func TestWhoGetsNoAgentIsToldWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	shelf := func(bend func(*loan.Shelf)) map[string]loan.Shelf {
		s := loan.Shelf{Policy: loan.Policy{Most: 9}, Clean: 9, Above: map[string]int{"ci": 9}}
		bend(&s)
		return map[string]loan.Shelf{"p": s}
	}
	for name, tc := range map[string]struct {
		wants   string
		shelves map[string]loan.Shelf
		quotas  map[string]int
		why     string
	}{
		"an agent":    {"q", shelf(func(*loan.Shelf) {}), nil, "waits for an agent that it wants to be clean and idle"},
		"its quota":   {"p", shelf(func(*loan.Shelf) {}), map[string]int{"a": 0}, "waits for another loan of a to end: its quota is 0"},
		"the queue":   {"p", shelf(func(s *loan.Shelf) { s.Short = true }), nil, "waits, because the queue wants more clean agents of pool p than there are"},
		"the limit":   {"p", shelf(func(s *loan.Shelf) { s.Lent = 9 }), nil, "waits, because pool p lends no more than 9 agents at once"},
		"clean ones":  {"p", shelf(func(s *loan.Shelf) { s.Policy.Floor = 9 }), nil, "waits, because pool p keeps 9 clean agents for itself"},
		"usable ones": {"", shelf(func(s *loan.Shelf) { s.Above["ci"] = 0 }), nil, "waits, because no more agents of pool p are usable on ci than its capacity floor says"},
	} {
		got, waits := loan.Choose([]loan.Loan{ask("1", "a", 0, tc.wants), ask("2", "a", 1, tc.wants)}, nil, offers("p", 2), tc.shelves, tc.quotas, fits)
		if len(got) > 0 || waits["1"] != tc.why || waits["2"] != tc.why {
			t.Errorf("%s: %v, and told is %q, want %q", name, told(got), waits, tc.why)
		}
	}
	got, waits := loan.Choose([]loan.Loan{ask("1", "a", 0, "p")}, nil, offers("p", 1), shelf(func(*loan.Shelf) {}), nil, fits)
	if len(got) != 1 || len(waits) > 0 {
		t.Errorf("%v, and told is %q", told(got), waits)
	}
}
