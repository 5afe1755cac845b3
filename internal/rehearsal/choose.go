// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// Wish says which agents a rehearsal is for.
type Wish struct {
	Pools    []string // empty = every pool that lends
	Agents   string   // label expression; "" = any
	Isolated bool     // only those on which the candidate runs under an account of its own
	Most     int      // agents at once; 0 = any number
	// Root are the steps of the candidate that ask for root, Ref is where it comes from, as the CI tells.
	Root []string
	Ref  string
}

// Gap is what a rehearsal does not cover, and why.
type Gap struct {
	Pool, What, Reason string

	passing bool // it may be otherwise soon
}

func (g Gap) String() string { return fmt.Sprintf("pool %s: %s: %s", g.Pool, g.What, g.Reason) }

// Choose returns a representative set of the offered agents, and what it does not cover. In each pool every combination
// of system, architecture and profile is there once. Of agents alike, the one comes first whose rarest label most others
// have too, which can be spared best; then the one that has been clean for longest. No more are chosen of a pool than it can spare, nor of one controller.
func Choose(offers []Offer, w Wish) (chosen []Offer, gaps []Gap) {
	kept := slices.DeleteFunc(slices.Clone(offers), func(o Offer) bool { return !w.wants(o) })
	byPool := map[string][]Offer{}
	for _, o := range kept {
		byPool[o.Pool] = append(byPool[o.Pool], o)
	}
	names := w.Pools
	if len(names) == 0 {
		for name := range byPool {
			names = append(names, name)
		}
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, name := range names {
		some, missing := chooseIn(name, byPool[name], w, len(chosen))
		chosen, gaps = append(chosen, some...), append(gaps, missing...)
	}
	return chosen, gaps
}

func (w Wish) wants(o Offer) bool {
	if len(w.Pools) > 0 && !slices.Contains(w.Pools, o.Pool) {
		return false
	}
	return w.Agents == "" || labelexpr.ParseLenient(w.Agents).Matches(labelexpr.Has(append(slices.Clone(o.Labels), o.Agent)...))
}

// chooseIn chooses in one pool; already is how many are chosen in others.
func chooseIn(pool string, offers []Offer, w Wish, already int) (chosen []Offer, gaps []Gap) {
	gap := func(what, reason string) { gaps = append(gaps, Gap{Pool: pool, What: what, Reason: reason}) }
	busy := func(what, reason string) { gaps = append(gaps, Gap{pool, what, reason, true}) }
	if len(offers) == 0 {
		busy("all agents", "none can be lent now: they are busy, being cleaned or lent, or the pool lends none")
		return nil, gaps
	}
	if len(w.Root) > 0 {
		if why := offers[0].Root.Refuses(w.Ref); why != "" {
			gap("all agents", fmt.Sprintf("the candidate asks for root in %s; %s", quoted(w.Root), why))
			return nil, gaps
		}
	}
	spare, there := offers[0].Spare, map[string]int{}
	for _, o := range offers {
		there[o.Controller] = o.SpareThere
	}
	for _, kind := range kinds(offers) {
		fit := slices.DeleteFunc(slices.Clone(kind.offers), func(o Offer) bool { return w.Isolated && !o.Isolated })
		spared := slices.DeleteFunc(slices.Clone(fit), func(o Offer) bool { return there[o.Controller] <= 0 })
		switch {
		case len(fit) == 0:
			gap(kind.name, "the candidate would run as the account of the lender's agent there")
		case spare <= 0 || len(spared) == 0:
			busy(kind.name, "the pool can spare no more agents: its floor, its queue or its limit of loans stands in the way")
		case w.Most > 0 && already+len(chosen) >= w.Most:
			gap(kind.name, fmt.Sprintf("no more than %d agents were to be borrowed", w.Most))
		default:
			o := leastNeeded(spared, offers)
			spare--
			there[o.Controller]--
			chosen = append(chosen, o)
		}
	}
	return chosen, gaps
}

// kind is agents alike.
type kind struct {
	name   string
	offers []Offer
}

// kinds sorts offers by what they are; the commonest kind comes first, for where not all can be had.
func kinds(offers []Offer) []kind {
	var all []kind
	for _, o := range offers {
		name := kindOf(o)
		i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
		if i < 0 {
			i, all = len(all), append(all, kind{name: name})
		}
		all[i].offers = append(all[i].offers, o)
	}
	slices.SortFunc(all, func(a, b kind) int {
		return cmp.Or(cmp.Compare(len(b.offers), len(a.offers)), cmp.Compare(a.name, b.name))
	})
	return all
}

// kindOf is what an agent is, in words.
func kindOf(o Offer) string {
	if o.OS == "" && o.Arch == "" {
		return "agents of which no report tells what they are"
	}
	name := strings.TrimSpace(o.OS + ", " + o.Arch)
	if o.Profile != "" {
		name += ", without " + o.Profile
	}
	return name
}

// leastNeeded returns the one of some agents of a pool that can be spared best.
func leastNeeded(alike, pool []Offer) Offer {
	have := map[string]int{}
	for _, o := range pool {
		for _, label := range o.Labels {
			have[label]++
		}
	}
	rarest := func(o Offer) int {
		least := len(pool)
		for _, label := range o.Labels {
			if label != o.Agent {
				least = min(least, have[label])
			}
		}
		return least
	}
	return slices.MinFunc(alike, func(a, b Offer) int {
		return cmp.Or(cmp.Compare(rarest(b), rarest(a)), a.CleanSince.Compare(b.CleanSince), cmp.Compare(a.Name(), b.Name()))
	})
}

func quoted(words []string) string { return "'" + strings.Join(words, "', '") + "'" }
